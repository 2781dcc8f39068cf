"""How much of a logit layer-wise relevance propagation finds again: sum of the relevance over the logit.

At the network's input and at each stage, biases absorbed and ignored, for a few composites; beside it gradient x input,
and Captum's LRP as it stands and with its epsilon rule set by hand for every layer that has none. Numbers of random
networks are drawn so that no bias and no statistic of a normalisation is 0; the label is the predicted one.

    .venv/bin/python benchmarks/lrp_conservation.py [--networks resnet3d:18@4x64x64,x3d:tiny] [--runs FOLDER,...]
        [--composites epsilon,epsilon-plus] [--json FILE]
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from captum.attr import LRP
from captum.attr._utils.lrp_rules import EpsilonRule
from torch import Tensor, nn

from secondlook import catalog
from secondlook.cards import ModelCard
from secondlook.explain import lrp
from secondlook.predict.weights import build_model, find_card, load_run, with_clip

COMPOSITES = ("epsilon", "epsilon-plus", "epsilon-gamma-box", "epsilon-alpha2-beta1-flat")
LARGE, CLASSES = "resnet3d:18@8x112x112", 10
BIASES: tuple[Literal["absorb", "ignore"], ...] = ("absorb", "ignore")


def lived_in(model: nn.Module, seed: int = 3) -> nn.Module:
    """Statistics of normalisations and biases that are not the initial ones."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
                module.running_mean.normal_(0, 0.1, generator=generator)  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 2, generator=generator)  # type: ignore[union-attr]
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
            elif isinstance(module, nn.LayerNorm | nn.Linear) and module.bias is not None:
                module.bias.normal_(0, 0.05, generator=generator)
    return model.eval()


def networks(options: argparse.Namespace) -> Iterator[tuple[str, ModelCard, nn.Module]]:
    """Every network that is asked for, one after the other."""
    for folder in filter(None, options.runs.split(",")):
        loaded = load_run(Path(folder))
        yield f"{loaded.card.name} of {Path(folder).name}", loaded.card, loaded.model.eval()
    named = [n for n in catalog.names("models") if "tiny" in catalog.find("models", n).CARDS]
    wanted = options.networks.split(",") if options.networks else [*(f"{n}:tiny" for n in named), LARGE]
    for text in wanted if options.networks or not options.runs else []:
        name, _, size = text.partition("@")
        card = find_card(name)
        if size:
            frames, height, width = map(int, size.split("x"))
            card = with_clip(card, frames=frames, height=height, width=width)
        yield text, card, lived_in(build_model(card, CLASSES, seed=1))


def captum_ratio(model: nn.Module, x_BCTHW: Tensor, label: int, logit: float, by_hand: bool) -> float | str:
    """Captum's sum over the logit, or what it says."""
    model = copy.deepcopy(model)
    if by_hand:
        for module in model.modules():
            if not list(module.children()) and not isinstance(module, nn.ReLU | nn.Linear):
                module.rule = EpsilonRule()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = LRP(model).attribute(x_BCTHW.clone().requires_grad_(), target=label)
    except Exception as error:  # whatever it says is the result
        return f"{type(error).__name__}: {error}"
    return float(found.detach().double().sum()) / logit


def measured(card: ModelCard, model: nn.Module, composites: tuple[str, ...]) -> dict[str, Any]:
    """Every number of one network on one clip."""
    spec = card.clip
    shape = (1, spec.channels, spec.frames, spec.height, spec.width)
    x_BCTHW = torch.randn(*shape, generator=torch.Generator().manual_seed(2))
    given = x_BCTHW.clone().requires_grad_()
    logits_BK = model(given)
    label = int(logits_BK[0].argmax())
    logit = float(logits_BK[0, label].detach())
    (slope,) = torch.autograd.grad(logits_BK[0, label], given)
    found: dict[str, Any] = {"logit": logit, "gradient_x_input": float((x_BCTHW * slope).double().sum()) / logit}
    for bias in BIASES:
        for name in composites:
            kept = lrp.conservation(model, card, x_BCTHW, label, lrp.settings_of(name, bias))
            lost = {kind: value / logit for kind, value in kept.lost.items()}
            lost["nothing that is booked"] = 1 - kept.rows()[0][1] - sum(lost.values())
            lost = {kind: share for kind, share in lost.items() if abs(share) > 1e-3}
            found[f"{bias} {name}"] = {"rows": kept.rows(), "lost": lost}
    found["captum"] = captum_ratio(model, x_BCTHW, label, logit, by_hand=False)
    found["captum_by_hand"] = captum_ratio(model, x_BCTHW, label, logit, by_hand=True)
    return found


def cell(result: dict[str, Any]) -> str:
    """`input (stage, stage ...)`, from input to head."""
    ratios = [f"{ratio:.3f}" for _, ratio in result["rows"]]
    return f"**{ratios[0]}** ({' '.join(ratios[1:])})" if len(set(ratios)) > 1 else f"**{ratios[0]}** everywhere"


def losses(result: dict[str, Any]) -> str:
    """What took relevance, the most first."""
    lost = sorted(result["lost"].items(), key=lambda item: -abs(item[1]))
    return ", ".join(f"{kind} {share:.3f}" for kind, share in lost) or "nothing"


def tables(found: dict[str, dict[str, Any]], composites: tuple[str, ...]) -> Iterator[str]:
    """The lines of all tables."""
    for bias in BIASES:
        yield f"\nBiases {'take their share' if bias == 'absorb' else 'ignored'}: input (stages, from input to head)\n"
        titles = ["network", *composites, "lost under the one farthest from 1"]
        yield f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}"
        for network, numbers in found.items():
            results = [numbers[f"{bias} {name}"] for name in composites]
            worst = max(results, key=lambda result: abs(result["rows"][0][1] - 1))
            yield f"| `{network}` | {' | '.join(map(cell, results))} | {losses(worst)} |"
    yield "\n| network | logit | gradient x input | Captum | Captum, epsilon rule by hand |\n|---|---:|---:|---|---|"
    said: dict[str, str] = {}
    for network, numbers in found.items():
        theirs = [numbers["captum"], numbers["captum_by_hand"]]
        cells = [said.setdefault(t, f"error {len(said) + 1}") if isinstance(t, str) else f"{t:.3g}" for t in theirs]
        yield f"| `{network}` | {numbers['logit']:.3f} | {numbers['gradient_x_input']:.3f} | {' | '.join(cells)} |"
    yield "\nCaptum says:\n"
    for text, number in said.items():
        yield f"* {number}: {' '.join(text.split())[:240]}"


def main() -> int:
    """Prints three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="", help="with commas between; NAME or NAME@TxHxW")
    parser.add_argument("--runs", default="", help="folders of trained runs, with commas between")
    parser.add_argument("--composites", default=",".join(COMPOSITES))
    parser.add_argument("--json", default="", help="file for all numbers")
    options = parser.parse_args()
    composites = tuple(options.composites.split(","))
    found: dict[str, dict[str, Any]] = {}
    for network, card, model in networks(options):
        start = time.process_time()
        found[network] = measured(card, model, composites)
        print(f"{network}: {time.process_time() - start:.1f} s", file=sys.stderr, flush=True)
    print(f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}")
    print("\n".join(tables(found, composites)))
    worst = max(
        abs(ratio - 1)
        for numbers in found.values()
        for name in composites
        if "constant" not in numbers[f"ignore {name}"]["lost"]
        for _, ratio in numbers[f"ignore {name}"]["rows"]
    )
    print(f"\nbiases ignored, networks without learned tokens: at most {worst:.1e} from 1")
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
