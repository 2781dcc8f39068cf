"""BERT on two pathways: counts of the source, a plain twin, and words where there is one pathway only."""

from __future__ import annotations

import pytest
import torch

from secondlook import catalog
from secondlook.errors import BadValue, UnknownName
from secondlook.heads import slowfast_bert


def build(family: str, variant: str, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return catalog.find("models", family).build(variant, 5, "slowfast_bert", **options)


@pytest.mark.parametrize("fusion", ["early", "late"])
def test_twin(fusion: str) -> None:
    head = slowfast_bert.build((12, 8), (2, 8), 5, fusion=fusion, slow_width=16, fast_width=8).eval()
    slow, fast = torch.randn(3, 12, 2, 5, 5), torch.randn(3, 8, 8, 5, 5)
    reduced = head.slow_frab(slow)
    assert reduced.shape == (3, 16, 2, 5, 5)
    if fusion == "late":
        both = torch.cat([head.slow_bert.outputs(reduced)[:, 0], head.fast_bert.outputs(fast)[:, 0]], 1)
    else:
        narrow = head.fast_frab(fast)
        averaged = torch.stack([narrow[:, :, :4].mean(2), narrow[:, :, 4:].mean(2)], 2)
        both = head.bert.outputs(torch.cat([reduced, averaged], 1))[:, 0]
    assert torch.allclose(head((slow, fast)), head.classifier(both), atol=1e-5)


@pytest.mark.parametrize("fusion", ["early", "late"])
def test_on_slowfast(fusion: str) -> None:
    options = {"fusion": fusion, "slow_width": 16, "fast_width": 8}
    network = build("slowfast", "tiny", frames=8, head_options=options).eval()
    x_BCTHW = torch.randn(2, 2, 8, 33, 33)
    assert network(x_BCTHW).shape == (2, 5)
    assert not torch.allclose(network(x_BCTHW), network(x_BCTHW.flip(2)), atol=1e-5)


def test_refusals() -> None:
    with pytest.raises(BadValue, match=r"reads two pathways, and resnet3d has one\. Take slowfast"):
        build("resnet3d", "tiny")
    with pytest.raises(UnknownName, match="Did you mean 'late'"):
        slowfast_bert.build((12, 4), (2, 8), 5, fusion="lat")
    with pytest.raises(BadValue, match="given by the network"):
        slowfast_bert.build((12, 4), (2, 8), 5, bert_options={"frames": 3})
