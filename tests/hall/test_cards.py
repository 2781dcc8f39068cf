"""Cards, recipes and heat maps survive their files and refuse what does not fit."""

from __future__ import annotations

import json

import numpy as np
import pytest

from secondlook.cards import CHANNELS, ClipSpec, ExplainPoint, ExplainPoints, HeatMap, ModelCard
from secondlook.errors import BadValue, MissingFile


def card() -> ModelCard:
    points = ExplainPoints((ExplainPoint("stem"), ExplainPoint("layer4", "slow", "(BT)CHW"), ExplainPoint("top")), "fc")
    spec = ClipSpec(16, "dense", 2, 128, 96, 112, "squash", "luma_difference", (0.5, 0.0), (0.2, 0.1), "loop")
    return ModelCard("tsm:r18", spec, points, "Lin et al. 2019, section 4", {"shift": 8}, "bert")


def test_a_card_survives_json():
    again = ModelCard.from_dict(json.loads(json.dumps(card().to_dict())))
    assert again == card()
    assert (again.family, again.variant) == ("tsm", "r18")
    assert again.clip.mean == (0.5, 0.0)
    assert isinstance(again.explain.stages[1], ExplainPoint)


def test_channels_follow_the_modality():
    assert ClipSpec().channels == 3
    assert card().clip.channels == CHANNELS["luma_difference"] == 2


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"frames": 0}, "frames of a clip must be at least 1"),
        ({"stride": 0}, "stride"),
        ({"width": -1}, "width"),
        ({"modality": "depth"}, "modality must be one of"),
        ({"modality": "luma_difference"}, "needs 2 values"),
        ({"mean": (0.5,)}, "needs 3 values"),
    ],
)
def test_a_recipe_refuses_what_does_not_fit(change, match):
    with pytest.raises(BadValue, match=match):
        ClipSpec(**change)


def test_the_last_stage_of_a_pathway():
    points = card().explain
    assert points.last().module == "top"
    assert points.last("slow").module == "layer4"
    with pytest.raises(BadValue, match="names no explain point"):
        points.last("fast")


def heat(**change) -> HeatMap:
    rng = np.random.default_rng(0)
    parts = {
        "heat_THW": rng.random((3, 4, 5)).astype(np.float32),
        "frame_index_T": np.array([0, 4, 8]),
        "frame_time_s_T": np.array([0.0, 0.5, 1.0]),
        "method": "grad_cam",
        "label": 2,
        "module": "layer4",
        "signed": True,
        "notes": {"weights": "per time", "seed": 1},
    }
    return HeatMap(**{**parts, **change})


@pytest.mark.parametrize("name", ["map.npz", "map.heat"])
def test_a_heat_map_survives_its_file(tmp_path, name):
    heat().save(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    again = HeatMap.load(tmp_path / name)
    for field in ("heat_THW", "frame_index_T", "frame_time_s_T"):
        np.testing.assert_array_equal(getattr(again, field), getattr(heat(), field))
    for field in ("method", "label", "module", "signed", "notes"):
        assert getattr(again, field) == getattr(heat(), field)


def test_a_heat_map_refuses_parts_that_do_not_fit(tmp_path):
    with pytest.raises(BadValue, match="T x H x W"):
        heat(heat_THW=np.zeros((4, 5), np.float32))
    with pytest.raises(BadValue, match="one frame index and one time"):
        heat(frame_index_T=np.array([0, 1]))
    broken = heat().heat_THW.copy()
    broken[0, 0, 0] = np.nan
    with pytest.raises(BadValue, match="not finite"):
        heat(heat_THW=broken)
    with pytest.raises(MissingFile, match="secondlook explain"):
        HeatMap.load(tmp_path / "none.npz")


def test_a_heat_map_with_a_pickle_inside_is_not_opened(tmp_path):
    np.savez(tmp_path / "evil.npz", heat_THW=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        HeatMap.load(tmp_path / "evil.npz")
