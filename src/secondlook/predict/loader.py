"""Rows of the videos table -> batches of clips: sampled, decoded or taken from the frame cache, made a tensor.

Shapes: B clips of a batch, N crops of one view, C channels, T frames, H x W pixels.
"""

from __future__ import annotations

import hashlib
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from secondlook import tables
from secondlook.cards import ClipSpec
from secondlook.errors import BadValue, MissingFile
from secondlook.video.augment import Augment, augment
from secondlook.video.cache import FrameCache
from secondlook.video.clip import Clip, failed
from secondlook.video.decode import decode
from secondlook.video.guard import Guard
from secondlook.video.multigrid import frame_choice
from secondlook.video.sample import Sampling
from secondlook.video.transform import crop_names, resize, to_input, working_size

COLUMNS = ("video_id", "path", "label", "split", "status", "reason")
"""Columns of the videos table that training and prediction need (`frames` too, where it is there)."""


_PROBES = 3
"""Videos by which the size of a frame cache is judged."""


class Key(NamedTuple):
    """What a sampler asks the dataset for. The epoch rides along, so that workers that live on need not be told it."""

    row: int
    """Row of the videos table."""
    epoch: int = 0
    view: int = 0
    """Which of the temporal views."""
    shape: tuple[int, int, int] | None = None
    """Frames, height and width of a smaller clip than the recipe's (`video.multigrid`)."""


class Facts(NamedTuple):
    """What happened to one key."""

    row: int
    view: int
    clips: int
    """Clips of the batch that are its own: one a crop, 0 if it could not be read."""
    start_s: float
    """Time in the video of the first sampled frame."""
    status: str
    reason: str


class Item(NamedTuple):
    """One key read."""

    facts: Facts
    label: int
    x_NCTHW: Tensor | None
    """One clip a crop; None if the video could not be read."""
    twin_NCTHW: Tensor | None = None
    """The same clips as a second network takes them (`train.paired`)."""


class Batch(NamedTuple):
    """Clips that could be read, in the order of the keys, and what happened to every key."""

    x_BCTHW: Tensor
    label_B: Tensor
    index_B: Tensor
    """Row of the videos table of each clip."""
    facts: tuple[Facts, ...]
    """One entry a key; those with `clips == 0` have no clip in `x_BCTHW`."""
    twin_BCTHW: Tensor | None = None
    """The same clips as a second network takes them, of a dataset that pairs them (`train.paired`)."""

    @property
    def failed(self) -> tuple[Facts, ...]:
        """Keys that could not be read."""
        return tuple(f for f in self.facts if not f.clips)


class ClipDataset(Dataset[Item]):
    """Map-style dataset over the videos table; keeps arrow and NumPy columns, never a Python object a row.

    In training a clip depends on `(seed, epoch, row)` alone: not on the worker, the batch, or what was read before.
    A video whose row says that it is unusable, or that turns out to be, gives an item without a clip.

    Args:
        videos: a videos table (`COLUMNS` are enough).
        spec: the model's input recipe.
        train: random frames, `augment`; else frames and crops of the test protocol.
        seed: see above; unused in testing.
        augment: settings of the augmentation, None for none.
        views: temporal views a video (testing); None: a key's view is the number of one of the clips that follow each
            other without overlap (`sample.tile`).
        crops: spatial crops a view (testing).
        cache: where decoded frames are kept; None decodes each time.
        timeout_s: decoding is cut off after this long, by a child process; None decodes here, without a limit.
        root: folder the paths are relative to; that of the table when left out.
        directional: True where a mirrored clip has another label; then no crop is mirrored.

    Raises:
        MissingFile: if the root is not there.
        BadValue: if a path leaves the root, or the table is of another modality than the recipe.
    """

    def __init__(
        self,
        videos: pa.Table,
        spec: ClipSpec,
        *,
        train: bool,
        seed: int = 0,
        augment: Augment | None = None,
        views: int | None = 1,
        crops: int = 1,
        cache: FrameCache | None = None,
        timeout_s: float | None = 30.0,
        root: str | Path | None = None,
        directional: bool = False,
    ) -> None:
        self.spec, self.train, self.seed, self.augment = spec, train, seed, augment
        self.views, self.crop_names = views, crop_names(spec, crops, directional=directional)
        self.cache = cache
        check_modality(videos, spec)
        if augment is not None:
            augment.check(spec)
        self.root = root_of(videos, root)
        self._path = _inside_root(videos["path"].combine_chunks())
        self._label = videos["label"].to_numpy().astype(np.int64)
        self._status = videos["status"].combine_chunks().dictionary_encode()
        self._reason = videos["reason"].combine_chunks().dictionary_encode()
        self._frames = videos["frames"].combine_chunks() if "frames" in videos.column_names else None
        self._size = working_size(spec)
        self._failed: dict[int, Clip] = {}
        self._guard = None if timeout_s is None else Guard(timeout_s)

    def __len__(self) -> int:
        return len(self._label) * (self.views or 1)

    def __getitem__(self, key: Key | int) -> Item:
        if not isinstance(key, Key):
            row, view = divmod(key, self.views or 1)
            key = Key(row, 0, view)
        return self.item_of(key, self.clip_of(key))

    def clip_of(self, key: Key) -> Clip:
        """The frames that are sampled for a key, at working size."""
        if self.views is None:
            sampling = Sampling.tile_of(self.spec, key.view)
        else:
            sampling = Sampling.from_spec(self.spec, key.view, self.views)
        clip = self.frames_of(key, sampling)
        if key.shape is None or not clip.usable:
            return clip
        return clip.pick(frame_choice(len(clip.frames_THWC), key.shape[0]))

    def item_of(self, key: Key, clip: Clip) -> Item:
        """The network's input made of a key's frames, augmented in training."""
        label = int(self._label[key.row])
        _, augment_seed = self._seeds(key)
        if not clip.usable:
            return Item(Facts(key.row, key.view, 0, float("nan"), clip.status, clip.reason), label, None)
        spec = self.spec if key.shape is None else replace(self.spec, frames=key.shape[0])
        if self.train and self.augment is not None:
            generator = torch.Generator().manual_seed(augment_seed)
            x_CTHW, label = augment(clip.frames_THWC, label, spec, self.augment, generator)
            x_NCTHW = x_CTHW[None]
        else:
            x_NCTHW = torch.stack([to_input(clip.frames_THWC, spec, crop) for crop in self.crop_names])
        if key.shape is not None:
            x_NCTHW = torch.stack([resize(x_CTHW, *key.shape[1:]) for x_CTHW in x_NCTHW])
        start_s = float(clip.frame_time_s_T[0])
        return Item(Facts(key.row, key.view, len(x_NCTHW), start_s, clip.status, clip.reason), label, x_NCTHW)

    def _seeds(self, key: Key) -> list[int]:
        """Of the choice of frames, and of the augmentation."""
        return np.random.SeedSequence((self.seed, key.epoch, key.row)).generate_state(2).tolist()  # type: ignore[no-any-return]

    def frames_of(self, key: Key, sampling: Sampling | None) -> Clip:
        """Frames of a key's video at working size, chosen in another way: None for all of them."""
        status = self._status[key.row].as_py()
        if status not in tables.USABLE:
            return failed(status, self._reason[key.row].as_py())
        if key.row in self._failed:  # a hang costs its time-out once, not once an epoch
            return self._failed[key.row]
        clip = self._decode(
            self.root / self._path[key.row].as_py(),
            sampling,
            size=self._size,
            seed=self._seeds(key)[0] if self.train else None,
            frame_count=None if self._frames is None else self._frames[key.row].as_py() or None,
        )
        if not clip.usable:
            self._failed[key.row] = clip
        return clip

    @property
    def _decode(self) -> Callable[..., Clip]:
        source = decode if self._guard is None else self._guard.decode
        return source if self.cache is None else self.cache.reader(source)

    def close(self) -> None:
        """Ends the decoding child of this process, if there is one; each loader worker has its own."""
        if self._guard is not None:
            self._guard.close()


def collate(items: Sequence[Item]) -> Batch:
    """Stacks the clips that were read; those that were not stay in `Batch.facts`, and no clip takes their place."""
    read = [item for item in items if item.x_NCTHW is not None]
    clips = [item.x_NCTHW for item in read if item.x_NCTHW is not None]
    twins = [item.twin_NCTHW for item in read if item.twin_NCTHW is not None]
    repeats = torch.tensor([len(x) for x in clips], dtype=torch.int64)
    return Batch(
        torch.cat(clips) if clips else torch.empty(0),
        torch.tensor([item.label for item in read], dtype=torch.int64).repeat_interleave(repeats),
        torch.tensor([item.facts.row for item in read], dtype=torch.int64).repeat_interleave(repeats),
        tuple(item.facts for item in items),
        torch.cat(twins) if twins else None,
    )


class Loader(DataLoader[Item]):
    """A data loader whose workers live on from epoch to epoch and which leaves the global generator alone."""

    def __init__(self, dataset: Dataset[Item], batches: Iterable[list[Key]], workers: int, pin_memory: bool) -> None:
        super().__init__(
            dataset,
            batch_sampler=batches,
            collate_fn=collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=pin_memory,
            generator=torch.Generator(),
            worker_init_fn=_leave_ctrl_c_to_the_parent,
        )

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        with warnings.catch_warnings():
            # Python 3.12 warns of every fork of a process with threads; torch's workers do not use its threads.
            warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
            return super().__iter__()


def _leave_ctrl_c_to_the_parent(_: int) -> None:
    """In a worker: the batch in the making is still wanted when a training is stopped at the end of its step."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def check_modality(videos: pa.Table, spec: ClipSpec) -> None:
    """Refuses a videos table that is not of a recipe's modality, as the table's metadata says.

    Raises:
        BadValue: if the recipe is of flow and the table is not, or the other way round.
    """
    kept = tables.made(videos).get("modality", "rgb")
    if (kept == "flow") == (spec.modality == "flow"):
        return
    if kept == "flow":
        raise BadValue(spec.modality, "is not what this videos table holds, which is flow",
                       "Train with --modality flow, or give the table of the videos themselves.")  # fmt: skip
    raise BadValue("flow", f"is not what this videos table holds, which is {kept}",
                   "Make one of flow: `secondlook flow videos.parquet -o flow`.")  # fmt: skip


def root_of(videos: pa.Table, root: str | Path | None = None) -> Path:
    """The folder that the table's paths are relative to.

    Raises:
        BadValue: if neither the caller nor the table names one.
        MissingFile: if it is not there.
    """
    named = root or tables.made(videos).get("root")
    if not named:
        raise BadValue("root", "the videos table does not say where its videos are", "Give --root FOLDER.")
    if not Path(named).is_dir():
        raise MissingFile(named, "It is the folder the videos are in; if it was moved, give --root FOLDER.")
    return Path(named)


def cache_that_fits(
    folder: Path | None, videos: pa.Table, spec: ClipSpec, timeout_s: float | None, root: str | Path | None = None
) -> tuple[FrameCache | None, str]:
    """A frame cache for these videos, or none and a sentence if it could not hold them all.

    A cache that is too small is worse than none: every video would be decoded whole, written, and deleted before it is
    asked for again. The need is judged by `_PROBES` videos of the table, which are then in the cache.

    Args:
        folder: where entries lie; None for no cache.
        videos: rows that will be read.
        spec: the model's input recipe.
        timeout_s: see `ClipDataset`.
        root: see `ClipDataset`.
    """
    usable = videos.filter(pc.is_in(videos["status"], value_set=pa.array(sorted(tables.USABLE))))
    if folder is None or not len(usable):
        return None, ""
    cache = FrameCache(folder)
    at = sorted({i * (len(usable) - 1) // max(1, _PROBES - 1) for i in range(_PROBES)})
    guard = Guard(timeout_s or 3600.0)
    where, paths = root_of(videos, root), _inside_root(usable["path"].combine_chunks())
    with guard:
        clips = [cache.clip(where / paths[i].as_py(), working_size(spec), guard.decode) for i in at]
    found = [clip.frames_THWC.nbytes for clip in clips if clip.usable]
    needed = len(usable) * sum(found) / len(found) if found else 0.0
    if needed <= cache.max_bytes:
        return cache, ""
    have = f"{needed / 2**30:.0f} GiB would be needed, {cache.max_bytes / 2**30:.0f} are allowed"
    return None, f"the frame cache is not used: {have}"


def fingerprint(videos: pa.Table) -> str:
    """SHA-256 over name, path, label, split and usability of every row: two tables with one fingerprint split alike."""
    digest = hashlib.sha256()
    for batch in videos.select(["video_id", "path", "label", "split", "status"]).to_batches(max_chunksize=4096):
        for *row, status in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            digest.update(repr((*row, status in tables.USABLE)).encode())
    return digest.hexdigest()


def _inside_root(paths: pa.StringArray) -> pa.StringArray:
    outside = pc.filter(paths, pc.match_substring_regex(paths, r"^([/\\]|[A-Za-z]:)|(^|[/\\])\.\.([/\\]|$)"))
    if len(outside):
        raise BadValue(outside[0].as_py(), "a path of the videos table leaves its root", "Index the folder again.")
    return paths
