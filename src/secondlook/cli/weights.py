"""Fetch, look into and convert published weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from secondlook.cli._say import AsJson, finish
from secondlook.cli._words import height_width
from secondlook.errors import BadValue

app = typer.Typer(help="Fetch, look into and convert published weights.", no_args_is_help=True)

_File = Annotated[str, typer.Argument(help="A file, https://..., or hf:owner/name/file.")]
_Source = Annotated[
    str, typer.Option(help="Code base the file is of; `secondlook list checkpoints`. auto tells it by its names.")
]


@app.callback()
def _group() -> None:
    """Fetch, look into and convert published weights.

    Example: `secondlook weights convert r3d_18.pth --model resnet3d:18 -o r3d_18.safetensors`
    """


@app.command("fetch")
def fetch(file: _File, as_json: AsJson = False) -> None:
    """Download a file of weights into the cache, or go on with it, and print where it is.

    Example: `secondlook weights fetch hf:MCG-NJU/videomae-base-finetuned-kinetics/model.safetensors`
    """
    path = local(file)
    finish({"file": file, "path": path}, str(path), as_json)


@app.command("show")
def show(file: _File, source: _Source = "auto", as_json: AsJson = False) -> None:
    """Say which code base a file of weights is of, and for how many classes.

    Example: `secondlook weights show rgb_imagenet.pt`
    """
    from dataclasses import asdict

    from secondlook.predict.published import facts, layout_of

    found = facts(local(file), source)
    classes = f"a classifier for {found.classes} classes" if found.classes else "no classifier"
    words = f"{layout_of(found.source).about}: {found.tensors} tensors, {found.values:,} values, {classes}."
    finish({"file": file, **asdict(found)}, words, as_json)


@app.command("convert")
def convert(
    file: _File,
    model: Annotated[str, typer.Option(help="family:variant that the weights are of; `secondlook list models`.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write, .safetensors.")],
    head: Annotated[str, typer.Option(help="Late temporal head; the family's own if not given.")] = "",
    classes: Annotated[int | None, typer.Option(min=1, help="Number of classes; the file's if not given.")] = None,
    source: _Source = "auto",
    frames: Annotated[int | None, typer.Option(min=1, help="Frames of a clip; the card's if not given.")] = None,
    size: Annotated[str, typer.Option(help="Pixels of a clip, as HxW; the card's if not given.")] = "",
    expect: Annotated[
        Path | None, typer.Option(help="The publisher's fingerprint: JSON with shape and logits_K.")
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Write it although some tensors do not fit.")] = False,
    as_json: AsJson = False,
) -> None:
    """Rewrite published weights under our names, as safetensors, with a fingerprint that every later load checks.

    Example: `secondlook weights convert r3d_18.pth --model resnet3d:18 -o r3d_18.safetensors`
    """
    import json
    from dataclasses import asdict, replace

    from secondlook.predict import fingerprint
    from secondlook.predict.published import facts, load_published
    from secondlook.predict.weights import build_model, find_card, save_weights, with_clip

    if output.suffix != ".safetensors":
        raise BadValue(str(output), "converted weights are safetensors", "Give a name that ends in .safetensors.")
    path = local(file)
    height, width = height_width(size)
    card = replace(with_clip(find_card(model), frames=frames, height=height, width=width), head=head)
    number = classes or facts(path, source).classes
    if number is None:
        raise BadValue(str(path), "has no classifier that tells the number of classes", "Give --classes.")
    network = build_model(card, number)
    report = load_published(network, path, source)
    if not report.complete and not partial:
        cure = "Give the model and --head the weights are of; or --partial to leave the rest fresh."
        raise BadValue(str(path), f"does not fit {model} wholly. {report.words()}", cure)
    if expect:
        fingerprint.check(network, fingerprint.read(expect), path)
    clip = card.clip
    channels = int(card.options.get("in_channels", clip.channels))
    mark = fingerprint.fingerprint(network, (channels, clip.frames, clip.height, clip.width))
    output.parent.mkdir(parents=True, exist_ok=True)
    save_weights(network, output)
    note = output.with_name(output.name + ".fingerprint.json")
    note.write_text(json.dumps(mark.to_dict()) + "\n", encoding="utf-8")
    result = {"model": model, "classes": number, "output": output, "fingerprint": note, **asdict(report)}
    words = f"{report.words()}\nWrote {output} and its fingerprint. Train with `--model {model} --weights {output}`."
    finish(result, words, as_json)


def local(file: str) -> Path:
    """The file itself, downloaded with a progress bar if need be."""
    from secondlook.predict.fetch import fetch as fetch_file

    if not file.startswith(("hf:", "http:", "https:")):
        return fetch_file(file)
    with _bytes_bar() as tell:
        return fetch_file(file, on_progress=tell)


@contextmanager
def _bytes_bar() -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("fetching", total=None)
        yield lambda have, total: bar.update(task, completed=have, total=total)
