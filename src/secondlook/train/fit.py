"""Lightning's Trainer as this room uses it: quiet, repeatable, and stopped by ctrl-C as everything else."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from secondlook.predict.weights import quick_on_cpu
from secondlook.train.checkpoint import Checkpoints, RunFolder
from secondlook.train.data import ClipData
from secondlook.train.module import Recogniser
from secondlook.train.settings import TrainSettings

_PRECISION = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def fit(
    module: Recogniser,
    data: ClipData,
    folder: RunFolder,
    settings: TrainSettings,
    callbacks: list[Callback],
) -> None:
    """Trains a module on the data of a run folder, from its last checkpoint if it has one, and closes the data.

    Args:
        module: what is trained; its network is laid out for a CPU where it runs on one.
        data: training and validation clips.
        folder: where checkpoints and curves go.
        settings: of the training.
        callbacks: for the Trainer.

    Raises:
        BadValue: if the run stopped within an epoch and the number of devices is another one now.
        KeyboardInterrupt: after a ctrl-C, when everything is written.
    """
    with _quiet(), torch.random.fork_rng(devices=[]), _deterministic_cudnn():
        trainer = _trainer(folder, settings, callbacks)
        if trainer.strategy.root_device.type == "cpu":
            quick_on_cpu(module)
        try:
            data.start = folder.start(trainer.world_size)
            _fit(trainer, module, data, folder.last if folder.last.is_file() else None)
        finally:
            data.close()


def _trainer(folder: RunFolder, settings: TrainSettings, callbacks: list[Callback]) -> Trainer:
    return Trainer(
        accelerator="auto",
        devices=settings.devices,
        num_nodes=settings.nodes,
        precision=_PRECISION[settings.precision],  # type: ignore[arg-type]
        max_epochs=settings.epochs,
        accumulate_grad_batches=settings.accumulate,
        callbacks=callbacks,
        logger=TensorBoardLogger(folder.path, name="tensorboard", version=""),
        default_root_dir=folder.path,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        benchmark=False,
    )


def _fit(trainer: Trainer, module: Recogniser, data: ClipData, checkpoint: Path | None) -> None:
    """`Trainer.fit`, but a ctrl-C is a KeyboardInterrupt as everywhere, and ctrl-C still works afterwards."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    if in_main_thread and trainer.world_size == 1 and handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: _interrupt(trainer))
    try:
        trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
    except SystemExit as stop:
        # Lightning turns a KeyboardInterrupt into an exit and leaves ctrl-C switched off.
        raise KeyboardInterrupt from stop
    finally:
        if in_main_thread:
            signal.signal(signal.SIGINT, handler)


def _interrupt(trainer: Trainer) -> None:
    """The first ctrl-C within training batches lets the step end, which is then written; any other one stops at once.

    With several devices it stops at once, too: they would not all see it in the same step.
    """
    for checkpoints in trainer.checkpoint_callbacks:
        if isinstance(checkpoints, Checkpoints) and checkpoints.in_batches and not checkpoints.stopping:
            checkpoints.stopping = True
            return
    raise KeyboardInterrupt


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's advertisements and hints stay away; its errors do not."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # How many workers are best is measured (docs), not guessed from the number of cores.
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        # A table without split val has no validation batches; the notes say so.
        warnings.filterwarnings("ignore", "Total length of `list` across ranks is zero.*")
        # Batches that are done are left out by `data.Batches`.
        warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before the epoch ended.*")
        # Lightning still uses a name of torch's that will go.
        warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def _deterministic_cudnn() -> Iterator[None]:
    """Convolutions on a GPU give the same bits each time."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before
