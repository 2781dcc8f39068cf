"""Show what a trained network looks at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secondlook.cli._explaining import (
    Asked,
    complete_methods,
    list_methods,
    one_clip,
    one_table_only,
    pair,
    split_names,
)
from secondlook.cli._explaining import whole_table as of_table
from secondlook.cli._say import AsJson, Seed
from secondlook.errors import BadValue

BESIDE = "Beside each other: a grid of frames (rows), as picture, film and heat maps"
PICTURES = "Pictures"
TABLES = "Tables of videos"


def run(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of `secondlook train`.")],
    what: Annotated[
        Path | None, typer.Argument(metavar="CLIP|VIDEOS", help="A video, or a videos table (.parquet).")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to write to; RUN/explain/NAME when left out.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(help="How; several with commas between: side by side too.", autocompletion=complete_methods),
    ] = "grad_cam",
    label: Annotated[str, typer.Option(help="Class to explain: predicted, given, a name or an index.")] = "predicted",
    option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Option of the method; may be repeated.")
    ] = None,
    layer: Annotated[str, typer.Option(help="Module to read, any name; the last convolution when left out.")] = "",
    weights: Annotated[
        str, typer.Option(help="Grad-CAM: one weight a `channel`, or a channel and time step (`channel_time`).")
    ] = "",
    listed: Annotated[
        bool, typer.Option("--list", help="Show the methods that fit RUN, with their options, and stop.")
    ] = False,
    layers: Annotated[
        str,
        typer.Option(
            help="Layers: `all` stages of the network, or names with commas; one grid a pathway.",
            rich_help_panel=BESIDE,
        ),
    ] = "",
    pathways: Annotated[
        str, typer.Option(help="Pathways: `all`, or names with commas (slow,fast).", rich_help_panel=BESIDE)
    ] = "",
    classes: Annotated[
        str, typer.Option(help="Classes: given, predicted, names, with commas.", rich_help_panel=BESIDE)
    ] = "",
    against: Annotated[
        Path | None, typer.Option(metavar="RUN", help="A second network on the same clip.", rich_help_panel=BESIDE)
    ] = None,
    confused: Annotated[
        tuple[str, str],
        typer.Option(
            "--pair",
            metavar="CLASS CLASS",
            help="Two classes, on a clip or, of a table, on the clip of each that is most taken for the other.",
            rich_help_panel=BESIDE,
        ),
    ] = ("", ""),
    split: Annotated[str, typer.Option(help="train, val, test; or all.", rich_help_panel=TABLES)] = "test",
    limit: Annotated[
        int | None, typer.Option(help="At most so many videos, evenly spread.", rich_help_panel=TABLES)
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="The videos' folder, if it was moved.", rich_help_panel=TABLES)
    ] = None,
    columns: Annotated[int, typer.Option(min=1, help="Frames in the strip.", rich_help_panel=PICTURES)] = 8,
    hotspots: Annotated[
        bool,
        typer.Option("--hotspots", help="Also a sheet of hotspots, and relevance a frame.", rich_help_panel=PICTURES),
    ] = False,
    threshold: Annotated[
        float, typer.Option(help="Hotspot: above this share of the largest |relevance|.", rich_help_panel=PICTURES)
    ] = 0.3,
    relative: Annotated[
        str, typer.Option(help="Largest of the `clip`, or of each `frame`.", rich_help_panel=PICTURES)
    ] = "clip",
    video: Annotated[
        bool, typer.Option("--video/--no-video", help="Write the overlay video.", rich_help_panel=PICTURES)
    ] = True,
    gif: Annotated[bool, typer.Option("--gif", help="Write it as GIF too.", rich_help_panel=PICTURES)] = False,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Write every frame of it as PNG too.", rich_help_panel=PICTURES)
    ] = False,
    colour_map: Annotated[
        str, typer.Option(help="Colours of heat without a sign: any matplotlib name.", rich_help_panel=PICTURES)
    ] = "inferno",
    alpha: Annotated[
        float, typer.Option(help="Opacity of the strongest place, 0 to 1.", rich_help_panel=PICTURES)
    ] = 0.7,
    normalise: Annotated[
        str,
        typer.Option(
            help="Full colour for the strongest place of the `clip` or of each `frame`.", rich_help_panel=PICTURES
        ),
    ] = "clip",
    which: Annotated[str, typer.Option(help="Weights of the run: best or last.")] = "best",
    timeout_s: Annotated[
        float, typer.Option("--timeout", help="Seconds after which decoding a video is cut off.")
    ] = 30.0,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Show where and when a network looks: a picture strip, an overlay video and the heat map (.npz).

    Heat with a sign is red where it speaks for the class and blue where it speaks against it. With a videos table, one
    folder a video and `explanations.json`, with scores against the truth where it is known (drawn data). What is
    already there, made in the same way, is not made again.

    Example: `secondlook explain runs/a clip.mp4 --method grad_cam,lrp --layers all --hotspots`
    """
    from secondlook.errors import MissingFile
    from secondlook.explain._clips import Wish
    from secondlook.explain._options import given_options
    from secondlook.explain._wish import pathways_of
    from secondlook.predict.weights import load_run
    from secondlook.video.heat_colours import Look
    from secondlook.video.hotspots import Threshold

    if what is None and not listed:
        raise BadValue("", "there is nothing to explain", "Give a video or a videos table after the run folder.")
    if what is not None and not what.exists():
        raise MissingFile(what, "Give a video, a folder of frames, or a videos table.")
    look, hot = Look(colour_map, alpha, normalise), Threshold(threshold, relative)
    loaded = load_run(run_folder, which)  # type: ignore[arg-type]  # checked there
    if listed or what is None:
        list_methods(run_folder, loaded, as_json)
        return
    methods = split_names(method) or ("grad_cam",)
    if len(set(methods)) < len(methods):
        raise BadValue(method, "names a method twice", "Give each once.")
    texts = [*(option or []), *(f"{n}={v}" for n, v in (("layer", layer), ("weights", weights)) if v)]
    options = given_options(methods, texts)
    stages = tuple(point.module for point in loaded.card.explain.stages)
    wish = Wish(
        method=methods[0],
        label=label,
        options=options[methods[0]],
        beside={name: options[name] for name in methods[1:]},
        layers=stages if layers == "all" else split_names(layers),
        pathways=(pathways_of(loaded.card) or ("all",)) if pathways == "all" else split_names(pathways),
        classes=split_names(classes, loaded.labels),
        columns=columns,
        video=video,
        gif=gif,
        pictures=pictures,
        hotspots=hotspots,
        threshold=hot,
        look=look,
    )
    default = run_folder / "explain" / (f"{what.stem}-pair" if any(confused) else what.stem)
    asked = Asked(loaded, run_folder, what, wish, output or default, timeout_s, as_json, split, limit, root, seed)
    if any(confused):
        pair(asked, confused)
    elif what.suffix == ".parquet":
        if against is not None:
            one_table_only(what, "--against")
        of_table(asked)
    else:
        one_clip(asked, against, which)
