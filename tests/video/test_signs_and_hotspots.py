"""Heat with a sign, hotspots, relevance a frame and a shot, methods that speak about time alone, grids and films."""

import numpy as np
import pytest
from PIL import Image

from secondlook.cards import HeatMap
from secondlook.errors import BadValue
from secondlook.video import heat_films, overlay
from secondlook.video.grid import Caption, Panel, film, grid
from secondlook.video.heat_cells import heated, plain, spotted
from secondlook.video.heat_colours import DIMMEST, Look, accent, blend, colours, dim, legend
from secondlook.video.hotspots import EDGE, INSIDE, Threshold, hotspots, outline
from secondlook.video.legends import keys_of
from secondlook.video.relevance_bars import relevance_a_frame, relevance_a_shot, relevance_chart
from secondlook.video.sheet import in_lines

RED, BLUE = accent(Look(), 1.0, True), accent(Look(), -1.0, True)


def heat_of(heat_THW, **notes):
    heat = np.asarray(heat_THW, dtype=np.float32)
    return HeatMap(
        heat, np.arange(len(heat)), np.arange(len(heat)) * 0.25, "hand", 0, signed=bool((heat < 0).any()), notes=notes
    )


def is_in(image, colour, near=0):
    pixels = np.asarray(image).astype(int).reshape(-1, 3)
    return bool((np.abs(pixels - np.array(colour)).max(axis=1) <= near).any())


@pytest.fixture
def frames_THWC():
    return np.random.default_rng(0).integers(60, 200, (6, 24, 32, 3), dtype=np.uint8)


@pytest.fixture
def relevance():
    """For the class on the right, more and more; against it on the left, in the first two frames."""
    heat = np.zeros((6, 24, 32))
    for t in range(6):
        heat[t, 8:16, 20:28] = (t + 1) / 6
    heat[:2, 4:10, 2:8] = -0.9
    return heat_of(heat)


@pytest.mark.spec("layerwise-relevance", "R4")
def test_for_is_red_against_is_blue_and_nothing_is_transparent():
    frames = np.full((1, 1, 5, 3), 128, np.uint8)
    made = blend(frames, np.array([[[-1, -0.25, 0, 0.25, 1]]]), Look(alpha=1.0), signed=True)[0, 0].astype(int)
    np.testing.assert_array_equal(made[0], BLUE)
    np.testing.assert_array_equal(made[4], RED)
    np.testing.assert_array_equal(made[2], [128, 128, 128])
    assert made[3, 0] > made[3, 2]
    assert made[1, 2] > made[1, 0]
    red, white, blue = (colours("red_white_blue")[n].astype(int) for n in (255, 128, 0))
    assert white.min() > 240
    assert red[0] > 2 * red[1]
    assert blue[2] > 2 * blue[0]
    # without a sign, what speaks against is not drawn
    np.testing.assert_array_equal(blend(frames, -np.ones((1, 1, 5)), Look(alpha=1.0)), frames)


def test_signed_blend_equals_its_formula_pixel_by_pixel():
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (2, 3, 4, 3), dtype=np.uint8)
    heat = rng.normal(size=(2, 3, 4))
    made = blend(frames, heat, Look(alpha=0.6), full=1.5, signed=True)
    palette = colours("red_white_blue").astype(float)
    for t, y, x in np.ndindex(heat.shape):
        share = np.clip(heat[t, y, x] / 1.5, -1, 1)
        value = np.sign(share) * abs(share) ** 0.5
        place = (np.sign(value) * abs(value) ** 0.5 + 1) / 2
        grey = frames[t, y, x] @ [0.299, 0.587, 0.114]
        under = (1 - abs(value)) * frames[t, y, x] + abs(value) * grey
        expected = (1 - 0.6 * abs(value)) * under + 0.6 * abs(value) * palette[round(place * 255)]
        assert np.abs(made[t, y, x] - expected).max() <= 2


def test_a_sign_brings_its_colours_and_its_legend_by_itself(frames_THWC, relevance):
    unsigned = heat_of(np.maximum(relevance.heat_THW, 0))
    assert [k.high for k in keys_of([relevance], Look())] == ["for it"]
    assert [k.high for k in keys_of([unsigned], Look())] == ["most heat"]
    assert [k.high for k in keys_of([unsigned, relevance], Look())] == ["most heat", "for it"]
    low, high = legend(Look(), signed=True)[[0, 255]].astype(int)
    assert low[2] > low[0]
    assert high[0] > high[2]
    for image in (
        overlay.strip(frames_THWC, relevance),
        overlay.layer_grid(frames_THWC, {"a": relevance}),
        relevance_chart(frames_THWC, relevance),
        Image.fromarray(overlay.side_by_side(frames_THWC, relevance)[0]),
    ):
        assert is_in(image, legend(Look(), signed=True)[0], 1)  # the blue end of the legend
    grey = np.full_like(frames_THWC, 128)
    assert not is_in(overlay.strip(grey, unsigned), legend(Look(), signed=True)[0], 1)


@pytest.mark.spec("layerwise-relevance", "R4")
def test_hotspots_are_above_a_share_of_the_clips_or_of_the_frames_largest(relevance):
    heat = relevance.heat_THW
    for threshold in (Threshold(), Threshold(0.6), Threshold(0.5, "frame"), Threshold(0)):
        expected = np.zeros(heat.shape, bool)
        for t, y, x in np.ndindex(heat.shape):
            largest = np.abs(heat if threshold.relative == "clip" else heat[t]).max()
            expected[t, y, x] = heat[t, y, x] / largest > threshold.share and heat[t, y, x] > 0
        np.testing.assert_array_equal(hotspots(heat, threshold), expected)
    # default: 0.3 of the clip's largest |R|; a frame whose largest is 1/6 has none, though it has in itself
    assert hotspots(heat).sum(axis=(1, 2)).tolist() == [0, 64, 64, 64, 64, 64]
    assert hotspots(heat, Threshold(0.9, "frame")).sum(axis=(1, 2)).tolist() == [0, 0, 64, 64, 64, 64]
    exactly = np.array([[[0.3, 1.0, 0.30001]]])
    assert hotspots(exactly).tolist() == [[[False, True, True]]]
    assert not hotspots(-np.ones((2, 3, 3))).any()
    assert not hotspots(np.zeros((2, 3, 3))).any()
    # the largest is of |R|: strong relevance against the class raises the bar
    assert not hotspots(np.array([[[-1.0, 0.2]]])).any()


@pytest.mark.spec("layerwise-relevance", "R4")
def test_hotspots_lie_over_the_frame_with_a_line_around_them():
    frames = np.full((1, 20, 20, 3), 100, np.uint8)
    hot = np.zeros((1, 20, 20), bool)
    hot[0, 5:15, 5:15] = True
    made = outline(frames, hot)[0]
    np.testing.assert_array_equal(made[5, 5], INSIDE)
    np.testing.assert_array_equal(made[4, 9], EDGE)
    np.testing.assert_array_equal(made[0, 0], [100] * 3)
    np.testing.assert_array_equal(made[9, 9], np.rint(0.65 * 100 + 0.35 * np.array(INSIDE)))
    np.testing.assert_array_equal(outline(frames, ~hot & hot), frames)
    with pytest.raises(BadValue, match="like the frames"):
        outline(frames, hot[:, :5])


@pytest.mark.spec("layerwise-relevance", "R4")
def test_a_sheet_of_all_frames_and_one_frame_beside_its_hotspots(frames_THWC, relevance):
    sheet = np.asarray(overlay.hotspot_sheet(frames_THWC, relevance, Caption("title"), columns=4, width=64))
    cells = [
        sheet[14 + 26 + row * 71 :, 14 + column * 67 :][:48, :64] for row in range(2) for column in range(3)
    ]  # six frames: two rows of three
    expected = spotted(plain(frames_THWC, relevance, range(6), 64), relevance, range(6))
    for cell, picture in zip(cells, expected, strict=True):
        np.testing.assert_array_equal(cell, picture)
    assert [is_in(cell, INSIDE) for cell in cells] == [False, True, True, True, True, True]
    one = np.asarray(overlay.frame_picture(frames_THWC, relevance, at=5, width=320))
    seen, hot, spots = (one[14 + 22 :, 14 + n * 323 :][:240, :320] for n in range(3))
    np.testing.assert_array_equal(seen, plain(frames_THWC, relevance, [5], 320)[0])
    np.testing.assert_array_equal(hot, heated(seen[None], relevance, [5])[0])
    np.testing.assert_array_equal(spots, spotted(seen[None], relevance, [5])[0])
    with pytest.raises(BadValue, match="0 to 5"):
        overlay.frame_picture(frames_THWC, relevance, at=6)


@pytest.mark.spec("label-reassessment", "X7")
def test_one_frame_is_the_crop_that_the_network_saw(frames_THWC, relevance):
    """Figure V8: input crop, crop with heat."""
    crop = heat_of(relevance.heat_THW, box=[0, 4, 24, 24])
    made = np.asarray(overlay.frame_picture(frames_THWC, crop, at=2, width=240))
    whole = plain(frames_THWC, crop, [2], 320)[0]
    np.testing.assert_array_equal(made[36 : 36 + 240, 14 : 14 + 240], whole[:, 40:280])
    default = np.asarray(overlay.frame_picture(frames_THWC, crop, width=240))
    np.testing.assert_array_equal(default, np.asarray(overlay.frame_picture(frames_THWC, crop, at=5, width=240)))


@pytest.mark.spec("layerwise-relevance", "R5")
def test_relevance_a_frame_and_a_shot_add_up(relevance):
    for_T, against_T = relevance_a_frame(relevance)
    heat = relevance.heat_THW.astype(float)
    whole = sum(abs(v) for v in heat.flat)
    for t in range(6):
        assert for_T[t] == pytest.approx(sum(v for v in heat[t].flat if v > 0) / whole)
        assert against_T[t] == pytest.approx(sum(v for v in heat[t].flat if v < 0) / whole)
    assert for_T.sum() - against_T.sum() == pytest.approx(1)
    # the named finding: hotspots, and yet more against the class than for it
    assert hotspots(heat)[1].any()
    assert -against_T[1] > for_T[1]
    shots = relevance_a_shot(relevance, (2, 5))
    assert [(shot.first, shot.end) for shot in shots] == [(0, 2), (2, 5), (5, 6)]
    assert [shot.speaks_for for shot in shots] == pytest.approx([for_T[:2].sum(), for_T[2:5].sum(), for_T[5]])
    assert [shot.speaks_against for shot in shots] == pytest.approx([against_T[:2].sum(), 0, 0])
    assert len(relevance_a_shot(relevance, ())) == 1
    for wrong in ((0,), (6,), (3, 3), (4, 2)):
        with pytest.raises(BadValue, match="1 to 5"):
            relevance_a_shot(relevance, wrong)
    assert relevance_a_frame(heat_of(np.zeros((2, 3, 3))))[0].tolist() == [0, 0]


@pytest.mark.spec("layerwise-relevance", "R5")
@pytest.mark.parametrize("cuts", [(), (2,)])
def test_bars_stand_under_their_frames_as_long_as_they_are_high(frames_THWC, relevance, cuts):
    pixels = np.asarray(relevance_chart(frames_THWC, relevance, cuts=cuts)).astype(int)
    below = pixels[14 + (20 if cuts else 0) + round(176 * 24 / 32) + 20 :]  # the strip's own height is left out
    below = below[: -(14 + 20)]  # and the legend
    for_T, against_T = relevance_a_frame(relevance)
    number_T = hotspots(relevance.heat_THW).sum(axis=(1, 2))

    def heights(colour):
        columns = [round(14 + 56 + (t + 0.5) * 179 - 1.5) for t in range(6)]
        return np.array([(np.abs(below[:, x] - colour).max(axis=1) == 0).sum() for x in columns])

    red, blue, yellow = heights(RED), heights(BLUE), heights(INSIDE)
    np.testing.assert_allclose(red / red.max(), for_T / for_T.max(), atol=0.03)
    np.testing.assert_allclose(blue / red.max(), -against_T / for_T.max(), atol=0.03)
    np.testing.assert_allclose(yellow / max(yellow.max(), 1), number_T / number_T.max(), atol=0.03)


def test_charts_of_long_short_and_empty_clips():
    frames = np.full((70, 20, 30, 3), 90, np.uint8)
    long = relevance_chart(frames, heat_of(np.random.default_rng(0).normal(size=(70, 20, 30))))
    assert 1100 < long.width < 1300
    assert relevance_chart(frames[:1], heat_of(np.zeros((1, 20, 30)))).width < 600


def test_what_speaks_about_time_alone_is_bright_or_dark_and_never_coloured():
    frames = np.full((3, 40, 60, 3), (200, 100, 50), np.uint8)
    value = np.array([0.0, 0.5, 1.0])
    heat = heat_of(np.broadcast_to(value[:, None, None], (3, 40, 60)), temporal=True)
    made = heated(frames, heat, range(3)).astype(int)
    for t in range(3):
        expected = np.rint(np.array([200, 100, 50]) * (DIMMEST + (1 - DIMMEST) * value[t]))
        assert (made[t, :37] == expected).all()
        bar = (made[t, -1] == accent(Look())).all(axis=1)
        assert bar.sum() == round(60 * value[t])
    np.testing.assert_array_equal(heated(frames, heat, range(3), bar=False), dim(frames, value))
    signed = heat_of(np.broadcast_to(np.array([-1.0, 0.5, 0])[:, None, None], (3, 40, 60)), temporal=True)
    made = heated(frames, signed, range(3)).astype(int)
    assert (made[0, -1, :28] == BLUE).all()
    assert (made[1, -1, 31:45] == RED).all()
    assert not is_in(made[2], RED)
    assert not is_in(made[2], BLUE)
    assert "bright frames count" in keys_of([heat], Look())[0].high
    # its hotspots are whole frames: a line around them, nothing over them
    assert (spotted(frames[2:], heat, [2])[0, 5:-5, 5:-5] == frames[2, 5:-5, 5:-5]).all()
    assert (spotted(frames[2:], heat, [2])[0, :4] == INSIDE).all()
    assert overlay.side_by_side(frames, heat, threshold=Threshold()).shape[2] == 2 * 320 + 4
    assert relevance_chart(frames, heat).height < relevance_chart(frames, heat_of(heat.heat_THW)).height


@pytest.mark.spec("label-reassessment", "X7")
def test_a_grid_of_panels_has_the_original_first_and_every_heat_beside_it(frames_THWC, relevance, tmp_path):
    """Figures V9, V11, V12 are one panel; two clips for two classes are two."""
    calm = heat_of(np.maximum(relevance.heat_THW, 0))
    panels = [
        Panel(frames_THWC, {"Slow": relevance, "Fast": calm}, "one"),
        Panel(frames_THWC[::2], {"Slow": heat_of(calm.heat_THW[::2])}, "other"),
    ]
    image = np.asarray(grid(panels, Caption("title"), rows=2, width=64)).astype(int)
    top = 14 + 26 + 22 + 20

    def cell(x, row):
        return image[top + row * 51 :, x:][:48, :64]

    for row, t in enumerate((0, 5)):
        shown = plain(frames_THWC, relevance, [t], 64)
        left = 14 + 52
        np.testing.assert_array_equal(cell(left, row), shown[0])
        np.testing.assert_array_equal(cell(left + 67, row), heated(shown, relevance, [t])[0])
        np.testing.assert_array_equal(cell(left + 2 * 67, row), heated(shown, calm, [t])[0])
    second = 14 + 52 + 3 * 67 + 58
    for row, t in enumerate((0, 4)):
        np.testing.assert_array_equal(cell(second, row), plain(frames_THWC, relevance, [t], 64)[0])
    moving = film(panels, Caption("title"), width=64)
    assert len(moving) == 6
    assert moving.shape[1] % 2 == moving.shape[2] % 2 == 0
    place = (slice(top, top + 48), slice(second, second + 64))
    np.testing.assert_array_equal(moving[0][place], moving[1][place])  # the shorter panel holds its frames
    assert (moving[1][place] != moving[2][place]).any()
    heat_films.write_gif(tmp_path / "a.gif", moving, 2.0)
    heat_films.write_video(tmp_path / "a.mp4", moving, 2.0)
    assert (tmp_path / "a.mp4").stat().st_size > 1000
    spots = grid(panels, rows=2, width=64, threshold=Threshold())
    assert is_in(spots, INSIDE)


def test_an_upright_video_beside_a_wide_one_is_drawn_narrower(relevance, frames_THWC):
    tall = np.full((6, 64, 32, 3), 30, np.uint8)
    panels = [Panel(frames_THWC, {"a": relevance}), Panel(tall, {"a": heat_of(np.ones((6, 64, 32)))})]
    assert grid(panels, rows=1, width=64).height < grid(panels[1:], rows=1, width=64).height


def test_grids_of_nothing_or_of_other_frames(frames_THWC, relevance):
    with pytest.raises(BadValue, match="at least one clip"):
        grid([])
    with pytest.raises(BadValue, match="at least one heat map"):
        Panel(frames_THWC, {})
    with pytest.raises(BadValue, match="3 maps"):
        grid([Panel(frames_THWC, {"a": relevance, "b": heat_of(np.ones((3, 24, 32)))})])


def test_a_gif_keeps_the_colours_of_heat_where_the_video_is_full_of_others(tmp_path):
    green = np.zeros((4, 60, 80, 3), np.uint8)
    green[..., 1] = np.random.default_rng(0).integers(60, 250, (4, 60, 80))
    green[:, 20:24, 20:24] = legend(Look(), signed=True)[255]
    green[:, 40:44, 40:44] = legend(Look(), signed=True)[0]
    with Image.open(heat_films.write_gif(tmp_path / "a.gif", green, 2.0)) as gif:
        gif.seek(2)
        shown = np.asarray(gif.convert("RGB")).astype(int)
    assert np.abs(shown[22, 22] - green[2, 22, 22].astype(int)).max() <= 4
    assert np.abs(shown[42, 42] - green[2, 42, 42].astype(int)).max() <= 4


def test_long_headings_are_broken_between_words():
    assert in_lines("Moving something from left to right", 12, 176) == ["Moving something from left", "to right"]
    assert in_lines("short", 12, 10) == ["short"]


def test_bad_thresholds():
    for share in (-0.1, 1.0):
        with pytest.raises(BadValue, match="below 1"):
            Threshold(share)
    with pytest.raises(BadValue, match="clip or frame"):
        Threshold(0.3, "video")
