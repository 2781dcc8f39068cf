"""Optical flow of two pictures behind one interface, and flow as 8-bit pictures.

Legend: H x W pixels; `flow_HW2` holds, for each pixel of the first picture, how far it moved to the right (0) and down
(1), in pixels: `second(x + u, y + v) = first(x, y)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from secondlook.errors import BadValue, UnknownName
from secondlook.video.horn_schunck import horn_schunck

Picture = npt.NDArray[np.uint8]
Flow = npt.NDArray[np.float32]
Estimate = Callable[[Picture, Picture], Flow]

BOUND = 20.0
"""Displacements are kept up to so many pixels along each axis (late-temporal-bert, 3.2.6 of the thesis)."""
ZERO = 128
"""The 8-bit value of no motion: 127.5, rounded to even."""
TV_L1: Mapping[str, Any] = {
    "tau": 0.25, "lambda_": 0.15, "theta": 0.3, "nscales": 5, "scaleStep": 0.5, "warps": 5, "epsilon": 0.01,
    "medianFiltering": 5,
}  # fmt: skip
"""Parameters of TV-L1 for pictures in 0..255 (late-temporal-bert, 1.27). It does not say how much smaller a scale is
than the one before: half as large, so that five of them reach motions of 20 pixels (OpenCV's own 0.8 does not)."""
FARNEBACK: Mapping[str, Any] = {
    "pyr_scale": 0.5, "levels": 5, "winsize": 15, "iterations": 3, "poly_n": 5, "poly_sigma": 1.1, "flags": 0,
}  # fmt: skip
_SMALLEST = 32


def methods() -> tuple[str, ...]:
    """Names of the methods; the first is the default.

    `dis`: dense inverse search [Kroeger 2016], preset medium: quick. `tvl1`: total variation and L1 [Zach 2007], what
    two-stream networks were mostly trained on; some fifty times slower. `farneback`: polynomial expansion
    [Farneback 2003]. `horn_schunck`: the quadratic baseline, see `horn_schunck`.
    """
    return tuple(_MAKERS)


def estimator(method: str = "dis", **options: Any) -> Estimate:
    """A function of two gray 8-bit pictures `H x W` that gives `flow_HW2` from the first to the second, float32.

    Pictures with a side below 32 pixels are filled up by repeating their borders meanwhile.

    Args:
        method: one of `methods`.
        **options: of the method, in place of `TV_L1`, `FARNEBACK` or the parameters of `horn_schunck`; `dis` has none.

    Raises:
        UnknownName: if there is no such method.
        BadValue: from the estimator, if the pictures are not two gray 8-bit ones of one size.
    """
    if method not in _MAKERS:
        raise UnknownName("flow method", method, _MAKERS)
    estimate = _MAKERS[method](**options)

    def checked(first_HW: Picture, second_HW: Picture) -> Flow:
        for picture_HW in (first_HW, second_HW):
            if picture_HW.ndim != 2 or picture_HW.dtype != np.uint8 or picture_HW.shape != first_HW.shape:
                raise BadValue(
                    f"{picture_HW.shape} {picture_HW.dtype}", "flow is between two gray 8-bit pictures of one size"
                )
        height, width = first_HW.shape
        more = ((0, max(0, _SMALLEST - height)), (0, max(0, _SMALLEST - width)))
        if any(after for _, after in more):
            first_HW, second_HW = (np.pad(p, more, mode="edge") for p in (first_HW, second_HW))
        flow_HW2 = estimate(np.ascontiguousarray(first_HW), np.ascontiguousarray(second_HW))
        return np.ascontiguousarray(flow_HW2[:height, :width], dtype=np.float32)

    return checked


def _dis() -> Estimate:
    search: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def estimate(first_HW: Picture, second_HW: Picture) -> Flow:
        flow_HW2: Flow = search.calc(first_HW, second_HW, None)
        return flow_HW2

    return estimate


def _tv_l1(**options: Any) -> Estimate:
    made: Any = cv2.optflow
    solver = made.DualTVL1OpticalFlow_create(**{**TV_L1, **options})

    def estimate(first_HW: Picture, second_HW: Picture) -> Flow:
        flow_HW2: Flow = solver.calc(first_HW, second_HW, None)
        return flow_HW2

    return estimate


def _farneback(**options: Any) -> Estimate:
    wanted = {**FARNEBACK, **options}
    calculate: Any = cv2.calcOpticalFlowFarneback

    def estimate(first_HW: Picture, second_HW: Picture) -> Flow:
        flow_HW2: Flow = calculate(first_HW, second_HW, None, **wanted)
        return flow_HW2

    return estimate


def _horn_schunck(**options: Any) -> Estimate:
    return lambda first_HW, second_HW: horn_schunck(first_HW, second_HW, **options)


_MAKERS: Mapping[str, Callable[..., Estimate]] = {
    "dis": _dis,
    "tvl1": _tv_l1,
    "farneback": _farneback,
    "horn_schunck": _horn_schunck,
}


def encode(flow: npt.NDArray[np.floating[Any]], bound: float = BOUND) -> npt.NDArray[np.uint8]:
    """Displacements as 8 bit: `round((clip(v, -b, b) + b) 255 / 2b)`; each component on its own, halves to even.

    Source: late-temporal-bert, 1.27. There the clip is worded for the length of the displacement; clipping each
    component is what its linear map implies.
    """
    if not bound > 0:
        raise BadValue(bound, "the bound of displacements must be positive")
    pixels: npt.NDArray[np.uint8] = np.rint((np.clip(flow, -bound, bound) + bound) * (255.0 / (2 * bound))).astype(
        np.uint8
    )
    return pixels


def decode(pixels: npt.NDArray[np.uint8], bound: float = BOUND) -> Flow:
    """Displacements of 8-bit values; within 0.08 pixels of what was encoded, for a bound of 20. 128 gives 0.078."""
    return (pixels.astype(np.float32) * (2 * bound / 255.0) - bound).astype(np.float32)


def residual(first_HW: Picture, second_HW: Picture, flow_HW2: Flow) -> Flow:
    """What brightness constancy leaves, `I_x u + I_y v + I_t`, in grey levels; 0 for the true flow where it is small.

    Derivatives in space are Sobel's, of the mean of both pictures; `I_t = second - first`. Source: late-temporal-bert,
    equation A.6 with its sign put right (`I_x u + I_y v = -I_t`).
    """
    first, second = first_HW.astype(np.float32), second_HW.astype(np.float32)
    mean = (first + second) / 2
    across = cv2.Sobel(mean, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(mean, cv2.CV_32F, 0, 1, scale=1 / 8)
    left: Flow = across * flow_HW2[..., 0] + down * flow_HW2[..., 1] + second - first
    return left
