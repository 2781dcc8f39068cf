"""A trained run -> a file that other programs run: ONNX, or a `torch.export` program; checked against the network.

What is exported gives logits for clips of the card's recipe, `x_BCTHW -> logits_BK`; T, H and W are fixed, B is free
where the network allows it. Reading the video is not in it: the JSON beside the file says how a clip is made.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from secondlook import tables
from secondlook.errors import BadValue
from secondlook.predict.weights import LoadedModel, write_json

Format = Literal["onnx", "torch_export"]
SUFFIX = {"onnx": ".onnx", "torch_export": ".pt2"}
INPUT, OUTPUT = "x_BCTHW", "logits_BK"
"""What the file calls them."""
TOLERANCE = 1e-4
"""Largest difference allowed between a logit of the file and of the network, as a share of the largest if over 1."""
_EXTRAS = ("onnx", "onnxscript", "onnxruntime")
Runner = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Exported:
    """What was written, and how near it is."""

    path: Path
    about: Path
    """JSON beside it: card, labels, input recipe, and how the file was made and checked."""
    format: str
    largest_difference: float
    """Between a logit of the file and of the network, over seeded clips."""
    largest_logit: float
    any_batch: bool
    """B is free; else it is 1."""
    note: str = ""
    """Why B is not free."""


def export(
    loaded: LoadedModel, output: str | Path, format: Format = "onnx", *, seed: int = 0, tolerance: float = TOLERANCE
) -> Exported:
    """Exports a trained network and runs the file on seeded clips, beside the network.

    Args:
        loaded: what `weights.load_run` gives.
        output: file to write, `.onnx` or `.pt2`; nothing is left there if a check fails.
        format: `onnx` (needs the extra `secondlook[export]`), or `torch_export`.
        seed: of the clips it is checked on, normal noise.
        tolerance: see `TOLERANCE`.

    Raises:
        BadValue: if the format is not known or its libraries are not there, the suffix is another format's, the
            network has operations that the format cannot hold, or the file's logits are not those of the network.
    """
    output = Path(output)
    if format not in get_args(Format):
        raise BadValue(format, f"format must be one of {', '.join(get_args(Format))}")
    if output.suffix != SUFFIX[format]:
        raise BadValue(str(output), f"a file of format {format} ends in {SUFFIX[format]}", "Name it so.")
    if format == "onnx":
        require_onnx()
    clip = loaded.card.clip
    shape = (clip.channels, clip.frames, clip.height, clip.width)
    network = loaded.model.eval()
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(f"{output.stem}.part{output.suffix}")
    generator = torch.Generator().manual_seed(seed)
    try:
        with _quiet():
            program, any_batch, note = _capture(network, torch.randn(2, *shape, generator=generator))
            try:
                run = _to_onnx(program, part) if format == "onnx" else _to_pt2(program, part)
            except Exception as error:  # the exporters raise many kinds
                rule = f"cannot be written as {format} ({_first_line(error)})"
                raise BadValue(loaded.card.name, rule, _other(format)) from error
            largest, largest_logit = 0.0, 0.0
            for batch in (1, 3) if any_batch else (1,):
                x_BCTHW = torch.randn(batch, *shape, generator=generator)
                with torch.no_grad():
                    own_BK, its_BK = network(x_BCTHW), run(x_BCTHW)
                largest = max(largest, (own_BK - its_BK).abs().max().item())
                largest_logit = max(largest_logit, own_BK.abs().max().item())
        if not largest <= tolerance * max(1.0, largest_logit):
            rule = f"the file's logits are off by up to {largest:.2g}, more than {tolerance:g}"
            raise BadValue(loaded.card.name, rule, _other(format))
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
    done = Exported(output, output.with_suffix(".json"), format, largest, largest_logit, any_batch=any_batch, note=note)
    write_json(done.about, _about(done, loaded, shape, seed))
    return done


def require_onnx() -> None:
    """Refuses where the libraries of ONNX are not installed.

    Raises:
        BadValue: naming those that are missing, and how to get them.
    """
    missing = [name for name in _EXTRAS if importlib.util.find_spec(name) is None]
    if missing:
        rule = f"needs {', '.join(missing)}, which is not installed"
        raise BadValue("onnx", rule, "Run `pip install 'secondlook[export]'`, or give --format torch_export.")


def _capture(network: nn.Module, x_BCTHW: Tensor) -> tuple[torch.export.ExportedProgram, bool, str]:
    """The network as a graph: with any batch size if that works, else for one clip, and then why."""
    batch = ({0: torch.export.Dim("batch", min=1)},)
    try:
        with torch.no_grad():
            return torch.export.export(network, (x_BCTHW,), dynamic_shapes=batch, strict=False), True, ""
    except Exception as error:  # torch.export raises many kinds
        note = _first_line(error)
    try:
        with torch.no_grad():
            return torch.export.export(network, (x_BCTHW[:1],), strict=False), False, note
    except Exception as error:
        rule = f"cannot be exported: its forward pass is no fixed graph ({_first_line(error)})"
        raise BadValue(type(network).__name__, rule, "Predict with `secondlook predict`.") from error


def _to_onnx(program: torch.export.ExportedProgram, path: Path) -> Runner:
    onnxruntime = importlib.import_module("onnxruntime")
    made = torch.onnx.export(program, dynamo=True, input_names=[INPUT], output_names=[OUTPUT], verbose=False)
    assert made is not None
    made.save(str(path), external_data=False)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda x_BCTHW: torch.from_numpy(session.run([OUTPUT], {INPUT: x_BCTHW.numpy()})[0])


def _to_pt2(program: torch.export.ExportedProgram, path: Path) -> Runner:
    torch.export.save(program, path)
    return torch.export.load(path).module()


def _about(done: Exported, loaded: LoadedModel, shape: tuple[int, ...], seed: int) -> dict[str, Any]:
    clip = loaded.card.clip
    libraries = {"onnx": ("torch", *_EXTRAS), "torch_export": ("torch",)}[done.format]
    return {
        "file": done.path.name,
        "sha256": tables.file_sha256(done.path),
        "format": done.format,
        "input": {
            "name": INPUT,
            "shape": ["B" if done.any_batch else 1, *shape],
            "type": "float32",
            "recipe": clip.to_dict(),
            "scale": "pixels in [0, 1], minus mean, divided by std, channel by channel",
        },
        "output": {"name": OUTPUT, "shape": ["B" if done.any_batch else 1, len(loaded.labels)], "type": "logits"},
        "labels": loaded.labels.to_dict(),
        "card": loaded.card.to_dict(),
        "checked": {
            "largest_difference": done.largest_difference,
            "largest_logit": done.largest_logit,
            "libraries": {name: importlib.import_module(name).__version__ for name in libraries},
        },
        "note": done.note,
        "made": tables.provenance("export", {"format": done.format}, [loaded.weights], seed),
    }


def _other(format: str) -> str:
    return "Give --format torch_export." if format == "onnx" else "Predict with `secondlook predict`."


def _first_line(error: Exception) -> str:
    """What an exporter says first, without the log it prints before."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters log what they try, and warn of each other's deprecations; neither is about the user's model."""
    logger = logging.getLogger("torch.onnx")
    was = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(was)
