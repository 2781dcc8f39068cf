"""From decoded frames to the network's input: resize, crop, modality, normalise; and where in the source it lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from secondlook.cards import ClipSpec
from secondlook.errors import BadValue, UnknownName
from secondlook.video import decode as _decode
from secondlook.video.clip import Clip, Size
from secondlook.video.modalities import holds_flow
from secondlook.video.sample import Sampling

MIRRORED = "_mirrored"
_PLACES = {
    "center": (0.5, 0.5),
    "left": (0.5, 0.0),
    "right": (0.5, 1.0),
    "top": (0.0, 0.5),
    "bottom": (1.0, 0.5),
    "top_left": (0.0, 0.0),
    "top_right": (0.0, 1.0),
    "bottom_left": (1.0, 0.0),
    "bottom_right": (1.0, 1.0),
}
_FIVE = ("center", "top_left", "top_right", "bottom_left", "bottom_right")
_CROPS = {1: ("center",), 3: ("left", "center", "right"), 5: _FIVE, 10: (*_FIVE, *(f + MIRRORED for f in _FIVE))}
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Box:
    """A part of a frame, in pixels of the source video as shown; not rounded."""

    top: float
    left: float
    height: float
    width: float


def working_size(spec: ClipSpec) -> Size:
    """Size at which frames are decoded for a recipe: its short side; its frame size; its own where it squashes."""
    if spec.fit == "squash":
        return Size(height=spec.height, width=spec.width)
    if spec.frame_size is not None:
        return Size(height=spec.frame_size[0], width=spec.frame_size[1])
    return Size(short_side=spec.short_side)


def crop_names(spec: ClipSpec, crops: int, *, directional: bool = False) -> tuple[str, ...]:
    """Names of the crops of one clip in test.

    1: the centre. 3: left, centre, right; in an upright video these lie along its height (left is the top). 5: centre
    and the four corners. 10: those five, and the five mirrored (late-temporal-bert, 3.1). A recipe that squashes the
    whole frame has one.

    Args:
        spec: the recipe.
        crops: how many.
        directional: True where a mirrored clip has another label; then there are no ten crops.

    Raises:
        BadValue: if there is no such number of crops, or mirrored ones would change labels.
    """
    if crops not in _CROPS:
        raise BadValue(crops, f"crops must be one of {', '.join(map(str, _CROPS))}")
    if spec.fit == "squash":
        return ("center",)
    if crops == 10 and directional:
        raise BadValue(crops, "five of the ten crops are mirrored, which changes labels of this dataset", "Give 5.")
    return _CROPS[crops]


def to_input(frames_THWC: npt.NDArray[np.uint8] | Tensor, spec: ClipSpec, crop: str = "center") -> Tensor:
    """The network's input for decoded frames: `x_CTHW`, float32, exactly `spec.frames x spec.height x spec.width`.

    Frames at another size than the recipe's working size are resized (bilinear, antialiased) first.

    Raises:
        BadValue: if the number of frames is not the recipe's.
        UnknownName: if there is no such crop.
    """
    if len(frames_THWC) != spec.frames:
        raise BadValue(len(frames_THWC), f"this recipe takes {spec.frames} frames")
    x_TCHW = cut(frames_THWC, spec, crop.removesuffix(MIRRORED))
    return normalise(mirror(x_TCHW, spec.modality) if crop.endswith(MIRRORED) else x_TCHW, spec)


def cut(frames_THWC: npt.NDArray[np.uint8] | Tensor, spec: ClipSpec, crop: str = "center") -> Tensor:
    """The recipe's part of each frame, `frames_TCHW`, uint8; resized only where the frames are not at working size.

    Raises:
        UnknownName: if there is no such crop.
    """
    height, width = frames_THWC.shape[1:3]
    working = fitting(spec, height, width)
    top, left = _corner(spec, *working, crop)
    if working == (height, width):
        return to_tensor(frames_THWC[:, top : top + spec.height, left : left + spec.width])
    resized_TCHW = resize(to_tensor(frames_THWC), *working)
    return resized_TCHW[:, :, top : top + spec.height, left : left + spec.width]


def crop_box(spec: ClipSpec, source_height: int, source_width: int, crop: str = "center") -> Box:
    """Where in the source frame the network's input comes from; a mirrored crop has the box of its twin.

    Raises:
        UnknownName: if there is no such crop.
    """
    height, width = fitting(spec, source_height, source_width)
    top, left = _corner(spec, height, width, crop.removesuffix(MIRRORED))
    down, across = source_height / height, source_width / width
    return Box(top * down, left * across, spec.height * down, spec.width * across)


def fitting(spec: ClipSpec, height: int, width: int) -> tuple[int, int]:
    """Working height and width of a frame; larger than `short_side` says where the crop would not fit otherwise."""
    working = working_size(spec).of(height, width)
    if working[0] >= spec.height and working[1] >= spec.width:
        return working
    scale = max(spec.height / height, spec.width / width)
    return max(spec.height, round(height * scale)), max(spec.width, round(width * scale))


def _corner(spec: ClipSpec, height: int, width: int, place: str) -> tuple[int, int]:
    if place not in _PLACES:
        raise UnknownName("crop", place, _PLACES)
    down, across = _PLACES[place]
    if height > width and place in ("left", "right"):
        down, across = across, down
    return int(down * (height - spec.height)), int(across * (width - spec.width))


def to_tensor(frames_THWC: npt.NDArray[np.uint8] | Tensor) -> Tensor:
    """`frames_TCHW`, uint8, channels last in memory; arrays are copied, so that a memory map can go away."""
    if isinstance(frames_THWC, Tensor):
        return frames_THWC.permute(0, 3, 1, 2)
    return torch.from_numpy(np.array(frames_THWC, order="C")).permute(0, 3, 1, 2)


def resize(frames_TCHW: Tensor, height: int, width: int) -> Tensor:
    """Frames at another size: bilinear, antialiased where they shrink; uint8 stays uint8."""
    if frames_TCHW.shape[-2:] == (height, width):
        return frames_TCHW
    return functional.interpolate(frames_TCHW, (height, width), mode="bilinear", antialias=True, align_corners=False)


def mirror(frames_TCHW: Tensor, modality: str) -> Tensor:
    """Frames left to right; of flow, the motion across turns round too: `255 - x` in 8 bit, `1 - x` in [0, 1].

    Every mirror image in the house is made here, before `normalise`: a flipped flow whose x kept its sign would show a
    motion that no camera could have seen.

    Args:
        frames_TCHW: uint8, or floating point in 0..1; of flow, channel 0 is the motion across.
        modality: of the recipe.
    """
    mirrored_TCHW = frames_TCHW.flip(-1)
    if modality == "flow":
        mirrored_TCHW[:, 0] = (1.0 if frames_TCHW.is_floating_point() else 255) - mirrored_TCHW[:, 0]
    return mirrored_TCHW


def luma(frames_TCHW: Tensor) -> Tensor:
    """Brightness `Y = 0.299 R + 0.587 G + 0.114 B` (ITU-R BT.601), `T x H x W`."""
    red_THW, green_THW, blue_THW = frames_TCHW.unbind(1)
    return _LUMA[0] * red_THW + _LUMA[1] * green_THW + _LUMA[2] * blue_THW


def normalise(frames_TCHW: Tensor, spec: ClipSpec) -> Tensor:
    """`x_CTHW = (value - mean) / std`, where value is the recipe's modality of the frames.

    Args:
        frames_TCHW: uint8 in 0..255, or floating point in 0..1.
        spec: the recipe.

    * rgb: the three channels in [0, 1].
    * luma_difference: brightness `Y` in [0, 1] (`luma`), and `Y[t] - Y[t - 1]` between sampled frames, 0 for the first.
    * flow: the first two channels in [0, 1], motion across and down; 128 of 255 is none (`flow.encode`).
    """
    value_TCHW = frames_TCHW.float()
    scale = 1.0 if frames_TCHW.is_floating_point() else 1.0 / 255.0
    if spec.modality == "luma_difference":
        luma_THW = luma(value_TCHW)
        change_THW = torch.zeros_like(luma_THW)
        change_THW[1:] = luma_THW[1:] - luma_THW[:-1]
        value_TCHW = torch.stack([luma_THW, change_THW], dim=1)
    elif spec.modality == "flow":
        value_TCHW = value_TCHW[:, :2]
    std_C = value_TCHW.new_tensor(spec.std)
    mean_C = value_TCHW.new_tensor(spec.mean)
    x_TCHW = value_TCHW * (scale / std_C)[:, None, None] - (mean_C / std_C)[:, None, None]
    return x_TCHW.transpose(0, 1).contiguous()


def check_file(path: str | Path, spec: ClipSpec) -> None:
    """Refuses a video that does not hold what a recipe is of; files that cannot be opened are left to the decoder.

    Raises:
        BadValue: if the file holds flow and the recipe wants RGB, or the other way round.
    """
    if not Path(path).exists() or holds_flow(path) == (spec.modality == "flow"):
        return
    if spec.modality == "flow":
        raise BadValue(str(path), "is no flow, and this recipe is of flow", "Make it with `secondlook flow`.")
    raise BadValue(str(path), f"holds flow, and this recipe is of {spec.modality}", "Give the video it was made of.")


@dataclass(frozen=True)
class InputClip:
    """A network's input with where it comes from."""

    x_CTHW: Tensor
    clip: Clip
    """The sampled frames at working size, their indices and times, and the video's facts."""
    box: Box
    """Part of the source frame that the input shows."""
    crop: str


def input_clip(
    path: str | Path,
    spec: ClipSpec,
    *,
    crop: str = "center",
    view: int = 0,
    views: int = 1,
    decode: Callable[..., Clip] = _decode.decode,
) -> InputClip:
    """Decodes one view of a video and makes the network's input of it.

    Args:
        path: video file or folder of frames.
        spec: the model's recipe.
        crop: one of `crop_names`.
        view: which of `views` clips.
        views: how many clips the video is seen in.
        decode: `decode.decode`, or the same of a `Guard` or a `FrameCache`.

    Raises:
        BadValue: with the reason, if the video cannot be used, or holds flow and the recipe is of RGB, or vice versa.
    """
    check_file(path, spec)
    clip = decode(path, Sampling.from_spec(spec, view, views), size=working_size(spec))
    if not clip.usable:
        raise BadValue(str(path), f"this video cannot be used ({clip.status}: {clip.reason})")
    box = crop_box(spec, clip.source_height, clip.source_width, crop)
    return InputClip(to_input(clip.frames_THWC, spec, crop), clip, box, crop)
