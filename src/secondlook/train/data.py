"""A videos table -> the rows that are trained and validated on, and batches of them that repeat bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch.utils.data import Sampler

from secondlook import tables
from secondlook.cards import ClipSpec
from secondlook.errors import BadValue
from secondlook.labels import LabelSpace
from secondlook.predict.loader import COLUMNS, ClipDataset, Key, Loader, cache_that_fits, root_of
from secondlook.train.losses import LabelSets
from secondlook.train.paired import PairedClips
from secondlook.train.settings import TrainSettings
from secondlook.video.augment import Augment
from secondlook.video.multigrid import Grid


@dataclass(frozen=True)
class Rows:
    """The rows of a videos table that a training uses, and those it cannot use."""

    train: pa.Table
    val: pa.Table
    """Empty where the table has no split `val`."""
    unusable: pa.Table
    """Rows of both splits that are known to be unusable."""
    train_sets: LabelSets | None
    """Reassessed sets of the rows of `train`; None trains on the given labels."""
    val_sets: LabelSets | None
    notes: tuple[str, ...]
    """Sentences on rows that are left out."""


def choose_rows(videos: pa.Table, labels: LabelSpace, reassessed: pa.Table | None = None) -> Rows:
    """Splits a videos table into what is trained on, validated on, and cannot be used.

    A video with a reassessed set gets that set, another one the set of its given label. Left out, and said in the
    notes, are videos without a given label, and videos whose reassessed set is empty (people found no label to hold).

    Args:
        videos: a videos table.
        labels: its label space.
        reassessed: a labels table, to train on its sets.

    Raises:
        BadValue: if there are fewer than two classes, no row to train on, a label outside the label space, or if the
            labels table is about other labels.
    """
    if len(labels) < 2:
        raise BadValue(len(labels), "a recogniser needs at least two classes", "Index a dataset with more labels.")
    sets_of = None if reassessed is None else _sets(reassessed, labels)
    optional = [name for name in ("frames",) if name in videos.column_names]
    videos = videos.select([*COLUMNS, *optional])
    known = pc.is_in(videos["split"], value_set=pa.array(["train", "val"]))
    usable = pc.is_in(videos["status"], value_set=pa.array(sorted(tables.USABLE)))
    parts, sets, notes = {}, {}, []
    for split in ("train", "val"):
        rows = videos.filter(pc.and_(pc.equal(videos["split"], split), usable))
        label_N = rows["label"].to_numpy()
        keep_N = label_N != tables.UNLABELLED
        if not keep_N.all():
            notes.append(f"{int((~keep_N).sum())} videos of split {split} have no given label and are left out")
        outside = label_N[keep_N & ((label_N < 0) | (label_N >= len(labels)))]
        if len(outside):
            raise BadValue(int(outside[0]), f"a label of the videos table must lie in 0..{len(labels) - 1}")
        if sets_of is not None:
            given = zip(rows["video_id"].to_pylist(), label_N.tolist(), strict=True)
            found = [sets_of.get(video_id, (label,)) for video_id, label in given]
            held_N = np.array([len(labels_of_row) > 0 for labels_of_row in found], dtype=bool)
            if not (held_N | ~keep_N).all():
                empty = int((keep_N & ~held_N).sum())
                notes.append(f"{empty} videos of split {split} have an empty reassessed set and are left out")
            keep_N &= held_N
            kept = [labels_of_row for labels_of_row, keep in zip(found, keep_N, strict=True) if keep]
            sets[split] = LabelSets(kept, len(labels))
        parts[split] = rows.filter(pa.array(keep_N))
    if not len(parts["train"]):
        there = ", ".join(repr(s) for s in sorted(videos["split"].unique().to_pylist())) or "none"
        raise BadValue("train", f"no usable, labelled video is in this split (splits of the table: {there})",
                       "Give `secondlook index` a split, or look at the column status.")  # fmt: skip
    unusable = videos.filter(pc.and_(known, pc.invert(usable)))
    return Rows(parts["train"], parts["val"], unusable, sets.get("train"), sets.get("val"), tuple(notes))


def _sets(reassessed: pa.Table, labels: LabelSpace) -> dict[str, tuple[int, ...]]:
    data = tables.made(reassessed).get("label_space")
    if data is not None and LabelSpace.from_dict(data).names != labels.names:
        raise BadValue("label space", "the labels table and the videos table are about different labels",
                       "Give the labels table that was made from these videos.")  # fmt: skip
    return {
        video_id: tuple(found)
        for video_id, found in zip(reassessed["video_id"].to_pylist(), tables.lists(reassessed, "labels"), strict=True)
    }


class Batches(Sampler[list[Key]]):
    """Batches of one epoch: every row once, in an order that depends on `(seed, epoch)` alone.

    An epoch of N rows is cut into `ceil(N / batch_size)` batches whose sizes differ by at most one: no row is dropped,
    and no small last batch spoils the statistics of batch normalisation. With several devices each gets every
    `world`-th batch, and all get equally many.

    Args:
        rows: N.
        batch_size: of one device, at most (one more where there are fewer rows than devices ask for).
        shuffle: False keeps the order of rows (validation).
        seed: of the order.
        rank: which device.
        world: number of devices.

    Raises:
        BadValue: if there are fewer rows than devices.
    """

    def __init__(
        self, rows: int, batch_size: int, *, shuffle: bool, seed: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        if rows < world:
            raise BadValue(rows, f"rows are fewer than the {world} devices", f"Give --devices {max(rows, 1)}.")
        self.rows, self.shuffle, self.seed, self.rank, self.world = rows, shuffle, seed, rank, world
        self.batches = min(-(-rows // (batch_size * world)), rows // world)
        self.epoch = 0
        self.start = (0, 0)
        """Epoch and batch with which a resumed run goes on: the batches of that epoch before it are left out."""

    @property
    def sampler(self) -> Batches:
        """Itself: this is where Lightning looks for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that the next iteration is of."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[Key]]:
        epoch = self.epoch
        order_N: NDArray[np.int64] = np.arange(self.rows)
        if self.shuffle:
            np.random.default_rng((self.seed, epoch)).shuffle(order_N)
        done = self.start[1] if epoch == self.start[0] else 0
        for number, rows in enumerate(self._cut(order_N)):
            if number >= done:
                yield self._keys(epoch, number, rows)

    def _cut(self, order_N: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        yield from np.array_split(order_N, self.batches * self.world)[self.rank :: self.world]

    def _keys(self, epoch: int, batch: int, rows: NDArray[np.int64]) -> list[Key]:
        return [Key(row, epoch) for row in rows.tolist()]


class ClipData(LightningDataModule):
    """What Lightning asks for batches.

    Args:
        videos: the whole videos table (for where its files are).
        rows: what `choose_rows` gave.
        spec: the model's input recipe.
        labels: the label space.
        settings: the training's settings.
    """

    def __init__(
        self, videos: pa.Table, rows: Rows, spec: ClipSpec, labels: LabelSpace, settings: TrainSettings
    ) -> None:
        super().__init__()
        self.rows, self.settings = rows, settings
        self.multigrid: Sequence[Grid] = ()
        """Shapes of the training batches, where they are not all alike (`multigrid.multigrid_of`)."""
        self.start = (0, 0)
        """Epoch and batch that a resumed run goes on with."""
        augment = Augment.for_labels(
            labels,
            crop=settings.crop if settings.crop != "auto" else "multi_scale" if spec.fit == "crop" else "zoom",
            flip=settings.flip,
            jitter=settings.jitter,
            perturb=settings.perturb,
            perturb_methods=settings.perturb_methods,
            swap_left_right=settings.swap_left_right,
        )
        self.notes: tuple[str, ...] = ()
        if settings.flip and not augment.flip:
            self.notes = ("no clip is mirrored: some labels name a direction",)
        root = settings.root or root_of(videos)
        read = pa.concat_tables([rows.train, rows.val])
        cache, why = cache_that_fits(settings.cache, read, spec, settings.timeout_s, root)
        if why:
            self.notes = (*self.notes, why)
        self.datasets: dict[str, ClipDataset | PairedClips] = {
            split: ClipDataset(
                table,
                spec,
                train=split == "train",
                seed=settings.seed,
                augment=augment if split == "train" else None,
                cache=cache,
                timeout_s=settings.timeout_s,
                root=root,
            )
            for split, table in (("train", rows.train), ("val", rows.val))
        }

    def train_dataloader(self) -> Loader:
        """Batches of split train, shuffled anew in every epoch."""
        return self._loader("train")

    def val_dataloader(self) -> Loader | list[Loader]:
        """Batches of split val; none if it is empty."""
        return self._loader("val") if len(self.rows.val) else []

    def _loader(self, split: str) -> Loader:
        assert self.trainer is not None
        batches = self.batches(split, self.trainer.global_rank, self.trainer.world_size)
        return Loader(self.datasets[split], batches, self.settings.workers, torch.cuda.is_available())

    def batches(self, split: str, rank: int = 0, world: int = 1) -> Batches:
        """The batches of one device."""
        rows, seed = len(self.rows.train if split == "train" else self.rows.val), self.settings.seed
        if split == "train" and self.multigrid:
            from secondlook.train.multigrid import MultigridBatches

            batches: Batches = MultigridBatches(rows, self.multigrid, seed=seed, rank=rank, world=world)
        else:
            size = self.settings.batch_size
            batches = Batches(rows, size, shuffle=split == "train", seed=seed, rank=rank, world=world)
        if split == "train":
            batches.start = self.start
            batches.set_epoch(self.start[0])  # workers read ahead before Lightning names the epoch
        return batches

    def close(self) -> None:
        """Ends the decoding children of this process."""
        for dataset in self.datasets.values():
            dataset.close()
