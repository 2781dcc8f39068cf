"""What each layer with Class Regularisation would predict already, and where in the clip it sees the class.

With `W_n = relu(P w_n)`, the classifier's weights of class n among a layer's channels (`layers.class_regularisation`),
a layer scores class n with `sum over channels of W_n mean_THW(a)` (its largest element with `selection="max"`). Shown
is the layer's class-weighted map of the class that is explained,

    L_c(t, i, j) = sum over k of W_ck a_k(t, i, j)

whose mean is that score. Stergiou, Poppe, Veltkamp, Applied Sciences 2020; `srtg-mtnet-classreg-visualisation`,
sections 2.11 (early predictions) and 2.12 (these weights in place of the classifier's at every layer). Beyond the
source: all classes are ranked, where it names the one selected. No gradient is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from secondlook.cards import HeatMap, ModelCard
from secondlook.errors import BadValue, UnknownName
from secondlook.explain._hooks import evaluating, explained_logit, logits_of, predicted_notes
from secondlook.explain._methods import must_suit
from secondlook.explain._project import heat_map
from secondlook.layers.class_regularisation import ClassRegularisation
from secondlook.video.grid import Caption
from secondlook.video.transform import InputClip


def explain(
    model: nn.Module, card: ModelCard, clip: InputClip, label: int, *, layer: str = "", top: int = 5
) -> HeatMap:
    """The class-weighted map of one layer, and every layer's best classes.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`.
        card: its card.
        clip: input with its place in the source video.
        label: class index that is explained.
        layer: dotted name of the module after which the Class Regularisation stands; empty: the last one.
        top: classes to note a layer.

    Returns:
        Notes: `layers`, from input to head: name -> the best classes as `[index, score]`; `ranks`: name -> place of the
        explained class (1 is first); and what was predicted.

    Raises:
        BadValue: if the network has no Class Regularisation, `top` is below 1, or the label is no class of it.
        UnknownName: if no Class Regularisation stands after such a module.
    """
    must_suit("early_predictions", model, card)
    if isinstance(top, bool) or top < 1:
        raise BadValue(top, "at least one class is noted a layer")
    found = _regularisations(model)
    if layer and layer not in found:
        raise UnknownName("module with Class Regularisation", layer, found)
    logits_BK, maps = regularised_maps(model, clip.x_CTHW.to(next(model.parameters()).device)[None])
    explained_logit(logits_BK, label)
    with torch.no_grad():
        scores = {name: class_scores(found[name], a_BCThw)[0] for name, a_BCThw in maps.items()}
        chosen = layer or list(maps)[-1]
        heat_thw = class_map(found[chosen], maps[chosen], label)[0]
    return heat_map(
        heat_thw.cpu().numpy(),
        clip,
        method="early_predictions",
        label=label,
        module=chosen,
        layers={name: _best(score_K, top) for name, score_K in scores.items()},
        ranks={name: int((score_K > score_K[label]).sum()) + 1 for name, score_K in scores.items()},
        **predicted_notes(logits_BK[0], label),
    )


def unsuitable(model: nn.Module, card: ModelCard) -> str:
    """Networks without Class Regularisation."""
    return "" if _regularisations(model) else "it has no Class Regularisation (build it with it, or inject it)"


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
    """`tubes` of the class in every layer with Class Regularisation, and `kernels`, those it amplifies most in each.

    Of more than six layers the strongest kernel alone is drawn, else three.
    """
    from secondlook.explain._amplified import amplified, kernels_picture, tubes_picture

    layers = amplified(model, card, clip, heat.label, k=3 if len(_regularisations(model)) <= 6 else 1)
    paths = {"tubes": folder / "tubes.png", "kernels": folder / "kernels.png"}
    for draw_one, kind, words in (
        (tubes_picture, "tubes", "class-regularised tube of each layer"),
        (kernels_picture, "kernels", "kernels that the class amplifies most"),
    ):
        draw_one(frames_THWC, layers, Caption(caption.title, f"{caption.subtitle} · {words}")).save(paths[kind])
    return paths


def regularised_maps(model: nn.Module, x_BCTHW: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """`logits_BK`, and what each Class Regularisation is given, `a_BCThw` by layer, in the order in which they ran."""
    maps: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            maps[name] = inputs[0].detach()

        return hook

    with evaluating(model), torch.no_grad(), ExitStack() as undo:
        for name, module in _regularisations(model).items():
            undo.callback(setattr, module, "early_prediction_B", module.early_prediction_B)
            undo.callback(module.register_forward_pre_hook(keep(name)).remove)
        return logits_of(model, x_BCTHW), maps


def class_scores(regularisation: ClassRegularisation, a_BCThw: Tensor) -> Tensor:
    """How a layer scores every class, `score_BK`; its largest is the class it selects."""
    weights_KC = regularisation.projected_KC()
    mean_BC = a_BCThw.mean((2, 3, 4), dtype=weights_KC.dtype)
    if regularisation.selection == "sum":
        return mean_BC @ weights_KC.T
    return (mean_BC[:, None] * weights_KC).amax(2)


def class_map(regularisation: ClassRegularisation, a_BCThw: Tensor, label: int) -> Tensor:
    """`sum over k of W_ck a_k`, `heat_Bthw`."""
    weights_C = regularisation.projected_KC()[label]
    return torch.einsum("bcthw,c->bthw", a_BCThw.to(weights_C.dtype), weights_C)


def _best(score_K: Tensor, top: int) -> list[list[float]]:
    score, index = score_K.sort(descending=True, stable=True)
    return [[int(k), float(s)] for k, s in zip(index[:top], score[:top], strict=True)]


def _regularisations(model: nn.Module) -> dict[str, ClassRegularisation]:
    """By the module after which each stands (as `layers.class_regularisation.early_predictions` has them)."""
    return {
        name.removesuffix("class_regularisation").rstrip("."): module
        for name, module in model.named_modules()
        if isinstance(module, ClassRegularisation)
    }
