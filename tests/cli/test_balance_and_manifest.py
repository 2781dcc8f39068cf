"""`index`: the balance as a picture with both tails named; a manifest in CSV, with what is missing or broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from secondlook import cli
from secondlook.datasets._balance import from_counts
from secondlook.report import score_figures
from tests.datasets.trees import csv_rows, put, rows_by_id

# Frames of the classes at both ends of HMDB_simp, and some between (attention-recognisers 1).
HMDB_SIMP = {"brush_hair": 13_300, "kiss": 9_900, "shoot_bow": 9_700, "wave": 4_000, "eat": 3_900, "golf": 3_500,
             "pick": 2_600, "flic_flac": 2_200, "catch": 1_980}  # fmt: skip


def index(*arguments: Any) -> Any:
    return CliRunner().invoke(cli.build_app(), ["index", *map(str, arguments)], catch_exceptions=False)


@pytest.mark.spec("attention-recognisers", "A3")
def test_bars_are_frames_a_class_and_tails_are_named() -> None:
    of = from_counts(list(HMDB_SIMP), ((i, 50, n) for i, n in enumerate(HMDB_SIMP.values())))
    most, fewest = ([name for name, _ in tail] for tail in of.tails())
    drawn = score_figures.class_bars(of.counted, "frames of the class", most, fewest)
    (axes,) = drawn.axes
    bars = axes.patches[: len(HMDB_SIMP)]
    assert [bar.get_width() for bar in bars] == sorted(HMDB_SIMP.values(), reverse=True)
    assert [text.get_text() for text in axes.get_yticklabels()] == list(HMDB_SIMP)
    assert [bar.get_hatch() for bar in bars] == ["//"] * 3 + [""] * 3 + [".."] * 3
    said = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert said == ["most: brush_hair, kiss, shoot_bow", "fewest: catch, flic_flac, pick"]


@pytest.mark.spec("attention-recognisers", "A3")
def test_the_picture_and_the_words_tell_the_same(tmp_path: Path, draw_video: Any) -> None:
    root = tmp_path / "data"
    for name, frames in (("catch", 3), ("wave", 6), ("brush_hair", 12)):
        draw_video(root / f"{name}/0.mp4", frames=frames)
    picture = tmp_path / "balance.png"
    done = index(root, "--check", "--workers", 1, "-o", tmp_path / "v.parquet", "--balance", picture)
    assert done.exit_code == 0
    assert "most frames: brush hair 12; fewest: catch 3" in done.stdout.replace("_", " ")
    assert f"balance drawn: {picture}" in done.stdout
    with Image.open(picture) as image:
        image.verify()
    told = json.loads(index(root, "-o", tmp_path / "w.parquet", "--balance", picture, "--json").stdout)
    assert told["balance"]["unit"] == "clips"
    assert told["balance_picture"] == str(picture)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "82")
def test_a_manifest_is_loaded_with_what_is_missing_and_what_is_corrupt(tmp_path: Path, draw_video: Any) -> None:
    root = tmp_path / "data"
    manifest = "label,youtube_id,time_start,time_end,split\n" + "".join(
        f"{label},{video},0,10,{split}\n"
        for label, video, split in (
            ("climb", "whole", "train"), ("climb", "lost", "train"),
            ("wave", "noise", "val"), ("wave", "empty", "test"),
        )
    )  # fmt: skip
    draw_video(root / "videos/whole_000000_000010.mp4", frames=5)
    put(root, {"manifest.csv": manifest.encode(), "videos/noise_000000_000010.mp4": b"no video at all"})
    put(root, {"videos/empty_000000_000010.mp4": b""})
    out = tmp_path / "v.parquet"
    done = index(root, "-d", "kinetics", "--check", "--workers", 1, "-o", out, "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert told["statuses"] == {"empty": 1, "missing": 1, "not_a_video": 1, "ok": 1}
    assert (told["videos"], told["failed_rows"], told["splits_from"]) == (4, 3, "publisher")
    rows = rows_by_id(out)
    assert {name.split("_")[0]: (row["split"], row["status"]) for name, row in rows.items()} == {
        "whole": ("train", "ok"), "lost": ("train", "missing"), "noise": ("val", "not_a_video"),
        "empty": ("test", "empty"),
    }  # fmt: skip
    assert rows["whole_000000_000010"]["frames"] == 5
    report = {Path(row["path"]).stem.split("_")[0]: row for row in csv_rows(tmp_path / "v.parquet.quarantine.csv")}
    assert set(report) == {"lost", "noise", "empty"}
    assert all(row["reason"] for name, row in report.items() if name != "empty")
    assert "manifest.csv" in report["lost"]["reason"]


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "82")
def test_a_synthetic_dataset_is_drawn_and_loaded(tmp_path: Path) -> None:
    words = ["draw", str(tmp_path / "drawn"), "--clips", "3", "--size", "32", "--frames", "12", "--workers", "1"]
    assert CliRunner().invoke(cli.build_app(), words, catch_exceptions=False).exit_code == 0
    done = index(tmp_path / "drawn", "-d", "drawn", "--check", "--workers", 1, "-o", tmp_path / "v.parquet", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["statuses"] == {"ok": 3}
    assert all(row["true_labels"] for row in rows_by_id(tmp_path / "v.parquet").values())
