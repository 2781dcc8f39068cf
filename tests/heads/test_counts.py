"""Weights of the heads on real backbones, to the last digit of what the source's tables print."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from secondlook import catalog
from secondlook.errors import BadValue, UnknownName
from secondlook.heads._budget import SIZED, equal_budget, parameters_of
from secondlook.models._count import parameters

RESNET18 = {
    "average": ("average", {}, 11_202_675),
    "single frame": ("single_frame", {}, 11_202_675),
    "concatenation": ("concat", {}, 11_594_355),
    "LSTM": ("lstm", {}, 15_405_171),
    "ConvGRU": ("conv_gru", {}, 14_933_883),
    "BERT": ("bert", {}, 14_364_275),
    "non-local + average": ("non_local", {}, 12_253_299),
    "non-local + concatenation": ("non_local", {"then": "concat"}, 12_644_979),
    "dual fusion": ("stage_fusion", {"stages": 2}, 11_176_512 + 16 * 768 * 51 + 51),
    "triple fusion": ("stage_fusion", {}, 11_907_699),
    "quadruplet fusion": ("stage_fusion", {"stages": 4}, 11_176_512 + 16 * 960 * 51 + 51),
}
TRUNK = 44_222_451 - (512 * 51 + 51)
"""ResNeXt-101 whose last block gives 512 channels, without its classifier."""
BERT = 12 * 512**2 + 13 * 512 + (4 + 2) * 512 + 512 * 51 + 51


def built(family: str, variant: str, head: str, frames: int, **options: Any) -> int:
    with torch.device("meta"):
        return parameters(catalog.find("models", family).build(variant, 51, head, frames=frames, **options))


@pytest.mark.spec("late-temporal-bert", "F49", "F52", "F59")
@pytest.mark.parametrize(
    ("family", "variant", "more"), [("tsm", "r18", {"shift_fraction": 0}), ("resnet2d", "18", {})], ids=["tsm", "2d"]
)
@pytest.mark.parametrize("case", RESNET18)
def test_on_a_2d_resnet_18_with_16_frames(case: str, family: str, variant: str, more: dict[str, Any]) -> None:
    name, options, count = RESNET18[case]
    assert built(family, variant, name, 16, head_options=options, **more) == count


@pytest.mark.parametrize(("case", "millions"), [("non-local + average", 12.25), ("non-local + concatenation", 12.64)])
def test_what_is_printed_in_millions(case: str, millions: float) -> None:
    assert round(RESNET18[case][2] / 1e6, 2) == millions


@pytest.mark.spec("late-temporal-bert", "F66")
@pytest.mark.parametrize(("frames", "count"), [(32, 66_673_594), (64, 66_675_642)])
def test_r2plus1d_34_bert(frames: int, count: int) -> None:
    assert built("r2plus1d", "34", "bert", frames) == count


@pytest.mark.spec("late-temporal-bert", "F65")
@pytest.mark.parametrize(("variant", "count"), [("rgb", 24_946_003), ("flow", 24_924_051)])
def test_i3d_bert(variant: str, count: int) -> None:
    assert built("i3d", variant, "bert", 64) == count


@pytest.mark.parametrize("name", ["lstm", "concat_fc", "non_local"])
@pytest.mark.spec("late-temporal-bert", "F61")
def test_an_equal_budget(name: str) -> None:
    """Within 0.3 % of the head itself, let alone of the model; and as near as a width can come."""
    sized = equal_budget(name, 512, 4, 51)
    assert parameters_of("bert", 512, 4, 51, {}) == BERT
    assert sized.parameters == pytest.approx(BERT, rel=0.003)
    assert parameters_of(name, 512, 4, 51, sized.options) == sized.parameters
    width = sized.options["then_options"]["hidden"] if name == "non_local" else sized.options["hidden"]
    wider, narrower = (
        parameters_of(
            name,
            512,
            4,
            51,
            {**sized.options, "then_options": {"hidden": w}} if name == "non_local" else {"hidden": w},
        )
        for w in (width + 1, width - 1)
    )
    assert abs(wider - BERT) >= abs(sized.parameters - BERT) <= abs(narrower - BERT)


@pytest.mark.parametrize(
    ("name", "theirs", "ours", "millions", "away"),
    [
        ("lstm", 450, 434, 47.58, 0.0043),
        ("concat_fc", 1550, 1515, 47.45, 0.003),
        ("non_local", 1000, 1015, 47.35, 0.003),
    ],
)
@pytest.mark.spec("late-temporal-bert", "F61")
def test_the_sizes_of_the_source(name: str, theirs: int, ours: int, millions: float, away: float) -> None:
    """Its 450, 1550 and 1000 print as its table does, and lie within 4 % of the widths of an equal budget.

    Of its whole BERT model, 47,377,907, its LSTM is 0.42 % away and not 0.3.
    """
    options = {"then": "concat_fc", "then_options": {"hidden": theirs}} if name == "non_local" else {"hidden": theirs}
    model = TRUNK + parameters_of(name, 512, 4, 51, options)
    assert round(model / 1e6, 2) == millions
    assert model == pytest.approx(TRUNK + BERT, rel=away)
    sized = equal_budget(name, 512, 4, 51)
    assert (sized.options.get("then_options") or sized.options)["hidden"] == ours
    assert theirs == pytest.approx(ours, rel=0.04)


def test_other_budgets() -> None:
    for name in SIZED:
        sized = equal_budget(name, 64, 8, 10, target=40_000)
        assert sized.parameters == pytest.approx(40_000, rel=0.05)
    with pytest.raises(BadValue, match=r"10: weights are fewer than the \d+ that this head has at width 1"):
        equal_budget("lstm", 64, 8, 10, target=10)
    with pytest.raises(UnknownName, match="head that can be sized 'bert' is not known"):
        equal_budget("bert", 64, 8, 10)
