"""A cluster of this machine with two cores, and a run folder with a network that need not be trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from secondlook.bulk.ray_data import Cluster, connected
from secondlook.predict.weights import (
    LoadedModel,
    build_model,
    find_card,
    load_run,
    save_weights,
    with_clip,
    write_json,
)
from tests.train.toy import LABELS, draw_toy, row, with_rows


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One that stays for all tests of a file: a verb that finds Ray connected uses it."""
    pytest.importorskip("ray")
    with connected(Cluster(cores=2)):
        yield Cluster()


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """Twelve tiny videos, one that is damaged, one that is not there, and one set aside."""
    root = tmp_path_factory.mktemp("bulk")
    table = draw_toy(root)
    (root / "videos" / "bad.mp4").write_bytes((root / "videos" / "0_000.mp4").read_bytes()[:300])
    more = [row("bad", 0, "test"), row("gone", 1, "test"), row("aside", 0, "test", "excluded", "by hand")]
    return with_rows(table, more, root)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """An untrained network in a run folder; it crops, so that there are three views of a frame."""
    run: Path = tmp_path_factory.mktemp("runs") / "a"
    run.mkdir()
    card = with_clip(find_card("tsm:tiny"), fit="crop", frames=4, height=24, width=24, short_side=32, sampling="dense")
    save_weights(build_model(card, 2), run / "best.safetensors")
    write_json(run / "card.json", card.to_dict())
    write_json(run / "labels.json", LABELS.to_dict())
    return load_run(run)
