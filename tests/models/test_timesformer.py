"""TimeSformer, and what all networks of patch tokens share; its equality with the release: tests/checkpoints."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional

from secondlook import catalog
from secondlook.cards import ModelCard
from secondlook.errors import BadValue
from secondlook.models import timesformer
from secondlook.models._count import cost_of
from secondlook.models._tokens import grid_depths

FAMILIES = ("timesformer", "videomae", "vivit", "vjepa2")
SMALL = {"in_channels": 2, "frames": 4, "height": 16, "width": 24}


def make(family: str, head: str | None = None, **options) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return catalog.find("models", family).build("tiny", 3, head, **{**SMALL, **options}).eval()


def clip(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 2, 4, 16, 24, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("family", FAMILIES)
class TestEveryNetworkOfTokens:
    def test_a_patch_lies_in_the_map_where_it_lies_in_the_clip(self, family: str) -> None:
        """With the blocks taken away, a change of one patch changes one place of the map, the right one."""
        network = make(family)
        network.blocks = nn.ModuleList()
        x_BCTHW = clip(1)
        before = network.features(x_BCTHW)
        frames = x_BCTHW.shape[2] // before.shape[2]
        for t, h, w in ((0, 0, 0), (1, 0, 2), (0, 1, 1)):
            changed = x_BCTHW.clone()
            changed[:, :, t * frames, 8 * h, 8 * w] += 1
            moved = (network.features(changed) - before).abs().sum((0, 1))
            assert moved.nonzero().tolist() == [[t, h, w]]

    def test_grids_change_nothing(self, family: str) -> None:
        network, x_BCTHW = make(family), clip()
        with_grids = network(x_BCTHW)
        network.grid_after = {}
        assert torch.equal(network(x_BCTHW), with_grids)

    def test_what_a_hook_puts_into_a_grid_goes_on(self, family: str) -> None:
        network, x_BCTHW = make(family), clip()
        before = network(x_BCTHW)
        handle = network.grid2.register_forward_hook(lambda _m, _i, output: torch.zeros_like(output))
        assert not torch.allclose(network(x_BCTHW), before)
        handle.remove()
        assert torch.equal(network(x_BCTHW), before)

    def test_attention_weights_are_rows_that_sum_to_one(self, family: str) -> None:
        network, x_BCTHW = make(family), clip()
        before = network(x_BCTHW)
        weights = network.attention_weights(x_BCTHW)
        kinds = 2 if family == "timesformer" else 1
        assert len(weights) == kinds * len(network.blocks)
        for weight in weights.values():
            assert weight.ndim == 4
            assert torch.allclose(weight.sum(-1), torch.ones(()), atol=1e-5)
            assert weight.requires_grad
        assert torch.equal(network(x_BCTHW), before), "fused attention again"

    def test_eager_and_fused_attention_agree(self, family: str) -> None:
        assert torch.allclose(make(family)(clip()), make(family, attention="eager")(clip()), atol=1e-5)

    def test_other_heads_read_the_map(self, family: str) -> None:
        network = make(family, "average")
        features = network.features(clip())
        pooled = features.mean((2, 3, 4))
        twin = functional.linear(pooled, network.head.classifier.weight, network.head.classifier.bias)
        assert torch.allclose(network(clip()), twin, atol=1e-6)

    def test_what_cannot_be_is_refused(self, family: str) -> None:
        with pytest.raises(
            BadValue, match=r"20: height of the clip must be a multiple of the patch's 8. Give 16 or 24"
        ):
            make(family, height=20)
        with pytest.raises(BadValue, match=r"4: width of the clip must be a multiple of the patch's 8. Give 8"):
            make(family, width=4)
        if family != "timesformer":
            with pytest.raises(BadValue, match=r"5: frames of the clip must be a multiple of the patch's 2"):
                make(family, frames=5)
        with pytest.raises(BadValue, match=r"'flash': attention is one of sdpa, eager"):
            make(family, attention="flash")
        with pytest.raises(BadValue, match=r"'single_frame': this head learns from one frame"):
            make(family, "single_frame")

    def test_the_published_sizes_are_built_on_meta(self, family: str) -> None:
        cards: dict[str, ModelCard] = catalog.find("models", family).CARDS
        cost = cost_of(next(iter(cards.values())), 400)
        assert cost.parameters > 10e6
        assert [stage.module for stage in cost.stages] == ["grid1", "grid2", "grid3", "grid4", "head.classifier"]


def test_cards_are_read_without_the_library_and_build_says_what_to_do() -> None:
    code = f"""
import sys
sys.modules["transformers"] = None
from secondlook import catalog
from secondlook.errors import BadValue
for family in {tuple(FAMILIES)!r}:
    m = catalog.find("models", family)
    assert m.CARDS["tiny"].explain.stages and m.FIGURES is not None
    try:
        m.build("tiny", 3)
    except BadValue as error:
        assert "pip install 'secondlook[transformers]'" in str(error), error
    else:
        sys.exit(f"{{family}} was built")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("blocks", "class_token", "depths"),
    [(12, True, (3, 6, 8, 11)), (12, False, (3, 6, 9, 12)), (4, True, (1, 2, 3)), (4, False, (1, 2, 3, 4)),
     (1, True, (1,)), (2, True, (1,)), (40, False, (10, 20, 30, 40))],
)  # fmt: skip
def test_maps_stand_evenly_and_before_the_last_block_of_a_class_token(
    blocks: int, class_token: bool, depths: tuple[int, ...]
) -> None:
    assert grid_depths(blocks, class_token) == depths


@pytest.mark.spec("attention-recognisers", "A4")
def test_divided_attention_looks_along_time_and_within_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """One block: a place sees its own column in time and its own frame (with its columns), not other frames' rest."""
    plan = timesformer.Plan(channels=16, depth=1, heads=2, patch=8, spread=0.3)
    monkeypatch.setattr(timesformer, "PLANS", {"tiny": plan})
    network = make("timesformer")
    weights = network.attention_weights(clip(1))
    assert weights["blocks.0.temporal_attention.attention.attn_drop"].shape == (2 * 3, 2, 4, 4)
    assert weights["blocks.0.attention.attention.attn_drop"].shape == (4, 2, 1 + 2 * 3, 1 + 2 * 3)


@pytest.mark.spec("attention-recognisers", "A4")
@pytest.mark.parametrize("variant", ["base", "base-joint", "base-space", "hr", "large"])
def test_each_variant_by_name_with_a_frozen_or_learned_backbone(variant: str) -> None:
    from secondlook.train.freeze import freeze, trainable

    with torch.device("meta"):
        network = timesformer.build(variant, 25)
    all_of_it = trainable(network)
    assert all_of_it[0] == all_of_it[1]
    freeze(network, ["backbone"])
    assert trainable(network)[0] == 25 * 768 + 25


def test_space_only_attention_cannot_tell_order_and_divided_can(monkeypatch: pytest.MonkeyPatch) -> None:
    for attention in ("space_only", "joint_space_time", "divided_space_time"):
        plan = timesformer.Plan(attention, channels=16, depth=2, heads=2, patch=8, spread=0.3)
        monkeypatch.setattr(timesformer, "PLANS", {"tiny": plan})
        network = make("timesformer")
        same = torch.allclose(network(clip()), network(clip().flip(2)), atol=1e-5)
        assert same == (attention == "space_only")
    assert [card.order_blind for card in timesformer.CARDS.values()] == [False, False, True, False, False, False]
