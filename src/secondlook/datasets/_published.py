"""Public datasets as their publishers and the papers on them describe them: sizes, splits, lengths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from secondlook.errors import UnknownName


@dataclass(frozen=True)
class Split:
    """Videos of one published split; None where the sources do not say."""

    train: int | None = None
    val: int | None = None
    test: int | None = None


@dataclass(frozen=True)
class Published:
    """One public dataset."""

    name: str
    title: str
    classes: int
    samples: int
    """Clips, as the sources count them."""
    about: bool = False
    """True where the sources only say about how many."""
    splits: Mapping[str, Split] = field(default_factory=dict)
    """By name; "" where there is one official split."""
    seconds: str = ""
    """Length of a clip, in words."""
    fps: int | None = None
    mean_frames: int | None = None
    """Mean length of a clip that strides are sized by."""
    stride: int | None = None
    """Frames from one of a clip to the next, sized so that 16 of them span much of the video."""
    reader: str = ""
    """Reader of this room that lists it; empty: class folders, or a manifest of its own."""
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def _three(*splits: tuple[int, int]) -> dict[str, Split]:
    return {str(i): Split(train, test=test) for i, (train, test) in enumerate(splits, start=1)}


_KINETICS: dict[str, Any] = {"seconds": "about 10", "mean_frames": 250, "stride": 5, "reader": "kinetics"}
_LOST = "about 5 % of the videos are lost a year; some are locked by region"

DATASETS: tuple[Published, ...] = (
    Published(
        "hmdb51",
        "HMDB-51",
        51,
        6_766,
        splits=_three((3_570, 1_530), (3_570, 1_530), (3_570, 1_530)),
        seconds="about 3",
        fps=30,
        reader="hmdb51",
        note="no validation set: 70 clips a class for training and 30 for test in each split; 3,312 source videos",
    ),
    Published(
        "ucf101",
        "UCF-101",
        101,
        13_320,
        splits=_three((9_537, 3_783), (9_586, 3_734), (9_624, 3_696)),
        seconds="about 7 (srtg-mtnet says 15)",
        fps=25,
        reader="ucf101",
        note="no validation set; 2,500 source videos as the source says",
    ),
    Published(
        "kinetics400",
        "Kinetics-400",
        400,
        306_205,
        splits={"": Split(306_205 - 400 * 150, 400 * 50, 400 * 100)},
        note=f"50 clips a class for validation, 100 for test, the rest for training; {_LOST}",
        **_KINETICS,
    ),
    Published(
        "kinetics600", "Kinetics-600", 600, 495_547, note=f"shares 368 classes with Kinetics-400; {_LOST}", **_KINETICS
    ),
    Published("kinetics700", "Kinetics-700 (2019)", 700, 650_317, note=_LOST, **_KINETICS),
    Published(
        "kinetics700_2020",
        "Kinetics-700 (2020)",
        700,
        647_000,
        about=True,
        note="about 15,000 clips of Kinetics-700 (2019) replaced",
        **_KINETICS,
    ),
    Published(
        "something_something_v1",
        "Something-Something V1",
        174,
        108_499,
        splits={"": Split(86_017, 11_522, 10_960)},
        seconds="2 to 6",
        reader="something_something",
        note="train, val and test as 8 : 1 : 1; no worker in two parts",
    ),
    Published(
        "something_something_v2",
        "Something-Something V2",
        174,
        220_847,
        splits={"": Split(168_913, 24_777, 27_157)},
        seconds="2 to 6",
        reader="something_something",
        note="240 pixels high; each clip verified by five workers",
    ),
    Published(
        "ig65m",
        "IG-Kinetics-65M",
        359,
        65_000_000,
        about=True,
        seconds="up to 60",
        note="not public; labelled by hashtags; square-root sampling for its long tail",
    ),
    Published(
        "moments_in_time",
        "Moments in Time",
        339,
        1_000_000,
        about=True,
        seconds="3",
        mean_frames=90,
        stride=3,
        note="people and all else that moves; about 2,400 clips a class",
    ),
    Published(
        "hacs_clips",
        "HACS Clips",
        200,
        1_500_000,
        about=True,
        seconds="2",
        mean_frames=60,
        stride=2,
        note="about 482,000 are positive, the rest are negatives of about 500,000 videos",
    ),
)
"""Sizes of the first eight kinds: late-temporal-bert 2.1 (Table 3.1), 2.2 to 2.6; lengths, strides and the last ones:
srtg-mtnet 3.1 and 4.1. UCF-101 train counts are what the test counts leave, so are those of Kinetics-400; the
parts of Something-Something are its publisher's."""


def published(name: str) -> Published:
    """The dataset of this name.

    Raises:
        UnknownName: with the nearest names.
    """
    for dataset in DATASETS:
        if dataset.name == name:
            return dataset
    raise UnknownName("dataset", name, [d.name for d in DATASETS], "`secondlook list published` shows all.")


def described() -> dict[str, str]:
    """Name -> one line: classes, samples, splits, length, stride."""
    return {dataset.name: _line(dataset) for dataset in DATASETS}


def _line(of: Published) -> str:
    parts = [f"{of.title}: {of.classes} classes, {'about ' if of.about else ''}{of.samples:,} clips"]
    if of.splits:
        first = next(iter(of.splits.values()))
        counts = {"train": first.train, "val": first.val, "test": first.test}
        said = ", ".join(f"{part} {count:,}" for part, count in counts.items() if count is not None)
        parts.append(f"{len(of.splits)} splits (the first: {said})" if len(of.splits) > 1 else said)
    if of.seconds:
        parts.append(f"{of.seconds} s a clip")
    if of.mean_frames:
        parts.append(f"{of.mean_frames} frames on average, stride {of.stride}")
    if of.reader:
        parts.append(f"reader {of.reader}")
    return "; ".join(parts)
