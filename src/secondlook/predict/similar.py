"""The vector a network's classifier reads of each video, and the videos whose vectors are nearest to one of them.

`late-temporal-bert`, checklist F99: with a BERT head that vector is the class token after the encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor, nn

from secondlook import tables
from secondlook.cards import ModelCard
from secondlook.errors import BadValue, UnknownName
from secondlook.predict.loader import ClipDataset, Key, Loader, fingerprint
from secondlook.predict.taps import Tap
from secondlook.predict.weights import LoadedModel, quick_on_cpu


@dataclass(frozen=True)
class Neighbour:
    """A video near to another one."""

    video_id: str
    path: str
    label: int
    cosine: float


def classifier_input(network: nn.Module, card: ModelCard, x_BCTHW: Tensor) -> Tensor:
    """What the last linear layer reads of each clip, `vector_BD`."""
    tap = Tap(network.get_submodule(card.explain.classifier), "input")
    try:
        with torch.inference_mode():
            network(x_BCTHW)
        vector_BD = tap.take()
    finally:
        tap.close()
    # A network of single frames classifies each of them: the clip's vector is their mean.
    return vector_BD.reshape(len(x_BCTHW), -1, vector_BD.shape[-1]).mean(1).float()


def embed(
    model: LoadedModel,
    videos: pa.Table,
    output: str | Path,
    *,
    batch_size: int = 16,
    workers: int = 2,
    timeout_s: float = 30.0,
    root: str | Path | None = None,
    on_step: Callable[[int], None] | None = None,
) -> pa.Table:
    """The embeddings table of all videos (centre view, one crop); read if it is there and of the same weights and rows.

    Args:
        model: from `load_run`.
        videos: a videos table.
        output: file to write.
        batch_size: clips at once.
        workers: processes that read videos.
        timeout_s: decoding is cut off after this long.
        root: folder the paths are relative to, if not the table's.
        on_step: called with the number of videos after each batch.
    """
    output = Path(output)
    made = tables.provenance("similar", {}, [model.weights]) | {
        "model": model.card.name,
        "rows": fingerprint(videos),
        "root": tables.made(videos).get("root", ""),
        "label_space": tables.label_space(videos).to_dict(),
    }
    if output.is_file():
        before = tables.read(tables.EMBEDDINGS, output)
        if all(tables.made(before).get(name) == made[name] for name in ("rows", "inputs")):
            return before
    dataset = ClipDataset(videos, model.card.clip, train=False, timeout_s=timeout_s, root=root)
    network = quick_on_cpu(model.model.eval())
    try:
        with tables.Writer(tables.EMBEDDINGS, output, made) as writer:
            for rows in _batches(network, model.card, dataset, videos, batch_size, workers):
                writer.write(rows)
                if on_step:
                    on_step(len(rows))
    finally:
        dataset.close()
    return tables.read(tables.EMBEDDINGS, output)


def _batches(
    network: nn.Module, card: ModelCard, dataset: ClipDataset, videos: pa.Table, size: int, workers: int
) -> Iterator[pa.Table]:
    keys = [[Key(row) for row in range(start, min(start + size, len(videos)))] for start in range(0, len(videos), size)]
    width = _width(network, card)
    for batch in Loader(dataset, keys, workers, pin_memory=False):
        first, count = batch.facts[0].row, len(batch.facts)
        vector_ND = np.full((count, width), np.nan, np.float32)
        if len(batch.index_B):
            x_BCTHW = batch.x_BCTHW.contiguous(memory_format=torch.channels_last_3d)
            vector_ND[(batch.index_B - first).numpy()] = classifier_input(network, card, x_BCTHW).numpy()
        rows = videos.slice(first, count).select(["video_id", "path", "label", "split"])
        vectors = pa.FixedSizeListArray.from_arrays(vector_ND.ravel(), width)
        rows = rows.append_column("vector", vectors)
        rows = rows.append_column("status", pa.array([fact.status for fact in batch.facts]))
        yield rows.append_column("reason", pa.array([fact.reason for fact in batch.facts]))


def _width(network: nn.Module, card: ModelCard) -> int:
    classifier = network.get_submodule(card.explain.classifier)
    if not isinstance(classifier, nn.Linear):
        raise BadValue(card.name, "its classifier is no linear layer, so that it reads no one vector")
    return classifier.in_features


def nearest(embeddings: pa.Table, video_id: str, k: int) -> list[Neighbour]:
    """The k videos with the highest cosine to one of the table, itself left out; `cos = a.b / (|a| |b|)`.

    Raises:
        UnknownName: for a video that is not in the table.
        BadValue: if it could not be read, or k is below 1.
    """
    if k < 1:
        raise BadValue(k, "the number of neighbours must be at least 1")
    ids = embeddings["video_id"].to_pylist()
    if video_id not in ids:
        raise UnknownName("video", video_id, ids)
    vector_ND: npt.NDArray[np.float32] = np.stack(embeddings["vector"].combine_chunks().to_numpy(zero_copy_only=False))
    query = ids.index(video_id)
    if np.isnan(vector_ND[query]).any():
        raise BadValue(video_id, f"could not be read ({embeddings['reason'][query].as_py()})", "Ask for another video.")
    length_N = np.linalg.norm(vector_ND, axis=1)
    cosine_N = vector_ND @ vector_ND[query] / np.maximum(length_N * length_N[query], 1e-12)
    cosine_N[query] = np.nan
    order_N = np.argsort(-cosine_N, kind="stable")[:k]
    return [
        Neighbour(ids[i], embeddings["path"][i].as_py(), embeddings["label"][i].as_py(), float(cosine_N[i]))
        for i in order_N.tolist()
        if np.isfinite(cosine_N[i])
    ]
