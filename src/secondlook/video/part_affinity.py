"""Part confidence maps and part affinity fields: targets from people, and people from maps (OpenPose's parsing).

Shapes: P people, J joints, C limbs, `maps_JHW`, `fields_C2HW` (across, down). Source: late-temporal-bert, 1.28 and its
equations B.1 to B.6; [OpenPose].
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

from secondlook.errors import BadValue
from secondlook.video.skeleton import People, Skeleton

Maps = npt.NDArray[np.float32]


def confidence_maps(people_PJ3: People, height: int, width: int, sigma: float = 2.0) -> Maps:
    """Target of the confidence maps, `S_j(p) = max_k exp(-|p - x_jk|^2 / sigma^2)`: 1 at a joint, falling off evenly.

    Source: B.1, with the minus sign that is missing in the thesis; the maximum over people keeps near peaks apart.

    Args:
        people_PJ3: joints of confidence 0 are left out.
        height: of the maps, in the pixels of the joints.
        width: of the maps.
        sigma: width of a peak, in pixels.
    """
    if not sigma > 0:
        raise BadValue(sigma, "sigma of a confidence map must be positive")
    down_H, across_W = np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
    maps_JHW = np.zeros((people_PJ3.shape[1], height, width), np.float32)
    for joints_J3 in people_PJ3:
        for joint in np.flatnonzero(joints_J3[:, 2] > 0):
            x, y, _ = joints_J3[joint]
            # A Gaussian in the plane is the product of two along the axes.
            peak_HW = np.outer(np.exp(-((down_H - y) ** 2) / sigma**2), np.exp(-((across_W - x) ** 2) / sigma**2))
            np.maximum(maps_JHW[joint], peak_HW, out=maps_JHW[joint])
    return maps_JHW


def affinity_fields(
    people_PJ3: People, limbs: Sequence[tuple[int, int]], height: int, width: int, limb_width: float = 1.0
) -> Maps:
    """Target of the affinity fields: on a limb the unit vector along it, elsewhere 0; the mean where people overlap.

    With `v = (x_2 - x_1) / |x_2 - x_1|`, a pixel p is on the limb where `0 <= v (p - x_1) <= |x_2 - x_1|` and
    `|v_perp (p - x_1)| <= limb_width`. The mean is over the people whose limb covers the pixel (B.5).

    Source: B.2 and B.3, whose direction (from joint 1 to joint 2) and absolute value the thesis prints otherwise.

    Args:
        people_PJ3: limbs of which a joint has confidence 0 are left out.
        limbs: pairs of joints.
        height: of the fields, in the pixels of the joints.
        width: of the fields.
        limb_width: sigma_l, half of a limb's width.
    """
    down_HW, across_HW = np.mgrid[:height, :width].astype(np.float32)
    fields_C2HW = np.zeros((len(limbs), 2, height, width), np.float32)
    covered_CHW = np.zeros((len(limbs), height, width), np.float32)
    for joints_J3 in people_PJ3:
        for limb, (first, second) in enumerate(limbs):
            start_3, end_3 = joints_J3[first], joints_J3[second]
            length = float(np.hypot(*(end_3 - start_3)[:2]))
            if min(start_3[2], end_3[2]) <= 0 or length == 0:
                continue
            v_x, v_y = (end_3 - start_3)[:2] / length
            from_x_HW, from_y_HW = across_HW - start_3[0], down_HW - start_3[1]
            along_HW = v_x * from_x_HW + v_y * from_y_HW
            aside_HW = np.abs(v_x * from_y_HW - v_y * from_x_HW)
            on_HW = (along_HW >= 0) & (along_HW <= length) & (aside_HW <= limb_width)
            fields_C2HW[limb, 0][on_HW] += v_x
            fields_C2HW[limb, 1][on_HW] += v_y
            covered_CHW[limb] += on_HW
    return np.asarray(fields_C2HW / np.maximum(covered_CHW, 1)[:, None], np.float32)


def peaks(map_HW: Maps, threshold: float = 0.1) -> npt.NDArray[np.float32]:
    """Local maxima of a confidence map, `N x 3`: x, y, height. Between pixels they are placed by a parabola an axis."""
    highest_HW = cv2.dilate(map_HW, np.ones((3, 3), np.uint8))  # outside the map everything counts as lower
    top_HW = (map_HW >= highest_HW) & (map_HW > threshold)
    # Of a plateau one pixel stands for all.
    middle_N2 = cv2.connectedComponentsWithStats(top_HW.astype(np.uint8), connectivity=8)[3]
    found = [(round(y), round(x)) for x, y in middle_N2[1:].tolist()]
    return np.array([[*_between(map_HW, y, x), map_HW[y, x]] for y, x in found], np.float32).reshape(-1, 3)


def _between(map_HW: Maps, y: int, x: int) -> tuple[float, float]:
    place = []
    for at, line in ((x, map_HW[y]), (y, map_HW[:, x])):
        step = 0.0
        if 0 < at < len(line) - 1:
            before, here, after = (float(v) for v in line[at - 1 : at + 2])
            bend = before - 2 * here + after
            step = 0.5 * (before - after) / bend if bend < 0 else 0.0
        place.append(at + float(np.clip(step, -0.5, 0.5)))
    return place[0], place[1]


def limb_score(
    field_2HW: Maps, start_xy: npt.NDArray[np.floating[Any]], end_xy: npt.NDArray[np.floating[Any]], samples: int = 10
) -> float:
    """How well a field agrees with a limb: the mean of `L(p) (x_2 - x_1) / |x_2 - x_1|` along the segment.

    About 1 for a limb that is there, -1 for one the other way round. Source: B.6. Departs from it in taking the mean of
    evenly spaced points, not the sum over pixels, so that long limbs are not favoured.
    """
    offset = np.asarray(end_xy, np.float64) - np.asarray(start_xy, np.float64)
    length = float(np.hypot(*offset))
    if length == 0:
        return 0.0
    place_N2 = np.asarray(start_xy) + np.linspace(0, 1, samples)[:, None] * offset
    column_N, row_N = np.rint(place_N2).astype(int).T
    column_N = np.clip(column_N, 0, field_2HW.shape[2] - 1)
    row_N = np.clip(row_N, 0, field_2HW.shape[1] - 1)
    return float((field_2HW[:, row_N, column_N].T @ (offset / length)).mean())


@dataclass(frozen=True)
class Link:
    """A limb between two found joints."""

    first: tuple[int, int]
    """Joint, and which of its peaks."""
    second: tuple[int, int]
    score: float


def match(scores_NM: npt.NDArray[np.floating[Any]], threshold: float = 0.05) -> list[tuple[int, int, float]]:
    """The best one-to-one pairs of one limb's joints: those with the largest sum of scores, above the threshold."""
    if not scores_NM.size:
        return []
    wanted_NM = np.where(scores_NM > threshold, scores_NM, 0.0)
    pairs = zip(*linear_sum_assignment(wanted_NM, maximize=True), strict=True)
    return [(int(n), int(m), float(scores_NM[n, m])) for n, m in pairs if scores_NM[n, m] > threshold]


def assemble(links: Iterable[Link]) -> list[dict[int, int]]:
    """People from links of all limbs, best link first; a link that contradicts the people so far is dropped.

    A link between two free joints starts a person; one with a free joint gives it to the other's person, unless that
    has such a joint; one between two persons joins them, unless both have some joint.

    Returns:
        For each person: which peak each of its joints is.
    """
    people: list[dict[int, int]] = []
    owner: dict[tuple[int, int], dict[int, int]] = {}
    for link in sorted(links, key=lambda link: -link.score):
        ours, theirs = owner.get(link.first), owner.get(link.second)
        if ours is None and theirs is None:
            if link.first[0] == link.second[0]:
                continue
            person = dict((link.first, link.second))
            people.append(person)
            owner[link.first] = owner[link.second] = person
        elif ours is None and theirs is not None:
            _give(link.first, theirs, owner)
        elif theirs is None and ours is not None:
            _give(link.second, ours, owner)
        elif ours is not None and theirs is not None and ours is not theirs and not ours.keys() & theirs.keys():
            ours.update(theirs)
            people[:] = [p for p in people if p is not theirs]
            owner.update(dict.fromkeys(theirs.items(), ours))
    return people


def _give(peak: tuple[int, int], person: dict[int, int], owner: dict[tuple[int, int], dict[int, int]]) -> None:
    """A free peak to a person, unless that has such a joint."""
    if peak[0] not in person:
        person[peak[0]] = peak[1]
        owner[peak] = person


def parse(
    maps_JHW: Maps,
    fields_C2HW: Maps,
    skeleton: Skeleton,
    *,
    peak_threshold: float = 0.1,
    link_threshold: float = 0.3,
    min_joints: int = 3,
) -> People:
    """Who is in a picture: joints are peaks, limbs are matched each on its own, and people are put together greedily.

    Args:
        maps_JHW: confidence maps.
        fields_C2HW: affinity fields, in the order of the skeleton's limbs.
        skeleton: the body.
        peak_threshold: least height of a joint.
        link_threshold: least `limb_score`.
        min_joints: people with fewer are left out.

    Returns:
        `people_PJ3` in pixels of the maps; confidence is the height of the joint's peak.

    Raises:
        BadValue: if maps and fields are not those of this skeleton.
    """
    joints, limbs = len(skeleton.joints), len(skeleton.limbs)
    if len(maps_JHW) != joints or fields_C2HW.shape != (limbs, 2, *maps_JHW.shape[1:]):
        rule = f"{skeleton.name} has {joints} confidence maps and {limbs} fields of 2, all of one size"
        raise BadValue((maps_JHW.shape, fields_C2HW.shape), rule)
    found = [peaks(map_HW, peak_threshold) for map_HW in maps_JHW]
    links = []
    for field_2HW, (first, second) in zip(fields_C2HW, skeleton.limbs, strict=True):
        starts, ends = found[first][:, :2], found[second][:, :2]
        scores = np.array([[limb_score(field_2HW, s, e) for e in ends] for s in starts])
        links += [Link((first, n), (second, m), score) for n, m, score in match(scores, link_threshold)]
    bodies = [body for body in assemble(links) if len(body) >= min_joints]
    people_PJ3 = np.zeros((len(bodies), joints, 3), np.float32)
    for person_J3, body in zip(people_PJ3, bodies, strict=True):
        for joint, peak in body.items():
            person_J3[joint] = found[joint][peak]
    return people_PJ3
