"""The registry of public datasets against Table 3.1 and the lengths that strides are sized by."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from secondlook import catalog
from secondlook.cli import build_app
from secondlook.datasets._published import DATASETS, described, published
from secondlook.errors import UnknownName

TABLE_3_1 = {
    "hmdb51": (6_766, 51),
    "ucf101": (13_320, 101),
    "kinetics400": (306_205, 400),
    "kinetics600": (495_547, 600),
    "kinetics700": (650_317, 700),
    "something_something_v1": (108_499, 174),
    "something_something_v2": (220_847, 174),
    "ig65m": (65_000_000, 359),
}


@pytest.mark.spec("late-temporal-bert", "F2")
@pytest.mark.parametrize("name", TABLE_3_1)
def test_table_3_1(name: str) -> None:
    found = published(name)
    assert (found.samples, found.classes) == TABLE_3_1[name]


@pytest.mark.spec("late-temporal-bert", "F2")
def test_splits_add_up() -> None:
    """HMDB-51 leaves 1,666 clips of the 6,766 out of each split; nothing else leaves any."""
    left = {}
    for dataset in DATASETS:
        for split in dataset.splits.values():
            left.setdefault(dataset.name, set()).add(
                dataset.samples - sum(part or 0 for part in (split.train, split.val, split.test))
            )
    assert left.pop("hmdb51") == {1_666}
    assert set(left) == {"ucf101", "kinetics400", "something_something_v1", "something_something_v2"}
    assert all(rest == {0} for rest in left.values())
    assert [s.test for s in published("ucf101").splits.values()] == [3_783, 3_734, 3_696]


def test_strides_are_sized_by_mean_lengths() -> None:
    """srtg-mtnet 3.1, 4.1: HACS 60 frames and 2, Kinetics 250 and 5, Moments in Time 90 and 3."""
    sized = {d.name: (d.mean_frames, d.stride) for d in DATASETS if d.mean_frames}
    assert sized["hacs_clips"] == (60, 2)
    assert sized["moments_in_time"] == (90, 3)
    assert {sized[name] for name in sized if name.startswith("kinetics")} == {(250, 5)}


def test_readers_are_there_and_names_are_unique() -> None:
    assert {d.reader for d in DATASETS} - {""} <= set(catalog.names("datasets"))
    assert len({d.name for d in DATASETS}) == len(DATASETS)
    json.dumps([d.to_dict() for d in DATASETS])
    with pytest.raises(UnknownName, match="hmdb51"):
        published("hmdb52")


def test_the_verb_lists_them() -> None:
    said = CliRunner().invoke(build_app(), ["list", "published", "--json"])
    assert json.loads(said.stdout)["published"] == described()
    words = CliRunner().invoke(build_app(), ["list", "published"]).stdout
    assert "HMDB-51: 51 classes, 6,766 clips; 3 splits (the first: train 3,570, test 1,530)" in words
    assert "60 frames on average, stride 2" in words
