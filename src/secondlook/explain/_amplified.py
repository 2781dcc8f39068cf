"""What Class Regularisation amplifies: for each layer that has one, its tube of a class and its k strongest kernels.

Stergiou, Poppe, Veltkamp 2020; `srtg-mtnet-classreg-visualisation`, section 2.12, figures 6.3 (kernels) and 6.4
(tubes). A kernel is a channel of what the layer gives out; how strongly a class amplifies it is its projected weight
`relu(P y)_j`. One forward pass, no backward pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import nn

from secondlook.cards import HeatMap, ModelCard
from secondlook.errors import BadValue
from secondlook.explain import _tube
from secondlook.explain._class_weights import class_regularisations, class_weights
from secondlook.explain._hooks import explained_logit, predicted_notes
from secondlook.explain._project import heat_map
from secondlook.explain.saliency_tubes import Read, read_maps
from secondlook.video import overlay
from secondlook.video.grid import UNTITLED, Caption
from secondlook.video.heat_colours import LOOK, Look
from secondlook.video.transform import InputClip


@dataclass(frozen=True)
class Kernel:
    """One channel that a class amplifies."""

    channel: int
    weight: float
    """Its projected weight for the class, >= 0."""
    heat: HeatMap
    """Its activations, from 0 to 1, enlarged by cubic splines."""


@dataclass(frozen=True)
class AmplifiedLayer:
    """One layer with Class Regularisation."""

    module: str
    """Name of the Class Regularisation."""
    tube: HeatMap
    """As `saliency_tubes` gives it for this layer."""
    kernels: tuple[Kernel, ...]
    """Highest weight first."""

    @property
    def layer(self) -> str:
        """The module that the regularisation stands in or after."""
        return self.module.removesuffix("class_regularisation").rstrip(".") or self.module


def amplified(model: nn.Module, card: ModelCard, clip: InputClip, label: int, k: int = 3) -> tuple[AmplifiedLayer, ...]:
    """Every layer with Class Regularisation, from input to head.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`.
        card: its card.
        clip: what the network gets.
        label: class index.
        k: kernels a layer; all where it has fewer.

    Raises:
        BadValue: if there is no Class Regularisation, the label is no class, or k is below 1.
    """
    if k < 1:
        raise BadValue(k, "at least one kernel a layer must be asked for")
    names = class_regularisations(model)
    if not names:
        raise BadValue(card.name, "has no Class Regularisation", "Build it with the option, or inject it.")
    reads = read_maps(model, card, clip, {name: class_weights(model, card, name) for name in names})
    return tuple(_of_layer(reads[name], clip, label, k) for name in names)


def _of_layer(read: Read, clip: InputClip, label: int, k: int) -> AmplifiedLayer:
    explained_logit(read.logits_BK, label)
    module, weight_C = read.weights.module, read.weights.of_KC[label]
    _, frames, height, width = clip.x_CTHW.shape
    size_THW, said = (frames, height, width), predicted_notes(read.logits_BK[0], label)

    def heat(method: str, heat_THW: npt.NDArray[np.float32], **notes: float) -> HeatMap:
        return heat_map(heat_THW, clip, method=method, label=label, module=module, **notes, **said)

    tube_1THW = _tube.min_max(_tube.tube(_tube.keep(read.map_Cthw, weight_C).shown_Nthw, size_THW)[None])
    strongest_k = weight_C.argsort(descending=True, stable=True)[:k]
    shown_kTHW = _tube.enlarged(_tube.min_max(read.map_Cthw[strongest_k]), size_THW)
    kernels = tuple(
        Kernel(channel, weight, heat("amplified_kernel", shown_THW, channel=channel, weight=weight))
        for channel, weight, shown_THW in zip(
            strongest_k.tolist(), weight_C[strongest_k].tolist(), shown_kTHW.cpu().numpy(), strict=True
        )
    )
    return AmplifiedLayer(module, heat("saliency_tubes", tube_1THW[0].cpu().numpy()), kernels)


def tubes_picture(
    frames_THWC: npt.NDArray[np.uint8],
    layers: tuple[AmplifiedLayer, ...],
    caption: Caption = UNTITLED,
    *,
    rows: int = 6,
    look: Look = LOOK,
) -> Image.Image:
    """Figure 6.4: rows are frames, columns the layers' tubes."""
    columns = {found.layer: found.tube for found in layers}
    return overlay.layer_grid(frames_THWC, columns, caption, rows=rows, look=look)


def kernels_picture(
    frames_THWC: npt.NDArray[np.uint8],
    layers: tuple[AmplifiedLayer, ...],
    caption: Caption = UNTITLED,
    *,
    rows: int = 6,
    look: Look = LOOK,
) -> Image.Image:
    """Figure 6.3: rows are frames, columns the strongest kernels, layer after layer, named by layer and channel."""
    columns = {f"{found.layer}  kernel {kernel.channel}": kernel.heat for found in layers for kernel in found.kernels}
    return overlay.layer_grid(frames_THWC, columns, caption, rows=rows, look=look)
