"""HMDB51 and UCF101: both forms of their lists, three splits, source videos."""

from __future__ import annotations

import pytest

from secondlook.datasets import IndexSettings, hmdb51, index_videos, ucf101
from secondlook.errors import BadValue, MissingFile, UnknownName
from tests.datasets.trees import listed, put, rows_by_id

RUN = "April_09_run_u_nm_np1_ba_goo_"
HMDB_BY_CLASS = {
    "run_test_split1.txt": f"{RUN}0.avi 1 \n{RUN}1.avi 1 \nLola_run_h_cm_np2_le_med_0.avi 2 \n",
    "walk_test_split1.txt": "Walk_walk_f_cm_np1_fr_bad_0.avi 0 \n",
}
HMDB_JOINED = {
    "hmdb51_split1_train.txt": f"0\t0\trun/{RUN}0.avi\n1\t0\trun/{RUN}1.avi\n",
    "hmdb51_split1_test.txt": "0\t0\trun/Lola_run_h_cm_np2_le_med_0.avi\n",
    "hmdb51_split1_others.txt": "0\t1\twalk/Walk_walk_f_cm_np1_fr_bad_0.avi\n",
    "mapping_table.txt": "0\trun\n1\twalk\n",
}
UCF_OFFICIAL = {
    "classInd.txt": "1 Archery\n2 YoYo\n",
    "trainlist02.txt": "Archery/v_Archery_g08_c01.avi 1\nYoYo/v_YoYo_g08_c02.avi 2\n",
    "testlist02.txt": "YoYo/v_YoYo_g01_c01.avi\n",
}
UCF_JOINED = {
    "trainlist02.txt": "0\t0\tArchery/v_Archery_g08_c01.avi\n1\t1\tYoYo/v_YoYo_g08_c02.avi\n",
    "testlist02.txt": "0\t1\tYoYo/v_YoYo_g01_c01.avi\n",
}


@pytest.mark.parametrize("files", [HMDB_BY_CLASS, HMDB_JOINED], ids=["by class", "joined"])
@pytest.mark.parametrize("folder", ["", "splits/", "testTrainMulti_7030_splits/"])
def test_both_forms_of_the_hmdb51_lists_say_the_same(tmp_path, files, folder):
    put(tmp_path, {folder + name: text for name, text in files.items()})
    put(tmp_path, [f"videos/run/{RUN}0.avi", f"videos/run/{RUN}1.mp4"])
    listing = hmdb51.read(tmp_path, "1")
    assert listing.labels.names == ("run", "walk")
    said = {name: (r["label"], r["split"], r["group"], r["status"]) for name, r in listed(listing).items()}
    assert said == {
        f"run/{RUN}0": (0, "train", "April_09_run", "unchecked"),
        f"run/{RUN}1": (0, "train", "April_09_run", "unchecked"),
        "run/Lola_run_h_cm_np2_le_med_0": (0, "test", "Lola_run", "missing"),
        "walk/Walk_walk_f_cm_np1_fr_bad_0": (1, "", "Walk_walk", "missing"),
    }
    assert listed(hmdb51.read(tmp_path))[f"run/{RUN}1"]["path"] == f"videos/run/{RUN}1.mp4"


@pytest.mark.parametrize("files", [UCF_OFFICIAL, UCF_JOINED], ids=["official", "joined"])
def test_both_forms_of_the_ucf101_lists_say_the_same(tmp_path, files):
    put(tmp_path, {f"ucfTrainTestlist/{name}": text for name, text in files.items()})
    put(tmp_path, ["UCF-101/Archery/v_Archery_g08_c01.avi"])
    listing = ucf101.read(tmp_path, "2")
    assert listing.labels.names == ("Archery", "YoYo")
    said = {name: (r["label"], r["split"], r["group"], r["status"]) for name, r in listed(listing).items()}
    assert said == {
        "Archery/v_Archery_g08_c01": (0, "train", "v_Archery_g08", "unchecked"),
        "YoYo/v_YoYo_g08_c02": (1, "train", "v_YoYo_g08", "missing"),
        "YoYo/v_YoYo_g01_c01": (1, "test", "v_YoYo_g01", "missing"),
    }


@pytest.mark.parametrize(
    ("files", "error", "match"),
    [
        (
            {"trainlist02.txt": "Archery/v_Archery_g08_c01.avi 3\n"},
            BadValue,
            "line 1 has a class number outside 1 to 2",
        ),
        ({"trainlist02.txt": "Archery/v_Archery_g08_c01.avi 2\n"}, BadValue, "says class 2, which is 'YoYo'"),
        ({"trainlist02.txt": "v_Archery_g08_c01.avi 1\n"}, BadValue, "must name a clip as 'Class/file.avi'"),
        ({"trainlist02.txt": "0\tArchery/v_Archery_g08_c01.avi\n"}, BadValue, "separated by tabs"),
        (
            {"testlist02.txt": "Archer/v_Archery_g08_c01.avi\n"},
            UnknownName,
            "Did you mean 'Archery'.*testlist02.txt, line 1",
        ),
        ({"classInd.txt": "1 Archery\n1 YoYo\n"}, BadValue, "line 2 gives this class number a second name"),
        ({"classInd.txt": "1 Archery\n3 YoYo\n"}, BadValue, "classInd.txt should name a class with this number"),
        ({"classInd.txt": "one Archery\n"}, BadValue, "column 'class number' of classInd.txt, line 1"),
        ({"classInd.txt": "1 Archery\n2 archery\n"}, BadValue, "reads the same as label"),
        ({"testlist02.txt": b"YoYo/\xff.avi\n"}, BadValue, "line 1 is not UTF-8"),
    ],
)
def test_malformed_lists_are_named_with_their_line(tmp_path, files, error, match):
    put(tmp_path, {**UCF_OFFICIAL, **files})
    with pytest.raises(error, match=match):
        list(ucf101.read(tmp_path, "2").rows)


def test_malformed_hmdb51_lists(tmp_path):
    put(tmp_path, {**HMDB_BY_CLASS, "run_test_split1.txt": "a.avi 1\nb.avi 3\n"})
    with pytest.raises(BadValue, match=r"run_test_split1.txt, line 2 must be 'file.avi' and 0, 1 \(train\) or 2"):
        list(hmdb51.read(tmp_path).rows)
    joined = put(tmp_path / "joined", {**HMDB_JOINED, "hmdb51_split1_test.txt": "0\t1\trun/x.avi\n"})
    with pytest.raises(BadValue, match="says class 1, which is 'walk'"):
        list(hmdb51.read(joined).rows)
    (joined / "mapping_table.txt").unlink()
    with pytest.raises(BadValue, match=r"hmdb51_split1_train.txt|which is"):
        list(hmdb51.read(joined).rows)


@pytest.mark.parametrize("reader", [hmdb51, ucf101])
def test_no_lists_and_no_such_split(tmp_path, reader):
    with pytest.raises(MissingFile, match="unpack them"):
        reader.read(tmp_path)
    with pytest.raises(UnknownName, match=r"split '4' is not known. Known: 1, 2, 3"):
        reader.read(tmp_path, "4")


def test_a_listed_path_cannot_leave_the_root(tmp_path):
    put(tmp_path / "secret", ["x.avi"])
    root = put(tmp_path / "data", {**UCF_OFFICIAL, "testlist02.txt": "YoYo/../../secret/x.avi\n/etc/passwd 1\n"})
    index_videos(root, "ucf101", tmp_path / "v.parquet", IndexSettings("2"))
    rows = rows_by_id(tmp_path / "v.parquet")
    for name in ("YoYo/_/_/secret/x", "_/etc/passwd"):
        assert (rows[name]["path"], rows[name]["status"], rows[name]["bytes"]) == ("", "unreadable", None)
        assert "leaves the dataset's folder" in rows[name]["reason"]


@pytest.mark.real_data
@pytest.mark.spec("late-temporal-bert", "F1")
@pytest.mark.parametrize("split", ["1", "2", "3"])
def test_the_official_lists_of_both_sets(shared_data, tmp_path, split):
    for name, train, test, others, classes in (
        ("hmdb51", 3570, 1530, 1666, 51),
        ("ucf101", *{"1": (9537, 3783), "2": (9586, 3734), "3": (9624, 3696)}[split], 0, 101),
    ):
        root = shared_data / "annotations" / name
        result = index_videos(root, name, tmp_path / f"{name}.parquet", IndexSettings(split))
        assert result.classes == classes
        # no validation set by default, and no invented one
        assert result.splits == {"test": test, "train": train} | ({"": others} if others else {})
        assert result.statuses == {"missing": train + test + others}
        assert result.groups_in_two_splits == 0
        carved = index_videos(root, name, tmp_path / "carved.parquet", IndexSettings(split, carve_val=0.1))
        assert carved.splits["test"] == test
        assert carved.splits["train"] + carved.splits["val"] == train
        assert carved.splits["val"] == pytest.approx(0.1 * train, rel=0.1)
        assert carved.groups_in_two_splits == 0
        before, after = rows_by_id(tmp_path / f"{name}.parquet"), rows_by_id(tmp_path / "carved.parquet")
        moved = {name for name in before if before[name]["split"] != after[name]["split"]}
        assert {before[name]["split"] for name in moved} == {"train"}
        # spread over the classes; one whose last sources in order are few and large may stay whole
        assert len({after[name]["label"] for name in moved}) >= 0.95 * classes


@pytest.mark.real_data
def test_source_videos_of_the_official_lists(shared_data):
    for reader, name, sources in ((hmdb51, "hmdb51", 2291), (ucf101, "ucf101", 2525)):
        rows = listed(reader.read(shared_data / "annotations" / name))
        assert len({row["group"] for row in rows.values()}) == sources
