"""Heat drawn over one clip's frames: a strip, a sheet of hotspots, one frame, an overlay film, a GIF (no torch).

The colour maps are safe for colour-blind readers: a perceptually uniform one for heat, red, white and blue for heat
with a sign (red: for the class, blue: against it). Opacity grows with the heat, so that cold places keep their natural
colours. `grid` sets heat maps beside each other, `relevance_bars` draws how much each frame holds.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image

from secondlook.cards import HeatMap
from secondlook.errors import BadValue
from secondlook.video.grid import UNTITLED, Caption, Panel, grid
from secondlook.video.heat_cells import choose, heated, height_of, plain, spotted, time_of
from secondlook.video.heat_colours import LOOK, Frames, Look, accent, speaks_about_time_alone
from secondlook.video.hotspots import THRESHOLD, Threshold, hotspots
from secondlook.video.legends import LINE, draw_legend, keys_of, lines_of
from secondlook.video.relevance_bars import relevance_a_frame
from secondlook.video.sheet import FAINT, INK, Sheet

LEAST = 440
"""Least width of a picture, in pixels: its title must fit."""


def strip(
    frames_THWC: Frames,
    heat: HeatMap,
    caption: Caption = UNTITLED,
    *,
    columns: int = 8,
    width: int = 176,
    look: Look = LOOK,
) -> Image.Image:
    """Filmstrip: sampled frames above, the same frames with heat below, time of each beneath (figures V8, V10).

    Under each time a bar says how much heat the frame holds, against the frame that holds most; for heat with a sign it
    goes from the middle to the right (for the class) and to the left (against it).

    Args:
        frames_THWC: the sampled frames, RGB, any size of the video's aspect.
        heat: explanation of these frames.
        caption: title and subtitle.
        columns: frames to show, evenly chosen; all if there are fewer.
        width: of one frame, in pixels.
        look: see `Look`.

    Raises:
        BadValue: if the number of frames differs, or there is none.
    """
    chosen = choose(frames_THWC, heat, columns)
    shown_THWC = plain(frames_THWC, heat, chosen, width)
    hot_THWC = heated(shown_THWC, heat, chosen, look, bar=False)
    legend = lines_of(keys_of([heat], look, what="clip"), max(len(chosen) * (width + 3), LEAST - 28))
    foot = 36 + LINE * len(legend)
    sheet = Sheet(
        len(chosen), 2, width, shown_THWC.shape[1], foot=foot, title=caption.title, subtitle=caption.subtitle,
        at_least=LEAST,
    )  # fmt: skip
    for_T, against_T = relevance_a_frame(heat)
    most = max(float(for_T.max(initial=0.0)), float(-against_T.min(initial=0.0)), np.finfo(np.float64).tiny)
    for column, t in enumerate(chosen):
        sheet.picture(column, 0, shown_THWC[column])
        sheet.picture(column, 1, hot_THWC[column])
        x, y = sheet.corner(column, 2)
        sheet.text((x + width / 2, y + 3), time_of(heat, t), 12, FAINT, "ma")
        against = float(-against_T[t]) / most if heat.signed else None
        colour = accent(look, 1.0, heat.signed)
        sheet.meter(column, y + 22, float(for_T[t]) / most, colour, against, accent(look, -1.0, heat.signed))
    draw_legend(sheet, 14, sheet.bottom + 36, legend)
    return sheet.image


def hotspot_sheet(
    frames_THWC: Frames,
    heat: HeatMap,
    caption: Caption = UNTITLED,
    *,
    columns: int = 8,
    width: int = 176,
    threshold: Threshold = THRESHOLD,
) -> Image.Image:
    """Every sampled frame with its hotspots, on one sheet that is read like a page (item R4).

    Beneath each frame stand its time and how many positions of the video's frame are hot.

    Args:
        frames_THWC: the sampled frames, RGB.
        heat: explanation of these frames.
        caption: title and subtitle.
        columns: frames in a row, at most; rows are of equal length where they can be.
        width: of one frame, in pixels.
        threshold: from where on a place is hot.

    Raises:
        BadValue: if the number of frames differs, or there is none.
    """
    every = choose(frames_THWC, heat, len(frames_THWC))
    across = -(-len(every) // -(-len(every) // columns))
    spots_THWC = spotted(plain(frames_THWC, heat, every, width), heat, every, threshold)
    number_T = hotspots(heat.heat_THW, threshold).sum(axis=(1, 2))
    height, lines = spots_THWC.shape[1], -(-len(every) // across)
    legend = lines_of(keys_of([], LOOK, threshold), max(across * (width + 3), LEAST - 28))
    sheet = Sheet(
        across, lines, width, height + 20, foot=8 + LINE * len(legend), title=caption.title, subtitle=caption.subtitle,
        at_least=LEAST,
    )  # fmt: skip
    for t in every:
        column, row = t % across, t // across
        sheet.picture(column, row, spots_THWC[t])
        x, y = sheet.corner(column, row)
        words = f"{time_of(heat, t)} · {number_T[t]:,} hot"
        sheet.text((x + width / 2, y + height + 3), words, 12, INK if number_T[t] else FAINT, "ma", limit=width)
    draw_legend(sheet, 14, sheet.bottom + 8, legend)
    return sheet.image


def frame_picture(
    frames_THWC: Frames,
    heat: HeatMap,
    caption: Caption = UNTITLED,
    *,
    at: int | None = None,
    width: int = 360,
    look: Look = LOOK,
    threshold: Threshold = THRESHOLD,
) -> Image.Image:
    """One frame as the network saw it, cropped, beside its heat and its hotspots (figure V8, item R4).

    Args:
        frames_THWC: the sampled frames, RGB.
        heat: explanation of these frames; its note `box` (top, left, height, width) says what the network saw.
        caption: title and subtitle.
        at: position among the sampled frames; None: the frame that holds most heat.
        width: of one picture, in pixels.
        look: see `Look`.
        threshold: from where on a place is hot.

    Raises:
        BadValue: if the number of frames differs, there is none, or `at` is none of them.
    """
    every = choose(frames_THWC, heat, len(frames_THWC))
    t = int(np.argmax(relevance_a_frame(heat)[0])) if at is None else at
    if t not in every:
        raise BadValue(t, f"must be a sampled frame, 0 to {len(every) - 1}")
    height, width_seen = heat.heat_THW.shape[1:]
    top, left, tall, wide = heat.notes.get("box", (0, 0, height, width_seen))
    scale = width / wide  # the whole frame is drawn so large that the crop has the width asked for
    whole_1HWC = plain(frames_THWC, heat, [t], max(1, round(width_seen * scale)))
    pictures = (whole_1HWC, heated(whole_1HWC, heat, [t], look), spotted(whole_1HWC, heat, [t], threshold))
    rows = slice(round(top * scale), max(round(top * scale) + 1, round((top + tall) * scale)))
    columns = slice(round(left * scale), round((left + wide) * scale))
    cells = [picture[0, rows, columns] for picture in pictures]
    number = int(hotspots(heat.heat_THW, threshold)[t].sum())
    names = (f"seen at {time_of(heat, t)}", "heat", f"hotspots: {number:,} positions")
    legend = lines_of(keys_of([heat], look, threshold, what="clip"), 3 * width)
    sheet = Sheet(
        3, 1, cells[0].shape[1], len(cells[0]), head=22, foot=8 + LINE * len(legend), title=caption.title,
        subtitle=caption.subtitle,
    )  # fmt: skip
    for column, (cell_HWC, name) in enumerate(zip(cells, names, strict=True)):
        sheet.picture(column, 0, cell_HWC)
        x, y = sheet.corner(column, 0)
        sheet.text((x + sheet.width / 2, y - 6), name, 12, INK, "md", limit=sheet.width)
    draw_legend(sheet, 14, sheet.bottom + 8, legend)
    return sheet.image


def layer_grid(
    frames_THWC: Frames,
    heats: Mapping[str, HeatMap],
    caption: Caption = UNTITLED,
    *,
    rows: int = 6,
    width: int = 176,
    look: Look = LOOK,
) -> Image.Image:
    """Rows are frames in time order, columns the original and one layer each (figures V9, V11, V12): see `grid.grid`.

    Args:
        frames_THWC: the sampled frames, RGB.
        heats: heading of a column -> explanation of these frames there, from input to head.
        caption: title and subtitle.
        rows: frames to show, evenly chosen; all if there are fewer.
        width: of one frame, in pixels.
        look: see `Look`; every column is normalised on its own.

    Raises:
        BadValue: if there is no heat map, or the number of frames differs.
    """
    return grid([Panel(frames_THWC, heats)], caption, rows=rows, width=width, look=look)


def side_by_side(
    frames_THWC: Frames,
    heat: HeatMap,
    caption: Caption = UNTITLED,
    *,
    width: int = 320,
    look: Look = LOOK,
    threshold: Threshold | None = None,
) -> Frames:
    """Every sampled frame beside its overlay, with the title and the frame's time beneath; even height and width.

    Args:
        frames_THWC: the sampled frames, RGB.
        heat: explanation of these frames.
        caption: its title is written.
        width: of one frame, in pixels.
        look: see `Look`.
        threshold: a third picture shows the hotspots.

    Raises:
        BadValue: if the number of frames differs, or there is none.
    """
    every = choose(frames_THWC, heat, len(frames_THWC))
    shown_THWC = plain(frames_THWC, heat, every, width)
    columns = [shown_THWC, heated(shown_THWC, heat, every, look)]
    if threshold is not None and not speaks_about_time_alone(heat):
        columns.append(spotted(shown_THWC, heat, every, threshold))
    height = height_of(heat, width)
    spots = threshold if len(columns) == 3 else None
    keys = keys_of([heat], look, spots) if heat.signed or speaks_about_time_alone(heat) or spots else []
    legend = lines_of(keys, len(columns) * width - 16)
    pictures = []
    for t in every:
        sheet = Sheet(
            len(columns), 1, width, height, gap=4, margin=0, foot=26 + LINE * len(legend) + (6 if legend else 0),
            paper=INK,
        )  # fmt: skip
        for column, pictures_THWC in enumerate(columns):
            sheet.picture(column, 0, pictures_THWC[t])
        sheet.text((sheet.right - 8, height + 13), time_of(heat, t), 13, (161, 161, 170), "rm")
        sheet.text((8, height + 13), caption.title, 13, (244, 244, 245), "lm", limit=sheet.right - 90)
        draw_legend(sheet, 8, height + 26, legend, (161, 161, 170))
        pictures.append(np.asarray(sheet.image))
    made_THWC = np.stack(pictures)
    return made_THWC[:, : made_THWC.shape[1] // 2 * 2, : made_THWC.shape[2] // 2 * 2]
