"""A clip that is set aside, by a list or by who saw it, is used and shown nowhere (label-reassessment 1.16)."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from secondlook import tables
from secondlook.annotate.store import Store
from secondlook.cli import build_app
from secondlook.report.collect import gather
from secondlook.train.data import choose_rows
from tests.train.toy import draw_toy


def secondlook(*words: object, code: int = 0) -> dict:
    """What a verb says as JSON."""
    done = CliRunner().invoke(build_app(), [str(w) for w in (*words, "--json")])
    assert done.exit_code == code, done.output + repr(done.exception)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """Six clips of each of two classes."""
    root = tmp_path_factory.mktemp("clips")
    draw_toy(root / "all", copies=1)
    for path in sorted((root / "all" / "videos").iterdir()):
        folder = root / "folder" / ("dark", "bright")[int(path.name[0])]
        folder.mkdir(parents=True, exist_ok=True)
        path.rename(folder / path.name)
    return root / "folder"


@pytest.fixture(scope="module")
def listed(clips, tmp_path_factory) -> tuple[Path, str, str]:
    """The videos table with one training and one test clip excluded, and their names."""
    work = tmp_path_factory.mktemp("work")
    index = ("index", clips, "--dataset", "folder", "--splits", "50/0/50", "--seed", 1, "-o", work / "videos.parquet")
    secondlook(*index)
    rows = tables.read(tables.VIDEOS, work / "videos.parquet").to_pylist()
    train, test = (next(r["video_id"] for r in rows if r["split"] == split) for split in ("train", "test"))
    (work / "set-aside.txt").write_text(f"{train}\tshows a person\n{test}\tshows a person\n")
    secondlook(*index, "--exclude", work / "set-aside.txt")
    return work, train, test


@pytest.mark.spec("label-reassessment", "P4")
def test_what_a_list_excludes_is_used_nowhere(listed) -> None:
    work, train, test = listed
    table = tables.read(tables.VIDEOS, work / "videos.parquet")
    status = dict(zip(table["video_id"].to_pylist(), table["status"].to_pylist(), strict=True))
    assert (status[train], status[test]) == ("excluded", "excluded")

    chosen = choose_rows(table, tables.label_space(table))
    assert train not in chosen.train["video_id"].to_pylist()
    recipe = ("--epochs", 1, "--batch-size", 4, "--frames", 4, "--size", "32x32", "--workers", 0)
    trained = secondlook("train", work / "videos.parquet", "--model", "tsm:tiny", *recipe, "-o", work / "run")
    assert trained["train_videos"] == chosen.train.num_rows
    assert trained["unreadable"] == 0, "set aside is not failed"

    predicted = work / "a.parquet"
    secondlook("predict", work / "run", work / "videos.parquet", "--split", "test", "--workers", 0, "-o", predicted)
    rows = tables.read(tables.PREDICTIONS, predicted)
    of_it = [r for r in rows.to_pylist() if r["video_id"] == test]
    assert {r["status"] for r in of_it} <= {"excluded"}
    assert all(np.isnan(r["logits"]).all() for r in of_it)


@pytest.fixture(scope="module")
def audited(listed) -> tuple[Path, Path]:
    """Predictions of a model that gets every clip wrong, run before anything was excluded; and its candidates."""
    work, _, test = listed
    videos, predicted, candidates = (work / f"{name}.parquet" for name in ("videos", "wrong", "candidates"))
    table = tables.read(tables.VIDEOS, videos)
    made = {"label_space": tables.label_space(table).to_dict(), "model": "toy:wrong"}
    tables.write(tables.PREDICTIONS, _all_wrong(table, test), predicted, made)
    secondlook("audit", predicted, "--videos", videos, "-o", candidates)
    return predicted, candidates


@pytest.mark.spec("label-reassessment", "P4")
def test_predictions_made_before_do_not_bring_it_back(listed, audited) -> None:
    (work, _, test), (predicted, candidates) = listed, audited
    table = tables.read(tables.VIDEOS, work / "videos.parquet")
    asked = tables.read(tables.CANDIDATES, candidates)["video_id"].to_pylist()
    assert len(asked) == sum(r["split"] == "test" for r in table.to_pylist()) - 1
    assert test not in asked
    secondlook("annotate", "create", candidates, "-o", work / "answers")
    with Store.open(work / "answers") as store:
        assert test not in {task.video_id for task in store.tasks()}
    scored = secondlook("evaluate", predicted, "--videos", work / "videos.parquet")
    assert scored["n"] == len(asked)
    assert {(x["status"], x["count"], x["failed"]) for x in scored["left_out"]} >= {("excluded", 1, False)}


def _all_wrong(videos, excluded):
    """Every test clip, the excluded one too, with the other class as its best."""
    found = []
    for row in videos.to_pylist():
        if row["split"] == "test":
            logits = [0.0, 0.0]
            logits[1 - row["label"]] = 2.0
            about = {"start_s": 0.0, "crop": "", "logits": logits, "status": "ok", "reason": "", "split": "test"}
            found.append({"video_id": row["video_id"], "view": -1, "label": row["label"], **about})
    assert excluded in {r["video_id"] for r in found}
    return found


@pytest.mark.spec("label-reassessment", "P4")
def test_what_people_call_unsuitable_is_left_out_and_not_shown(listed, audited, tmp_path) -> None:
    (work, _, test), (predicted, asked) = listed, audited
    candidates = tables.read(tables.CANDIDATES, asked)
    flagged, *others = candidates["video_id"].to_pylist()
    names = tables.label_space(candidates).names
    with (tmp_path / "answers.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["video_id", "worker", "labels", "verdict", "reviewer", "unsuitable"])
        for video in (flagged, *others):
            for worker in "xyz":
                labels = "" if video == flagged else "|".join(names)
                writer.writerow([video, worker, labels, "approved", "r", "yes" if video == flagged else "no"])
    secondlook("annotate", "create", asked, "-o", tmp_path / "answers")
    secondlook("annotate", "import", tmp_path / "answers", tmp_path / "answers.csv")
    secondlook("reassess", tmp_path / "answers", "-o", tmp_path / "labels.parquet", "--repost", tmp_path / "again.csv")
    labels = {r["video_id"]: r for r in tables.read(tables.LABELS, tmp_path / "labels.parquet").to_pylist()}
    assert (labels[flagged]["rule"], labels[flagged]["labels"]) == ("unsuitable", [])
    assert flagged not in (tmp_path / "again.csv").read_text(), "nobody is shown it again"

    scored = secondlook(
        "evaluate", predicted, "--videos", work / "videos.parquet", "--labels", tmp_path / "labels.parquet",
        "-o", tmp_path / "scores.json",
    )  # fmt: skip
    assert scored["review"]["dropped"] == 1
    assert scored["models"][0]["top1"]["real"]["n"] == scored["n"] - 1

    table = tables.read(tables.VIDEOS, work / "videos.parquet")
    as_training = table.set_column(
        table.column_names.index("split"), "split", [["train"] * table.num_rows]
    ).replace_schema_metadata(table.schema.metadata)
    sets = tables.read(tables.LABELS, tmp_path / "labels.parquet")
    kept = choose_rows(as_training, tables.label_space(table), sets).train["video_id"].to_pylist()
    assert flagged not in kept
    assert test not in kept
    assert set(others) <= set(kept)

    for path in (work / "videos.parquet", predicted, asked):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    entry = {"model": "a", "method": "grad_cam", "label_name": "dark", "status": "ok", "paths": {}, "reason": ""}
    explained = {"explanations": [{**entry, "video_id": v} for v in (flagged, test, others[0])], "averages": {}}
    (tmp_path / "explanations.json").write_text(json.dumps(explained))
    found = gather(tmp_path)
    assert found.set_aside == {flagged, test, *(r["video_id"] for r in table.to_pylist() if r["status"] == "excluded")}
    assert [e["video_id"] for e in found.explanations[0]["explanations"]] == [others[0]]
    secondlook("report", tmp_path, "-o", tmp_path / "report.html", "--explanations", 0)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert page.count("<video") == len(others)
    assert f'<small class="id">{flagged}</small>' not in page
    assert f'<small class="id">{others[0]}</small>' in page
