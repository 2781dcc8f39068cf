"""What one moment of a video looks like in every modality that is at hand: RGB, flow across and down, pose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from secondlook.errors import BadValue
from secondlook.video import _read, _refuse, _stacked, frame_folder
from secondlook.video.clip import Size
from secondlook.video.walk import Walk


def holds_flow(path: str | Path) -> bool:
    """Whether a video, or a folder of pictures, holds flow; False for what cannot be opened."""
    path = Path(path)
    if _refuse.before_opening(path) is not None:
        return False
    if path.is_dir():
        return frame_folder.frames_of(path).kind == "flow"
    try:
        with _read.open_container(path) as container:
            return _read.comment_of(container).startswith(_stacked.MARK)
    except _read.ERRORS:
        return False


def pictures_of(
    index: int,
    *,
    rgb: str | Path | None = None,
    flow: str | Path | None = None,
    pose: str | Path | None = None,
    size: Size | None = None,
) -> dict[str, npt.NDArray[np.uint8]]:
    """One frame as pictures `H x W x 3`, by modality: `rgb`, `flow_x`, `flow_y` (gray, 128 is no motion), `pose`.

    The files are those of the row of one video in three tables. A folder of frames that holds several modalities may be
    given for each of them.

    Args:
        index: of the frame; 0 is the first.
        rgb: video file or folder; None leaves its picture out, as with the others.
        flow: made by `secondlook flow`, or a folder of flow_x and flow_y pictures.
        pose: made by `secondlook pose`, or a folder of pose pictures.
        size: working size.

    Raises:
        MissingFile: if a file, or a picture of a folder, is not there.
        BadValue: if a video has no such frame, cannot be used, or what is given as flow is none.
    """
    found: dict[str, npt.NDArray[np.uint8]] = {}
    if rgb is not None:
        found["rgb"] = _frame(Path(rgb), "rgb", index, size)
    if flow is not None:
        picture_HWC = _frame(Path(flow), "flow", index, size)
        for name, channel in (("flow_x", 0), ("flow_y", 1)):
            found[name] = np.repeat(picture_HWC[..., channel : channel + 1], 3, axis=-1)
    if pose is not None:
        found["pose"] = _frame(Path(pose), "pose", index, size)
    return found


def _frame(path: Path, kind: frame_folder.Kind, index: int, size: Size | None) -> npt.NDArray[np.uint8]:
    if index < 0:
        raise BadValue(index, "frames are counted from 0")
    if path.is_dir():
        # A folder of frames of one modality need not call them by that modality's name.
        named = kind if frame_folder.frames_of(path, kind).files else None
        frames_THWC = frame_folder.read(path, named or "rgb", size)
        if index < len(frames_THWC) and (kind != "flow" or named):
            picture_HWC: npt.NDArray[np.uint8] = frames_THWC[index]
            return picture_HWC
    elif kind == "flow" and path.exists() and not holds_flow(path):
        raise BadValue(str(path), "holds no flow", "Make it with `secondlook flow`.")
    else:
        with Walk(path, size) as walk:
            for shown in walk.frames():
                if shown.index == index:
                    return shown.frame_HWC
    raise BadValue(index, f"{path.name} has no such {kind} frame")
