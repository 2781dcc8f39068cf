"""Ten crops, every clip of a video, and the four test modes, against twins that read one view at a time."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner

from secondlook import cli, tables
from secondlook.bulk import predict as bulk_predict
from secondlook.cards import ClipSpec
from secondlook.errors import BadValue
from secondlook.evaluate.modes_table import modes_table
from secondlook.labels import LabelSpace
from secondlook.predict import parts
from secondlook.predict.modes import MODES, four_modes
from secondlook.predict.parts import KeyBatches, parts_of
from secondlook.predict.run import Plan, PredictSettings, predict
from secondlook.predict.views import Views
from secondlook.predict.weights import LoadedModel, build_model, find_card, save_weights, with_clip
from secondlook.video.decode import decode
from secondlook.video.transform import MIRRORED, input_clip, to_input, working_size
from tests.train.toy import LABELS

PLACES = ("center", "top_left", "top_right", "bottom_left", "bottom_right")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """An untrained network of dense clips that crops."""
    card = with_clip(find_card("tsm:tiny"), fit="crop", frames=2, height=24, width=24, short_side=32, sampling="dense")
    network = build_model(card, 2).eval()
    path = tmp_path_factory.mktemp("model") / "best.safetensors"
    save_weights(network, path)
    return LoadedModel(network, card, LABELS, path)


@pytest.fixture(scope="module")
def counted(toy: pa.Table) -> pa.Table:
    """The toy videos, with their numbers of frames as `index` writes them."""
    root = Path(tables.made(toy)["root"])
    counts = [len(decode(root / path, None).frames_THWC) for path in toy["path"].to_pylist()]
    assert len(set(counts)) > 2
    at = toy.schema.get_field_index("frames")
    column = pa.array(counts, pa.int32())
    return toy.append_column("frames", column) if at < 0 else toy.set_column(at, "frames", column)


def settings(**changes: Any) -> PredictSettings:
    return PredictSettings(**{"split": "all", "workers": 0, "batch_size": 8, **changes})


def rows_of(path: Path) -> dict[tuple[str, int], dict[str, Any]]:
    return {(r["video_id"], r["view"]): r for r in tables.read(tables.PREDICTIONS, path).to_pylist()}


def mean_of_probabilities(logits_VK: NDArray[np.float64]) -> NDArray[np.float64]:
    return (np.exp(logits_VK) / np.exp(logits_VK).sum(1, keepdims=True)).mean(0)


def probabilities(logits: list[float]) -> NDArray[np.float64]:
    return np.exp(logits) / np.exp(logits).sum()


@pytest.mark.spec("late-temporal-bert", "F25")
def test_ten_crops_are_five_places_and_their_mirror_images_averaged(
    model: LoadedModel, toy: pa.Table, tmp_path: Path
) -> None:
    predict(model, toy, tmp_path / "a.parquet", settings(views=Views(1, 10), split="test"))
    found = rows_of(tmp_path / "a.parquet")
    root, spec = Path(tables.made(toy)["root"]), model.card.clip
    test = [i for i, split in enumerate(toy["split"].to_pylist()) if split == "test"]
    for number in test:
        name, path = toy["video_id"][number].as_py(), root / toy["path"][number].as_py()
        twin = []
        for flipped in (False, True):
            for place in PLACES:
                x_CTHW = input_clip(path, spec, crop=place).x_CTHW
                x_CTHW = x_CTHW.flip(-1) if flipped else x_CTHW
                with torch.no_grad():
                    twin.append(model.model(x_CTHW[None])[0].tolist())
        rows = [found[name, view] for view in range(10)]
        assert [r["crop"] for r in rows] == [*PLACES, *(place + MIRRORED for place in PLACES)]
        np.testing.assert_allclose([r["logits"] for r in rows], twin, atol=1e-5)
        want_K = mean_of_probabilities(np.array(twin))
        np.testing.assert_allclose(probabilities(found[name, -1]["logits"]), want_K, atol=1e-5)
    assert len(found) == 11 * len(test)


@pytest.mark.spec("late-temporal-bert", "F25")
def test_of_flow_a_mirrored_crop_turns_the_motion_round() -> None:
    """Its motion across is that of the place it mirrors, from right to left and with the other sign."""
    spec = ClipSpec(frames=1, short_side=32, height=24, width=24, modality="flow", mean=(0.5, 0.5), std=(1.0, 1.0))
    frames_THWC = np.random.default_rng(0).integers(0, 256, (1, 32, 40, 3), dtype=np.uint8)
    for place in PLACES:
        x_CTHW, mirrored_CTHW = to_input(frames_THWC, spec, place), to_input(frames_THWC, spec, place + MIRRORED)
        torch.testing.assert_close(mirrored_CTHW[0], -x_CTHW[0].flip(-1))
        torch.testing.assert_close(mirrored_CTHW[1], x_CTHW[1].flip(-1))


@pytest.mark.spec("late-temporal-bert", "F21")
@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "76")
def test_every_clip_of_uneven_videos(model: LoadedModel, counted: pa.Table, tmp_path: Path) -> None:
    done = predict(model, counted, tmp_path / "a.parquet", settings(views=Views.parse("allx3")))
    assert done.views == "allx3"
    found, root, spec = rows_of(tmp_path / "a.parquet"), Path(tables.made(counted)["root"]), model.card.clip
    numbers = set()
    for row in counted.to_pylist():
        frames_THWC = decode(root / row["path"], None, size=working_size(spec)).frames_THWC
        clips = max(1, len(frames_THWC) // 2)
        numbers.add(clips)
        views = [r for (name, view), r in found.items() if name == row["video_id"] and view >= 0]
        assert [r["view"] for r in views] == list(range(3 * clips))
        twin = []
        for clip in range(clips):
            for crop in ("left", "center", "right"):
                x_CTHW = to_input(frames_THWC[2 * clip : 2 * clip + 2], spec, crop)
                with torch.no_grad():
                    twin.append(model.model(x_CTHW[None])[0].tolist())
        np.testing.assert_allclose([r["logits"] for r in views], twin, atol=1e-5)
        video_K = probabilities(found[row["video_id"], -1]["logits"])
        np.testing.assert_allclose(video_K, mean_of_probabilities(np.array(twin)), atol=1e-5)
    assert len(numbers) > 1


class Stop(Exception):  # noqa: N818
    pass


def test_every_clip_stopped_and_gone_on_with_is_the_same_bit_for_bit(
    model: LoadedModel, counted: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_CLIPS", 10)
    chosen = settings(views=Views.parse("allx1"), batch_size=4)
    predict(model, counted, tmp_path / "whole.parquet", chosen)

    def stop(done: int, _: int) -> None:
        if done >= 8:
            raise Stop

    with pytest.raises(Stop):
        predict(model, counted, tmp_path / "a.parquet", chosen, on_step=stop)
    assert 0 < predict(model, counted, tmp_path / "a.parquet", chosen).resumed < len(counted)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    plan = Plan.of(model, counted, chosen)
    assert len(plan.parts) > 1
    assert bulk_predict._ranges(plan) == plan.parts


def test_parts_and_batches_of_uneven_videos() -> None:
    clips_R = np.array([3, 1, 600, 2, 5, 1])
    found = parts_of(6, Views.parse("allx1"), clips_R)
    assert [row for part in found for row in part] == list(range(6))
    assert found == [range(2), range(2, 3), range(3, 6)]
    batches = KeyBatches(found, clips_R, 4)
    keys = [*batches]
    assert len(batches) == len(keys)
    assert max(map(len, keys)) == 4
    assert [(k.row, k.view) for batch in keys for k in batch] == [(r, v) for r in range(6) for v in range(clips_R[r])]
    for batch in keys:
        assert sum(any(k.row in part for k in batch) for part in found) == 1
    assert parts_of(0, Views.parse("allx1"), clips_R[:0]) == []


def test_every_clip_needs_a_recipe_and_a_table_that_have_it(
    model: LoadedModel, toy: pa.Table, counted: pa.Table, tmp_path: Path
) -> None:
    every = settings(views=Views.parse("allx1"))
    with pytest.raises(BadValue, match=r"does not say how many frames .* Index the videos again"):
        predict(model, toy, tmp_path / "a.parquet", every)
    segments = replace(model, card=with_clip(model.card, sampling="segments"))
    with pytest.raises(BadValue, match=r"'allx1': a recipe of segments .* Give a number of clips"):
        predict(segments, counted, tmp_path / "a.parquet", every)
    with pytest.raises(BadValue, match="not both"):
        Views(3, 1, every=True)
    long = counted.set_column(counted.schema.get_field_index("frames"), "frames",
                              pa.array([2**20] * len(counted), pa.int32()))  # fmt: skip
    with pytest.raises(BadValue, match=r"would have 524288 views"):
        predict(model, long, tmp_path / "a.parquet", every)


@pytest.mark.spec("late-temporal-bert", "F26")
def test_four_modes_make_four_tables_and_one_of_accuracy(
    model: LoadedModel, counted: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secondlook.predict.weights.load_run", lambda *_: model)
    root = Path(tables.made(counted)["root"])
    videos = tables.write(tables.VIDEOS, counted, tmp_path / "videos.parquet", {**tables.made(counted)})
    arguments = ["predict", str(tmp_path), str(videos), "-o", str(tmp_path / "modes"), "--test-modes", "--split", "all",
                 "--workers", "0", "--no-cache", "--root", str(root), "--json"]  # fmt: skip
    said = CliRunner().invoke(cli.build_app(), arguments)
    assert said.exit_code == 0, said.output
    told = json.loads(said.stdout)
    wanted = {"multi_ten": "allx10", "multi_one": "allx1", "one_ten": "1x10", "one_one": "1x1"}
    assert {mode: told["modes"][mode]["views"] for mode in MODES} == wanted
    given = dict(zip(counted["video_id"].to_pylist(), counted["label"].to_pylist(), strict=True))
    for mode in MODES:
        found = [r for (_, view), r in rows_of(tmp_path / "modes" / f"{mode}.parquet").items() if view == -1]
        right = sum(int(np.argmax(r["logits"])) == given[r["video_id"]] for r in found)
        assert told["percent"][mode] == [100.0, pytest.approx(100 * right / len(given))]  # two classes: top-2 is sure
    lines = (tmp_path / "modes" / "modes.md").read_text().splitlines()
    assert lines[2] == "| Method | MultiClip TenCrop | MultiClip 1Crop | 1Clip TenCrop | 1Clip 1Crop |"
    assert lines[4].split(" | ")[1:] == [
        f"100.00 / {told['percent'][m][1]:.2f}" + " |" * (m == "one_one") for m in MODES
    ]
    (row,) = csv.DictReader((tmp_path / "modes" / "modes.csv").read_text().splitlines())
    assert row["n"] == str(len(given))
    assert float(row["multi_ten_top1"]) == pytest.approx(told["percent"]["multi_ten"][1], abs=1e-4)
    again = json.loads(CliRunner().invoke(cli.build_app(), arguments).stdout)
    assert all(again["modes"][mode]["resumed"] == len(given) for mode in MODES)


@pytest.mark.spec("late-temporal-bert", "F26")
def test_top_three_of_more_classes_by_hand() -> None:
    rng = np.random.default_rng(0)
    given_N = rng.integers(0, 7, 40)
    made = {"label_space": LabelSpace.from_names([f"c{k}" for k in range(7)]).to_dict(), "model": "m"}
    logits, read = {}, {}
    for mode in MODES:
        logits[mode] = rng.normal(size=(40, 7)).astype(np.float32)
        rows = [
            {"video_id": f"v{n:02d}", "view": -1, "label": int(given_N[n]), "split": "test", "start_s": float("nan"),
             "crop": "", "logits": logits[mode][n].tolist(), "status": "ok", "reason": ""}
            for n in range(40)
        ]  # fmt: skip
        read[mode] = predictions_of(rows, made)
    found = modes_table(read, "net")
    assert (found.n, found.top_k, list(found.percent)) == (40, 3, list(MODES))
    for mode in MODES:
        order = np.argsort(-logits[mode], axis=1)
        hit = [100 * np.mean([given_N[n] in order[n, :k] for n in range(40)]) for k in (3, 1)]
        np.testing.assert_allclose(found.percent[mode], hit)
    assert found.markdown().count("\n") == 5
    with pytest.raises(BadValue, match="'one_ten': there are no predictions of this test mode"):
        modes_table({mode: read[mode] for mode in MODES if mode != "one_ten"}, "net")


def predictions_of(rows: list[dict[str, Any]], made: dict[str, Any]) -> pa.Table:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        return tables.read(tables.PREDICTIONS, tables.write(tables.PREDICTIONS, rows, Path(folder) / "a.parquet", made))


def test_modes_of_segments_and_what_they_exclude(tmp_path: Path) -> None:
    segments = {mode: str(views) for mode, views in four_modes(ClipSpec()).items()}
    assert segments == {"multi_ten": "10x10", "multi_one": "10x1", "one_ten": "1x10", "one_one": "1x1"}
    base = ["predict", "runs/a", "videos.parquet", "-o", str(tmp_path), "--test-modes"]
    for more, words in ((["--views", "1x3"], "views of their own"), (["--top-k", "a.csv"], "of one table")):
        with pytest.raises(BadValue, match=words):
            CliRunner().invoke(cli.build_app(), [*base, *more], catch_exceptions=False)
    with pytest.raises(BadValue, match="no other views"):
        CliRunner().invoke(cli.build_app(), ["predict", "a.csv", *base[2:]], catch_exceptions=False)
