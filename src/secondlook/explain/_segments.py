"""What a network predicts of parts of a video, beside what it predicts of the whole: which part the answer rests on.

`srtg-mtnet-classreg-visualisation`, item 91; after figure 5.1 of its source. A video of n frames is cut into parts of
`floor(n / parts)` frames (what is left over at the end is in the whole alone), and each part is sampled by the
network's own recipe as if it were a video.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import softmax  # type: ignore[import-untyped]

from secondlook.errors import BadValue
from secondlook.explain._hooks import clip_logits
from secondlook.explain._thumbnails import Frames, middles
from secondlook.figure_files import BLUE, GREEN, GREY, STYLE, save, short
from secondlook.labels import LabelSpace
from secondlook.predict.weights import LoadedModel
from secondlook.tables import UNLABELLED
from secondlook.video.clip import Clip
from secondlook.video.decode import decode
from secondlook.video.sample import Sampling, choose
from secondlook.video.transform import check_file, input_clip, to_input, working_size

MOST_PARTS = 12


@dataclass(frozen=True)
class SegmentPrediction:
    """What a network predicts of one stretch of a video."""

    start_s: float
    """When its first frame is shown."""
    end_s: float
    """When the frame after its last one would be."""
    logits_K: npt.NDArray[np.float32]
    frames_THWC: Frames
    """The frames the network saw."""
    whole: bool = False
    """The whole video, not a part."""

    @property
    def confidence_K(self) -> npt.NDArray[np.float64]:
        """Softmax of the logits."""
        confidence_K: npt.NDArray[np.float64] = softmax(self.logits_K.astype(np.float64))
        return confidence_K

    def top(self, at_most: int = 3) -> list[tuple[int, float]]:
        """The likeliest classes, best first: index and confidence."""
        confidence_K = self.confidence_K
        return [(int(k), float(confidence_K[k])) for k in np.argsort(-confidence_K, kind="stable")[:at_most]]


def segment_predictions(
    loaded: LoadedModel, path: str | Path, parts: int = 4, *, decode: Callable[..., Clip] = decode
) -> list[SegmentPrediction]:
    """Predictions for each of so many equal parts of a video, in order, and for the whole (centre crop), which is last.

    Args:
        loaded: a trained network.
        path: a video file or folder of frames.
        parts: how many.
        decode: `video.decode.decode`, or a guard's.

    Raises:
        BadValue: if there are more parts than frames or than `MOST_PARTS`, or the file gives no frames.
    """
    if isinstance(parts, bool) or not 1 <= parts <= MOST_PARTS:
        raise BadValue(parts, f"a video is cut in 1 to {MOST_PARTS} parts")
    spec = loaded.card.clip
    check_file(path, spec)
    whole = input_clip(path, spec, decode=decode)
    frames = whole.clip.frame_count
    length = frames // parts
    if not length:
        raise BadValue(parts, f"{Path(path).name} has no more than {frames} frames to cut in parts", "Give fewer.")
    own = Sampling.from_spec(spec)

    def stretch(number: int, of: int, size: int) -> Clip:
        """Every frame of one of the stretches of so many frames that follow each other."""
        every = Sampling(size, "tile", view=number, views=of)
        clip = decode(path, every, size=working_size(spec), frame_count=frames)
        if not clip.usable:
            raise BadValue(str(path), f"this video cannot be used ({clip.status}: {clip.reason})")
        return clip

    # Headers may name another rate than the frames have.
    last_s = float(stretch(frames - 1, frames, 1).frame_time_s_T[0])
    gap_s = last_s / max(1, frames - 1)
    found = []
    for part in range(parts):
        clip = stretch(part, parts, length)
        end_s = float(clip.frame_time_s_T[-1]) + gap_s
        seen = clip.pick(choose(own, length))
        logits_K = clip_logits(loaded.model, to_input(seen.frames_THWC, spec))
        found.append(SegmentPrediction(float(clip.frame_time_s_T[0]), end_s, logits_K, seen.frames_THWC))
    logits_K = clip_logits(loaded.model, whole.x_CTHW)
    return [*found, SegmentPrediction(0.0, last_s + gap_s, logits_K, whole.clip.frames_THWC, whole=True)]


def segments_figure(
    found: Sequence[SegmentPrediction],
    labels: LabelSpace,
    path: str | Path,
    *,
    given: int = UNLABELLED,
    top: int = 3,
    thumbnails: int = 3,
    title: str = "",
) -> Path:
    """Draws a row a part: time, thumbnails, its likeliest classes as bars; the whole video last, set apart by a line.

    Bars of the class that the whole is taken for, and of the given label, have colours of their own.

    Args:
        found: what `segment_predictions` gave.
        labels: the network's classes.
        path: .png, .svg or .pdf.
        given: the given label, if there is one.
        top: classes a row.
        thumbnails: frames a row.
        title: written above, such as the video's name.

    Raises:
        BadValue: if there is nothing to draw, or the format is unknown.
    """
    if not found or top < 1 or thumbnails < 1:
        raise BadValue((len(found), top, thumbnails), "a figure of parts needs a part, a class and a thumbnail")
    return save(draw(found, labels, given=given, top=top, thumbnails=thumbnails, title=title), path)


@mpl.rc_context(STYLE)
def draw(
    found: Sequence[SegmentPrediction],
    labels: LabelSpace,
    *,
    given: int = UNLABELLED,
    top: int = 3,
    thumbnails: int = 3,
    title: str = "",
) -> Figure:
    """The figure; see `segments_figure`."""
    best = found[-1].top(1)[0][0]
    height, width = found[-1].frames_THWC.shape[1:3]
    tall = max(0.95, 0.3 * top + 0.25)
    wide = min(tall * width / height, 2.2)
    figure = Figure(figsize=(0.9 + wide * thumbnails + 4.6, tall * len(found) + 0.9), layout="constrained")
    heights = [tall] * (len(found) - 1) + [0.06 * tall, tall]
    grid = figure.add_gridspec(
        len(heights), thumbnails + 1, width_ratios=[wide] * thumbnails + [4.6], height_ratios=heights
    )
    line = figure.add_subplot(grid[-2, :])
    line.axhline(0, color="black", lw=1.2)
    line.set_axis_off()
    for row, one in enumerate(found):
        row += row == len(found) - 1
        for column, frame in enumerate(middles(thumbnails, len(one.frames_THWC))):
            axes = figure.add_subplot(grid[row, column])
            axes.imshow(one.frames_THWC[frame])
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set_visible(False)
            if column == 0:
                words = f"{one.start_s:.1f} to {one.end_s:.1f} s"
                axes.set_ylabel(f"whole clip\n{words}" if one.whole else words, rotation=0, ha="right", va="center")
                axes.yaxis.label.set_fontweight("bold" if one.whole else "normal")
        _bars(figure.add_subplot(grid[row, thumbnails]), one, labels, (best, given), top)
    for index, colour, words in ((best, BLUE, "predicted for the whole"), (given, GREEN, "given label")):
        if index != UNLABELLED and not (index == given == best and colour == GREEN):
            said = f"{words}{' and given' if index == given == best else ''}: {short(labels.names[index])}"
            figure.axes[-1].barh([0], [0], color=colour, hatch="//" if colour == GREEN else "", label=said)
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def _bars(axes: Axes, one: SegmentPrediction, labels: LabelSpace, marked: tuple[int, int], top: int) -> None:
    best, given = marked
    for place, (index, confidence) in enumerate(one.top(top)):
        colour = BLUE if index == best else GREEN if index == given else GREY
        axes.barh(place, confidence * 100, height=0.62, color=colour, hatch="//" if colour == GREEN else "")
        axes.text(confidence * 100 + 1.5, place, f"{short(labels.names[index])}  {confidence:.0%}", va="center",
                  fontsize=9)  # fmt: skip
    axes.set_ylim(top - 0.4, -0.6)
    axes.set_xlim(0, 160)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines["bottom"].set_visible(False)
