"""Pictures of foci: a sheet a cluster with example clips, a sheet of the classes, a chart of the deciding frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from secondlook.cards import HeatMap
from secondlook.errors import SecondlookError
from secondlook.explain._deciding import TENTHS
from secondlook.explain._foci import Found, Seen
from secondlook.explain._focus import Foci
from secondlook.explain._suspicion import Cluster
from secondlook.video.clip import Size
from secondlook.video.heat_cells import height_of
from secondlook.video.heat_colours import LOOK, blend, colours
from secondlook.video.legends import Key, draw_legend
from secondlook.video.listed_path import leaves_root
from secondlook.video.sheet import FAINT, INK, Sheet
from secondlook.video.walk import Walk

Picture = npt.NDArray[np.uint8]
WIDTH = 176
MOST_CLASSES = 48
"""Classes in a picture; those that look elsewhere first."""


def cluster_sheet(found: Found, number: int, root: str, examples: int = 6) -> Image.Image:
    """A cluster: its mean focus beside the frame with the most heat of its most typical clips, plain and with heat.

    All pictures are brought to one shape, that of the first example, because foci are compared in parts of a frame.

    Args:
        found: what `find` gave.
        number: of the cluster, 0 the most suspicious.
        root: folder of the videos; where a video is not there, the heat is drawn on grey.
        examples: clips to show at most.
    """
    cluster, names = found.clusters[number], found.gathered.labels.names
    shown = [_example(found.gathered.seen[i], root) for i in cluster.clips_N[:examples]]
    tall, wide = shown[0][0].shape[:2]
    height = max(1, round(WIDTH * tall / wide))
    frames_THWC = np.stack([_sized(frame, height) for frame, _, _ in shown])
    hot_THWC = np.stack([_blended(_sized(f, height), _sized(h, height)) for f, h, _ in shown])
    mean_HW = _enlarged(cluster.mean_thw.sum(axis=0), height)
    among = f"cluster {number + 1} of {len(found.clusters)}"
    title = f"suspicion {cluster.suspicion:.2f} · {among} · {len(cluster.clips_N)} clips · {_mix(cluster, names)}"
    words = " · ".join(cluster.reason.split("; "))
    sheet = Sheet(1 + len(shown), 2, WIDTH, height, head=4, foot=68, title=title, subtitle=words, at_least=720)
    ghost = np.rint(frames_THWC.mean(axis=0)).astype(np.uint8)
    sheet.picture(0, 0, _coloured(mean_HW))
    sheet.picture(0, 1, _blended(ghost, mean_HW))
    for column, (_, _, time_s) in enumerate(shown):
        sheet.picture(column + 1, 0, frames_THWC[column])
        sheet.picture(column + 1, 1, hot_THWC[column])
        x, y = sheet.corner(column + 1, 2)
        seen = found.gathered.seen[cluster.clips_N[column]]
        label = names[int(found.gathered.label_N[cluster.clips_N[column]])]
        sheet.text((x + WIDTH / 2, y + 4), label, 12, INK, "ma", limit=WIDTH)
        sheet.text((x + WIDTH / 2, y + 20), f"{seen.video_id} · {time_s:.2f} s", 11, FAINT, "ma", limit=WIDTH)
    x, y = sheet.corner(0, 2)
    sheet.text((x + WIDTH / 2, y + 4), "mean focus", 12, INK, "ma")
    sheet.text((x + WIDTH / 2, y + 20), "below: on the examples' mean", 11, FAINT, "ma", limit=WIDTH)
    key = Key("no heat ", "most heat", colours(LOOK.colour_map))
    draw_legend(sheet, 14, sheet.bottom + 46, [[key, Key("", "each picture to its own strongest place")]])
    return sheet.image


def class_sheet(found: Found) -> Image.Image:
    """The mean focus of all classes, and of each, those that look elsewhere first; one scale for all."""
    ranked = sorted(found.classes, key=lambda c: (not c.looks_elsewhere, -c.distance))[:MOST_CLASSES]
    names = found.gathered.labels.names
    mean_hw = np.mean([c.mean_thw.sum(axis=0) for c in found.classes], axis=0)
    maps = [mean_hw, *(c.mean_thw.sum(axis=0) for c in ranked)]
    full = max(float(m.max()) for m in maps)
    columns = min(6, len(maps))
    rows = -(-len(maps) // columns)
    height = height_of(HeatMap.load(found.gathered.seen[0].heat), WIDTH)
    left_out = len(found.classes) - len(ranked)
    more = f" · {left_out} classes more are not shown" if left_out else ""
    sheet = Sheet(
        columns, rows, WIDTH, height + 40, foot=28, at_least=720,
        title=f"Where each class looks · {found.gathered.method}{more}",
        subtitle="first the class that looks elsewhere most · number: share of its focus that would have to move to be "
        "the mean of all classes; then its clips",
    )  # fmt: skip
    for number, map_hw in enumerate(maps):
        column, row = number % columns, number // columns
        sheet.picture(column, row, _coloured(_enlarged(map_hw / full, height, normalised=True)))
        x, y = sheet.corner(column, row)
        one = ranked[number - 1]
        name = names[one.label] if number else "all classes"
        far = "elsewhere" if one.looks_elsewhere else "no more than chance"
        sub = f"{one.distance:.2f}, {far} · {one.clips}" if number else f"{len(found.gathered.seen)} clips"
        sheet.text((x + WIDTH / 2, y + height + 3), name, 12, INK, "ma", limit=WIDTH)
        sheet.text((x + WIDTH / 2, y + height + 19), sub, 11, FAINT, "ma", limit=WIDTH)
    key = Key("no heat ", "most heat", colours(LOOK.colour_map))
    draw_legend(sheet, 14, sheet.bottom + 4, [[key, Key("", "one scale for all")]])
    return sheet.image


def deciding_chart(found: Found, path: Path) -> Path:
    """Writes the chart: heat by tenth of the clip and best frames, by class; and best frames outside the action."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rows = list(found.deciding[: MOST_CLASSES + 1])
    names = ["all" if d.label < 0 else found.gathered.labels.names[d.label] for d in rows]
    known = any(d.known for d in rows)
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(11 if known else 8.2, 1.9 + 0.3 * len(rows)), layout="constrained")
        axes = figure.subplots(1, 3 if known else 2, sharey=True, width_ratios=[3, 3, 2] if known else [1, 1])
        share_RD = np.stack([d.share_D for d in rows]) * 100
        peaks_RD = np.stack([d.peaks_D for d in rows]) * 100
        for axis, values_RD, words in ((axes[0], share_RD, "heat (%)"), (axes[1], peaks_RD, "best frames (%)")):
            image = axis.imshow(values_RD, cmap="cividis", aspect="auto", vmin=0, interpolation="nearest")
            axis.set_title(f"{words} by tenth of the clip", loc="left", fontsize=10)
            axis.set_xticks([-0.5, 4.5, TENTHS - 0.5], ["start", "middle", "end"])
            axis.spines[:].set_visible(False)
            axis.axhline(0.5, color="white", lw=2.5)
            figure.colorbar(image, ax=axis, shrink=min(1.0, 4 / len(rows)), aspect=12, pad=0.02)
        shown = [n if len(n) <= 36 else n[:35] + "…" for n in names]
        axes[0].set_yticks(range(len(rows)), [f"{n} ({d.clips})" for n, d in zip(shown, rows, strict=True)])
        if known:
            _outside(axes[2], rows)
        figure.savefig(path, dpi=130, facecolor="white", metadata={"Software": None})
    return path


def _outside(axis: Any, rows: list[Any]) -> None:
    at = np.arange(len(rows))
    axis.barh(at, [100 * d.outside for d in rows], height=0.62, color="#0072b2", label="best frame")
    axis.plot([100 * d.outside_by_chance for d in rows], at, "D", color="#d55e00", ms=5, ls="", label="any frame")
    axis.set_title("outside the action (%)", loc="left", fontsize=10)
    axis.set_xlim(0, 100)
    axis.tick_params(axis="y", left=False)
    axis.legend(loc="upper left", bbox_to_anchor=(0, -0.09), ncols=2, frameon=False, fontsize=8, borderaxespad=0.4)


def _mix(cluster: Cluster, names: tuple[str, ...] | list[str]) -> str:
    parts = [f"{names[k]} {v:.0%}" for k, v in list(cluster.shares.items())[:3]]
    more = len(cluster.shares) - len(parts)
    return ", ".join(parts) + (f" and {more} more" if more else "")


def _example(seen: Seen, root: str) -> tuple[Picture, npt.NDArray[np.float32], float]:
    """The frame with the most heat, its heat, and its time; grey where the video is not there."""
    heat = HeatMap.load(seen.heat)
    best = int(np.maximum(heat.heat_THW, 0).sum(axis=(1, 2), dtype=np.float64).argmax())
    heat_HW = np.maximum(heat.heat_THW[best], 0)
    frame = np.full((*heat_HW.shape, 3), 128, np.uint8)
    if seen.path and root and not leaves_root(seen.path):
        try:
            with Walk(Path(root) / seen.path, Size(height=heat_HW.shape[0], width=heat_HW.shape[1])) as walk:
                frame = next((f.frame_HWC for f in walk.frames(start=int(heat.frame_index_T[best]))), frame)
        except SecondlookError:
            pass  # the heat is drawn on grey
    return frame, heat_HW, float(heat.frame_time_s_T[best])


def _sized(pixels: npt.NDArray[Any], height: int) -> npt.NDArray[Any]:
    how = Image.Resampling.LANCZOS if pixels.dtype == np.uint8 else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(pixels).resize((WIDTH, height), how))


def _enlarged(map_hw: Foci, height: int, *, normalised: bool = False) -> npt.NDArray[np.float32]:
    value_hw = map_hw if normalised else map_hw / max(float(map_hw.max()), np.finfo(np.float64).tiny)
    image = Image.fromarray(value_hw.astype(np.float32)).resize((WIDTH, height), Image.Resampling.BICUBIC)
    value_HW: npt.NDArray[np.float32] = np.asarray(image).clip(0, 1)
    return value_HW


def _coloured(value_HW: npt.NDArray[np.float32]) -> Picture:
    colour_HW3: Picture = colours(LOOK.colour_map)[np.rint(value_HW * 255).astype(np.uint8)]
    return colour_HW3


def _blended(frame_HWC: Picture, heat_HW: npt.NDArray[np.floating[Any]]) -> Picture:
    blended_HWC: Picture = blend(frame_HWC[None], heat_HW[None])[0]
    return blended_HWC
