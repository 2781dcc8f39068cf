"""The cascade of affinity and confidence stages: shapes, who reads whom, losses by hand, and that it can learn."""

from __future__ import annotations

import pytest
import torch

from secondlook.errors import BadValue
from secondlook.layers.part_affinity_stages import PartAffinityStages, stage_losses


@pytest.mark.spec("late-temporal-bert", "F14")
def test_every_stage_says_something_and_learns():
    torch.manual_seed(0)
    network = PartAffinityStages(6, joints=3, limbs=2, field_stages=3, map_stages=2, width=8)
    features_BFHW = torch.randn(2, 6, 7, 9)
    outputs = network(features_BFHW)
    assert [f.shape for f in outputs.fields] == [(2, 4, 7, 9)] * 3
    assert [m.shape for m in outputs.maps] == [(2, 3, 7, 9)] * 2
    fields_BLHW, maps_BJHW = torch.randn(2, 4, 7, 9), torch.rand(2, 3, 7, 9)
    losses = stage_losses(outputs, fields_BLHW, maps_BJHW)
    by_hand = [
        sum(float(((said[b].detach() - target[b]) ** 2).sum()) for b in range(2)) / 2
        for saids, target in ((outputs.fields, fields_BLHW), (outputs.maps, maps_BJHW))
        for said in saids
    ]
    torch.testing.assert_close(losses, torch.tensor(by_hand))
    losses.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        now = stage_losses(network(features_BFHW), fields_BLHW, maps_BJHW)
        now.sum().backward()
        optimizer.step()
    assert (now < losses).all()


@pytest.mark.spec("late-temporal-bert", "F14")
def test_stages_lean_on_those_before_as_equation_b4_says():
    torch.manual_seed(0)
    network = PartAffinityStages(4, joints=2, limbs=1, field_stages=2, map_stages=2, width=4)
    features = torch.randn(1, 4, 5, 5)
    outputs = network(features)
    first = network.field_stages[0](features)
    second = network.field_stages[1](torch.cat([features, first], 1))
    maps = network.map_stages[0](torch.cat([features, second], 1))
    last = network.map_stages[1](torch.cat([features, second, maps], 1))
    for said, wanted in zip((*outputs.fields, *outputs.maps), (first, second, maps, last), strict=True):
        torch.testing.assert_close(said, wanted)
    only_maps = stage_losses(outputs, second.detach(), maps.detach() + 1)[2:]
    network.zero_grad()
    only_maps.sum().backward()
    assert network.field_stages[0][0].weight.grad.abs().sum() > 0  # maps teach the fields they read
    with pytest.raises(BadValue):
        PartAffinityStages(4, map_stages=0)
