from dataclasses import replace

import numpy as np
import pytest

from secondlook.errors import BadValue, UnknownName
from secondlook.explain import selected_frames
from secondlook.explain._selection_figure import draw, score_figure
from secondlook.layers.frame_selection import triplet_cosine_numpy
from secondlook.predict.weights import build_model, find_card, with_clip
from tests.explain.test_attention_rollout import clip_for

FIGURE = pytest.mark.spec("srtg-mtnet-classreg-visualisation", "90")


@pytest.fixture(scope="module", params=[{}, {"ends": "exclude", "keep": "largest"}])
def selecting(request):
    card = replace(with_clip(find_card("mtnet:tiny"), frames=8, height=32, width=40), options=request.param)
    return build_model(card, 4, seed=1), card


def test_every_layer_matches_the_one_without_torch(selecting, make_clip):
    model, card = selecting
    clip = clip_for(card, make_clip)
    kept, hooks = {}, []
    for name, module in model.named_modules():
        if name.endswith(".selection"):
            hooks.append(module.register_forward_pre_hook(lambda _m, x, name=name: kept.update({name: x[0][0]})))
    heat = selected_frames.explain(model, card, clip, 1)
    score = selected_frames.explain(model, card, clip, 1, show="score")
    for hook in hooks:
        hook.remove()
    assert [note["name"] for note in heat.notes["selections"]] == list(kept)
    options = {"ends": card.options.get("ends", "replicate"), "keep": card.options.get("keep", "lowest")}
    masks = []
    for note in heat.notes["selections"]:
        scores, index = triplet_cosine_numpy(kept[note["name"]].detach().numpy(), **options)
        np.testing.assert_allclose([np.nan if p is None else p for p in note["scores"]], scores, atol=1e-6)
        assert note["index"] == index.tolist()
        masks.append(np.isin(np.arange(8), index))
    np.testing.assert_array_equal(heat.heat_THW[:, 0, 0], masks[-1])
    np.testing.assert_allclose(heat.notes["kept_share"], np.mean(masks, axis=0))
    expected = np.nan_to_num((2 - scores) / 4)
    np.testing.assert_allclose(score.heat_THW[:, 0, 0] * score.notes["scale"], expected, atol=1e-5)
    assert heat.notes["temporal"] is True
    assert heat.notes["grid"] == [8, 1, 1]


def test_another_layer(selecting, make_clip):
    model, card = selecting
    clip = clip_for(card, make_clip)
    first = selected_frames.explain(model, card, clip, 1).notes["selections"][0]
    heat = selected_frames.explain(model, card, clip, 1, layer=first["name"])
    assert heat.module == first["name"]
    assert np.flatnonzero(heat.heat_THW[:, 0, 0]).tolist() == first["index"]
    with pytest.raises(UnknownName, match="selection"):
        selected_frames.explain(model, card, clip, 1, layer="layer1")
    with pytest.raises(BadValue, match="selected, score"):
        selected_frames.explain(model, card, clip, 1, show="all")


def test_networks_that_select_nothing(small, make_clip):
    with pytest.raises(BadValue, match="none of its layers"):
        selected_frames.explain(*small, clip_for(small[1], make_clip), 0)
    card = replace(find_card("mtnet:tiny"), options={"pooling": "softpool"})
    assert selected_frames.unsuitable(build_model(card, 4, seed=1), card)


@FIGURE
def test_bars_are_the_scores_and_kept_frames_are_marked():
    frames = np.random.default_rng(0).integers(0, 255, (8, 6, 9, 3), dtype=np.uint8)
    scores = [None, 1.2, 1.9, -0.4]
    note = {"name": "layer1.conv.selection", "scores": scores, "index": [1, 3], "keep": "lowest"}
    figure = draw(note, frames, list(np.arange(8) / 4))
    bars, *strip = figure.axes
    drawn = [p for p in bars.patches if p.get_height() > 1e-9 and p.get_width() > 0][:3]
    tops = {round(p.get_x() + p.get_width() / 2): p.get_y() + p.get_height() for p in drawn}
    assert tops == pytest.approx({1: 1.2, 2: 1.9, 3: -0.4})
    looks = {round(p.get_x() + p.get_width() / 2): (p.get_facecolor(), p.get_hatch()) for p in drawn}
    assert looks[1] == looks[3] != looks[2]
    assert [t.get_text() for t in bars.texts] == ["no score"]
    assert "2 of 4 frames of lowest P" in bars.get_title()
    assert len(strip) == 4
    for t, below in enumerate(strip):
        np.testing.assert_array_equal(below.images[0].get_array(), frames[2 * t + 1])
        assert below.spines["left"].get_visible() == (t in (1, 3))
    assert [label.get_text() for label in bars.get_xticklabels()] == ["0.25 s", "0.75 s", "1.25 s", "1.75 s"]


@FIGURE
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_figure_of_a_network(selecting, make_clip, tmp_path, suffix):
    model, card = selecting
    clip = clip_for(card, make_clip)
    heat = selected_frames.explain(model, card, clip, 1)
    path = score_figure(heat, clip.clip.frames_THWC, tmp_path / f"scores{suffix}")
    assert path.stat().st_size > 1000


@FIGURE
def test_what_the_figure_refuses(make_heat, tmp_path):
    frames = np.zeros((3, 4, 4, 3), np.uint8)
    heat = make_heat(np.ones((3, 4, 4)))
    with pytest.raises(BadValue, match="no selected frames"):
        score_figure(heat, frames, tmp_path / "a.png")
    note = {"name": "a.selection", "scores": [2.0, 2.0, 2.0], "index": [0], "keep": "lowest"}
    heat = replace(heat, module="a.selection", notes={"selections": [note]})
    score_figure(heat, frames, tmp_path / "a.png")
    with pytest.raises(BadValue, match="of 3 frames"):
        score_figure(heat, frames[:2], tmp_path / "a.png")
    with pytest.raises(UnknownName, match="selection"):
        score_figure(heat, frames, tmp_path / "a.png", layer="b")
