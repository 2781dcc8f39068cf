"""Label spaces: index and text, brackets, synonyms, duplicates, coarse groups, files."""

from __future__ import annotations

import json

import pytest

from secondlook import labels
from secondlook.datasets import something_something
from secondlook.errors import BadValue, MissingFile, UnknownName
from secondlook.labels import Label, LabelSpace

NAMES = ["Moving [something] up", "Moving [something] down", "[Something] falling like a rock"]


@pytest.mark.spec("label-reassessment", "L1")
@pytest.mark.parametrize(
    "form", ["list.json", "indexed.json", "text_index.json", "lines.txt", "indexed.csv", "own.json"]
)
def test_a_label_set_loads_with_index_and_text_and_rejects_what_is_wrong(tmp_path, form):
    def write(names):
        path = tmp_path / form
        texts = {
            "list.json": lambda: json.dumps(names),
            "indexed.json": lambda: "{" + ", ".join(f"{json.dumps(n)}: {i}" for i, n in enumerate(names)) + "}",
            "text_index.json": lambda: "{" + ", ".join(f'{json.dumps(n)}: "{i}"' for i, n in enumerate(names)) + "}",
            "lines.txt": lambda: "\n".join(names) + "\n",
            "indexed.csv": lambda: "class_index,class_name\n" + "".join(f"{i},{n}\n" for i, n in enumerate(names)),
            "own.json": lambda: json.dumps({"name": "own", "labels": [{"name": n} for n in names]}),
        }
        path.write_text(texts[form](), encoding="utf-8")
        return path

    space = labels.load(write(NAMES))
    assert list(space.names) == NAMES  # kept as written, in index order
    assert [space.index_of(name) for name in NAMES] == [0, 1, 2]
    # brackets do not matter when a label is looked up, and can be left out when it is shown
    assert space.index_of("moving something DOWN") == 1
    assert [label.plain for label in space.labels] == [
        "Moving something up", "Moving something down", "Something falling like a rock"
    ]  # fmt: skip
    with pytest.raises(UnknownName, match=r"Did you mean 'Moving \[something\] up'"):
        space.index_of("Moving sth up")
    with pytest.raises(BadValue, match="reads the same as label"):
        labels.load(write([*NAMES, "moving something up"]))


@pytest.mark.spec("label-reassessment", "L2")
def test_a_map_of_coarse_groups_gives_every_label_exactly_one_group(tmp_path):
    names, groups = tmp_path / "labels.json", tmp_path / "fine_to_coarse.csv"
    names.write_text(json.dumps({name.replace("[", "").replace("]", ""): str(i) for i, name in enumerate(NAMES)}))

    def load(*rows):
        groups.write_text("fine_grained_class,coarse_grained_class\n" + "".join(f"{row}\n" for row in rows))
        return something_something.label_space(names, groups)

    whole = [f"{NAMES[0]},Moving", f"{NAMES[2]},Falling", f"{NAMES[1]},Moving"]
    space = load(*whole)
    assert space.groups == ("Moving", "Falling")
    assert space.members("Moving") == (0, 1)
    assert space.members("Falling") == (2,)
    with pytest.raises(UnknownName, match=r"coarse group 'Movin' is not known. Did you mean 'Moving'"):
        space.members("Movin")
    with pytest.raises(BadValue, match="has no coarse group"):
        load(*whole[:2])
    with pytest.raises(UnknownName, match="label"):
        load(*whole, "Eating [something],Food")
    with pytest.raises(BadValue, match="is in two groups"):
        LabelSpace.from_names(["run"]).with_groups({"run": "a", "Run": "b"})


def test_a_space_survives_its_dictionary():
    space = LabelSpace((Label("left", "swipe", ("to the left",)), Label("right")), "gestures", directional=True)
    again = LabelSpace.from_dict(json.loads(json.dumps(space.to_dict())))
    assert again == space
    assert again.index_of("To the Left!") == 0
    assert len(again) == 2


def test_two_classes_may_not_read_the_same_nor_nothing():
    with pytest.raises(BadValue, match="reads the same as label 'brush_hair'"):
        LabelSpace.from_names(["brush_hair", "Brush hair"])
    with pytest.raises(BadValue, match="at least one letter or digit"):
        LabelSpace.from_names(["run", "[]"])
    with pytest.raises(BadValue, match="reads the same"):
        LabelSpace((Label("run"), Label("walk", synonyms=("RUN",))))


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("a.json", '{"run": 0, "walk": 2}', "should have index 1"),
        ("a.json", '{"run": "first"}', "label set"),
        ("a.json", '["run", ', "JSON"),
        ("a.json", '{"labels": [{"text": "run"}]}', "label set"),
        ("a.csv", "0,run\n2,walk\n", "should have index 1"),
        ("a.csv", "0,run\n0,walk\n", "should have index 1"),
        ("a.csv", "0,run\nwalk\n", "line 2"),
        ("a.csv", "0,run\none,walk\n", "line 2"),
    ],
)
def test_a_malformed_label_file_is_named(tmp_path, name, text, match):
    (tmp_path / name).write_text(text)
    with pytest.raises(BadValue, match=match):
        labels.load(tmp_path / name)


def test_a_label_file_that_is_not_utf8_or_not_there(tmp_path):
    (tmp_path / "a.txt").write_bytes("café\n".encode("latin-1"))
    with pytest.raises(BadValue, match="UTF-8"):
        labels.load(tmp_path / "a.txt")
    with pytest.raises(MissingFile, match="JSON or CSV"):
        labels.load(tmp_path / "b.txt")


def test_groups_come_from_the_third_column(tmp_path):
    (tmp_path / "a.csv").write_text("index,name,group\n1,walk,legs\n0,wave,arms\n")
    space = labels.load(tmp_path / "a.csv")
    assert [(label.name, label.group) for label in space.labels] == [("wave", "arms"), ("walk", "legs")]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("diving48", 48),
        ("hmdb51", 51),
        ("jester", 27),
        ("kinetics_k400", 400),
        ("sthv1", 174),
        ("sthv2", 174),
        ("ucf101", 101),
    ],
)
def test_published_label_maps_load(shared_data, name, classes):
    stem, _, part = name.partition("_")
    path = shared_data / "annotations" / "label_maps" / f"{stem}_label_map{'_' + part if part else ''}.txt"
    assert len(labels.load(path)) == classes
