"""A pose network made by hand: red is the neck, green the right shoulder, magenta the right elbow, blue the limbs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

JOINTS, MAPS = 25, 25 + 1 + 52
NECK, SHOULDER, ELBOW = 1, 2, 3


def write_network(path: Path, maps: int = MAPS) -> Path:
    """Maps of an eighth of the picture's size; blue is a limb that points right. Channels come as blue, green, red."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = np.zeros((maps, 3, 1, 1), np.float32)
    bias = np.zeros(maps, np.float32)
    weight[NECK, :, 0, 0] = -1, -1, 1
    weight[SHOULDER, :, 0, 0] = -1, 1, -1
    weight[ELBOW, :, 0, 0], bias[ELBOW] = (1, -1, 1), -1
    for limb in (1, 3):  # neck to shoulder, shoulder to elbow: across
        if maps == MAPS:
            weight[26 + 2 * limb, :, 0, 0] = 1, 0, 0
    nodes = [
        helper.make_node("AveragePool", ["x"], ["small"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Conv", ["small", "weight", "bias"], ["raw"], kernel_shape=[1, 1]),
        helper.make_node("Relu", ["raw"], ["maps"]),
    ]
    graph = helper.make_graph(
        nodes,
        "pose",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, [1, maps, "a", "b"])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


def somebody(height: int = 64, width: int = 96, top: int = 24) -> np.ndarray:
    """Neck at the left, shoulder in the middle, elbow at the right, and what joins them."""
    picture_HWC = np.zeros((height, width, 3), np.uint8)
    picture_HWC[top : top + 8, 8:88] = 0, 0, 255
    picture_HWC[top : top + 8, 8:16] = 255, 0, 0
    picture_HWC[top : top + 8, 40:48] = 0, 255, 0
    picture_HWC[top : top + 8, 80:88] = 255, 0, 255
    return picture_HWC
