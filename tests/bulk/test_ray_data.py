"""The bulk verbs on a Ray cluster of this machine: same bytes as local, resume, workers killed in the middle."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from secondlook import tables
from secondlook.bulk import predict as bulk_predict
from secondlook.bulk import prepare as bulk_prepare
from secondlook.bulk.ray_data import Cluster, connected, run
from secondlook.bulk.shards import Shards
from secondlook.errors import BadValue, SecondlookError
from secondlook.predict import parts
from secondlook.predict.parts import KeyBatches
from secondlook.predict.run import Plan, PredictSettings, predict
from secondlook.predict.views import Views
from secondlook.predict.weights import LoadedModel
from secondlook.video.flow_store import FlowMaking
from secondlook.video.prepare import Preparation
from secondlook.video.prepare_table import Making, prepare_table
from tests.bulk.jobs import Journal
from tests.bulk.killed_jobs import KilledPredict, KilledPrepare

WISH = Preparation(gop=4)
ONE = Cluster(workers=1)
"""Starting a worker takes longer than all that the tests have for it to do."""


def in_pairs(videos: pa.Table, output: Path) -> Shards:
    return Shards.of(tables.VIDEOS, output, videos, [range(i, min(i + 2, 15)) for i in range(0, 15, 2)], {})


def journal(folder: Path) -> list[str]:
    return sorted((folder / "journal").read_text().split())


def test_a_killed_worker_loses_and_repeats_nothing(cluster: Cluster, videos: pa.Table, tmp_path: Path) -> None:
    shards = in_pairs(videos, tmp_path / "o.parquet")
    first = [shards.rows(number)["video_id"][0].as_py() for number in range(8)]
    ticks: list[int] = []
    assert run(Journal(tmp_path, dies_at=first[3]), shards, cluster, ticks.append) == []
    assert (tmp_path / "died").exists()
    assert journal(tmp_path) == sorted(first)
    assert pa.concat_tables([t for t, _ in shards.read_all()])["video_id"].equals(videos["video_id"])
    assert (len(ticks), sum(ticks)) == (8, 15)
    assert 2 <= len(list(tmp_path.glob("start-*"))) <= 3  # loaded once in each worker, and in the one that came after

    for number in (1, 6):
        shards.forget(number)
    (tmp_path / "journal").unlink()
    assert run(Journal(tmp_path), in_pairs(videos, tmp_path / "o.parquet"), ONE) == [0, 2, 3, 4, 5, 7]
    assert journal(tmp_path) == sorted([first[1], first[6]])


def test_what_a_worker_says_is_a_sentence(cluster: Cluster, videos: pa.Table, tmp_path: Path) -> None:
    shards = in_pairs(videos, tmp_path / "o.parquet")
    with pytest.raises(SecondlookError, match=r"^'gone': is not wanted. Leave it out.$"):
        run(Journal(tmp_path, refuses="gone"), shards, ONE)
    assert shards.done()


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("wish", [WISH, FlowMaking(short_side=16)], ids=["prepare", "flow"])
def test_the_same_files_and_table(wish: Making, videos: pa.Table, tmp_path: Path) -> None:
    new, ticks = tmp_path / "new", []
    local = prepare_table(videos, new, wish)
    files = {p.relative_to(new): p.read_bytes() for p in new.rglob("*.mp4")}
    table = (new / "videos.parquet").read_bytes()
    assert (local["prepared"], local["failed_rows"], local["statuses"]["excluded"]) == (12, 2, 1)
    shutil.rmtree(new)
    assert bulk_prepare.prepare_table(videos, new, wish, ONE, advance=ticks.append) == local
    assert sum(ticks) == 15
    assert {p.relative_to(new): p.read_bytes() for p in new.rglob("*.mp4")} == files
    assert (new / "videos.parquet").read_bytes() == table
    assert {p.name for p in new.iterdir()} == {"videos", "videos.parquet"}
    if wish is not WISH:
        return  # starting a worker takes longest, and once is enough for what follows
    again = bulk_prepare.prepare_table(videos, new, wish, ONE)
    assert (again["prepared"], again["already_there"]) == (0, 12)
    assert (new / "videos.parquet").read_bytes() == table


@pytest.mark.usefixtures("cluster")
def test_prepare_with_a_worker_killed_and_resumed(
    videos: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_prepare, "PrepareJob", KilledPrepare)
    monkeypatch.setattr(bulk_prepare, "even", lambda rows, most: [range(0, 4), range(4, 8), range(8, rows)])
    new = tmp_path / "new"
    new.mkdir()

    class Stop(Exception):  # noqa: N818
        pass

    def stop(rows: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        bulk_prepare.prepare_table(videos, new, WISH, ONE, advance=stop)
    assert not (new / "videos.parquet").exists()
    folder = new / "videos.parquet.shards"
    done = next(folder.glob("rows-*.parquet"))
    taken_away = tables.read(tables.VIDEOS, done)["path"][0].as_py()
    (new / taken_away).unlink(missing_ok=True)  # its shard is no longer done
    with pytest.raises(BadValue, match=r"gop changed"):
        bulk_prepare.prepare_table(videos, new, Preparation(gop=5), ONE)
    result = bulk_prepare.prepare_table(videos, new, WISH, ONE)
    assert result["prepared"] + result["already_there"] == 12
    assert result["already_there"] >= 1
    table = (new / "videos.parquet").read_bytes()
    prepare_table(videos, new, WISH)
    assert (new / "videos.parquet").read_bytes() == table
    assert (new / "killed").exists()


@pytest.mark.usefixtures("cluster")
def test_predict_killed_stopped_and_resumed_gives_the_same_bytes(
    videos: pa.Table, model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_CLIPS", 36)  # parts of 6 videos
    monkeypatch.setattr(bulk_predict, "PredictJob", KilledPredict)
    settings = PredictSettings(split="all", views=Views(2, 3), batch_size=9, workers=0)
    output, steps = tmp_path / "ray.parquet", []

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bulk_predict.predict(model, videos, output, settings, ONE, on_step=stop)
    assert (model.weights.parent.parent / "killed").exists()
    assert not output.exists()
    done = bulk_predict.predict(
        model, videos, output, settings, ONE, on_step=lambda done, total: steps.append((done, total))
    )
    local = predict(model, videos, tmp_path / "local.parquet", settings)
    assert output.read_bytes() == (tmp_path / "local.parquet").read_bytes()
    assert (done.videos, done.unusable) == (local.videos, local.unusable) == (15, 2)
    assert steps[0][0] == done.resumed > 0
    assert steps[-1] == (15, 15)
    rows = {r["video_id"]: r for r in tables.read(tables.PREDICTIONS, output).to_pylist() if r["view"] == -1}
    assert rows["gone"]["status"] == "missing"
    assert rows["bad"]["status"] not in tables.USABLE
    assert bulk_predict.predict(model, videos, output, settings, ONE).resumed == 15
    assert not (tmp_path / "ray.parquet.shards").exists()


def test_shards_begin_where_batches_of_the_local_run_do(videos: pa.Table, model: LoadedModel) -> None:
    for views, batch in ((Views(1, 1), 4), (Views(10, 3), 16), (Views(3, 1), 8), (Views(7, 3), 48)):
        plan = Plan.of(model, videos, PredictSettings(split="all", views=views, batch_size=batch))
        keys = plan.keys_a_batch
        ranges = bulk_predict._ranges(plan)
        assert [row for r in ranges for row in r] == list(range(15))
        together = [batch for p in parts.parts_of(15, plan.views) for batch in KeyBatches([p], views.clips, keys)]
        assert [batch for r in ranges for batch in KeyBatches([r], views.clips, keys)] == together


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"address": "ray:nowhere"}, r"'ray:nowhere': is no address of a Ray cluster. Give auto, HOST:PORT"),
        ({"address": "host:99999"}, r"is no address"),
        ({"workers": 0}, r"at least one worker is needed"),
    ],
)
def test_wrong_clusters(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(BadValue, match=words):
        Cluster(**wrong)


def test_numbered_devices_are_refused(videos: pa.Table, model: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(BadValue, match=r"'cuda:1': each worker of a cluster is given .* Give cuda or auto"):
        bulk_predict.predict(model, videos, tmp_path / "a.parquet", PredictSettings(device="cuda:1"), Cluster())


def test_no_ray_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(BadValue, match=r"not installed .*pip install 'secondlook\[distributed\]'"),
        connected(Cluster()),
    ):
        pass
