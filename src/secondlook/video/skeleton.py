"""Joints and limbs of a body, and people drawn as coloured skeletons on black.

Legend: `people_PJ3` holds P people with J joints each: x and y in pixels, and the confidence in [0, 1], 0 where a joint
was not found.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from secondlook.errors import BadValue, UnknownName

People = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Skeleton:
    """Which joints a body has, and which of them a limb joins."""

    name: str
    joints: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    """From joint to joint; part affinity fields point this way."""


BODY_25 = Skeleton(
    "body25",
    (
        "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
        "mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye",
        "left_eye", "right_ear", "left_ear", "left_big_toe", "left_small_toe", "left_heel", "right_big_toe",
        "right_small_toe", "right_heel",
    ),
    (
        (1, 8), (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (8, 9), (9, 10), (10, 11), (8, 12), (12, 13), (13, 14),
        (1, 0), (0, 15), (15, 17), (0, 16), (16, 18), (2, 17), (5, 18), (14, 19), (19, 20), (14, 21), (11, 22),
        (22, 23), (11, 24),
    ),
)  # fmt: skip
"""OpenPose's body: 25 joints, 26 limbs, in the order of its part affinity fields."""
COCO_17 = Skeleton(
    "coco17",
    (
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
        "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
        "right_ankle",
    ),
    (
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10),
        (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
    ),
)  # fmt: skip
"""The 17 key points of COCO, with its 19 limbs."""
SKELETONS: Mapping[str, Skeleton] = {s.name: s for s in (BODY_25, COCO_17)}


def find(name: str) -> Skeleton:
    """A skeleton by name.

    Raises:
        UnknownName: if there is none.
    """
    if name not in SKELETONS:
        raise UnknownName("skeleton", name, SKELETONS)
    return SKELETONS[name]


def with_joints(count: int) -> Skeleton:
    """The skeleton that has so many joints.

    Raises:
        BadValue: if none has.
    """
    for skeleton in SKELETONS.values():
        if len(skeleton.joints) == count:
            return skeleton
    known = " or ".join(f"{len(s.joints)} ({s.name})" for s in SKELETONS.values())
    raise BadValue(count, f"a body here has {known} joints")


def colours(count: int) -> list[tuple[int, int, int]]:
    """So many colours round the circle of hues, RGB."""
    return [tuple(round(255 * c) for c in colorsys.hsv_to_rgb(i / count, 1.0, 1.0)) for i in range(count)]  # type: ignore[misc]


def draw(
    people_PJ3: People, skeleton: Skeleton, height: int, width: int, *, threshold: float = 0.1, thickness: int = 0
) -> npt.NDArray[np.uint8]:
    """A picture of the frame's size, RGB: every limb of every person in the limb's own colour, on black.

    A limb is drawn where both of its joints are known; a joint without one is a dot. Late-temporal-bert, 1.28, does not
    say what lies behind the skeletons; black leaves pose alone to be learned from.

    Args:
        people_PJ3: may hold nobody.
        skeleton: the body that they have.
        height: of the frame.
        width: of the frame.
        threshold: joints of lower confidence are not known.
        thickness: of a limb in pixels; 0: a sixtieth of the short side, at least 1.

    Raises:
        BadValue: if the people have another number of joints.
    """
    if people_PJ3.ndim != 3 or people_PJ3.shape[1:] != (len(skeleton.joints), 3):
        raise BadValue(people_PJ3.shape, f"people of {skeleton.name} are P x {len(skeleton.joints)} x 3")
    picture_HWC = np.zeros((height, width, 3), np.uint8)
    wide = thickness or max(1, round(min(height, width) / 60))
    limb_colours, joint_colours = colours(len(skeleton.limbs)), colours(len(skeleton.joints))
    for joints_J3 in people_PJ3:
        known_J = (joints_J3[:, 2] >= threshold) & np.isfinite(joints_J3).all(1)
        # A joint far outside must not overflow the drawing's integers.
        place_J2 = np.clip(np.nan_to_num(joints_J3[:, :2]), -(2**14), 2**14).round().astype(int)
        for joint in np.flatnonzero(known_J).tolist():
            cv2.circle(picture_HWC, tuple(place_J2[joint].tolist()), wide, joint_colours[joint], -1, cv2.LINE_AA)
        for (start, end), colour in zip(skeleton.limbs, limb_colours, strict=True):
            if known_J[start] and known_J[end]:
                points = tuple(place_J2[start].tolist()), tuple(place_J2[end].tolist())
                cv2.line(picture_HWC, *points, colour, wide, cv2.LINE_AA)
    return picture_HWC
