"""Every tiny network learns to tell a motion from its reversal, unless its card says that it cannot."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook import catalog
from secondlook.cards import ModelCard

FRAMES, HEIGHT, WIDTH = 12, 24, 40
TINY: dict[str, ModelCard] = {
    card.name: card
    for family in catalog.names("models")
    for card in catalog.find("models", family).CARDS.values()
    if card.variant.startswith("tiny")
}


@functools.cache
def pairs(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """A square that crosses the picture to the right (0), and each such clip played backwards (1), with noise."""
    generator = torch.Generator().manual_seed(seed)
    x_BTHW = 0.05 * torch.randn(count, FRAMES, HEIGHT, WIDTH, generator=generator)
    for clip_THW in x_BTHW:
        top = int(torch.randint(2, HEIGHT - 12, (), generator=generator))
        left = int(torch.randint(0, WIDTH - 8 - 2 * (FRAMES - 1), (), generator=generator))
        for t in range(FRAMES):
            clip_THW[t, top : top + 10, left + 2 * t : left + 2 * t + 8] += 2
    both_BTHW = torch.cat([x_BTHW, x_BTHW.flip(1)])
    return both_BTHW.unsqueeze(1), torch.arange(2).repeat_interleave(count)


def make(name: str) -> nn.Module:
    family, _, variant = name.partition(":")
    options = {**TINY[name].options, "in_channels": 1, "frames": FRAMES, "height": HEIGHT, "width": WIDTH}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return catalog.find("models", family).build(variant, 2, **options)


def accuracy(network: nn.Module, x_BCTHW: Tensor, label_B: Tensor) -> float:
    with torch.no_grad():
        return (network.eval()(x_BCTHW).argmax(1) == label_B).float().mean().item()


@pytest.mark.parametrize("name", TINY)
@pytest.mark.spec("late-temporal-bert", "F48")
def test_tells_a_motion_from_its_reversal_or_says_it_cannot(name: str) -> None:
    network = make(name)
    held_out = pairs(16, seed=1)
    if TINY[name].order_blind:
        forward, backward = network.eval()(held_out[0]).chunk(2)
        assert torch.allclose(forward, backward, atol=1e-4), "a card that says order-blind must be true"
        assert accuracy(network, *held_out) == pytest.approx(0.5, abs=0.05)
        return
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for step in range(120):
            x_BCTHW, label_B = pairs(6, seed=100 + step)
            functional.cross_entropy(network.train()(x_BCTHW), label_B).backward()
            optimizer.step()
            optimizer.zero_grad()
            if step >= 9 and step % 5 == 4 and accuracy(network, *held_out) > 0.95:
                break
    assert accuracy(network, *held_out) > 0.9
