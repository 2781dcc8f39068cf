"""Scores made elsewhere become a predictions table; the best classes of one become a CSV."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from secondlook import tables
from secondlook.errors import BadValue, MissingFile, UnknownName
from secondlook.predict.scores import import_scores, write_top_k
from tests.train.toy import LABELS


def write_csv(path: Path, rows: list[list[object]], header: tuple[str, ...] = ("video_id", "bright", "dark")) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.mark.spec("label-reassessment", "I6")
def test_scores_are_imported_without_a_network_and_the_best_classes_written(toy: pa.Table, tmp_path: Path) -> None:
    names = toy["video_id"].to_pylist()
    rng = np.random.default_rng(0)
    logits_NK = rng.normal(size=(len(names), 2)).astype(np.float32)
    given = write_csv(tmp_path / "net.csv", [[n, *z] for n, z in zip(names, logits_NK.tolist(), strict=True)])
    done = import_scores(given, toy, tmp_path / "a.parquet")
    table = tables.read(tables.PREDICTIONS, tmp_path / "a.parquet")
    assert (done.videos, done.unusable) == (12, 0)
    assert table["video_id"].to_pylist() == names
    np.testing.assert_allclose(tables.matrix(table, "logits"), logits_NK[:, ::-1], rtol=1e-6)  # columns by name
    assert tables.label_space(table) == LABELS
    assert tables.made(table)["model"] == "net"

    write_top_k(table, 2, tmp_path / "top.csv")
    with (tmp_path / "top.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    for name, (bright, dark) in zip(names, logits_NK.tolist(), strict=True):
        first, second = (r for r in rows if r["video_id"] == name)
        assert (first["rank"], second["rank"]) == ("1", "2")
        assert first["name"] == ("bright" if bright > dark else "dark")
        assert LABELS.names[int(first["index"])] == first["name"]
        best = 1 / (1 + np.exp(-abs(bright - dark)))
        assert float(first["confidence"]) == pytest.approx(best, rel=1e-4)
        assert float(first["confidence"]) + float(second["confidence"]) == pytest.approx(1, abs=1e-4)


def test_npz_and_probabilities(toy: pa.Table, tmp_path: Path) -> None:
    names = toy["video_id"].to_pylist()
    p_NK = np.tile([[0.25, 0.75], [1.0, 0.0]], (6, 1))
    np.savez(tmp_path / "net.npz", video_id=np.array(names), logits=p_NK)
    import_scores(tmp_path / "net.npz", toy, tmp_path / "a.parquet", "test")
    table = tables.read(tables.PREDICTIONS, tmp_path / "a.parquet")
    got_NK = np.exp(tables.matrix(table, "logits").astype(np.float64))
    np.testing.assert_allclose(got_NK / got_NK.sum(1, keepdims=True), [[0.25, 0.75], [1.0, 0.0]], atol=1e-6)
    assert tables.made(table)["given_as"] == "probabilities"


def test_a_video_without_scores_keeps_its_row(toy: pa.Table, tmp_path: Path) -> None:
    given = write_csv(tmp_path / "net.csv", [["0_000", 1.0, 2.0]])
    done = import_scores(given, toy, tmp_path / "a.parquet", "train")
    table = tables.read(tables.PREDICTIONS, tmp_path / "a.parquet")
    assert (done.videos, done.unusable) == (8, 7)
    assert table["status"].to_pylist().count("missing") == 7
    assert np.isnan(tables.matrix(table, "logits")).all(1).sum() == 7
    write_top_k(table, 1, tmp_path / "top.csv")
    assert len((tmp_path / "top.csv").read_text().splitlines()) == 2


def test_wrong_files_are_sentences(toy: pa.Table, tmp_path: Path) -> None:
    out = tmp_path / "a.parquet"
    with pytest.raises(MissingFile):
        import_scores(tmp_path / "none.csv", toy, out)
    cases = [
        ([["0_000", 1.0, 2.0], ["0_000", 1.0, 2.0]], ("video_id", "bright", "dark"), "names a video twice"),
        ([["stranger", 1.0, 2.0]], ("video_id", "bright", "dark"), "'stranger': is in net.csv but not in the videos"),
        ([["0_000", "x", 2.0]], ("video_id", "bright", "dark"), "has a score that is no number"),
        ([["0_000", "nan", 2.0]], ("video_id", "bright", "dark"), "not finite"),
        ([["0_000", 2.0]], ("video_id", "bright", "dark"), "has 1 scores for 2 classes"),
        ([["0_000", 2.0]], ("video_id", "bright"), "one column for each of the 2 labels"),
        ([["0_000", 2.0, 1.0]], ("video_id", "bright", "Bright"), "one column for each of the 2 labels"),
        ([["0_000", 2.0, 1.0]], ("name", "bright", "dark"), "must start with a line `video_id"),
    ]  # fmt: skip
    for rows, header, sentence in cases:
        with pytest.raises(BadValue, match=sentence):
            import_scores(write_csv(tmp_path / "net.csv", rows, header), toy, out)
    with pytest.raises(UnknownName, match=r"Did you mean 'bright'"):
        import_scores(write_csv(tmp_path / "net.csv", [["0_000", 1, 2]], ("video_id", "brigth", "dark")), toy, out)
    np.savez(tmp_path / "bad.npz", video_id=np.array([object()]), logits=np.zeros((1, 2)))
    with pytest.raises(BadValue, match=r"is not an .npz with arrays video_id and logits"):
        import_scores(tmp_path / "bad.npz", toy, out)
    assert not out.exists()


def test_k_lies_in_range(toy: pa.Table, tmp_path: Path) -> None:
    import_scores(write_csv(tmp_path / "net.csv", [["0_000", 1.0, 2.0]]), toy, tmp_path / "a.parquet")
    with pytest.raises(BadValue, match=r"must lie in 1\.\.2"):
        write_top_k(tables.read(tables.PREDICTIONS, tmp_path / "a.parquet"), 3, tmp_path / "top.csv")
