"""People in a picture by a network of the user's own: an ONNX file that gives confidence maps and affinity fields."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from secondlook.errors import BadValue, MissingFile
from secondlook.video import skeleton as skeletons
from secondlook.video.part_affinity import parse
from secondlook.video.skeleton import People

_STRIDE = 8


class PoseEstimator:
    """Runs an OpenPose-like network and parses what it gives.

    The network takes `1 x 3 x H x W` and gives, as one output or as several that are put one behind the other in their
    order, J confidence maps, perhaps one more for the background, and 2 C affinity fields (across and down of each limb
    in turn): 77 or 78 maps for `body25`, in the order of `skeleton.BODY_25`. Onnxruntime runs it where it is installed
    (`pip install secondlook[export]`), else OpenCV. No network comes with secondlook: those that are published have
    terms of their own.

    Args:
        model: the ONNX file.
        skeleton: body25 or coco17.
        height: pictures are resized to so many pixels of height, their width to follow; both multiples of 8.
        scale: pixels in 0..255 are multiplied by it, after `mean` was subtracted.
        mean: subtracted from every channel.
        bgr: channels are given in the order blue, green, red, as OpenPose wants them.
        min_joints: people with fewer are left out.

    Raises:
        MissingFile: if there is no such file.
        BadValue: if it cannot be loaded, or a number is out of range.
    """

    def __init__(
        self,
        model: str | Path,
        skeleton: str = "body25",
        *,
        height: int = 368,
        scale: float = 1 / 255,
        mean: float = 0.0,
        bgr: bool = True,
        min_joints: int = 3,
    ) -> None:
        self.skeleton = skeletons.find(skeleton)
        if height < _STRIDE:
            raise BadValue(height, f"the network's pictures are at least {_STRIDE} pixels high")
        self._height, self._scale, self._mean, self._bgr = height, scale, mean, bgr
        self._min_joints = min_joints
        if not Path(model).is_file():
            cure = "Give an ONNX file of a pose network (none comes with secondlook), or key points with --keypoints."
            raise MissingFile(model, cure)
        try:
            self._run = _onnxruntime(Path(model)) or _opencv(Path(model))
        except Exception as error:  # both raise classes of their own
            raise BadValue(str(model), f"is no network that can be run ({str(error).splitlines()[0]})") from None

    def __call__(self, picture_HWC: npt.NDArray[np.uint8]) -> People:
        """The people in an RGB picture: `people_PJ3`, in its pixels.

        Raises:
            BadValue: if the network gives another number of maps than the skeleton needs.
        """
        height, width = picture_HWC.shape[:2]
        tall = max(1, round(self._height / _STRIDE)) * _STRIDE
        wide = max(1, round(width * tall / height / _STRIDE)) * _STRIDE
        x_1CHW = cv2.dnn.blobFromImage(
            picture_HWC, self._scale, (wide, tall), (self._mean,) * 3, swapRB=self._bgr, ddepth=cv2.CV_32F
        )
        outputs = [np.asarray(o, np.float32) for o in self._run(x_1CHW)]
        if not outputs or any(o.ndim != 4 or len(o) != 1 or o.shape[2:] != outputs[0].shape[2:] for o in outputs):
            raise BadValue([o.shape for o in outputs], "a pose network gives maps, 1 x maps x H x W, all of one size")
        maps_NHW = np.concatenate(outputs, 1)[0]
        joints, fields = len(self.skeleton.joints), 2 * len(self.skeleton.limbs)
        if len(maps_NHW) not in (joints + fields, joints + 1 + fields):
            rule = f"a network of {self.skeleton.name} gives {joints} or {joints + 1} and {fields} maps"
            raise BadValue(len(maps_NHW), rule)
        rows, columns = maps_NHW.shape[1:]
        people_PJ3 = parse(
            maps_NHW[:joints],
            maps_NHW[-fields:].reshape(-1, 2, rows, columns),
            self.skeleton,
            min_joints=self._min_joints,
        )
        # The middle of a cell of the map lies in the middle of the pixels it covers.
        known = people_PJ3[..., 2:] > 0
        cell = np.array([width / columns, height / rows], np.float32)
        people_PJ3[..., :2] = np.where(known, (people_PJ3[..., :2] + 0.5) * cell - 0.5, 0)
        return people_PJ3


def _onnxruntime(model: Path) -> Any:
    """A function from input to outputs; None where onnxruntime is not installed."""
    try:
        onnxruntime = importlib.import_module("onnxruntime")
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # processes share the cores
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x_1CHW: session.run(None, {name: x_1CHW})


def _opencv(model: Path) -> Any:
    network = cv2.dnn.readNetFromONNX(str(model))
    names = network.getUnconnectedOutLayersNames()

    def run(x_1CHW: npt.NDArray[np.float32]) -> Any:
        network.setInput(x_1CHW)
        return network.forward(names)

    return run
