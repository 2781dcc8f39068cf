"""A trained network and a videos table -> a predictions table: logits a view and a video, in bounded memory.

Videos are predicted in parts of about `PART_CLIPS` clips. A finished part is a small predictions table in the folder
`OUTPUT.parts`; a run that was stopped goes on after its last finished part. When all are there they are joined into
the output, and the folder goes. Batches never span two parts, so a resumed output is the same bit for bit.

Shapes: V views of a video, B clips of a batch, K classes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from secondlook import tables
from secondlook.errors import BadValue
from secondlook.predict.loader import Batch, ClipDataset, Loader, cache_that_fits, check_modality, fingerprint
from secondlook.predict.matching import match_labels
from secondlook.predict.parts import KeyBatches, Parts, Rows, parts_of
from secondlook.predict.views import Fusion, Views
from secondlook.predict.weights import LoadedModel, quick_on_cpu
from secondlook.video.cache import FrameCache
from secondlook.video.transform import crop_names

Precision = Literal["32", "bf16", "16"]


@dataclass(frozen=True)
class PredictSettings:
    """How a table of videos is predicted."""

    split: str = "test"
    """Rows of this split; `all` for every row."""
    views: Views = field(default_factory=Views)
    fuse: Fusion = "probabilities"
    batch_size: int = 16
    """The most clips the network sees at once; views of one video are cut into batches too."""
    precision: Precision = "32"
    device: str = "auto"
    """`auto` takes the accelerator if there is one; or a device as torch names it (`cpu`, `cuda:0`)."""
    workers: int = 2
    """Processes that read videos; 0 reads in this one."""
    cache: Path | None = None
    """Folder of decoded frames; None decodes each time."""
    timeout_s: float = 30.0
    """Decoding a video is cut off after this long."""
    root: Path | None = None
    """Folder the paths of the table are relative to, where the videos were moved."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise BadValue(self.batch_size, "batch size must be at least 1")
        if self.workers < 0:
            raise BadValue(self.workers, "the number of workers must not be negative", "Give --workers 0 for none.")
        for name, kind in (("fuse", Fusion), ("precision", Precision)):
            if getattr(self, name) not in get_args(kind):
                raise BadValue(getattr(self, name), f"{name} must be one of {', '.join(get_args(kind))}")

    def of_result(self) -> dict[str, Any]:
        """Settings that the numbers depend on; the others only say how the work is done."""
        return {
            "split": self.split,
            "views": str(self.views),
            "fuse": self.fuse,
            "batch_size": self.batch_size,
            "precision": self.precision,
        }


@dataclass(frozen=True)
class PredictResult:
    """What was written."""

    path: Path
    videos: int
    unusable: int
    """Videos whose logits are NaN, those set aside on purpose (`excluded`) not counted."""
    views: str
    classes: int
    resumed: int
    """Videos of these that an earlier, stopped run had predicted; all, if the output was finished already."""
    clips_per_s: float
    """Speed of this run, loading included; 0 if nothing was left to do."""


def predict(
    model: LoadedModel,
    videos: pa.Table,
    output: str | Path,
    settings: PredictSettings | None = None,
    *,
    command: str = "predict",
    on_step: Callable[[int, int], None] | None = None,
) -> PredictResult:
    """Predicts every video of a split and writes a predictions table.

    The rows of a video are its views, in order, and then the video itself (view -1), fused by `views.fuse`. A video
    that cannot be used has only its video row, with NaN logits, a status and a reason; one of which only some views
    could be read has these views too, and NaN in its video row. Columns of the logits are in the order of the videos
    table's label space; if the model knows more classes than the table, in that of the model.

    Args:
        model: what `weights.load_run` gives.
        videos: a videos table.
        output: file to write.
        settings: see `PredictSettings`.
        command: name of the verb, kept in the table.
        on_step: called with the number of videos done and their total.

    Raises:
        BadValue: if no row is in the split, or a label of the table is not known to the model.
    """
    settings, output = settings or PredictSettings(), Path(output)
    plan = Plan.of(model, videos, settings, command)
    if plan.is_made(output):
        return result_of(output, len(plan.chosen), 0.0)
    cache, _ = cache_that_fits(settings.cache, plan.chosen, model.card.clip, settings.timeout_s, settings.root)
    parts = Parts(output, plan.made, plan.parts)
    done = parts.resumed
    began_s = time.perf_counter()
    for table, last_row in plan.predicted(model, plan.chosen, tuple(parts.todo), cache):
        if table is not None:
            parts.write(table)
        if on_step:
            on_step(last_row + 1, len(plan.chosen))
    parts.join()
    seconds = time.perf_counter() - began_s
    return result_of(output, done, (len(plan.chosen) - done) * plan.views_a_video / seconds)


@dataclass(frozen=True)
class Plan:
    """What will be predicted, and how; checked, and before the first clip is read."""

    chosen: pa.Table
    """Rows of the videos table that will be predicted."""
    views: Views
    """Those that the model's recipe allows: where it squashes the frame there is one crop."""
    columns_K: NDArray[np.int64]
    """Which column of the network becomes column `k`."""
    clips_R: NDArray[np.int64]
    """Temporal clips of each of these rows."""
    directional: bool
    """A mirrored clip may have another label."""
    settings: PredictSettings
    made: dict[str, Any]
    """How the output is made, kept inside it."""

    @classmethod
    def of(cls, model: LoadedModel, videos: pa.Table, settings: PredictSettings, command: str = "predict") -> Plan:
        """Checks what `predict` is given, and raises what it raises."""
        check_modality(videos, model.card.clip)
        match = match_labels(model.labels, videos)
        chosen = match.relabel(rows_of_split(videos, settings.split))
        directional = model.labels.directional or match.labels.directional
        crops = crop_names(model.card.clip, settings.views.crops, directional=directional)
        views = replace(settings.views, crops=len(crops))
        made = tables.provenance(command, settings.of_result(), [model.weights]) | {
            "label_space": match.labels.to_dict(),
            "card": model.card.to_dict(),
            "model": model.card.name,
            "run": str(model.weights.parent),
            "views": str(views),
            "fuse": settings.fuse,
            "fingerprint": tables.made(videos).get("fingerprint") or fingerprint(videos),
            "rows": fingerprint(chosen),
        }
        made = {"table": "predictions"} | json.loads(json.dumps(made))
        clips_R = views.clips_of(chosen, model.card.clip)
        return cls(chosen, views, match.columns_K, clips_R, directional, settings, made)

    @property
    def parts(self) -> list[range]:
        """Rows of each part."""
        return parts_of(len(self.chosen), self.views, self.clips_R if self.views.every else None)

    @property
    def views_a_video(self) -> float:
        """On average."""
        return float(self.clips_R.mean()) * self.views.crops

    def is_made(self, output: Path) -> bool:
        """Whether the output is there already, made in this very way."""
        return output.is_file() and tables.made(tables.read(tables.PREDICTIONS, output, ["view"])) == self.made

    @property
    def keys_a_batch(self) -> int:
        """How many temporal views are read at once."""
        return max(1, self.settings.batch_size // self.views.crops)

    def predicted(
        self, model: LoadedModel, rows: pa.Table, ranges: Sequence[range], cache: FrameCache | None
    ) -> Iterator[tuple[pa.Table | None, int]]:
        """Predicts ranges of `rows`, in order; batches span no two of them.

        Gives after each batch the last row it had a view of, and with the last batch of a range the range's rows of the
        predictions table.
        """
        dataset = ClipDataset(
            rows,
            model.card.clip,
            train=False,
            views=None if self.views.every else self.views.clips,
            crops=self.settings.views.crops,
            cache=cache,
            timeout_s=self.settings.timeout_s,
            root=self.settings.root,
            directional=self.directional,
        )
        gathered, left = Rows(rows, dataset.crop_names, self.columns_K, self.settings.fuse), list(ranges)
        batches = KeyBatches(ranges, self.views.clips_of(rows, model.card.clip), self.keys_a_batch)
        for batch, logits_BK in _outputs(model, dataset, batches, self.settings):
            gathered.add(batch, logits_BK)
            whole = len(gathered.facts) == batches.keys_of(left[0])
            if whole:
                left.pop(0)
            yield gathered.take() if whole else None, batch.facts[-1].row


def _outputs(
    model: LoadedModel, dataset: ClipDataset, batches: KeyBatches, settings: PredictSettings
) -> Iterator[tuple[Batch, NDArray[np.float32]]]:
    """Every batch with its logits; the network never sees more than `batch_size` clips at once."""
    device = _device(settings.device)
    network = model.model.to(device).eval()
    layout = torch.contiguous_format
    if device.type == "cpu":
        network, layout = quick_on_cpu(network), torch.channels_last_3d
    loader = Loader(dataset, batches, settings.workers, device.type == "cuda")
    half = {"bf16": torch.bfloat16, "16": torch.float16}.get(settings.precision)
    try:
        for batch in loader:
            logits = []
            with torch.inference_mode(), torch.autocast(device.type, half, enabled=half is not None):
                for x_BCTHW in torch.split(batch.x_BCTHW, settings.batch_size):
                    if len(x_BCTHW):
                        logits.append(
                            network(x_BCTHW.to(device, non_blocking=True, memory_format=layout)).float().cpu().numpy()
                        )
            yield batch, np.concatenate(logits) if logits else np.zeros((0, len(model.labels)), np.float32)
    finally:
        dataset.close()
        network.to("cpu")


def _device(name: str) -> torch.device:
    if name == "auto":
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return found or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BadValue(
            name, f"is no device of this machine ({str(error).splitlines()[0]})", "Give auto or cpu."
        ) from None
    return device


def result_of(output: Path, resumed: int, clips_per_s: float) -> PredictResult:
    """What stands in a predictions table."""
    table = tables.read(tables.PREDICTIONS, output, ["view", "status"])
    of_videos = table.filter(pc.equal(table["view"], -1))["status"]
    made = tables.made(table)
    unusable = pc.invert(pc.is_in(of_videos, value_set=pa.array([*tables.USABLE, "excluded"])))
    return PredictResult(
        path=output,
        videos=len(of_videos),
        unusable=pc.sum(unusable).as_py() or 0,
        views=made["views"],
        classes=len(made["label_space"]["labels"]),
        resumed=resumed,
        clips_per_s=clips_per_s,
    )


def rows_of_split(videos: pa.Table, split: str) -> pa.Table:
    """The rows of a split, or all of them for `all`.

    Raises:
        BadValue: if there are none; names the splits that there are.
    """
    chosen = videos if split == "all" else videos.filter(pc.equal(videos["split"], split))
    if not len(chosen):
        there = ", ".join(repr(s) for s in sorted(videos["split"].unique().to_pylist())) or "none"
        raise BadValue(split, f"no video is in this split (there are: {there})", "Give one of these, or all.")
    return chosen
