"""Figures of `secondlook figure` that explain a trained network on one clip: its parts, and pyramids of kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secondlook.cli._say import AsJson, finish, progress
from secondlook.errors import BadValue, MissingFile


def segments(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of `secondlook train`.")],
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="A video file or a folder of frames.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Picture to write: .png, .svg or .pdf.")],
    parts: Annotated[int, typer.Option(help="Equal parts of the video, 1 to 12.")] = 4,
    given: Annotated[str, typer.Option(help="Its given label, to be marked: a class name or an index.")] = "",
    classes: Annotated[int, typer.Option(min=1, help="Likeliest classes a part.")] = 3,
    as_json: AsJson = False,
) -> None:
    """What a network predicts of each part of a video, beside what it predicts of the whole.

    Example: `secondlook figure segments runs/a clip.mp4 --parts 4 -o segments.png`
    """
    from secondlook.explain._segments import segment_predictions, segments_figure
    from secondlook.explain._wish import label_index
    from secondlook.figure_files import FORMATS
    from secondlook.predict.weights import load_run
    from secondlook.tables import UNLABELLED

    _check(output, FORMATS, clip)
    loaded = load_run(run_folder)
    labels = loaded.labels
    label = label_index(given, labels) if given else UNLABELLED
    found = segment_predictions(loaded, clip, parts)
    at_most = min(classes, len(labels))
    title = f"{clip.name} · {loaded.card.name}"
    path = segments_figure(found, labels, output, given=label, top=at_most, title=title)
    told = [
        {
            "start_s": round(one.start_s, 4),
            "end_s": round(one.end_s, 4),
            "whole": one.whole,
            "predicted": [{"index": k, "name": labels.names[k], "confidence": c} for k, c in one.top(at_most)],
        }
        for one in found
    ]
    finish({"picture": path, "parts": told}, str(path), as_json)


def pyramids(
    run_folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, one a network.")],
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="A video file or a folder of frames.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Picture to write: .png.")],
    label: Annotated[
        str, typer.Option(help="Class: a name, an index of the first network, or what that one predicted.")
    ] = "predicted",
    theta: Annotated[
        str, typer.Option(help="Higher keeps fewer kernels, from 0.5 to 0.731; one a network with commas between.")
    ] = "0.6",
    depth: Annotated[int, typer.Option(help="Levels of convolutions from the class down: so many rows.")] = 3,
    moments: Annotated[int, typer.Option(min=1, max=12, help="Frames a network.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Where the kernels fire that speak for a class, in the last layers of several networks side by side.

    Example: `secondlook figure pyramids runs/a runs/b clip.mp4 --theta 0.6,0.65 -o pyramids.png`
    """
    from secondlook.explain._pyramid import Choice
    from secondlook.explain._pyramid_networks import network_pyramids
    from secondlook.explain._pyramid_pictures import networks_picture
    from secondlook.predict.weights import load_run
    from secondlook.video.grid import Caption

    _check(output, (".png",), clip)
    choices = [Choice(value, depth) for value in _thetas(theta, len(run_folders))]
    with progress("networks", len(run_folders)) as advance:
        runs = []
        for name, folder, choice in zip(_names(run_folders), run_folders, choices, strict=True):
            runs.append((name, load_run(folder), choice))
            advance()
    explained, found = network_pyramids(runs, clip, label)
    caption = Caption(explained, f"{clip.name} · class_feature_pyramids, layer-wise")
    picture = networks_picture([one.network for one in found], caption, moments=moments)
    output.parent.mkdir(parents=True, exist_ok=True)
    picture.save(output)
    facts = {"picture": output, "label_name": explained, "networks": [one.facts for one in found]}
    finish(facts, str(output), as_json)


def _check(output: Path, formats: tuple[str, ...], clip: Path) -> None:
    """Refuses what cannot be, before a network is loaded."""
    if output.suffix.lower() not in formats:
        rule = f"this figure is a {', '.join(formats)} file"
        raise BadValue(output.name, rule, f"For example {output.stem}{formats[0]}.")
    if not clip.exists():
        raise MissingFile(clip, "Give a video file or a folder of frames after the run folder.")


def _thetas(text: str, networks: int) -> list[float]:
    """`0.6,0.65` as one number a network; one alone is for all."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise BadValue(text, "theta must be a number, or one a network", "For example --theta 0.6,0.65.") from None
    if len(values) not in (1, networks):
        rule = f"there are {networks} networks and {len(values)} thetas"
        raise BadValue(text, rule, "Give one for all, or one a network.")
    return values * networks if len(values) == 1 else values


def _names(folders: list[Path]) -> list[str]:
    """Run folders by name, with the folder around them where names are the same."""
    whole = [folder.resolve() for folder in folders]
    names = [folder.name for folder in whole]
    return [f"{f.parent.name}/{f.name}" if names.count(f.name) > 1 else f.name for f in whole]
