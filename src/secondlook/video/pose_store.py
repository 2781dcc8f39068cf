"""Pose of a video as a video of its own: skeletons on black, at the size and times of its frames."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from secondlook.errors import BadValue, MissingFile
from secondlook.video import _mark, _pictures, decode, keypoints, skeleton
from secondlook.video._read import UNKNOWN_RATE
from secondlook.video.clip import Clip, Size, failed
from secondlook.video.encode import VideoWriter
from secondlook.video.walk import Walk

_MARK = "secondlook pose "
_CRF, _GOP = 12, 8


@dataclass(frozen=True)
class PoseMaking:
    """Where the pose of each video comes from; plain values, kept in the table and, as a hash, in every file.

    Raises:
        BadValue: if there is not exactly one source, or a number is out of range.
        MissingFile: if the source is not there.
    """

    keypoints: str | None = None
    """Folder of key points, see `keypoints.find` and `keypoints.read`."""
    estimator: str | None = None
    """ONNX file of a network, see `PoseEstimator`."""
    pictures: bool = False
    """Take the pose pictures of folders of frames as they are."""
    skeleton: str = "body25"
    """Of the network; key points say themselves what they are of."""
    threshold: float = 0.1
    """Joints of lower confidence are not drawn."""

    task: ClassVar[str] = "pose"

    def __post_init__(self) -> None:
        skeleton.find(self.skeleton)
        given = [name for name in ("keypoints", "estimator", "pictures") if getattr(self, name)]
        if len(given) != 1:
            cure = (
                "Give --keypoints FOLDER (of OpenPose or COCO key points), --estimator FILE.onnx (a network of your "
                "own; none comes with secondlook), or --pictures."
            )
            raise BadValue(given, "pose comes from exactly one source", cure)
        if not 0 <= self.threshold <= 1:
            raise BadValue(self.threshold, "threshold is a confidence and must lie in [0, 1]")
        if self.keypoints and not Path(self.keypoints).is_dir():
            raise MissingFile(self.keypoints, "It should hold a file or folder of key points for each video.")
        if self.estimator and not Path(self.estimator).is_file():
            raise MissingFile(self.estimator, "Give an ONNX file of a pose network; none comes with secondlook.")

    def about(self) -> dict[str, Any]:
        """What the new table says: that its pictures are RGB, and what they show."""
        return {"modality": "rgb", "shows": "pose"}

    def arguments(self, video_id: str, listed: str) -> dict[str, Any]:
        """The settings, with the key points of this very video ("" where there are none)."""
        if not self.keypoints:
            return asdict(self)
        found = keypoints.find(Path(self.keypoints), video_id, listed)
        return {**asdict(self), "of_video": "" if found is None else str(found)}

    def is_made(self, source: Path, target: Path, arguments: Mapping[str, Any]) -> bool:
        """Whether `target` shows this very pose (source and key points by name, bytes and time of change)."""
        key = self.key(source, arguments.get("of_video"))
        return bool(key) and _mark.read(target, _MARK).get("key") == key

    def key(self, source: Path, of_video: str | None) -> str:
        """Hash of the settings and of the stamps of all that the pose comes from."""
        sources = [_mark.stamps(source, "pose" if self.pictures else None)]
        if of_video is not None:
            sources.append([_mark.stamp(path) for path in keypoints.files(Path(of_video))] if of_video else [])
        if self.estimator:
            sources.append([_mark.stamp(Path(self.estimator))])
        return _mark.key_of(asdict(self), *sources)


def pose_file(source: str | Path, target: str | Path, *, of_video: str | None = None, **settings: Any) -> Clip:
    """Draws the pose of one video and writes it; does nothing where that was done.

    Every frame of the video has its picture; one without key points is black, and the status is then `partial`.

    Args:
        source: video file or folder of frames.
        target: mp4 file to write; it appears only when it is whole. Odd sizes are filled up to even ones.
        of_video: the key points of this video; "" where there are none.
        **settings: fields of `PoseMaking`.

    Returns:
        A clip without frames, with facts of the new file and the status and reason of the source; of a source that
        cannot be used, only the latter.
    """
    source, target, wish = Path(source), Path(target), PoseMaking(**settings)
    key = wish.key(source, of_video)
    kept = _mark.read(target, _MARK)
    if key and kept.get("key") == key:
        return _mark.facts(target, kept["status"], kept["reason"])
    if wish.pictures:
        refused = _pictures.refusal(source, "pose") if source.is_dir() else failed("no_frames", "is no folder")
        if refused is not None:
            return refused
        status, reason, count, fps = "ok", "", len(_mark.stamps(source, "pose")), UNKNOWN_RATE
        shown: Iterator[_Shown] = ((p, i / fps) for i, p in enumerate(_pictures.pixels(source, Size(), "pose")))
    else:
        before = decode.probe(source)
        if not before.usable:
            return before
        status, reason, count, fps = before.status, before.reason, before.frame_count, before.fps
        if of_video == "":
            return failed("missing", "there are no key points of this video")
        if of_video:
            found = keypoints.read(of_video)
            if len(found.frames) != count:
                lacking = f"key points of {len(found.frames)} frames, the video has {count}"
                status, reason = "partial", f"{reason}; {lacking}" if reason else lacking
            shown = _drawn(source, found.skeleton, wish.threshold, _listed(found))
        else:
            estimate = _estimator(str(wish.estimator), wish.skeleton)
            shown = _drawn(source, estimate.skeleton, wish.threshold, lambda _, picture_HWC: estimate(picture_HWC))
    about = _MARK + json.dumps({"key": key, "status": status, "reason": reason})
    with VideoWriter(target, fps, crf=_CRF, gop=_GOP, fast_decode=True, comment=about) as writer:
        for picture_HWC, time_s in shown:
            writer.write(picture_HWC, time_s)
    after = _mark.facts(target, status, reason)
    if after.frame_count != count:
        target.unlink()
        return failed("unreadable", f"pose came out for {after.frame_count} of {count} frames")
    return after


_Shown = tuple[npt.NDArray[np.uint8], float]
_People = Callable[[int, npt.NDArray[np.uint8]], skeleton.People]


def _drawn(source: Path, body: skeleton.Skeleton, threshold: float, people_of: _People) -> Iterator[_Shown]:
    with Walk(source) as walk:
        for frame in walk.frames():
            people_PJ3 = people_of(frame.index, frame.frame_HWC)
            yield skeleton.draw(people_PJ3, body, *frame.frame_HWC.shape[:2], threshold=threshold), frame.time_s


def _listed(found: keypoints.Keypoints) -> _People:
    nobody = np.zeros((0, len(found.skeleton.joints), 3), np.float32)
    return lambda index, _: found.frames[index] if index < len(found.frames) else nobody


@lru_cache(maxsize=1)
def _estimator(model: str, body: str) -> Any:
    from secondlook.video.pose_estimator import PoseEstimator

    return PoseEstimator(model, body)
