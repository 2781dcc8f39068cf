"""Layer-wise relevance propagation: how the class score is made up of the input, the sum being kept on the way.

The relevance of the output is the logit of the explained class. From layer to layer it is handed back,
`R_j = sum over k of (z_jk / sum over j of z_jk) R_k`, `z_jk` being what neuron j gave to neuron k, so that

    sum over the input of R = logit, but for what biases, constants and stabilisers take.

Positive: spoke for the class; negative: against it. A composite says which rule serves which layer (`_lrp_composites`,
`_lrp_rules`); `_lrp_functions` says what is done with everything else. `layerwise-relevance`, section 3; Bach et al.,
PLOS ONE 2015; for transformers Ali et al., ICML 2022, and Achtibat et al., ICML 2024.

Departs from the sources: no module is replaced or hooked, and no network rewritten beforehand ("canonised"): each
operation gets its rule as its gradient while the network runs, whatever the network is made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

import torch
from torch import Tensor, nn

from secondlook.cards import ClipSpec, ExplainPoint, HeatMap, ModelCard
from secondlook.errors import BadValue
from secondlook.explain._hooks import as_batch, explained_logit, fold, logits_of, point_of, predicted_notes, watch
from secondlook.explain._lrp_composites import composite_of
from secondlook.explain._lrp_functions import Propagating
from secondlook.explain._lrp_nodes import Attention, Settings, set_bounds
from secondlook.explain._lrp_rules import Bias, Ledger, nonzero
from secondlook.explain._project import heat_map
from secondlook.video.transform import InputClip


@dataclass(frozen=True)
class Relevance:
    """What one pass over a batch of clips found."""

    input_BCTHW: Tensor
    """Relevance of each value of the input."""
    logits_BK: Tensor
    modules: Mapping[str, Tensor] = field(default_factory=dict)
    """Relevance of each watched module's output, in the output's own shape."""


def explain(
    model: nn.Module,
    card: ModelCard,
    clip: InputClip,
    label: int,
    *,
    composite: str = "epsilon-plus",
    bias: Bias = "absorb",
    attention: Attention = "conservative",
    layer: str = "",
    pathway: str = "",
    epsilon: float = 1e-6,
    gamma: float = 0.25,
) -> HeatMap:
    """Relevance of one clip for one class, signed, summed over channels.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`.
        card: its card; its recipe gives the least and greatest input for the box rule.
        clip: what the network gets, and where it came from in the video.
        label: class index to explain.
        composite: which rule serves which layer, a name in `_lrp_composites.COMPOSITES`.
        bias: `absorb`: biases take their share of the relevance. `ignore`: it goes to the inputs too.
        attention: `conservative`: attention weights are constants (Ali et al.). `attnlrp`: they too get relevance
            (Achtibat et al.).
        layer: dotted name of any module with an output over places; empty: the network's input.
        pathway: without a layer, the last stage of this pathway (`slow`, `fast`).
        epsilon: of the epsilon rule, relative to the mean of |z|.
        gamma: of the gamma rule.

    Returns:
        Heat in the source video's frames. Notes: the options, `conserved` (sum of the relevance at the input, or the
        layer, over the logit), `logit` and `confidence` of the class, `predicted`, `grid`, `box`, `scale`.

    Raises:
        UnknownName: if there is no such composite or layer.
        BadValue: if the label is not a class of the network, or the layer's output has no places.
    """
    settings = settings_of(composite, bias, attention, epsilon, gamma)
    name, point = point_of(card, layer, pathway) if layer or pathway else ("", None)
    x_BCTHW = as_batch(model, clip.x_CTHW)
    found = relevance(model, x_BCTHW, label, settings, spec=card.clip, modules=[name] if name else [])
    relevance_BCthw = fold(found.modules[name], point, 1, x_BCTHW.shape[2], name) if name else found.input_BCTHW
    heat_thw = relevance_BCthw[0].double().sum(0)
    notes = predicted_notes(found.logits_BK[0], label)
    logit = float(notes["logit"])
    return heat_map(
        heat_thw.cpu().numpy(),
        clip,
        method="lrp",
        label=label,
        module=name,
        composite=composite,
        bias=bias,
        attention=attention,
        epsilon=epsilon,
        gamma=gamma,
        conserved=float(heat_thw.sum()) / logit if logit else 0.0,
        **notes,
    )


def settings_of(
    composite: str = "epsilon-plus",
    bias: Bias = "absorb",
    attention: Attention = "conservative",
    epsilon: float | None = None,
    gamma: float | None = None,
) -> Settings:
    """Checked settings.

    Raises:
        UnknownName: if there is no such composite.
        BadValue: for a number below 0, or another word.
    """
    for value, allowed, word in ((bias, Bias, "bias"), (attention, Attention, "attention")):
        if value not in get_args(allowed):
            raise BadValue(value, f"{word} must be one of {', '.join(get_args(allowed))}")
    for number, word in ((epsilon, "epsilon"), (gamma, "gamma")):
        if number is not None and not 0 <= number < float("inf"):
            raise BadValue(number, f"{word} must be 0 or more")
    return Settings(composite_of(composite, epsilon, gamma), bias, attention)


def relevance(
    model: nn.Module,
    x_BCTHW: Tensor,
    label: int,
    settings: Settings,
    *,
    spec: ClipSpec | None = None,
    modules: Sequence[str] = (),
    ledger: Ledger | None = None,
    all_run: bool = True,
) -> Relevance:
    """Relevance of a batch of clips for one class, each clip for itself.

    Args:
        model: network; it is left as it was.
        x_BCTHW: the clips.
        label: class index to explain.
        settings: see `settings_of`.
        spec: the network's recipe, for the box rule; None: the least and greatest value of each clip and channel.
        modules: dotted names of modules whose outputs' relevance is kept too.
        ledger: gets what was lost, by kind of operation; takes time.
        all_run: a module that does not run is an error; else it is left out.

    Raises:
        UnknownName: if there is no such module.
        BadValue: if the label is not a class, a module does not run, or the score does not depend on one of them.
    """
    with watch(model, modules) as watched:
        given = x_BCTHW.detach().clone().requires_grad_()
        x = given.clone()
        set_bounds(x, *input_bounds(x_BCTHW.detach(), spec))
        with Propagating(settings, ledger):
            logits_BK = logits_of(model, x)
        score = explained_logit(logits_BK, label)
        modules = [m for m in modules if all_run or m in watched.outputs]
        at = [given, *(watched.output(m) for m in modules)]
        if not score.requires_grad:
            raise BadValue(label, "the score of this class does not depend on the input")
        slopes = torch.autograd.grad(score, at, allow_unused=True)
    values = [nonzero(given.detach()), *(a.detach() for a in at[1:])]
    found = [torch.zeros_like(a) if g is None else a * g for a, g in zip(values, slopes, strict=True)]
    return Relevance(found[0], logits_BK.detach(), dict(zip(modules, found[1:], strict=True)))


def input_bounds(x_BCTHW: Tensor, spec: ClipSpec | None = None) -> tuple[Tensor, Tensor]:
    """Least and greatest value that each place of the input can have, both in the shape of the input.

    By the recipe: 0 and 1 for brightness and colours, -1 and 1 for changes and motion, less the mean, over the
    deviation. A clip that goes beyond them has its own least and greatest value.
    """
    over = (2, 3, 4)
    low, high = x_BCTHW.amin(over, keepdim=True), x_BCTHW.amax(over, keepdim=True)
    if spec is not None and len(spec.mean) == x_BCTHW.shape[1]:
        least = {"rgb": (0.0, 0.0, 0.0), "luma_difference": (0.0, -1.0), "flow": (-1.0, -1.0)}[spec.modality]
        mean, std, least_C = (x_BCTHW.new_tensor(v)[:, None, None, None] for v in (spec.mean, spec.std, least))
        low, high = torch.minimum(low, (least_C - mean) / std), torch.maximum(high, (1.0 - mean) / std)
    return low.expand_as(x_BCTHW), high.expand_as(x_BCTHW)


@dataclass(frozen=True)
class Conservation:
    """How much of the logit is found again on the way back, for a batch of clips."""

    stages: Mapping[str, Tensor]
    """Names of the modules that cut the network together (joined by ` + `), from input to head -> `ratio_B`."""
    input_B: Tensor
    """Sum of the input's relevance over the logit."""
    logit_B: Tensor
    lost: Mapping[str, float]
    """Relevance of the whole batch that did not reach the input, by kind of operation."""

    def rows(self) -> list[tuple[str, float]]:
        """Name and mean ratio over the clips, from input to head."""
        return [("input", float(self.input_B.mean())), *((n, float(r.mean())) for n, r in self.stages.items())]


def conservation(model: nn.Module, card: ModelCard, x_BCTHW: Tensor, label: int, settings: Settings) -> Conservation:
    """Sum of the relevance over the logit, at the input and at each stage of the card.

    Stages of several pathways at one depth count together. Where a stage does not cut the network (a head that reads
    several stages), its ratio lacks what goes past it; that of the input never does. A stage that does not run with the
    network's head is left out.
    """
    cuts = _cuts(card.explain.stages)
    names = [n for cut in cuts for n in cut]
    ledger = Ledger()
    found = relevance(model, x_BCTHW, label, settings, spec=card.clip, modules=names, ledger=ledger, all_run=False)
    logit_B = found.logits_BK[:, label].double()
    batch = len(x_BCTHW)
    total = {n: r.double().reshape(batch, -1).sum(1) for n, r in found.modules.items()}
    cuts = [cut for cut in cuts if all(n in total for n in cut)]
    stages = {" + ".join(cut): torch.stack([total[n] for n in cut]).sum(0) / logit_B for cut in cuts}
    input_B = found.input_BCTHW.double().reshape(batch, -1).sum(1) / logit_B
    return Conservation(stages, input_B, logit_B, ledger.lost)


def _cuts(points: Iterable[ExplainPoint]) -> list[tuple[str, ...]]:
    """Modules that data pass through at one depth: stages of pathways side by side, others alone."""
    points = list(points)
    pathways = {p.pathway: [q.module for q in points if q.pathway == p.pathway] for p in points if p.pathway}
    deep: list[tuple[str, ...]] = list(zip(*pathways.values(), strict=False)) if pathways else []
    return deep + [(p.module,) for p in points if not p.pathway]
