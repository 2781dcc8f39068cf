"""BERT on SlowFast, early and late; feature reduction and which pretrained weights outlive it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from secondlook import catalog
from secondlook.errors import BadValue
from secondlook.heads.bert import BertHead
from secondlook.models import hara
from secondlook.models._count import cost, parameters
from secondlook.predict.published import MatchReport, load_published


def slowfast(fusion: str) -> nn.Module:
    with torch.device("meta"):
        options = {"fusion": fusion}
        network: nn.Module = catalog.find("models", "slowfast").build(
            "50-8x8", 51, "slowfast_bert", frames=32, head_options=options
        )
    return network


def shapes_at(network: nn.Module, names: list[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of what modules give for one clip of 32 x 224 x 224."""
    seen: dict[str, tuple[int, ...]] = {}
    for name in names:
        network.get_submodule(name).register_forward_hook(lambda m, i, o, n=name: seen.update({n: tuple(o.shape)}))
    network.eval()(torch.empty(1, 3, 32, 224, 224, device="meta"))
    return seen


@pytest.mark.spec("late-temporal-bert", "F67")
def test_early_fusion_is_one_bert_of_640_at_the_slow_rate() -> None:
    network = slowfast("early")
    names = ["head.slow_frab", "head.fast_frab", "head.pool", "head.bert.encoder"]
    assert shapes_at(network, names) == {
        "head.slow_frab": (1, 512, 8, 7, 7),
        "head.fast_frab": (1, 128, 32, 7, 7),
        "head.pool": (1, 128, 8, 7, 7),
        "head.bert.encoder": (1, 1 + 8, 640),
    }
    assert len([m for m in network.modules() if isinstance(m, BertHead)]) == 1
    assert network.get_submodule("head.classifier").in_features == 640
    assert parameters(network) == 43_174_283 - 922_000, "the source counts a head it does not use"


def operations(fusion: str) -> float:
    """Multiplications for one clip of 32 x 224 x 224."""
    points = catalog.find("models", "slowfast").CARDS["50-8x8"].explain
    return cost(slowfast(fusion), points, (3, 32, 224, 224)).macs


@pytest.mark.spec("late-temporal-bert", "F68")
def test_late_fusion_is_two_berts_and_cheaper() -> None:
    network = slowfast("late")
    assert shapes_at(network, ["head.slow_bert.encoder", "head.fast_bert.encoder"]) == {
        "head.slow_bert.encoder": (1, 1 + 8, 512),
        "head.fast_bert.encoder": (1, 1 + 32, 256),
    }
    assert len([m for m in network.modules() if isinstance(m, BertHead)]) == 2
    assert network.get_submodule("head.classifier").in_features == 512 + 256
    assert parameters(network) == 42_038_155 - 922_000
    early = slowfast("early")
    assert parameters(network) < parameters(early)
    assert operations("late") < operations("early")


@pytest.mark.spec("late-temporal-bert", "F69")
def test_a_2d_resnet_101_reduced() -> None:
    """BERT on 512 channels of 16 frames has 3.16 million weights, on 2048 it has 50.4."""
    sizes = {}
    for reduce_to in (None, 512):
        options: dict[str, Any] = {} if reduce_to is None else {"reduce_to": reduce_to}
        with torch.device("meta"):
            network = catalog.find("models", "resnet2d").build("101", 51, "bert", frames=16, **options)
        head = network.head
        bert = parameters(head) - parameters(head.classifier)
        sizes[reduce_to] = (bert, parameters(network) - parameters(head))
        assert head(torch.empty(1, reduce_to or 2048, 16, 7, 7, device="meta")).shape == (1, 51)
    assert sizes[512][0] == 12 * 512**2 + 13 * 512 + 18 * 512 == 3_161_600
    assert sizes[None][0] == pytest.approx(50.4e6, rel=0.002)
    assert sizes[512][1] < sizes[None][1], "the backbone shrinks, too"


def test_a_2d_network_with_a_reduced_block_runs() -> None:
    network = catalog.find("models", "resnet2d").build("tiny", 5, "bert", frames=4, in_channels=3, reduce_to=32)
    assert network(torch.randn(2, 3, 4, 32, 32)).shape == (2, 5)
    assert network.features(torch.randn(2, 3, 4, 32, 32)).shape[1] == 32
    with pytest.raises(BadValue, match="half of the reduced channels"):
        catalog.find("models", "resnet2d").build("tiny", 5, reduce_to=33)


@pytest.fixture
def two_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hara's tiny network with two blocks in its last stage, as the large ones have more than one."""
    plan = hara.Plan((1, 1, 1, 2), expansion=2, channels=(16, 24, 40, 48), groups=4, stem=12)
    monkeypatch.setitem(hara.PLANS, "tiny-resnext", plan)  # type: ignore[arg-type]


def loaded(folder: Path, head: str, **options: Any) -> tuple[nn.Module, nn.Module, MatchReport]:
    """A pretrained network, another one filled with its weights, and the report."""
    family = catalog.find("models", "hara")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        before = family.build("tiny-resnext", 7, frames=16)
        after = family.build("tiny-resnext", 5, head, frames=16, **options)
    save_file(before.state_dict(), folder / "best.safetensors")
    return before, after, load_published(after, folder / "best.safetensors")


def values_of_backbone(network: nn.Module) -> set[str]:
    """Names of its tensors but for the head's, and for counters of batches."""
    names = network.state_dict()
    return {name for name in names if not name.startswith("head.") and not name.endswith("num_batches_tracked")}


@pytest.mark.spec("late-temporal-bert", "F70")
def test_frmb_loses_the_last_block_and_nothing_else(two_blocks: None, tmp_path: Path) -> None:
    before, after, report = loaded(tmp_path, "bert", reduce_to=16)
    backbone = values_of_backbone(after)
    new = {name for name in backbone if name.startswith("layer4.1.")}
    assert backbone - set(report.matched) == new
    assert any(name.startswith("layer4.0.") for name in report.matched)
    assert all(torch.equal(after.state_dict()[n], before.state_dict()[n]) for n in backbone - new)
    fresh = {line.split(":")[0] for line in report.reshaped} | set(report.missing)
    assert fresh & backbone == new
    assert "layer4.1.conv1.weight" in report.words()


@pytest.mark.spec("late-temporal-bert", "F70")
def test_frab_keeps_the_whole_backbone(two_blocks: None, tmp_path: Path) -> None:
    before, after, report = loaded(tmp_path, "frab", head_options={"width": 16, "groups": 4})
    backbone = values_of_backbone(after)
    assert backbone <= set(report.matched)
    assert all(torch.equal(after.state_dict()[name], before.state_dict()[name]) for name in backbone)
    assert all(name.startswith("head.") for name in (*report.missing, *report.reshaped))
    assert {"head.unit.conv1.weight", "head.then.encoder.layers.0.norm1.weight"} <= set(report.missing)
