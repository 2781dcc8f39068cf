"""Which frames a multi-temporal convolution keeps for its slow branch: those least like the ones before and after.

`P_t = cos_(t-1) + cos_t` is how like its neighbours frame t is (`layers.frame_selection`, triplet cosines); the half of
the frames with the lowest P is kept. `show="selected"`: 1 on kept frames, 0 on others. `show="score"`: `(2 - P_t) / 4`,
from 0 (as its neighbours) to 1 (their opposite); frames without a score have 0. Time alone, on a grid `T x 1 x 1`, and
the same for every class. Stergiou, "Efficient Modelling Across Time of Human Actions and Interactions", 2021, section
5.3.1, figure 5.4; `srtg-mtnet-classreg-visualisation`, section 2.7.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from secondlook.cards import HeatMap, ModelCard
from secondlook.errors import BadValue, UnknownName
from secondlook.explain._hooks import evaluating, explained_logit, logits_of, predicted_notes
from secondlook.explain._methods import must_suit
from secondlook.explain._project import heat_map
from secondlook.layers.frame_selection import FrameSelection, Selection, triplet_cosine
from secondlook.video.grid import Caption
from secondlook.video.transform import InputClip

Show = Literal["selected", "score"]


def explain(
    model: nn.Module, card: ModelCard, clip: InputClip, label: int, *, layer: str = "", show: str = "selected"
) -> HeatMap:
    """Frames that one layer selects; needs no gradient.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`.
        card: its card.
        clip: input with its place in the source video.
        label: class index; it does not change the map.
        layer: dotted name of a selecting module; empty: the last one.
        show: `selected` or `score`.

    Returns:
        Notes: `selections`, from input to head: name, `scores` (P of each frame, None without one), `index` (frames
        kept), `keep` (`lowest` or `largest`); `kept_share` (of the layers with as many frames as the one shown, the
        share that keeps each frame); `temporal`, and what was predicted.

    Raises:
        BadValue: if no layer of the network selects frames, an option cannot be, or the label is no class of it.
        UnknownName: if no such module selects.
    """
    must_suit("selected_frames", model, card)
    if show not in get_args(Show):
        raise BadValue(show, f"show must be one of {', '.join(get_args(Show))}")
    names = list(_selecting(model))
    if layer and layer not in names:
        raise UnknownName("module that selects frames", layer, names)
    logits_BK, found = selections(model, clip.x_CTHW.to(next(model.parameters()).device)[None])
    explained_logit(logits_BK, label)
    chosen = layer or list(found)[-1]
    kept_T = _kept(found[chosen])[0]
    alike = [_kept(one)[0] for one in found.values() if one.scores_BT.shape == found[chosen].scores_BT.shape]
    heat_T = kept_T if show == "selected" else ((2 - found[chosen].scores_BT[0]) / 4).nan_to_num(nan=0.0).float()
    return heat_map(
        heat_T.cpu().numpy()[:, None, None],
        clip,
        method="selected_frames",
        label=label,
        module=chosen,
        temporal=True,
        show=show,
        selections=[_note(model, name, one) for name, one in found.items()],
        kept_share=torch.stack(alike).mean(0).tolist(),
        **predicted_notes(logits_BK[0], label),
    )


def unsuitable(model: nn.Module, card: ModelCard) -> str:
    """Networks in which no layer selects frames."""
    return "" if _selecting(model) else "none of its layers selects frames by triplet cosines"


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
    """`scores`: how like its neighbours each frame is, the kept ones marked, in the layer that is shown."""
    from secondlook.explain._selection_figure import score_figure

    return {"scores": score_figure(heat, frames_THWC, folder / "scores.png")}


def selections(model: nn.Module, x_BCTHW: Tensor) -> tuple[Tensor, dict[str, Selection]]:
    """`logits_BK`, and what each layer selected, in the order in which they ran.

    Of a layer that selects twice (`share_frames=False`) the first time counts: the selection by its input.
    """
    found: dict[str, Selection] = {}

    def keep(name: str) -> Any:
        def hook(module: FrameSelection, inputs: tuple[Tensor, ...]) -> None:
            found.setdefault(name, triplet_cosine(inputs[0], ends=module.ends, keep=module.keep))

        return hook

    with evaluating(model), torch.no_grad(), ExitStack() as undo:
        for name, module in _selecting(model).items():
            undo.callback(module.register_forward_pre_hook(keep(name)).remove)
        return logits_of(model, x_BCTHW), found


def _kept(one: Selection) -> Tensor:
    return torch.zeros_like(one.scores_BT, dtype=torch.float32).scatter_(1, one.index_BK, 1.0)


def _note(model: nn.Module, name: str, one: Selection) -> dict[str, Any]:
    scores = [None if score != score else score for score in one.scores_BT[0].tolist()]
    return {"name": name, "scores": scores, "index": one.index_BK[0].tolist(), "keep": _selecting(model)[name].keep}


def _selecting(model: nn.Module) -> dict[str, FrameSelection]:
    return {name: module for name, module in model.named_modules() if isinstance(module, FrameSelection)}
