"""Does a heat map depend on what the network learned, and on the class it is asked about?

Adebayo et al. 2018, "Sanity checks for saliency maps". Cascading parameter randomisation: the parameters are replaced
by random ones from the classifier downwards, further and further; a map that stays as it was shows the picture's edges,
not the network. And, in place of training on shuffled labels (their second test, which costs a training): the map for
another class beside the map for the class; a map that stays does not say why this class.

Two maps are compared by rank correlation (Spearman), and by `structure`: the correlation of the maps' differences
between neighbouring pixels, which sees edges and not the overall glow (they use SSIM and histograms of gradients).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import rankdata  # type: ignore[import-untyped]
from torch import nn

from secondlook.cards import ModelCard
from secondlook.errors import BadValue
from secondlook.explain._bias import correlation

INSENSITIVE = 0.9
"""A method whose median rank correlation is above this does not change: it is named as insensitive."""

MEASURES: Mapping[str, str] = {
    "parameters_rank": "rank correlation of the map with that of the network with all parameters randomised",
    "parameters_structure": "the same for the map's edges",
    "classifier_rank": "rank correlation of the map with that of the network with only the classifier randomised",
    "class_rank": "rank correlation of the map with the map for the class next in line",
    "class_structure": "the same for the map's edges",
}
"""Name of each measure, and what it is. Near 1: the map does not depend on what was changed."""

Maps = Callable[[nn.Module, int], npt.NDArray[Any]]
"""Heat `T x h x w` of a network for a class."""


def layers_from_the_top(model: nn.Module, card: ModelCard) -> list[tuple[str, list[str]]]:
    """Groups of parameters in the order of the cascade: the classifier, then stage by stage down to the input.

    A group is a stage of the card; parameters outside every stage belong to the group of the network's child that
    holds them. Groups come in the order in which the network defines them, backwards.

    Returns:
        Name of the group -> names of its parameters.
    """
    classifier, stages = card.explain.classifier, [p.module for p in card.explain.stages]
    named = sorted({s for s in stages if s}, key=len, reverse=True)
    groups: dict[str, list[str]] = {}
    for name, _ in model.named_parameters():
        if classifier and name.startswith(f"{classifier}."):
            group = classifier
        else:
            group = next((s for s in named if name.startswith(f"{s}.")), name.partition(".")[0])
        groups.setdefault(group, []).append(name)
    order = [g for g in reversed(groups) if g != classifier]
    return [(g, groups[g]) for g in ([classifier] if classifier in groups else []) + order]


def randomise(model: nn.Module, names: list[str], generator: torch.Generator) -> None:
    """Replaces parameters, in place, by normal ones of their own mean and standard deviation.

    The scale of every layer stays, so that the randomised network neither dies nor overflows (the source draws its
    layers as they were first initialised). A parameter of one number is multiplied by a normal one. Buffers stay.
    """
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name in names:
            value = parameters[name]
            noise = torch.randn(value.shape, generator=generator).to(value)
            if value.numel() == 1:
                value.mul_(noise)
            else:
                value.copy_(value.mean() + value.std() * noise)


def cascade(model: nn.Module, card: ModelCard, seed: int = 0, levels: int = 3) -> Iterator[tuple[str, nn.Module]]:
    """The network with its top layers randomised, from the classifier alone to every parameter.

    The user's network is never touched: one deep copy is randomised further and further; use each before the next.

    Args:
        model: a trained network.
        card: its card.
        seed: of the random parameters.
        levels: how many steps of the cascade to give: the first, the last, and others evenly between.

    Yields:
        Name of the lowest layer that is random, and the network.

    Raises:
        BadValue: if there are fewer than 1 levels, or the network has no parameters.
    """
    groups = layers_from_the_top(model, card)
    if levels < 1:
        raise BadValue(levels, "the cascade needs at least 1 level")
    if not groups:
        raise BadValue(card.name, "the network has no parameters that could be randomised")
    wanted = {len(groups) - 1} if levels == 1 else {round(i) for i in np.linspace(0, len(groups) - 1, levels)}
    generator = torch.Generator().manual_seed(seed)
    random = copy.deepcopy(model)
    for step, (name, parameters) in enumerate(groups):
        randomise(random, parameters, generator)
        if step in wanted:
            yield name, random


def sanity(
    model: nn.Module,
    card: ModelCard,
    label: int,
    other: int,
    heat: Maps,
    own_Thw: npt.NDArray[Any],
    *,
    seed: int = 0,
    levels: int = 3,
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Both tests of one method on one clip.

    Args:
        model: a trained network; it is left as it is.
        card: its card.
        label: the class that is explained.
        other: another class (the one next in line); below 0 where there is none.
        heat: gives the map of a network for a class.
        own_Thw: the map of the network for its class.
        seed: of the random parameters.
        levels: steps of the cascade.

    Returns:
        The numbers of `MEASURES` (NaN where the map is empty from the start), and the cascade: a `layer`, its `rank`
        and `structure` for each step.
    """
    steps: list[dict[str, Any]] = []
    for name, random in cascade(model, card, seed, levels):
        steps.append({"layer": name, **compare(own_Thw, heat(random, label), signed=False)})
    found: dict[str, float] = {
        "parameters_rank": steps[-1]["rank"],
        "parameters_structure": steps[-1]["structure"],
        "classifier_rank": steps[0]["rank"] if len(steps) > 1 else np.nan,
        "class_rank": np.nan,
        "class_structure": np.nan,
    }
    if other >= 0:
        beside = compare(own_Thw, heat(model, other), signed=True)
        found |= {"class_rank": beside["rank"], "class_structure": beside["structure"]}
    return found, steps


def compare(one_Thw: npt.NDArray[Any], other_Thw: npt.NDArray[Any], *, signed: bool) -> dict[str, float]:
    """Rank correlation and correlation of structure of two maps of one clip.

    A second map that is the same everywhere (nothing is left of the first) correlates 0; if the first is, NaN.

    Args:
        one_Thw: a map.
        other_Thw: another one of that shape.
        signed: compare heat as it is; else its absolute value, as the source does: a random network turns signs about.
    """
    a, b = (x.astype(np.float64) if signed else np.abs(x).astype(np.float64) for x in (one_Thw, other_Thw))
    if np.ptp(a) == 0:
        return {"rank": np.nan, "structure": np.nan}
    rank = correlation(rankdata(a), rankdata(b))
    structure = correlation(_differences(a), _differences(b))
    return {"rank": 0.0 if np.isnan(rank) else rank, "structure": 0.0 if np.isnan(structure) else structure}


def _differences(map_Thw: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Differences between neighbours, down, across, and from frame to frame where a map speaks only about time."""
    in_space = [np.diff(map_Thw, axis=axis).ravel() for axis in (1, 2)]
    flat = not any(np.any(np.abs(d) > 1e-9) for d in in_space)
    return np.diff(map_Thw, axis=0).ravel() if flat else np.concatenate(in_space)
