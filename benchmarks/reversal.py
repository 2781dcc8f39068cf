"""Do the tiny networks learn the reversal pairs of the drawn set? Trains each on brightness alone; prints its table.

    python benchmarks/reversal.py                       # every `:tiny` variant, about half a minute each on one core
    python benchmarks/reversal.py --only tsm:tiny i3d:tiny --scenes 60 --epochs 20

Twelve labels in six pairs; a clip of one label played backwards is a clip of the other, so no still frame tells them
apart. A score is the share of held-out clips whose own label beats the pair's other label: 0.5 for a network that is
blind to order. Training and held-out clips are of different scenes.
"""

from __future__ import annotations

import argparse
import os
import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook import catalog
from secondlook.cards import ModelCard
from secondlook.datasets import drawn
from secondlook.datasets._drawn_paint import paint
from secondlook.datasets._drawn_scene import make_scene
from secondlook.datasets._drawn_templates import plan
from secondlook.video.transform import luma, resize, to_tensor

FRAMES, HEIGHT, WIDTH = 12, 40, 40
LABELS = [label for pair in drawn.REVERSAL_PAIRS for label in pair]


def drawn_clips(scenes: range) -> tuple[Tensor, Tensor]:
    """`x_BCTHW` (C = 1) and labels: each label once a scene, from one generator a pair and scene."""
    clips, labels = [], []
    for number in scenes:
        scene = make_scene(np.random.default_rng((7, number)))
        for label, name in enumerate(LABELS):
            planned = plan(name, scene, np.random.default_rng((8, number, label // 2)), 24)
            frames_TCHW = resize(to_tensor(paint(planned, scene, 64)[0][1::2]), HEIGHT, WIDTH)
            clips.append((luma(frames_TCHW.float()) / 255 - 0.45) / 0.25)
            labels.append(label)
    return torch.stack(clips).unsqueeze(1), torch.tensor(labels)


def score(network: nn.Module, x_BCTHW: Tensor, label_B: Tensor) -> tuple[float, float]:
    """Share of clips whose label beats the pair's other one, and top-1 over all twelve."""
    with torch.no_grad():
        logits_BK = torch.cat([network.eval()(part) for part in x_BCTHW.split(32)])
    own_B = logits_BK.gather(1, label_B[:, None])
    other_B = logits_BK.gather(1, (label_B ^ 1)[:, None])
    half_B = (own_B > other_B).float() + 0.5 * (own_B == other_B).float()
    return half_B.mean().item(), (logits_BK.argmax(1) == label_B).float().mean().item()


def one(card: ModelCard, train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], epochs: int) -> tuple[float, ...]:
    """Pair score, top-1, and seconds of training."""
    torch.manual_seed(0)
    shape = {"in_channels": 1, "frames": FRAMES, "height": HEIGHT, "width": WIDTH}
    network = catalog.find("models", card.family).build(card.variant, len(LABELS), **{**card.options, **shape})
    network = network.to(train[0].device)
    steps = epochs * (len(train[0]) // 24)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.003, total_steps=steps, pct_start=0.2)
    began_s = time.perf_counter()
    for _ in range(epochs):
        order = torch.randperm(len(train[0]))
        for batch in order[: len(order) // 24 * 24].split(24):
            functional.cross_entropy(network.train()(train[0][batch]), train[1][batch], label_smoothing=0.1).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    return (*score(network, *test), time.perf_counter() - began_s)


def main() -> None:
    """Prints a row a network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], help="family:variant; every tiny one when left out")
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    cards = [c for f in catalog.names("models") for c in catalog.find("models", f).CARDS.values()]
    chosen = [c for c in cards if (c.name in options.only if options.only else c.variant.startswith("tiny"))]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    train, test = (tuple(t.to(device) for t in drawn_clips(r)) for r in (range(options.scenes), range(1000, 1020)))
    print(f"{len(train[0])} training and {len(test[0])} held-out clips, {options.epochs} epochs, seed 0, {device}")
    print(f"{'network':<28} {'pairs':>6} {'top-1':>6} {'s':>6}")
    for card in chosen:
        pair, top1, seconds = one(card, train, test, options.epochs)
        note = "  (order-blind)" if card.order_blind else ""
        print(f"{card.name:<28} {pair:>6.3f} {top1:>6.3f} {seconds:>6.1f}{note}", flush=True)


if __name__ == "__main__":
    main()
