"""Methods x networks x clips: what is written, what is kept, and the verdicts."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from secondlook import catalog, tables
from secondlook.cards import ClipSpec, ExplainPoint, ExplainPoints, ModelCard
from secondlook.errors import BadValue, UnknownName
from secondlook.explain import _evaluation, _one_clip
from secondlook.explain._evaluation import CHEAP, SCORES, choose_methods, evaluate, meanings
from secondlook.explain._faithfulness import Perturbing
from secondlook.explain._one_clip import GROUPS, Plan
from secondlook.explain._verdicts import cheating, on_cue, ratio, sensitivity, trust
from secondlook.labels import LabelSpace
from secondlook.predict.weights import LoadedModel, save_weights
from secondlook.video.guard import Guard

LABELS = LabelSpace.from_names(["Rolling left", "Rolling right", "Covering"])
QUICK = Perturbing(steps=3, blocks=(2, 3, 3), draws=2, subsets=4, shares=(0.3,))
METHODS = ("grad_cam", "input_x_gradient")


class Looks(nn.Module):
    """A convolution, and a logit for class 1 that is the mean of its output in one part of the frame."""

    def __init__(self, rows: slice, columns: slice) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 2, 3, padding=1)
        self.classifier = nn.Linear(2, 3)
        where_HW = torch.zeros(32, 32)
        where_HW[rows, columns] = 1
        self.register_buffer("where_HW", where_HW / where_HW.sum())
        with torch.no_grad():
            self.conv.weight.copy_(
                torch.randn(self.conv.weight.shape, generator=torch.Generator().manual_seed(0)).abs()
            )
            self.conv.bias.fill_(0.1)
            self.classifier.weight.copy_(torch.tensor([[0.0, 0.0], [0.05, 0.05], [0.0, 0.01]]))
            self.classifier.bias.copy_(torch.tensor([-1.0, 0.0, 0.0]))

    def forward(self, x_BCTHW):
        features = torch.relu(self.conv(x_BCTHW))
        return self.classifier((features * self.where_HW).sum(dim=(3, 4)).mean(dim=2))


def looking_at(folder, name, rows, columns):
    clip = ClipSpec(frames=4, height=32, width=32, fit="squash", mean=(0, 0, 0), std=(1, 1, 1))
    card = ModelCard("toy:toy", clip, ExplainPoints((ExplainPoint("conv"),), "classifier"))
    model = Looks(rows, columns).eval()
    save_weights(model, folder / f"{name}.safetensors")
    return LoadedModel(model, card, LABELS, folder / f"{name}.safetensors")


@pytest.fixture
def loaded(tmp_path):
    return looking_at(tmp_path, "best", slice(4, 30), slice(2, 28))


@pytest.fixture
def videos(tmp_path, draw_video):
    """Four clips: an object in the middle and a mark in the corner, one without truth, one that is no video."""
    root = tmp_path / "data"
    for name in ("a", "b", "c"):
        draw_video(root / f"{name}.mp4", frames=12, height=48, width=48)
    (root / "bad.mp4").write_bytes(b"not a video at all")
    masks = np.zeros((12, 48, 48), np.uint8)
    masks[:, 21:33, 21:33] = 1
    masks[:, 3:12, 3:12] = 4
    np.savez_compressed(root / "truth.npz", masks_THW=masks)
    rows = [
        {"video_id": "a", "path": "a.mp4", "label": 1, "truth_path": "truth.npz", "action_start_s": 0.2,
         "action_end_s": 0.6},
        {"video_id": "b", "path": "b.mp4", "label": 0, "truth_path": "truth.npz"},
        {"video_id": "c", "path": "c.mp4", "label": 2, "truth_path": "../secret.npz"},
        {"video_id": "bad", "path": "bad.mp4", "label": 0},
    ]  # fmt: skip
    rows = [{"split": "test", "group": "", "status": "unchecked", "reason": "", **row} for row in rows]
    made = {"root": str(root), "label_space": LABELS.to_dict()}
    return tables.read(tables.VIDEOS, tables.write(tables.VIDEOS, rows, tmp_path / "videos.parquet", made))


def plan_of(*measures, **rest):
    return Plan(measures=measures or tuple(GROUPS), perturbing=QUICK, levels=2, sanity_clips=2, cost_clips=1, **rest)


@pytest.mark.spec("layerwise-relevance", "R6", "R7")
def test_everything_is_measured_and_written(loaded, videos, tmp_path):
    steps = []
    result = evaluate(
        {"run": loaded}, videos, METHODS, tmp_path / "out", plan_of(), made={"command": "x"},
        advance=lambda: steps.append(1),
    )  # fmt: skip
    assert len(steps) == 4 * 2
    assert json.loads((tmp_path / "out" / SCORES).read_text()) == json.loads(json.dumps(result))
    assert [(c["video_id"], c["status"]) for c in result["clips"]] == [
        ("a", "ok"), ("b", "ok"), ("c", "ok"), ("bad", "not_a_video"),
    ]  # fmt: skip
    assert "not measured against the truth" in result["clips"][2]["reason"]
    for score in result["scores"]:
        assert (score["status"], score["clips"]) == ("ok", 3)
        assert [f["video_id"] for f in score["failed"]] == ["bad"]
        measured = score["measures"]
        assert {"deletion_gain", "sensitivity_n", "parameters_rank", "brightness", "time_ratio", "on_cue"} <= set(
            measured
        )
        assert set(measured) <= set(meanings())
        assert measured["deletion_gain"]["clips"] == 3
        assert measured["on_target"]["clips"] == measured["parameters_rank"]["clips"] == 2
        assert measured["in_action"]["clips"] == measured["time_ratio"]["clips"] == 1
        assert len(score["curves"]["deletion"]) == 4
        assert [s["layer"] for s in score["cascade"]] == ["classifier", "conv"]
        for value in measured.values():
            assert value["low"] <= value["mean"] <= value["high"] or value["clips"] == 1
    network = result["models"][0]
    assert network["card"] == "toy:toy"
    assert len(network["curves"]["random_deletion"]) == 4
    assert {"cue_fall", "cue_fall_elsewhere"} == set(network["measures"])
    assert result["made"] == {"command": "x"}


def test_a_stopped_table_goes_on_to_the_same_scores(loaded, videos, tmp_path, monkeypatch):
    plan = plan_of("truth", "perturbation", "sanity", "bias")
    whole = evaluate({"run": loaded}, videos, METHODS, tmp_path / "whole", plan)

    class Stopped(Exception):  # noqa: N818
        pass

    left = 3

    def stop():
        nonlocal left
        left -= 1
        if not left:
            raise Stopped

    with pytest.raises(Stopped):
        evaluate({"run": loaded}, videos, METHODS, tmp_path / "out", plan, advance=stop)
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.json")}
    assert len(kept) == 5  # two clips, the first with both methods, and what needs no method
    assert evaluate({"run": loaded}, videos, METHODS, tmp_path / "out", plan) == whole
    assert all(p.stat().st_mtime_ns == at for p, at in kept.items())
    # all is there now: nothing is explained again, and only what could not be read is opened again
    opened = []
    real = _one_clip.input_clip
    monkeypatch.setattr(_one_clip, "input_clip", lambda path, *a, **k: opened.append(path.name) or real(path, *a, **k))
    assert evaluate({"run": loaded}, videos, METHODS, tmp_path / "out", plan) == whole
    assert opened == ["bad.mp4"]


def test_other_weights_or_settings_are_measured_anew_and_more_clips_are_added(loaded, videos, tmp_path):
    out = tmp_path / "out"
    first = evaluate({"run": loaded}, videos.slice(0, 1), ("grad_cam",), out, plan_of("perturbation"))
    more = evaluate({"run": loaded}, videos.slice(0, 2), ("grad_cam",), out, plan_of("perturbation"))
    assert more["scores"][0]["clips"] == 2
    other = Plan(measures=("perturbation",), perturbing=Perturbing(steps=4, blocks=(2, 3, 3), draws=1, subsets=4))
    changed = evaluate({"run": loaded}, videos.slice(0, 1), ("grad_cam",), out, other)
    assert len(changed["scores"][0]["curves"]["deletion"]) == 5
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            parameter.mul_(1.5)
    save_weights(loaded.model, loaded.weights)
    again = evaluate({"run": loaded}, videos.slice(0, 1), ("grad_cam",), out, plan_of("perturbation"))
    assert again["scores"][0]["measures"] != first["scores"][0]["measures"]


def test_each_clip_is_decoded_once_for_networks_of_one_recipe(loaded, videos, tmp_path, monkeypatch):
    decoded = []
    real = Guard.decode
    monkeypatch.setattr(Guard, "decode", lambda self, path, *a, **k: decoded.append(path) or real(self, path, *a, **k))
    evaluate({"one": loaded, "two": loaded}, videos, METHODS, tmp_path / "out", plan_of("bias"))
    assert len(decoded) == videos.num_rows


def test_a_method_that_does_not_fit_and_one_that_fails(loaded, videos, tmp_path, monkeypatch):
    plugin = catalog.find("explain", "grad_cam")
    monkeypatch.setattr(plugin, "unsuitable", lambda model, card: "it has no maps", raising=False)
    other = catalog.find("explain", "input_x_gradient")

    def fails(*_):
        raise BadValue("heat", "came out badly")

    monkeypatch.setattr(other, "explain", fails)
    result = evaluate({"run": loaded}, videos.slice(0, 2), METHODS, tmp_path / "out", plan_of("perturbation"))
    none, bad = result["scores"]
    assert (none["status"], none["reason"], none["clips"], none["failed"]) == ("unsuitable", "it has no maps", 0, [])
    assert (bad["status"], bad["clips"], len(bad["failed"])) == ("failed", 0, 2)
    assert "came out badly" in bad["reason"]
    assert result["trust"][0]["unsuitable"] == {"grad_cam": "it has no maps"}
    assert result["trust"][0]["order"] == []


def test_a_network_that_looks_at_the_cue_is_told_from_one_that_does_not(videos, tmp_path):
    """Neither name nor setting says which is which."""
    cue = looking_at(tmp_path, "cue", slice(2, 8), slice(2, 8))
    thing = looking_at(tmp_path, "thing", slice(14, 22), slice(14, 22))
    methods = ("grad_cam", "gradient", "input_x_gradient", "integrated_gradients")
    plan = Plan(measures=("truth", "perturbation"), label="1", perturbing=Perturbing(fill="mean", blocks=(2, 8, 8)))
    result = evaluate({"x": thing, "y": cue}, videos.slice(0, 2), methods, tmp_path / "out", plan)
    honest, cheat = result["cheating"]
    assert (honest["model"], cheat["model"]) == ("x", "y")
    assert cheat["looks_at_cue"]
    assert cheat["relies_on_cue"]
    assert not honest["looks_at_cue"]
    assert not honest["relies_on_cue"]
    assert cheat["votes"]["input_x_gradient"]
    assert not any(honest["votes"].values())
    assert "methods find the heat on the planted cue" in cheat["sentences"][0]
    # a true picture of the cheat shows the cue: the object does not count in its order
    assert "iou_best" in result["trust"][0]["measures"]
    assert "iou_best" not in result["trust"][1]["measures"]
    gains = [s["measures"]["deletion_gain"]["mean"] for s in result["scores"] if s["method"] == "input_x_gradient"]
    assert all(gain > 0 for gain in gains)


def made_up(method, gain, rank=0.1, **rest):
    value = {"mean": gain, "low": gain - 0.05, "high": gain + 0.05, "clips": 9}
    measures = dict.fromkeys(
        ("deletion_gain", "insertion_gain", "deletion_over_centre", "insertion_over_centre"), value
    )
    measures |= {"time_ratio": {"mean": 2.0, "low": 2, "high": 2, "clips": 1}}
    rows = [{"parameters_rank": rank, "class_rank": rank / 2}]
    return {
        "method": method, "status": "ok", "reason": "", "measures": measures, "sensitivity": sensitivity(rows),
        "temporal": False, "on_cue": None, **rest,
    }  # fmt: skip


def test_trust_orders_and_names():
    scores = [made_up("weak", 0.01), made_up("edges", 0.5, rank=0.97), made_up("good", 0.4), made_up("fair", 0.2)]
    found = trust("net", scores)
    assert [e["method"] for e in found["order"]] == ["edges", "good", "fair", "weak"]
    assert [e["mean_rank"] for e in found["order"]] == [1, 2, 3, 4]
    assert found["insensitive"] == ["edges"]
    assert found["no_better_than_random"] == found["no_better_than_centre"] == ["weak"]
    assert found["trusted"] == ["good", "fair"]
    words = " ".join(found["sentences"])
    assert "net: trust good (2.0) first, then fair (3.0)." in words
    assert "random order, by deletion or by insertion: weak." in words
    assert "edges 2.0" in words
    nothing = trust("net", [made_up("weak", 0.0)])
    assert "trust none" in " ".join(nothing["sentences"]) or nothing["order"] == []


def test_sensitivity_reads_the_median():
    rows = [{"parameters_rank": r, "class_rank": None} for r in (0.95, 0.1, 0.99)]
    found = sensitivity(rows)
    assert found["parameters_rank"] == pytest.approx(0.95)
    assert found["insensitive"]
    assert found["class_rank"] is None
    assert not found["same_for_other_class"]
    assert sensitivity([{"other": 1.0}]) is None


def test_the_ratio_and_the_vote():
    rng = np.random.default_rng(0)
    assert ratio([2.0, 4.0], [1.0, 1.0], rng)["mean"] == pytest.approx(3)
    assert ratio([2.0, 2.0], [1.0, 1.0], rng)["low"] == pytest.approx(2)
    assert on_cue([{"on_cue": None, "on_cue_uniform": 0.1}], rng) is None
    yes = on_cue([{"on_cue": 0.3, "on_cue_uniform": 0.1}] * 5, rng)
    no = on_cue([{"on_cue": 0.12, "on_cue_uniform": 0.1}] * 5, rng)
    scores = [
        made_up("a", 0.1, on_cue=yes), made_up("b", 0.1, on_cue=yes), made_up("c", 0.1, on_cue=no),
        made_up("blind", 0.1, rank=0.99, on_cue=no), made_up("when", 0.1, temporal=True, on_cue=no),
    ]  # fmt: skip
    verdict = cheating("net", scores, {})
    assert verdict["looks_at_cue"]
    assert verdict["votes"] == {"a": True, "b": True, "c": False}
    assert verdict["without_vote"] == ["blind", "when"]
    assert verdict["sentences"][0] == "net: 2 of 3 methods find the heat on the planted cue (a, b)."
    assert cheating("net", [made_up("a", 0.1)], {}) is None


def test_methods_are_chosen_by_name():
    assert choose_methods("all") == catalog.names("explain")
    assert choose_methods("") == tuple(m for m in CHEAP if m in catalog.names("explain"))
    assert choose_methods(" grad_cam, grad_cam,gradient") == ("grad_cam", "gradient")
    with pytest.raises(UnknownName, match="'grad_cam'"):
        choose_methods("grad-cam")


def test_mistakes_are_sentences(loaded, videos, tmp_path):
    with pytest.raises(UnknownName, match="'sanity'"):
        Plan(measures=("sanit",))
    with pytest.raises(BadValue, match="at least one group"):
        Plan(measures=())
    with pytest.raises(BadValue, match="at least one method"):
        evaluate({"run": loaded}, videos, (), tmp_path / "out")
    with pytest.raises(BadValue, match="at least one network"):
        evaluate({}, videos, METHODS, tmp_path / "out")
    with pytest.raises(UnknownName, match="label"):
        evaluate({"run": loaded}, videos, METHODS, tmp_path / "out", Plan(label="rowling"))
    assert not (tmp_path / "out" / _evaluation.PARTS).exists()
