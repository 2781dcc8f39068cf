import subprocess
import sys

import av
import numpy as np
import pytest
from PIL import Image

from secondlook.cards import HeatMap
from secondlook.errors import BadValue, UnknownName
from secondlook.video import heat_colours, heat_films, overlay
from secondlook.video.grid import Caption
from secondlook.video.heat_colours import Look


def heat_of(heat_THW, seconds=0.25):
    heat = np.asarray(heat_THW, dtype=np.float32)
    return HeatMap(heat, np.arange(len(heat)), np.arange(len(heat)) * seconds, "hand", 0)


@pytest.fixture
def frames_THWC():
    return np.random.default_rng(0).integers(0, 256, (10, 24, 32, 3), dtype=np.uint8)


@pytest.fixture
def heat():
    """Ten frames of 48 x 64 with a hot spot that moves right and grows hotter."""
    y, x = np.mgrid[:48, :64]
    return heat_of([0.1 * (t + 1) * np.exp(-((x - 6 * t - 4) ** 2 + (y - 24) ** 2) / 40) for t in range(10)])


def test_blend_equals_its_formula_pixel_by_pixel():
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (2, 3, 4, 3), dtype=np.uint8)
    heat = rng.random((2, 3, 4)) - 0.2
    look = Look(alpha=0.6, colour_map="viridis")
    made = heat_colours.blend(frames, heat, look)
    palette = heat_colours.colours("viridis").astype(float)
    for t, y, x in np.ndindex(heat.shape):
        value = max(heat[t, y, x], 0) / heat.max()
        opacity = 0.6 * value
        grey = frames[t, y, x] @ [0.299, 0.587, 0.114]
        under = (1 - value) * frames[t, y, x] + value * grey
        expected = (1 - opacity) * under + opacity * palette[round(value * 255)]
        assert np.abs(made[t, y, x] - expected).max() <= 1


def test_cold_places_keep_their_colours_and_opacity_grows_with_heat():
    frames = np.full((1, 1, 5, 3), 200, np.uint8)
    made = heat_colours.blend(frames, np.array([[[-1, 0, 0.3, 0.6, 1]]]), Look("gray", alpha=1.0))
    assert (made[0, 0, :2] == 200).all()
    assert (made[0, 0, 4] == 255).all()
    # grey map: (1 - v) 200 + v (255 v)
    np.testing.assert_allclose(made[0, 0, 2:4, 0], [0.7 * 200 + 0.3 * 76.5, 0.4 * 200 + 0.6 * 153], atol=1)
    np.testing.assert_array_equal(heat_colours.blend(frames, np.ones((1, 1, 5)), Look(alpha=0)), frames)


def test_a_clip_is_normalised_as_a_whole_or_frame_by_frame():
    frames = np.zeros((2, 1, 1, 3), np.uint8)
    heat = np.array([[[1.0]], [[0.5]]])
    by_clip = heat_colours.blend(frames, heat, Look("gray", 1.0))
    by_frame = heat_colours.blend(frames, heat, Look("gray", 1.0, "frame"))
    assert by_clip[0, 0, 0, 0] == 255 > by_clip[1, 0, 0, 0] > 0
    assert by_frame[0, 0, 0, 0] == by_frame[1, 0, 0, 0] == 255
    np.testing.assert_array_equal(heat_colours.blend(frames, heat * 0), frames)
    assert heat_colours.blend(frames, heat, Look("gray", 1.0), full=2.0).max() < 255


def test_strip_has_originals_above_and_overlays_below(frames_THWC, heat):
    image = overlay.strip(frames_THWC, heat, Caption("a title", "how"), columns=4, width=64)
    pixels = np.asarray(image).astype(int)
    chosen = [0, 3, 6, 9]
    found = []
    for column in range(4):
        x = 14 + column * (64 + 3)
        top = 14 + 26 + 20
        expected = np.asarray(Image.fromarray(frames_THWC[chosen[column]]).resize((64, 48), Image.Resampling.LANCZOS))
        np.testing.assert_array_equal(pixels[top : top + 48, x : x + 64], expected)
        below = pixels[top + 51 : top + 51 + 48, x : x + 64]
        found.append(np.abs(below - expected).sum())
    assert found == sorted(found)  # the spot grows hotter
    assert found[0] > 0


def test_few_frames_make_a_short_strip(frames_THWC, heat):
    one = overlay.strip(frames_THWC[:1], heat_of(heat.heat_THW[:1]))
    all_of_them = overlay.strip(frames_THWC, heat, columns=50, width=48)
    assert one.width < all_of_them.width
    assert all_of_them.width >= 10 * 48


def test_a_long_title_is_shortened(frames_THWC, heat):
    plain = overlay.strip(frames_THWC, heat, Caption("x"), width=48)
    long = overlay.strip(frames_THWC, heat, Caption("Pretending to put something ünder something " * 9), width=48)
    assert long.size == plain.size
    assert (np.asarray(long)[:, -10:] == 255).all()


def test_layer_grid_has_a_row_a_frame_and_a_column_a_layer(frames_THWC, heat):
    late = heat_of(heat.heat_THW[::-1].copy())
    cold = heat_of(np.zeros_like(heat.heat_THW))
    image = overlay.layer_grid(frames_THWC, {"one": heat, "two": late, "none": cold}, rows=2, width=64)
    pixels = np.asarray(image).astype(int)

    def cell(column, row):
        x, y = 14 + 52 + column * 67, 14 + 22 + row * 51
        return pixels[y : y + 48, x : x + 64]

    for row, t in enumerate((0, 9)):
        expected = np.asarray(Image.fromarray(frames_THWC[t]).resize((64, 48), Image.Resampling.LANCZOS))
        np.testing.assert_array_equal(cell(0, row), expected)
        np.testing.assert_array_equal(cell(3, row), expected)
    change = lambda column, row: np.abs(cell(column, row) - cell(0, row)).sum()  # noqa: E731
    assert change(1, 0) < change(1, 1)
    assert change(2, 0) > change(2, 1)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "61")
def test_overlay_as_pictures_gif_and_video(frames_THWC, heat, tmp_path):
    plain = overlay.side_by_side(frames_THWC, heat, Caption("title"), width=65)
    made = overlay.side_by_side(frames_THWC, heat, Caption("title"), width=65, look=Look("viridis", alpha=0.3))
    assert made.shape[0] == 10
    assert made.shape[1] % 2 == made.shape[2] % 2 == 0
    assert (made != plain).any()
    left, right = made[:, :48, :65].astype(int), made[:, :48, 69:134].astype(int)
    assert left.shape == right.shape
    assert np.abs(left - right)[:, :, :].reshape(10, -1).sum(axis=1).all()

    paths = heat_films.write_pictures(tmp_path / "frames", made)
    assert [p.name for p in paths[:2]] == ["000.png", "001.png"]
    for path, picture in zip(paths, made, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(path)), picture)

    with Image.open(heat_films.write_gif(tmp_path / "deep" / "a.gif", made, 2.0)) as gif:
        assert gif.n_frames == 10
        assert gif.info["duration"] == 200
        assert gif.info["loop"] == 0
        gif.seek(9)
        assert np.abs(np.asarray(gif.convert("RGB")).astype(int) - made[9]).mean() < 25

    with av.open(str(heat_films.write_video(tmp_path / "deep" / "a.mp4", made, 2.0))) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert len(shown) / float(stream.average_rate) == pytest.approx(2.0, abs=0.2)
    held = len(shown) // 10
    for t in range(10):
        assert np.abs(shown[t * held].astype(int) - made[t]).mean() < 40


def test_playing_time_is_watchable():
    assert heat_films.playing_time_s(heat_of(np.zeros((8, 1, 1)), 0.4)) == pytest.approx(3.2)
    assert heat_films.playing_time_s(heat_of(np.zeros((8, 1, 1)), 0.01)) == 2
    assert heat_films.playing_time_s(heat_of(np.zeros((8, 1, 1)), 5)) == 4
    assert heat_films.playing_time_s(heat_of(np.zeros((1, 1, 1)))) == 2


def test_frames_of_another_size_or_number(frames_THWC, heat):
    with pytest.raises(BadValue, match="10 x 24 x 32"):
        heat_colours.blend(frames_THWC, heat.heat_THW)
    with pytest.raises(BadValue, match="10 maps"):
        overlay.strip(frames_THWC[:3], heat)
    with pytest.raises(BadValue, match="at least one"):
        overlay.strip(frames_THWC[:0], heat_of(heat.heat_THW[:0]))
    with pytest.raises(BadValue, match="at least one frame"):
        overlay.strip(frames_THWC, heat, columns=0)
    with pytest.raises(BadValue, match="at least one heat map"):
        overlay.layer_grid(frames_THWC, {})


def test_bad_looks():
    with pytest.raises(UnknownName, match="'inferno'"):
        Look("infern")
    with pytest.raises(BadValue, match=r"\[0, 1\]"):
        Look(alpha=1.2)
    with pytest.raises(BadValue, match="clip or frame"):
        Look(normalise="video")


def test_overlay_needs_no_torch():
    code = "import sys; import secondlook.video.overlay; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
