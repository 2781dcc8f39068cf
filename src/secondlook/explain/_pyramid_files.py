"""Writes all files of a class feature pyramid, and the tubes of its layers as heat maps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from secondlook.cards import HeatMap, ModelCard
from secondlook.explain._methods import must_suit
from secondlook.explain._project import heat_map
from secondlook.explain._pyramid import Choice, activation, tube
from secondlook.explain._pyramid_figure import pyramid_figure, to_svg
from secondlook.explain._pyramid_graph import Pyramid
from secondlook.explain._pyramid_pictures import features_picture, layers_picture, short
from secondlook.explain.class_feature_pyramids import Association, Found, find, layer_tubes
from secondlook.video.grid import Caption
from secondlook.video.transform import InputClip

METHOD = "class_feature_pyramids"


def write_pyramid(
    folder: str | Path,
    model: nn.Module,
    card: ModelCard,
    clip: InputClip,
    label: int,
    *,
    choice: Choice | None = None,
    association: Association = "means",
    frames_THWC: npt.NDArray[np.uint8] | None = None,
    caption: Caption | None = None,
) -> dict[str, Path]:
    """Makes the pyramid of one clip for one class and writes all there is of it.

    Args:
        folder: where; it is made.
        model: network.
        card: its card.
        clip: what the network gets.
        label: class index.
        choice: theta, depth, mode and so on.
        association: see `class_feature_pyramids.explain`.
        frames_THWC: the sampled frames to draw on, of any size; None: the clip's own.
        caption: of the pictures; None: class and network.

    Returns:
        Kind -> file: `json`, `dot`, `svg`, `png` (the graph), `layers` (tubes over frames); feature-wise also
        `features` (tubes of single kernels).

    Raises:
        BadValue: as `class_feature_pyramids.explain`.
    """
    must_suit(METHOD, model, card)
    found = find(model, card, clip.x_CTHW, label, choice, association)
    caption = caption or Caption(f"class {label}", f"{METHOD} · {card.name}")
    frames_THWC = clip.clip.frames_THWC if frames_THWC is None else frames_THWC
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = write_graph(folder, found.pyramid, caption)
    heats = layer_heats(found, clip)
    if heats:
        paths["layers"] = folder / "pyramid_layers.png"
        headed = {_heading(found.pyramid, name): heat for name, heat in reversed(heats.items())}
        layers_picture(frames_THWC, headed, caption).save(paths["layers"])
    if heats and found.pyramid.mode == "feature":
        paths["features"] = folder / "pyramid_features.png"
        features_picture(frames_THWC, kernel_heats(found, clip), caption).save(paths["features"])
    return paths


def write_graph(folder: Path, pyramid: Pyramid, caption: Caption) -> dict[str, Path]:
    """Writes the graph alone: `pyramid.json`, `pyramid.dot`, `pyramid.svg`, `pyramid.png`."""
    paths = {kind: folder / f"pyramid.{kind}" for kind in ("json", "dot", "svg", "png")}
    paths["json"].write_text(json.dumps(pyramid.to_dict(), indent=1) + "\n", encoding="utf-8")
    paths["dot"].write_text(pyramid.to_dot(), encoding="utf-8")
    figure = pyramid_figure(pyramid, caption.title)
    paths["svg"].write_text(to_svg(figure), encoding="utf-8")
    figure.savefig(paths["png"], dpi=130)
    return paths


def layer_heats(found: Found, clip: InputClip) -> dict[str, HeatMap]:
    """Layer of the pyramid -> the tube of its chosen kernels in the source video's frames; nearest to the class first.

    Layers without places have none.
    """
    label = found.pyramid.label
    return {
        name: heat_map(heat_thw.cpu().numpy(), clip, method=METHOD, label=label, module=name)
        for name, heat_thw in layer_tubes(found).items()
    }


def level_heats(found: Found, clip: InputClip, at_most: int = 3) -> list[HeatMap | None]:
    """One tube a level, that of its layer with the most strength: `[l]`, `[l-1]`, `[l-2]` (figure 7.12).

    None where no kernel of a level is chosen, for the way past it is shorter; the last one is a tube.
    """
    heats = layer_heats(found, clip)
    strongest: dict[int, tuple[float, str]] = {}
    for layer in found.pyramid.layers:
        if layer.name in heats:
            own = (sum(layer.strengths), layer.name)  # where a skip shares the kernels, the main way comes later
            strongest[layer.level] = max(strongest.get(layer.level, own), own, key=lambda o: (o[0], o is own))
    deepest = max((level for level in strongest if level <= at_most), default=0)
    return [heats[strongest[n][1]] if n in strongest else None for n in range(1, deepest + 1)]


def kernel_heats(found: Found, clip: InputClip, at_most: int = 6) -> dict[str, dict[int, HeatMap]]:
    """Layer -> kernel -> its own tube, the strongest kernels of each layer that has places."""
    by_name = {layer.name: layer for layer in found.wiring.layers}
    made: dict[str, dict[int, HeatMap]] = {}
    for layer in found.pyramid.layers:
        a_Cthw = activation(by_name[layer.name])
        if a_Cthw is None:
            continue
        ranked = sorted(zip(layer.strengths, layer.kernels, strict=True), key=lambda p: (-p[0], p[1]))[:at_most]
        made[layer.name] = {
            j: heat_map(
                tube(a_Cthw, [j]).cpu().numpy(), clip, method=METHOD, label=found.pyramid.label, module=layer.name
            )
            for _, j in ranked
        }
    return made


def _heading(pyramid: Pyramid, name: str) -> str:
    layer = pyramid.layer(name)
    return f"{short(name, 22)}\nlevel {layer.level} · {len(layer.kernels)} of {layer.channels}"
