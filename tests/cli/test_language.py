"""The verb `language`, and what `train` says of teachers, label vectors and votes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from secondlook import cli, tables
from secondlook.errors import BadValue, UnknownName
from tests.language.test_similarity import predictions
from tests.train.conftest import toy, toy_cache  # noqa: F401 - fixtures


def say(*arguments: object) -> str:
    said = CliRunner().invoke(cli.build_app(), [str(a) for a in arguments], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    return said.stdout


def test_embed_list_and_draw(tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("0,Moving [something] up,move\n1,Moving [something] down,move\n2,Holding [something],hold\n")
    vectors = tmp_path / "vectors.parquet"
    words = tmp_path / "glove.txt"
    words.write_text("moving 1 0\nsomething 0 1\nup 1 1\nholding 0 2\n")
    said = say("language", "embed", labels, "-o", vectors, "--method", "glove", "--file", words)
    assert "3 labels, 2 dimensions" in said
    assert "1 words without a vector, in 1 labels: down." in said
    assert tables.made(tables.read(tables.LABEL_VECTORS, vectors))["inputs"].keys() == {str(labels), str(words)}
    said = say("language", "pairs", vectors, "--pairs", "within", "--with", vectors)
    assert "Moving [something] up  |  Moving [something] down  ranks 1 and 1" in said
    other = tmp_path / "tfidf.parquet"
    found = json.loads(say("language", "embed", labels, "-o", other, "--json"))
    assert (found["labels"], found["unknown"]) == (3, {})
    for kind in ("scatter", "cosines"):
        say("language", "draw", other, "-o", tmp_path / f"{kind}.png", "--kind", kind)
        assert (tmp_path / f"{kind}.png").stat().st_size > 1000


def test_errors_of_models_side_by_side(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc\nd\ne\n")
    say("language", "embed", labels, "-o", tmp_path / "v.parquet")
    predictions(tmp_path, {"x": (0, [1, 2, 0, 0, 0])}, "first")
    predictions(tmp_path, {"x": (0, [3, 2, 1, 0, 0])}, "second")
    both = [tmp_path / "first.parquet", tmp_path / "second.parquet"]
    said = say("language", "errors", *both, "--vectors", tmp_path / "v.parquet", "--top", "2")
    assert "first: 1 mistakes in 1 videos, mean cosine" in said
    assert "x  a  first: b | a" in said
    assert "x  a  second: a | b" in said
    found = json.loads(say("language", "errors", *both, "--vectors", tmp_path / "v.parquet", "--json"))
    assert found["distance"]["second"]["errors"] == 0


def test_a_folder_of_something_something(tmp_path: Path) -> None:
    folder = tmp_path / "annotations"
    folder.mkdir()
    names = ["Dropping [something]", "Holding [something]", "Moving [something] up", "Moving [something] down"]
    (folder / "fine_grained_classes.csv").write_text(
        "class_index,class_name\n" + "".join(f"{i},{name}\n" for i, name in enumerate(names))
    )
    (folder / "fine_to_coarse.csv").write_text(
        "fine_grained_class,coarse_grained_class\n" + "".join(f"{name},{name.split()[0]}\n" for name in names)
    )
    vectors = tmp_path / "v.parquet"
    found = json.loads(say("language", "embed", tmp_path, "-o", vectors, "--analyzer", "word", "--json"))
    assert found["labels"] == 4
    table = tables.read(tables.LABEL_VECTORS, vectors)
    assert tables.label_space(table).groups == ("Dropping", "Holding", "Moving")
    assert len(tables.made(table)["inputs"]) == 2
    said = say("language", "nearest", vectors, "moving something UP", "-k", "2").splitlines()
    assert said[0] == "Nearest to Moving [something] up, by TF-IDF (word):"
    assert said[1].endswith("Moving [something] down  · Moving")
    with pytest.raises(UnknownName, match="Did you mean"):
        say("language", "nearest", vectors, "moving something upp")
    other = tmp_path / "w.parquet"
    say("language", "embed", folder, "-o", other)
    said = say("language", "compare", vectors, other, "--label", names[0], "--label", names[2])
    assert "TF-IDF (word) and TF-IDF (char): rank correlation of all cosines" in said
    assert len(said.splitlines()) == 3
    assert json.loads(say("language", "compare", vectors, other, "-k", "2", "--json"))["k"] == 2
    for labels in (["--label", names[0]], ["--label", names[0], "--label", names[0]]):
        with pytest.raises(BadValue, match=r"labels make no pair|no neighbour of itself"):
            say("language", "compare", vectors, other, *labels)
    matrix = tmp_path / "tsm.npy"
    np.save(matrix, np.array([[5, 1, 0, 0], [1, 5, 0, 0], [0, 0, 5, 4], [0, 0, 4, 5]]))
    said = say("language", "errors", "--vectors", vectors, "--confusion", matrix)
    assert "tsm: cosine and confusion of 6 pairs of labels, rank correlation" in said
    found = json.loads(say("language", "errors", "--vectors", vectors, "--confusion", matrix, "--json"))
    assert found["confusion"]["tsm"]["confused_pairs"] == 2
    with pytest.raises(BadValue, match="nothing to measure"):
        say("language", "errors", "--vectors", vectors)


def test_words(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\n")
    for more, words in (
        (["--method", "glov"], "Did you mean 'glove'"),
        (["--method", "glove"], "needs a file of vectors. Give --file"),
    ):
        with pytest.raises((BadValue, UnknownName), match=words):
            say("language", "embed", labels, "-o", tmp_path / "v.parquet", *more)
    say("language", "embed", labels, "-o", tmp_path / "v.parquet")
    with pytest.raises(UnknownName, match="kind of picture"):
        say("language", "draw", tmp_path / "v.parquet", "-o", tmp_path / "v.png", "--kind", "map")


def test_a_teacher_and_vectors_on_the_command_line(toy: pa.Table, toy_cache: Path, tmp_path: Path) -> None:  # noqa: F811
    videos = Path(tables.made(toy)["root"]) / "videos.parquet"
    say("language", "embed", videos, "-o", tmp_path / "v.parquet")
    small = ["--model", "tsm:tiny", "--frames", "4", "--size", "32x32", "--epochs", "1", "--workers", "0"]
    small += ["--cache", str(toy_cache)]
    say("train", videos, "-o", tmp_path / "teacher", *small)
    more = ["--teacher", tmp_path / "teacher", "--distillation", "hinton", "--temperature", "2"]
    more += ["--modality", "rgb", "--embeddings", tmp_path / "v.parquet"]
    said = say("train", videos, "-o", tmp_path / "student", *small, *more)
    assert "note: the teacher is tsm:tiny of" in said
    settings = json.loads((tmp_path / "student" / "settings.json").read_text())
    assert settings["inputs"].keys() == {"teacher", "embeddings"}
    assert settings["settings"]["temperature"] == 2.0
    with pytest.raises(BadValue, match="Give --teacher RUN"):
        say("train", videos, "-o", tmp_path / "none", *small, "--distillation", "mars")
