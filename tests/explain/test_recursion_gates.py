from dataclasses import replace

import numpy as np
import pytest
import torch

from secondlook.errors import BadValue, UnknownName
from secondlook.explain import recursion_gates
from secondlook.explain._match_figure import draw, match_figure
from secondlook.explain.recursion_gates import GateState, consistency_of, error_of
from secondlook.layers.temporal_gate import gate_counts
from secondlook.predict.weights import build_model, find_card, with_clip
from tests.explain.test_attention_rollout import clip_for

FIGURE = pytest.mark.spec("srtg-mtnet-classreg-visualisation", "89")


@pytest.fixture(scope="module", params=["index", "cycle"])
def gated(request):
    card = replace(with_clip(find_card("r3d:tiny"), frames=16, height=32, width=40), options={"srtg": True})
    model = build_model(card, 4, seed=1)
    for module in model.modules():
        if hasattr(module, "criterion"):
            module.criterion = request.param
    return model, card


def found_by(a_TC, b_UC, criterion):
    """Twin: frame by frame, in NumPy."""
    found = []
    for a in a_TC:
        squared = ((a - b_UC) ** 2).sum(1)
        weights = np.exp(squared.min() - squared)
        soft = (weights[:, None] * b_UC).sum(0) / weights.sum()
        among = b_UC if criterion == "index" else a_TC
        found.append(int(((soft - among) ** 2).sum(1).argmin()))
    return found


def test_every_gate_matches_its_twin(gated, make_clip):
    model, card = gated
    clip = clip_for(card, make_clip)
    kept, hooks = {}, []
    for name, module in model.named_modules():
        if name.endswith(".gate"):
            hooks.append(module.register_forward_pre_hook(lambda _m, x, name=name: kept.update({name: x})))
    heat = recursion_gates.explain(model, card, clip, 1)
    for hook in hooks:
        hook.remove()
    assert [note["name"] + ".gate" for note in heat.notes["gates"]] == list(kept)
    for note in heat.notes["gates"]:
        a_TC, b_TC = (x[0].T.double().numpy() for x in kept[note["name"] + ".gate"])
        assert note["found"] == found_by(a_TC, b_TC, note["criterion"])
        assert note["back"] == found_by(b_TC, a_TC, note["criterion"])
        errors = [abs(i - t) + abs(j - t) for t, (i, j) in enumerate(zip(note["found"], note["back"], strict=True))]
        assert note["error"] == errors
        assert note["open"] == (not any(errors))
    assert heat.module == heat.notes["gates"][-1]["name"]
    assert heat.notes["temporal"] is True
    assert heat.notes["open_gates"] == sum(note["open"] for note in heat.notes["gates"])


def test_a_gate_of_ones_own_choice(gated, make_clip):
    model, card = gated
    heat = recursion_gates.explain(model, card, clip_for(card, make_clip), 1, layer="layer1.0.recursion")
    assert heat.module == "layer1.0.recursion"
    note = heat.notes["gates"][0]
    steps = len(note["error"])
    assert heat.notes["grid"] == [steps, 1, 1]
    expected = 1 - np.array(note["error"]) / (2 * (steps - 1))
    in_time = np.interp((np.arange(16) + 0.5) * steps / 16 - 0.5, np.arange(steps), expected)
    np.testing.assert_allclose(heat.heat_THW[:, 0, 0] * heat.notes["scale"], in_time, atol=1e-5)
    with pytest.raises(UnknownName, match="layer1"):
        recursion_gates.explain(model, card, clip_for(card, make_clip), 1, layer="layer1.0.recursio")


def test_consistency_by_hand():
    found, back = torch.tensor([[0, 1, 0], [0, 1, 2]]), torch.tensor([[0, 2, 0], [0, 1, 2]])
    state = GateState("gate", torch.tensor([False, True]), found, back, "index")
    assert error_of(state).tolist() == [[0, 1, 4], [0, 0, 0]]
    assert consistency_of(state).tolist() == [[1.0, 0.75, 0.0], [1.0, 1.0, 1.0]]
    one = GateState("gate", torch.tensor([True]), torch.zeros(1, 1), torch.zeros(1, 1), "index")
    assert consistency_of(one).tolist() == [[1.0]]


def test_gates_count_nothing_and_networks_without_say_so(gated, small, make_clip):
    model, card = gated
    before = gate_counts(model)
    recursion_gates.explain(model, card, clip_for(card, make_clip), 1)
    assert gate_counts(model) == before
    with pytest.raises(BadValue, match="no temporal gate"):
        recursion_gates.explain(*small, clip_for(small[1], make_clip), 0)


def note_of(found, back, criterion="index"):
    right = all(i == t for part in (found, back) for t, i in enumerate(part))
    return {"name": "layer4.0.recursion", "open": right, "criterion": criterion, "found": found, "back": back}


@FIGURE
@pytest.mark.parametrize("criterion", ["index", "cycle"])
def test_every_step_has_a_line_and_errors_stand_out(criterion):
    """Where each line begins and ends is what the gate found; errors differ in colour and in style."""
    found, back = [0, 2, 2, 3], [0, 1, 2, 0]
    frames = np.random.default_rng(0).integers(0, 255, (8, 6, 9, 3), dtype=np.uint8)
    figure = draw(note_of(found, back, criterion), frames, list(np.arange(8) / 4))
    assert "3 of 8" not in figure.get_suptitle()
    assert "closed, 2 of 8 steps do not find themselves" in figure.get_suptitle()
    looks = {True: set(), False: set()}
    for axes, wanted in zip(figure.axes, (found, back), strict=True):
        lines = [line for line in axes.lines if len(line.get_xdata()) == 2]
        assert [tuple(line.get_xdata()) for line in lines] == list(enumerate(wanted))
        for (start, end), line in zip(enumerate(wanted), lines, strict=True):
            looks[start == end].add((line.get_color(), line.get_linestyle()))
        assert len(axes.images) == 8  # two rows of the frames in the middle of each step
        np.testing.assert_array_equal(axes.images[0].get_array(), frames[1])
        np.testing.assert_array_equal(axes.images[-1].get_array(), frames[7])
    assert len(looks[True]) == len(looks[False]) == 1
    (right_colour, right_style), (wrong_colour, wrong_style) = *looks[True], *looks[False]
    assert right_colour != wrong_colour
    assert right_style != wrong_style


@FIGURE
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_figure_of_a_network(gated, make_clip, tmp_path, suffix):
    model, card = gated
    clip = clip_for(card, make_clip)
    heat = recursion_gates.explain(model, card, clip, 1)
    path = match_figure(heat, clip.clip.frames_THWC, tmp_path / f"matches{suffix}", gate="layer1.0.recursion")
    assert path.stat().st_size > 1000
    again = match_figure(heat, clip.clip.frames_THWC, tmp_path / f"again{suffix}", gate="layer1.0.recursion")
    assert path.read_bytes() == again.read_bytes()


@FIGURE
def test_what_the_figure_refuses(make_heat, tmp_path):
    frames = np.zeros((3, 4, 4, 3), np.uint8)
    heat = make_heat(np.ones((3, 4, 4)))
    with pytest.raises(BadValue, match="tells of no gates"):
        match_figure(heat, frames, tmp_path / "a.png")
    heat = replace(heat, module="layer4.0.recursion", notes={"gates": [note_of([0], [0])]})
    match_figure(heat, frames, tmp_path / "a.png")
    with pytest.raises(BadValue, match="of 3 frames"):
        match_figure(heat, frames[:2], tmp_path / "a.png")
    with pytest.raises(UnknownName, match=r"layer4\.0\.recursion"):
        match_figure(heat, frames, tmp_path / "a.png", gate="layer4")
    with pytest.raises(BadValue, match="png"):
        match_figure(heat, frames, tmp_path / "a.gif")
