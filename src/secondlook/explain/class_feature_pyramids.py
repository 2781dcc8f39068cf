"""Class feature pyramids: which kernels of the last layers speak for a class, and where they fire.

Stergiou, Kapidis, Kalliatakis, Chrysoulas, Poppe, Veltkamp, "Class Feature Pyramids for Video Explanation", ICCV
Workshops 2019; Stergiou 2021, section 7.5; `srtg-mtnet-classreg-visualisation`, section 2.14. From the class weights
the method steps back layer by layer. For the chosen kernels j of layer l, with `abar` and `kbar` the input activation
and the kernel averaged over time, rows and columns:

    a*[l]_j = abar[l-1] x kbar[l]_j  (elementwise),   chosen in layer l-1: { i : sigma(minmax(a*)_i) > theta }

Equation 7.3 prints `sigma(a* + theta) > 0`, which always holds; published theta lie in (0.5, 0.731), where the form
above selects. `mode="layer"` takes the chosen kernels of a layer together (mean of their rows), `mode="feature"` each
on its own. Channels pass a residual skip unchanged, grouped kernels are inflated with zeros, branches are padded to the
longest with one-valued layers, and a gate only rescales. Which layer feeds which is read off the forward pass.

Departs from the source: a channel outside a kernel's group is never chosen; a kernel that reads a single channel leads
to it; hidden layers between the last stage and the classifier are stepped through, but do not count as depth; where a
head cannot be followed (attention, recurrence) the class weights are the mean gradient of the logit at the last stage,
which for a head of pooling and a linear layer are those weights but for a factor. The heat map is the tube of one
layer, `sum_j minmax(a_j)^2`, upsampled linearly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from secondlook.cards import HeatMap, ModelCard
from secondlook.errors import BadValue, UnknownName
from secondlook.explain._hooks import as_batch, explained_logit, gradient, logits_of, predicted_notes, watch
from secondlook.explain._methods import must_suit
from secondlook.explain._project import heat_map
from secondlook.explain._pyramid import Choice, Mode, Select, Start, activation, build, minmax, tube
from secondlook.explain._pyramid_graph import Pyramid
from secondlook.explain._pyramid_wiring import CONVOLUTIONS, Source, Wiring, following, sources_of
from secondlook.video.grid import Caption
from secondlook.video.transform import InputClip

Association = Literal["means", "maps"]


@dataclass(frozen=True, eq=False)
class Found:
    """A pyramid with what it was made from."""

    pyramid: Pyramid
    wiring: Wiring
    logits_K: Tensor
    forward_ms: float
    back_step_ms: float


def unsuitable(model: nn.Module, card: ModelCard) -> str:
    """A pyramid steps back from one convolution to another, so it needs two."""
    if sum(isinstance(m, CONVOLUTIONS) for m in model.modules()) > 1:
        return ""
    return "the network has no convolution stages before its classifier, so there are no kernels to step back through"


def explain(
    model: nn.Module,
    card: ModelCard,
    clip: InputClip,
    label: int,
    *,
    theta: float = 0.6,
    depth: int = 3,
    mode: Mode = "layer",
    select: Select = "sigmoid",
    top: int = 0,
    show: str = "",
    association: Association = "means",
) -> HeatMap:
    """The tube of one layer of the pyramid of one clip for one class, with the pyramid in the notes.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`.
        card: its card; names the classifier.
        clip: what the network gets, and where it came from in the video.
        label: class index to explain.
        theta: higher keeps fewer kernels: in (0.5, 0.731); with `select=minmax` in (0, 1].
        depth: levels of convolutions; 1 has only the last ones. Hidden layers of a head come on top.
        mode: `layer` or `feature`, see above.
        select: `sigmoid`, or `minmax`: keep normalised contributions of at least theta (the public code).
        top: at most so many kernels a layer, the strongest; 0: all that theta keeps.
        show: layer of the pyramid whose tube is the heat map; empty: the deepest that has places (of several on its
            level the one with the most strength).
        association: step from the class to the channels. `means`: `w_c x mean(a)`, the back-step's own formula, which
            is what the public code does. `maps`: mean over places of `minmax(w_c a)`, equation 7.2 to the letter; it
            keeps only the sign of a weight.

    Returns:
        Heat >= 0 in the source video's frames. Notes: `pyramid` (JSON-ready, `Pyramid.from_dict` reads it), `layers`
        (names by level), `forward_ms`, `back_step_ms`, `logit`, `confidence`, `predicted`, `grid`, `box`, `scale`.

    Raises:
        UnknownName: if `show` is no layer of the pyramid.
        BadValue: if the network has no convolution stage, an option breaks its rule, or the label is no class.
    """
    must_suit("class_feature_pyramids", model, card)
    choice = Choice(theta, depth, mode, select, top)
    found = find(model, card, clip.x_CTHW, label, choice, association)
    tubes = layer_tubes(found)
    name = show or shown(found.pyramid)
    if name not in tubes:
        raise UnknownName("layer of the pyramid with places", name, tubes)
    return heat_map(
        tubes[name].cpu().numpy(),
        clip,
        method="class_feature_pyramids",
        label=label,
        module=name,
        pyramid=found.pyramid.to_dict(),
        layers=[layer.name for layer in found.pyramid.layers],
        association=association,
        forward_ms=round(found.forward_ms, 3),
        back_step_ms=round(found.back_step_ms, 3),
        **predicted_notes(found.logits_K, label),
    )


def draw(
    folder: Path,
    model: nn.Module,
    card: ModelCard,
    clip: InputClip,
    heat: HeatMap,
    frames_THWC: npt.NDArray[np.uint8],
    options: Mapping[str, Any],
    caption: Caption,
) -> dict[str, Path]:
    """The pyramid itself, beside the strip.

    Returns:
        `pyramid-json`, `pyramid-dot`, `pyramid-svg`, `pyramid` (the graph, the same four times), `pyramid-layers`
        (tubes over frames), and with `mode="feature"` `pyramid-features` (tubes of single kernels).
    """
    from secondlook.explain._pyramid_files import write_pyramid

    choice = Choice(**{name: value for name, value in options.items() if name in asdict(Choice())})
    association = options.get("association", "means")
    made = write_pyramid(
        folder, model, card, clip, heat.label,
        choice=choice, association=association, frames_THWC=frames_THWC, caption=caption,
    )  # fmt: skip
    return {"pyramid" if kind == "png" else f"pyramid-{kind}": path for kind, path in made.items()}


def find(
    model: nn.Module,
    card: ModelCard,
    x_CTHW: Tensor,
    label: int,
    choice: Choice | None = None,
    association: Association = "means",
) -> Found:
    """The pyramid of one clip for one class. One forward pass; a second with gradients where the head asks for it.

    Raises:
        BadValue: if the label is no class, or no convolution can be followed from the class.
    """
    if association not in get_args(Association):
        raise BadValue(association, f"association must be one of {', '.join(get_args(Association))}")
    x_BCTHW = as_batch(model, x_CTHW).clone()
    stages = [point.module for point in card.explain.stages]
    began = _now(x_BCTHW)
    with following(model, x_BCTHW, stages) as wiring:
        logits_BK = logits_of(model, x_BCTHW)
    explained_logit(logits_BK, label)
    forward = _now(x_BCTHW)
    start = _from_weights(wiring, card.explain.classifier, label, logits_BK.shape[1], association)
    start = start or _from_gradient(model, wiring, stages, x_BCTHW, label)
    between = _now(x_BCTHW) if start.how == "gradient" else forward
    pyramid = build(wiring, start, label, choice or Choice())
    ended = _now(x_BCTHW)
    logits_K = logits_BK[0].detach()
    return Found(pyramid, wiring, logits_K, 1000 * (forward - began), 1000 * (ended - between))


def layer_tubes(found: Found) -> dict[str, Tensor]:
    """Layer of the pyramid -> its tube `heat_thw` on its own grid; layers without places have none."""
    by_name = {layer.name: layer for layer in found.wiring.layers}
    made = {}
    for layer in found.pyramid.layers:
        a_Cthw = activation(by_name[layer.name])
        if a_Cthw is not None:
            made[layer.name] = tube(a_Cthw, layer.kernels)
    return made


def shown(pyramid: Pyramid) -> str:
    """The deepest layer with places; of several on its level the one whose kernels have the most strength."""
    places = [layer for layer in reversed(pyramid.layers) if layer.grid]
    if not places:
        cure = "Give a larger depth, or a lower theta."
        raise BadValue(pyramid.depth, "the pyramid of this depth reaches no convolution with places", cure)
    return max(places, key=lambda layer: (layer.level, sum(layer.strengths))).name


def _from_weights(wiring: Wiring, name: str, label: int, classes: int, association: Association) -> Start | None:
    classifier = wiring.last(name)
    if classifier is None or classifier.channels != classes or not classifier.sources:
        return None
    weight_G, mean_G = classifier.kernels_JG()[label], classifier.mean_G
    value_G = weight_G * mean_G
    if association == "maps":
        value_G = _pooled_maps(wiring, classifier.sources, weight_G)
    return Start(value_G, classifier.sources, "weights", classifier.lost)


def _pooled_maps(wiring: Wiring, sources: tuple[Source, ...], weight_G: Tensor) -> Tensor:
    """Mean over places of `minmax(w_j a_j)`; the activation is that of the last layer that made the channel."""
    value_G = torch.zeros_like(weight_G)
    for source in sorted(sources, key=lambda s: s.layer):
        a_Cthw = activation(wiring.layers[source.layer])
        if a_Cthw is None:
            continue
        made_G = source.channel_G >= 0
        maps = a_Cthw.float().flatten(1)[source.channel_G[made_G]] * weight_G[made_G, None]
        value_G[made_G] = minmax(maps).mean(1)
    return value_G


def _from_gradient(model: nn.Module, wiring: Wiring, stages: list[str], x_BCTHW: Tensor, label: int) -> Start:
    for name in reversed(stages):
        if name not in wiring.stages:
            continue
        output, trail = wiring.stages[name]
        axis = max((r.index.shape.index(max(r.index.shape)) for r in trail.routes), default=1)
        sources = sources_of(trail, axis, output.shape[axis])
        if not sources:
            continue
        with watch(model, [name]) as watched:
            score = explained_logit(logits_of(model, x_BCTHW), label)
            slope = gradient(score, watched.outputs[name], name)
        weight_C, mean_C = (v.detach().float().movedim(axis, 0).flatten(1).mean(1) for v in (slope, output))
        return Start(weight_C * mean_C, sources, "gradient", sorted(trail.lost))
    rule = "no convolution can be followed from the class back into this network"
    raise BadValue(type(model).__name__, rule, "Name convolution stages in its card, or use another method.")


def _now(x: Tensor) -> float:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return perf_counter()
