"""The index of any reader: splits, groups, exclusions, fingerprint, balance, what is left on disk."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types

import numpy as np
import pytest

from secondlook import catalog, tables
from secondlook.datasets import IndexSettings, Listing, balance, fingerprint_of, index_videos
from secondlook.datasets._listing import row
from secondlook.errors import BadValue, MissingFile, UnknownName
from secondlook.labels import LabelSpace
from tests.datasets.trees import put, rows_by_id


def classes(tmp_path):
    """Two classes, eight sources each, two clips of every source."""
    return put(tmp_path / "data", [f"{c}/{s}_{i}.mp4" for c in ("run", "walk") for s in "abcdefgh" for i in range(2)])


@pytest.fixture
def listing_of(monkeypatch, tmp_path):
    """Makes the reader `made_up`, which gives these rows."""

    def make(rows, names=("run", "walk")):
        root = put(tmp_path / "root", [])
        reader = types.SimpleNamespace(
            read=lambda root, split="": Listing(LabelSpace.from_names(names), iter(rows), root, notes=["made up"])
        )
        monkeypatch.setattr(catalog, "find", lambda room, name: reader)
        return root

    return make


def test_a_table_of_class_folders(tmp_path):
    root, out = classes(tmp_path), tmp_path / "deep" / "v.parquet"
    result = index_videos(root, "folder", out)
    table = tables.read(tables.VIDEOS, out)
    assert table.num_rows == result.videos == 32
    assert sum(result.splits.values()) == 32
    assert set(result.splits) == {"train", "val", "test"}
    assert (result.splits_from, result.failed_rows, result.groups_in_two_splits) == ("seed", 0, 0)
    assert set(table["bytes"].to_pylist()) == {11}
    assert tables.label_space(table).names == ("run", "walk")
    made = tables.made(table)
    assert (made["root"], made["dataset"], made["seed"]) == (str(root.resolve()), "folder", 0)
    assert [p.name for p in out.parent.iterdir()] == ["v.parquet"]


def test_seed_and_shares_decide_and_repeat(tmp_path):
    root = classes(tmp_path)

    def splits(**change):
        index_videos(root, "folder", tmp_path / "v.parquet", IndexSettings(**change))
        return {name: found["split"] for name, found in rows_by_id(tmp_path / "v.parquet").items()}

    assert splits() == splits() == splits(splits="70/15/15")
    assert splits() != splits(seed=1)
    assert set(splits(splits="50/0/50").values()) == {"train", "test"}


def test_a_pattern_makes_groups_that_stay_together(tmp_path):
    settings = IndexSettings(group_pattern=r"^(.*)_\d+$", splits="40/30/30")
    result = index_videos(classes(tmp_path), "folder", tmp_path / "v.parquet", settings)
    rows = rows_by_id(tmp_path / "v.parquet")
    groups = {found["group"] for found in rows.values()}
    assert groups == {f"{c}/{s}" for c in ("run", "walk") for s in "abcdefgh"}
    assert all(rows[f"{group}_0"]["split"] == rows[f"{group}_1"]["split"] for group in groups)
    assert result.groups_in_two_splits == 0


def test_published_splits_win_and_leaks_in_them_are_said(listing_of, tmp_path):
    rows = [row("a", "a.mp4", 0, "train", "film"), row("b", "b.mp4", 1, "test", "film"), row("c", "c.mp4", 1, "test")]
    result = index_videos(listing_of(rows), "made_up", tmp_path / "v.parquet", IndexSettings(splits="50/25/25"))
    assert result.splits == {"test": 2, "train": 1}
    assert (result.splits_from, result.groups_in_two_splits) == ("publisher", 1)
    assert result.notes == (
        "made up",
        "the dataset's own splits are used; --splits 50/25/25 is not",
        "1 groups have clips in two splits, as published: scores there flatter the model",
    )


def test_val_is_carved_out_of_whole_groups_of_train(listing_of, tmp_path):
    rows = [row(f"v{i}", f"{i}.mp4", i % 2, "train", f"film{i // 4}") for i in range(200)]
    rows += [row(f"t{i}", f"t{i}.mp4", i % 2, "test", f"film{i}") for i in range(5)]  # these films leak
    root = listing_of(rows)
    result = index_videos(root, "made_up", tmp_path / "v.parquet", IndexSettings(carve_val=0.2))
    assert result.splits["test"] == 5
    assert result.splits["val"] == pytest.approx(0.2 * 180, abs=4)
    splits_of: dict[str, set[str]] = {}
    for found in rows_by_id(tmp_path / "v.parquet").values():
        splits_of.setdefault(found["group"], set()).add(found["split"])
    assert not [group for group, splits in splits_of.items() if "val" in splits and len(splits) > 1]


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([row("a", "a.mp4", 0, "train"), row("b", "b.mp4", 0, "val")], "has a validation split of its own"),
        ([row("a", "a.mp4", 0)], "no published training split to carve from"),
    ],
)
def test_carving_where_it_makes_no_sense(listing_of, tmp_path, rows, match):
    root = listing_of(rows)
    with pytest.raises(BadValue, match=match):
        index_videos(root, "made_up", tmp_path / "v.parquet", IndexSettings(carve_val=0.1))
    assert not list(tmp_path.glob("v.parquet*"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"splits": "70/30"}, "three numbers"),
        ({"carve_val": 1.0}, "below 1"),
        ({"group_pattern": "("}, "not a regular expression"),
        ({"group_pattern": "a"}, "needs a bracket"),
    ],
)
def test_settings_are_checked(change, match):
    with pytest.raises(BadValue, match=match):
        IndexSettings(**change)


def test_an_id_may_come_once(listing_of, tmp_path):
    root = listing_of([row("a", "x/a.mp4", 0), row("b", "b.mp4", 0), row("a", "y/a.mp4", 0)])
    with pytest.raises(BadValue, match=r"'a': two videos have this id, x/a.mp4 and y/a.mp4"):
        index_videos(root, "made_up", tmp_path / "v.parquet")
    assert not list(tmp_path.glob("v.parquet*"))


def test_optional_columns_of_a_reader_are_kept(listing_of, tmp_path):
    rows = [
        row("a", "a.mp4", np.int64(1), true_labels=[0, 1], action_start_s=np.float64(0.5), truth_path="truth/a.npz"),
        row("b", "b.mp4", 0, true_labels=np.array([0])),
    ]
    index_videos(listing_of(rows), "made_up", tmp_path / "v.parquet")
    found = rows_by_id(tmp_path / "v.parquet")
    assert (found["a"]["true_labels"], found["b"]["true_labels"]) == ([0, 1], [0])
    assert (found["a"]["action_start_s"], found["b"]["action_start_s"]) == (0.5, None)
    assert found["a"]["label"] == 1
    assert "frames" not in found["a"]
    root = listing_of([row("a", "a.mp4", 0, colour="red")])
    with pytest.raises(BadValue, match="'colour': is not a column of videos"):
        index_videos(root, "made_up", tmp_path / "v.parquet")


def test_unlabelled_clips_get_no_split(listing_of, tmp_path):
    root = listing_of([row(f"v{i}", f"{i}.mp4", -1 if i % 3 == 0 else 0) for i in range(30)])
    index_videos(root, "made_up", tmp_path / "v.parquet")
    assert {found["split"] for found in rows_by_id(tmp_path / "v.parquet").values() if found["label"] < 0} == {""}


def test_paths_that_leave_the_root_become_rows_without_a_path(listing_of, tmp_path):
    put(tmp_path, ["secret.mp4"])
    outside = str(tmp_path / "secret.mp4")
    root = listing_of([row("a", "../secret.mp4", 0), row("b", outside, 0, status="missing"), row("c", "ok.mp4", 0)])
    put(root, ["ok.mp4"])
    result = index_videos(root, "made_up", tmp_path / "v.parquet")
    rows = rows_by_id(tmp_path / "v.parquet")
    assert result.statuses == {"unchecked": 1, "unreadable": 2}
    assert [rows[name]["path"] for name in "abc"] == ["", "", "ok.mp4"]
    assert result.failed_rows == 2


def test_listed_videos_are_set_aside_with_a_reason(tmp_path):
    root = classes(tmp_path)
    put(tmp_path, {"list.txt": "# people asked\nrun/a_0\trude\nwalk/b_1.mp4\n\nrun/gone\n"})
    settings = IndexSettings(exclude=str(tmp_path / "list.txt"))
    result = index_videos(root, "folder", tmp_path / "v.parquet", settings)
    rows = rows_by_id(tmp_path / "v.parquet")
    assert {name: found["reason"] for name, found in rows.items() if found["status"] == "excluded"} == {
        "run/a_0": "rude",
        "walk/b_1": "named in list.txt",
    }
    assert (result.videos, result.failed_rows) == (32, 0)  # set aside, not dropped, and no failure
    assert "1 entries of" in result.notes[0]
    assert "such as 'run/gone'" in result.notes[0]
    made = tables.made(tables.read(tables.VIDEOS, tmp_path / "v.parquet"))
    assert list(made["inputs"]) == [str(tmp_path / "list.txt")]
    with pytest.raises(MissingFile, match="id or path a line"):
        index_videos(root, "folder", tmp_path / "v.parquet", IndexSettings(exclude="none.txt"))


def test_the_fingerprint_is_that_of_a_slow_twin_and_feels_every_change(tmp_path):
    root, out = classes(tmp_path), tmp_path / "v.parquet"

    def twin():
        lines = []
        for found in sorted(rows_by_id(out).values(), key=lambda r: r["video_id"].encode()):
            fields = (found["video_id"], found["path"], found["bytes"], "", found["split"], found["label"])
            lines.append("\t".join(map(str, fields)) + "\n")
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    first = index_videos(root, "folder", out).fingerprint
    table = tables.read(tables.VIDEOS, out)
    assert first == twin() == tables.made(table)["fingerprint"] == fingerprint_of(table)
    assert fingerprint_of(table.take(list(range(table.num_rows))[::-1])) == first
    assert index_videos(root, "folder", tmp_path / "again.parquet").fingerprint == first
    seen = {first, index_videos(root, "folder", out, IndexSettings(seed=1)).fingerprint}
    (root / "run" / "a_0.mp4").write_bytes(b"longer than before")
    seen.add(index_videos(root, "folder", out).fingerprint)
    (root / "run" / "a_1.mp4").unlink()
    seen.add(index_videos(root, "folder", out).fingerprint)
    assert len(seen) == 4


def test_the_balance_names_both_tails(tmp_path):
    clips = {"a": 5, "b": 9, "c": 2, "d": 7, "e": 4, "f": 1}
    root = put(tmp_path / "data", [f"{name}/{i}.mp4" for name, count in clips.items() for i in range(count)])
    put(root, {"f/0.mp4": b"", "splits/classes.txt": "a\nb\nc\nd\ne\nf\n"})
    result = index_videos(root, "folder", tmp_path / "v.parquet")
    table = tables.read(tables.VIDEOS, tmp_path / "v.parquet")
    assert result.balance == balance(table)
    assert result.balance.clips == {**clips, "f": 0}  # the empty file is not usable
    assert result.balance.most() == [("b", 9), ("d", 7), ("a", 5)]
    assert result.balance.fewest() == [("f", 0), ("c", 2), ("e", 4)]
    assert result.balance.words() == "most clips: b 9, d 7, a 5; fewest: f 0, c 2, e 4"
    assert result.balance.to_dict()["unit"] == "clips"
    framed = table.append_column("frames", [[100 if p.startswith("c") else 10 for p in table["path"].to_pylist()]])
    counted = balance(framed)
    assert counted.frames == {"a": 50, "b": 90, "c": 200, "d": 70, "e": 40, "f": 0}
    assert counted.words().startswith("most frames: c 200, b 90, d 70; fewest: f 0")


def test_the_directional_flag_overrides_class_names(listing_of, tmp_path):
    for said in (True, False):
        root = listing_of([row("a", "a.mp4", 0)], ("push up", "run"))
        result = index_videos(root, "made_up", tmp_path / "v.parquet", IndexSettings(directional=said))
        assert result.directional is said
        assert tables.label_space(tables.read(tables.VIDEOS, tmp_path / "v.parquet")).directional is said


def test_wrong_use_is_a_sentence(tmp_path):
    root = classes(tmp_path)
    with pytest.raises(UnknownName, match="dataset 'foldr' is not known"):
        index_videos(root, "foldr", tmp_path / "v.parquet")
    with pytest.raises(MissingFile):
        index_videos(tmp_path / "none", "folder", tmp_path / "v.parquet")
    with pytest.raises(BadValue, match="is a folder; the table needs a file name"):
        index_videos(root, "folder", tmp_path)
    put(tmp_path / "bare", ["run/readme.txt"])
    with pytest.raises(BadValue, match="holds no videos that the reader folder can see"):
        index_videos(tmp_path / "bare", "folder", tmp_path / "v.parquet")
    assert not list(tmp_path.glob("v.parquet*"))


def test_the_settings_are_in_the_table(tmp_path):
    result = index_videos(classes(tmp_path), "folder", tmp_path / "v.parquet")
    made = tables.made(tables.read(tables.VIDEOS, result.path))
    assert made["settings"] == {**dataclasses.asdict(IndexSettings()), "check": False}
    json.dumps(made)


@pytest.mark.real_data
def test_fight_surv_is_split_by_seed(shared_data, tmp_path):
    result = index_videos(shared_data / "fight_surv", "folder", tmp_path / "v.parquet")
    assert (result.videos, result.classes, result.splits_from, result.directional) == (300, 2, "seed", False)
    assert result.statuses == {"unchecked": 300}
    for name, share in (("train", 0.7), ("val", 0.15), ("test", 0.15)):
        assert result.splits[name] == pytest.approx(300 * share, abs=3)
    rows = rows_by_id(tmp_path / "v.parquet").values()
    for label in (0, 1):
        assert sum(r["split"] == "test" and r["label"] == label for r in rows) == pytest.approx(22.5, abs=2)
