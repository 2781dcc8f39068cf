"""Pictures of the tubes of a class feature pyramid: layers, single kernels, networks side by side (no torch)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from secondlook.cards import HeatMap
from secondlook.errors import BadValue
from secondlook.video.grid import Caption
from secondlook.video.heat_cells import choose, heated, height_of, plain, time_of
from secondlook.video.heat_colours import Frames
from secondlook.video.overlay import layer_grid
from secondlook.video.sheet import FAINT, INK, Sheet


def layers_picture(frames_THWC: Frames, heats: Mapping[str, HeatMap], caption: Caption) -> Image.Image:
    """Rows are frames, columns the clip and the tube of each layer (figures 7.10 and 7.11).

    Args:
        frames_THWC: the sampled frames.
        heats: heading -> tube, from input to head.
        caption: title and subtitle.

    Raises:
        BadValue: if there is no tube.
    """
    return layer_grid(frames_THWC, heats, caption, rows=6, width=150)


def features_picture(
    frames_THWC: Frames,
    heats: Mapping[str, Mapping[int, HeatMap]],
    caption: Caption,
    *,
    columns: int = 6,
    width: int = 150,
) -> Image.Image:
    """Rows are layers, columns their strongest kernels: each kernel's own tube in the frame where it fires most.

    Args:
        frames_THWC: the sampled frames.
        heats: layer -> kernel -> its tube, the strongest kernel first.
        caption: title and subtitle.
        columns: kernels a layer.
        width: of one picture.

    Raises:
        BadValue: if there is no tube.
    """
    if not any(heats.values()):
        raise BadValue(0, "a picture of features needs at least one tube")
    height = height_of(next(heat for own in heats.values() for heat in own.values()), width)
    columns = min(columns, max(len(own) for own in heats.values()))
    title, subtitle = caption.title, caption.subtitle
    sheet = Sheet(columns, len(heats), width, height + 18, left=190, head=4, title=title, subtitle=subtitle)
    for row, (name, own) in enumerate(heats.items()):
        x, y = sheet.corner(0, row)
        sheet.text((x - 190, y + height / 2), short(name, 26), 12, INK, "lm", limit=186)
        for column, (kernel, heat) in enumerate(list(own.items())[:columns]):
            t = int(heat.heat_THW.max(axis=(1, 2)).argmax())
            sheet.picture(column, row, heated(plain(frames_THWC, heat, [t], width), heat, [t])[0])
            x, y = sheet.corner(column, row)
            sheet.text((x, y + height + 3), f"kernel {kernel} · {time_of(heat, t)}", 11, FAINT, limit=width)
    return sheet.image


@dataclass(frozen=True)
class Network:
    """What one network saw, and the tubes of its last levels."""

    name: str
    frames_THWC: Frames
    heats: Sequence[HeatMap | None]
    """[l], [l-1], [l-2]: nearest to the class first; `module` is the layer's name. None: no kernel of that level."""
    note: str = ""
    """Threshold, prediction."""

    @property
    def tubes(self) -> list[HeatMap]:
        """Those there are."""
        return [heat for heat in self.heats if heat is not None]


def networks_picture(
    networks: Sequence[Network], caption: Caption, *, moments: int = 3, width: int = 110
) -> Image.Image:
    """Networks side by side: the clip above, a row for each of the last levels below (figure 7.12).

    Args:
        networks: all of the same video; each may sample its own frames.
        caption: title and subtitle.
        moments: frames of each network, evenly spread over its clip.
        width: of one frame.

    Raises:
        BadValue: if there is no network, or one has no tube.
    """
    if not networks or not all(network.tubes for network in networks):
        raise BadValue(
            [network.name for network in networks], "each network needs at least one tube, and one is needed"
        )
    levels = max(len(network.heats) for network in networks)
    height = height_of(networks[0].tubes[0], width)
    title, subtitle = caption.title, caption.subtitle
    columns = moments * len(networks)
    sheet = Sheet(columns, levels + 1, width, height + 17, left=44, head=40, title=title, subtitle=subtitle)
    for level in range(levels + 1):
        x, y = sheet.corner(0, level)
        text = "clip" if not level else "[l]" if level == 1 else f"[l-{level - 1}]"
        sheet.text((x - 10, y + height / 2), text, 13, INK, "rm")
    for n, network in enumerate(networks):
        room = moments * (width + sheet.gap) - 12
        first = network.tubes[0]
        chosen = choose(network.frames_THWC, first, moments)
        shown_THWC = plain(network.frames_THWC, first, chosen, width)
        x, y = sheet.corner(n * moments, 0)
        sheet.text((x + 4, y - 23), network.name, 13, INK, "ls", limit=room)
        sheet.text((x + 4, y - 7), network.note, 11, FAINT, "ls", limit=room)
        if n:
            bottom = sheet.corner(0, levels)[1] + height + 17
            sheet.rectangle(x - 2, y - 36, 1, bottom - y + 36, FAINT)
        for level, heat in enumerate([first, *network.heats]):
            x, y = sheet.corner(n * moments, level)
            if heat is None:
                sheet.text((x + 4, y + height / 2), "no kernel of this level is kept", 11, FAINT, "lm", limit=room)
                continue
            for k, picture in enumerate(heated(shown_THWC, heat, chosen) if level else shown_THWC):
                sheet.picture(n * moments + k, level, picture)
            if level:
                sheet.text((x + 4, y + height + 2), short(heat.module, 40), 11, FAINT, limit=room)
    return sheet.image


def short(name: str, length: int) -> str:
    """The end of a dotted name, which tells more than its beginning."""
    return name if len(name) <= length else "…" + name[1 - length :]
