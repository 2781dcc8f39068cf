"""What a video costs in all its views, and how memory can be paid with time."""

from __future__ import annotations

from dataclasses import dataclass

from secondlook.errors import BadValue


@dataclass(frozen=True)
class Execution:
    """One way to run the V views of a video: so many at once, so many times."""

    name: str
    """parallel, mixed or sequential."""
    at_once: int
    rounds: int
    macs_in_a_row: int
    """`rounds x MACs of a view`: what is waited for, were the views of a round free of one another."""
    parameter_copies: int
    """`at_once x parameters`: memory as the source tells it, a network for each view."""
    activation_bytes: int
    """Held at the peak of a round, weights aside."""


@dataclass(frozen=True)
class VideoCost:
    """`clips x crops x GMACs`: papers print it as "GMACs x views"."""

    clips: int
    crops: int
    macs_per_view: int
    executions: tuple[Execution, ...]
    """From all views at once to one after the other."""

    @property
    def views(self) -> int:
        """V."""
        return self.clips * self.crops

    @property
    def macs(self) -> int:
        """Of the video; the same however it is run."""
        return self.views * self.macs_per_view


def video_cost(
    macs_per_view: int, clips: int, crops: int = 1, *, parameters: int = 0, activation_bytes: int = 0
) -> VideoCost:
    """Multiplies the cost of a view by the views of a video (late-temporal-bert 3.6; srtg-mtnet 4.5).

    Nets that see different lengths are only compared fairly over the whole video: 64 frames are four clips of a net of
    16. They may run in one batch (memory times four), one after the other (time times four), or in between; the work
    is the same. The source tells memory as copies of the parameters, which in truth are held once: what grows with the
    batch is the activations.

    Args:
        macs_per_view: of one clip and crop.
        clips: temporal clips of the video.
        crops: spatial crops of each.
        parameters: of the network.
        activation_bytes: of one view at the peak of inference.

    Raises:
        BadValue: if there is no view.
    """
    if clips < 1 or crops < 1:
        raise BadValue(f"{clips}x{crops}", "a video needs at least one clip and one crop")
    views = clips * crops
    executions = tuple(
        Execution(
            "parallel" if at_once == views else "sequential" if at_once == 1 else "mixed",
            at_once,
            views // at_once,
            macs_per_view * (views // at_once),
            parameters * at_once,
            activation_bytes * at_once,
        )
        for at_once in range(views, 0, -1)
        if views % at_once == 0
    )
    return VideoCost(clips, crops, macs_per_view, executions)


def clips_of(video_frames: int, frames: int, stride: int = 1) -> int:
    """Clips that a video holds without overlap: `floor(video_frames / (frames * stride))`, at least 1.

    Raises:
        BadValue: if the video has no frame.
    """
    if video_frames < 1:
        raise BadValue(video_frames, "a video has at least one frame", "Give --video-frames 64.")
    return max(1, video_frames // (frames * stride))
