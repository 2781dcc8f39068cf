"""The section on labels in words: what its data hold, what the page says, and that no label text can become markup."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pyarrow as pa
import pytest

from secondlook import tables
from secondlook.labels import Label, LabelSpace
from secondlook.language.similarity import cosine_matrix
from secondlook.language.vectors import LabelVectors, write_vectors
from secondlook.report import _language_section as language
from secondlook.report import collect

HERE = Path(language.__file__).parent
NAMES = ["Holding <b>[something]</b>", "Lifting </script>", 'Say "it"', "Moving up", "Moving down"]
SPACE = LabelSpace(tuple(Label(n, g) for n, g in zip(NAMES, "aabbb", strict=True)), "toy")


def table(folder: Path, seed: int = 0, space: LabelSpace = SPACE, dimensions: int = 3) -> pa.Table:
    values = np.random.default_rng(seed).normal(size=(len(space), dimensions)).astype(np.float32)
    vectors = LabelVectors(space, values, f"method {seed}")
    path = write_vectors(vectors, folder / f"{seed}.parquet", tables.provenance("language embed", {}))
    return tables.read(tables.LABEL_VECTORS, path)


def rendered(view: dict[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template("language.html").render(language=view)


def test_the_data_of_a_map(tmp_path: Path) -> None:
    made = table(tmp_path)
    (one,) = language.section([made])["sets"]
    assert one["labels"] == ["Holding <b>something</b>", *NAMES[1:]]
    assert (one["groups"], one["group"]) == (["a", "b"], [0, 0, 1, 1, 1])
    cosines = np.frombuffer(base64.b64decode(one["cosines"]), "<i2") / one["steps"]
    expected = cosine_matrix(tables.matrix(made, "vector"))[np.triu_indices(5, 1)]
    assert np.abs(cosines - expected).max() <= 0.5 / one["steps"] + 1e-9
    assert np.array(one["places"]).min(0).tolist() == [0, 0]
    assert np.array(one["places"]).max(0).tolist() == [1000, 1000]
    assert set(one["orders"]) == {"index", "group", "cluster"}
    assert all(sorted(order) == list(range(5)) for order in one["orders"].values())
    assert one["orders"]["index"] == list(range(5))
    plain = LabelSpace.from_names("abcd", "plain")
    assert set(language.section([table(tmp_path, 7, plain)])["sets"][0]["orders"]) == {"index", "cluster"}


def test_label_texts_are_text(tmp_path: Path) -> None:
    page = rendered(language.section([table(tmp_path, 0), table(tmp_path, 1)]))
    assert "<b>[" not in page
    assert "<b>something" not in page
    inside = re.findall(r'<script type="application/json" id="language-data">(.*?)</script>', page, re.DOTALL)
    assert [one["labels"][1] for one in json.loads(inside[0])] == ["Lifting </script>"] * 2
    script = (HERE / "language_map.js").read_text()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|fetch\(|https?://(?!www\.w3\.org)", script
    )


@pytest.mark.spec("label-reassessment", "L7", "L10")
def test_pairs_and_the_comparison(tmp_path: Path) -> None:
    view = language.section([table(tmp_path, 0), table(tmp_path, 1)])
    assert [[part["name"] for part in one["lists"]] for one in view["pairs"]] == [
        ["Most similar", "Most similar, of two groups", "Least similar, of one group", "Least similar"]
    ] * 2
    for one in view["pairs"]:
        most, cross, within, least = ([float(r["cosine"]) for r in part["rows"]] for part in one["lists"])
        assert most == sorted(most, reverse=True)
        assert cross == sorted(cross, reverse=True)
        assert within == sorted(within)
        assert least == sorted(least)
        assert most[0] == max(most + cross + within + least)
        assert (len(cross), len(within)) == (6, 4)
    page = rendered(view)
    assert "method 0 and method 1: rank correlation of all cosines" in page
    assert view["comparison"]["k"] == 4
    other = LabelSpace.from_names("abcd", "other")
    assert language.section([table(tmp_path, 0), table(tmp_path, 2, other)])["comparison"] == {}


def test_what_cannot_be_mapped_is_said(tmp_path: Path) -> None:
    assert language.section([]) == {}
    view = language.section([table(tmp_path, 0, LabelSpace.from_names("ab"))])
    assert view["sets"] == []
    assert "method 0: 2 labels are too few to be mapped here." in rendered(view)
    twice = language.section([table(tmp_path, 3), table(tmp_path, 3)])
    assert [one["title"] for one in twice["sets"]] == ["method 3, 1", "method 3, 2"]


def test_a_report_finds_the_tables(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    table(tmp_path / "deep", 1)
    table(tmp_path, 2)
    rows = [{"video_id": "a", "path": "a.mp4", "label": 0, "split": "", "group": "", "status": "ok", "reason": ""}]
    tables.write(tables.VIDEOS, rows, tmp_path / "videos.parquet", {"label_space": SPACE.to_dict(), "root": "."})
    found = collect.gather(tmp_path).label_vectors
    assert [tables.made(t)["method"] for t in found] == ["method 2", "method 1"]
