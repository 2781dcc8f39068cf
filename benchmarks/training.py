"""What the trainer costs, and what multigrid gains: clips a second, and time to a fixed accuracy, on drawn clips.

* The trainer beside a plain PyTorch loop over the same network, loader and optimiser (target: < 5 % slower), turn by
  turn, so that the ratio holds on a busy machine; the loader alone; the network alone, on clips that lie ready.
* Multigrid beside base batches: clips and seconds an epoch, and seconds until validation first reaches `--accuracy`
  (target: a third of the time), of one seed.
* On a CPU seconds are CPU seconds of the training process, with one thread (but of the loader alone).
* Where there is a GPU: model FLOPs utilisation in bfloat16, `3 x 2 x MACs x clips / s / peak`, of an H100 or H200's
  peak of 989 TFLOP/s; three forward passes' work for forward and backward.

    .venv/bin/python benchmarks/training.py [--quick] [--accuracy 0.9] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from lightning.pytorch import Callback

from secondlook import tables
from secondlook.labels import LabelSpace
from secondlook.predict.loader import Loader
from secondlook.predict.weights import build_model, quick_on_cpu
from secondlook.train.data import ClipData, choose_rows
from secondlook.train.loop import train
from secondlook.train.losses import cross_entropy
from secondlook.train.optim import optimisation
from secondlook.train.settings import TrainSettings
from secondlook.train.start import card_of
from secondlook.video.encode import write_video

MODEL, PEAK_FLOPS = "resnet3d:tiny", 989e12


def drawn(folder: Path, train_clips: int, val_clips: int, size: int, frames: int) -> pa.Table:
    """A videos table of drawn clips: a bright square that moves left, right, up or down over noise."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(train_clips + val_clips):
        label = number % 4
        down, across = ((0, -1), (0, 1), (-1, 0), (1, 0))[label]
        top, left = rng.integers(0, size, 2)
        video = rng.integers(0, 90, (frames, size, size, 3))
        rows_S, columns_S = (np.arange(size // 4), np.arange(size // 4))
        for t in range(frames):
            at = (top + rows_S + 2 * t * down) % size, (left + columns_S + 2 * t * across) % size
            video[t][np.ix_(*at)] += 150
        name = f"{number:05d}"
        write_video(folder / "videos" / f"{name}.mp4", video.astype(np.uint8), 12.0)
        split = "train" if number < train_clips else "val"
        rows.append({"video_id": name, "path": f"videos/{name}.mp4", "label": label, "split": split, "group": name,
                     "status": "ok", "reason": ""})  # fmt: skip
    labels = LabelSpace.from_names(["left", "right", "up", "down"], "moving squares")
    made = {"label_space": labels.to_dict(), "root": str(folder)}
    return tables.read(tables.VIDEOS, tables.write(tables.VIDEOS, rows, folder / "videos.parquet", made))


def now_s() -> float:
    """CPU seconds of this process: on a machine that others use, its clock says little. Loader workers do not count."""
    return time.perf_counter() if torch.cuda.is_available() else time.process_time()


class Clock(Callback):
    """Seconds of each epoch's training batches, from the first one's start, and of validation."""

    def __init__(self) -> None:
        self.epochs_s: list[float] = []
        self.began_s = self.start_s = 0.0
        self.reached_s: float | None = None
        self.accuracy = 2.0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """The training begins."""
        self.start_s = now_s()

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """An epoch begins."""
        self.began_s = now_s()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After the last batch of an epoch, before validation."""
        if batch_idx + 1 == trainer.num_training_batches:
            self.epochs_s.append(now_s() - self.began_s)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Stops when the accuracy is reached."""
        if self.reached_s is None and float(trainer.callback_metrics["val_top1"]) >= self.accuracy:
            self.reached_s = now_s() - self.start_s
            trainer.should_stop = True


def plain_epochs(videos: pa.Table, settings: TrainSettings, epochs: int) -> Iterator[float]:
    """Seconds of each epoch of a loop that does nothing but fetch, forward, backward and step."""
    labels, rows = tables.label_space(videos), choose_rows(videos, tables.label_space(videos))
    card = card_of(settings)
    data = ClipData(videos, rows, card.clip, labels, settings)
    network = quick_on_cpu(build_model(card, len(labels), settings.seed)).train()
    batches = data.batches("train")
    loader = Loader(data.datasets["train"], batches, settings.workers, pin_memory=False)
    chosen = optimisation(network, settings, len(batches))
    optimizer, scheduler = chosen["optimizer"], chosen["lr_scheduler"]["scheduler"]
    for epoch in range(epochs):
        batches.set_epoch(epoch)
        began_s = now_s()
        for batch in loader:
            x_BCTHW = batch.x_BCTHW.contiguous(memory_format=torch.channels_last_3d)
            optimizer.zero_grad(set_to_none=True)
            cross_entropy(network(x_BCTHW), batch.label_B, 0.0).mean().backward()
            optimizer.step()
            scheduler.step()
        yield now_s() - began_s
    data.close()


def loader_alone(videos: pa.Table, settings: TrainSettings) -> int:
    """Clips that the loader gave in two epochs."""
    labels, rows = tables.label_space(videos), choose_rows(videos, tables.label_space(videos))
    data = ClipData(videos, rows, card_of(settings).clip, labels, settings)
    batches = data.batches("train")
    loader = Loader(data.datasets["train"], batches, settings.workers, pin_memory=False)
    clips = 0
    for epoch in range(2):
        batches.set_epoch(epoch)
        clips += sum(len(batch.index_B) for batch in loader)
    data.close()
    return clips


def trained(videos: pa.Table, folder: Path, settings: TrainSettings, accuracy: float = 2.0) -> tuple[Clock, Any]:
    """A training with a clock."""
    clock = Clock()
    clock.accuracy = accuracy
    return clock, train(videos, folder, settings, callbacks=[clock])


def utilisation(settings: TrainSettings, clips: int) -> dict[str, float]:
    """Clips a second of forward and backward in bfloat16 on a GPU, and the share of its peak that they are."""
    from secondlook.models._count import cost_of

    card = card_of(settings)
    network = build_model(card, 400, 0).cuda().train().to(memory_format=torch.channels_last_3d)
    shape = (clips, card.clip.channels, card.clip.frames, card.clip.height, card.clip.width)
    x_BCTHW = torch.randn(shape, device="cuda").to(memory_format=torch.channels_last_3d)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)
    times_s = []
    for _ in range(25):
        torch.cuda.synchronize()
        began_s = now_s()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16):
            loss = network(x_BCTHW).float().square().mean()
        loss.backward()
        optimizer.step()
        torch.cuda.synchronize()
        times_s.append(now_s() - began_s)
    per_s = clips / statistics.median(times_s[5:])
    return {"clips_per_s": per_s, "mfu": 3 * 2 * cost_of(card, 400).macs * per_s / PEAK_FLOPS}


class Facts(dict[str, Any]):
    """Numbers by name, printed as they come."""

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        print(f"{name:26} {value if not isinstance(value, float) else round(value, 3)}", flush=True)


def main() -> None:
    """Prints what is in the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer clips and turns")
    parser.add_argument("--accuracy", type=float, default=0.9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    clips, turns, side = (160, 2, 32) if options.quick else (960, 3, 64)
    base = TrainSettings(
        model=MODEL, frames=8, height=side, width=side, short_side=side, crop="none", batch_size=8, workers=1, epochs=3,
        optimizer="sgd", learning_rate=0.02, schedule="none", warmup_epochs=0.0,
    )  # fmt: skip
    facts = Facts()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        videos = drawn(folder, clips, 40, side, 16)
        settings = replace(base, cache=folder / "cache")
        began_s = time.perf_counter()
        facts["loader_clips_per_s"] = loader_alone(videos, settings) / (time.perf_counter() - began_s)
        ours, plain = [], []
        for turn in range(turns):
            plain += list(plain_epochs(videos, settings, 3))[1:]
            ours += trained(videos, folder / f"ours{turn}", settings)[0].epochs_s[1:]
        facts["plain_clips_per_s"] = clips / min(plain)
        facts["trainer_clips_per_s"] = clips / min(ours)
        facts["trainer_cost"] = min(ours) / min(plain) - 1
        facts["trainer_cost_of_medians"] = statistics.median(ours) / statistics.median(plain) - 1
        facts["trainer_ms_a_step"] = 1000 * (min(ours) - min(plain)) / (clips / settings.batch_size)
        for mode in ("none", "long", "both"):
            long = replace(settings, multigrid=mode, epochs=40 if mode != "none" else 15)
            clock, _ = trained(videos, folder / mode, long, options.accuracy)
            facts[f"{mode}_epochs"] = len(clock.epochs_s)
            facts[f"{mode}_epoch_s"] = statistics.median(clock.epochs_s)
            facts[f"{mode}_clips_per_s"] = clips / facts[f"{mode}_epoch_s"]
            facts[f"{mode}_to_accuracy_s"] = clock.reached_s
    if torch.cuda.is_available():
        wide = replace(base, model="resnet3d:34", height=112, width=112, short_side=128)
        facts["gpu"] = utilisation(wide, 16 if options.quick else 64)
    if options.json:
        options.json.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
