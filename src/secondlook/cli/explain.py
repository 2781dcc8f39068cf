"""Show what a trained network looks at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secondlook.cli._say import AsJson, Seed, finish, progress

if TYPE_CHECKING:
    from secondlook.explain._clips import Wish
    from secondlook.predict.weights import LoadedModel


def run(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of `secondlook train`.")],
    what: Annotated[Path, typer.Argument(metavar="CLIP|VIDEOS", help="A video, or a videos table (.parquet).")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to write to; RUN/explain/NAME when left out.")
    ] = None,
    method: Annotated[str, typer.Option(help="How; `secondlook list explain` shows all.")] = "grad_cam",
    label: Annotated[str, typer.Option(help="Class to explain: predicted, given, a name or an index.")] = "predicted",
    layer: Annotated[str, typer.Option(help="Module to read, any name; the last convolution when left out.")] = "",
    weights: Annotated[
        str, typer.Option(help="Grad-CAM: one weight a `channel`, or a channel and time step (`channel_time`).")
    ] = "",
    layers: Annotated[
        str, typer.Option(help="Also a grid of layers: `all` stages of the network, or names with commas between.")
    ] = "",
    split: Annotated[str, typer.Option(help="Of a table: train, val, test; or all.")] = "test",
    limit: Annotated[int | None, typer.Option(help="Of a table: at most so many videos, evenly spread.")] = None,
    root: Annotated[Path | None, typer.Option(help="Of a table: the videos' folder, if it was moved.")] = None,
    columns: Annotated[int, typer.Option(min=1, help="Frames in the strip.")] = 8,
    video: Annotated[bool, typer.Option("--video/--no-video", help="Write the overlay video.")] = True,
    gif: Annotated[bool, typer.Option("--gif", help="Write the overlay as GIF too.")] = False,
    pictures: Annotated[bool, typer.Option("--pictures", help="Write every frame of the overlay as PNG too.")] = False,
    colour_map: Annotated[str, typer.Option(help="Colours of the heat: any name matplotlib knows.")] = "inferno",
    alpha: Annotated[float, typer.Option(help="Opacity of the hottest place, 0 to 1.")] = 0.7,
    normalise: Annotated[
        str, typer.Option(help="Full colour for the hottest place of the `clip` or of each `frame`.")
    ] = "clip",
    which: Annotated[str, typer.Option(help="Weights of the run: best or last.")] = "best",
    timeout_s: Annotated[
        float, typer.Option("--timeout", help="Seconds after which decoding a video is cut off.")
    ] = 30.0,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Show where and when a network looks: a picture strip, an overlay video and the heat map (.npz).

    With a videos table, one folder a video and `explanations.json`, with scores against the truth where it is known
    (drawn data). What is already there, made in the same way, is not made again.

    Example: `secondlook explain runs/a clip.mp4 --method grad_cam --label given`
    """
    from secondlook.errors import MissingFile
    from secondlook.explain._clips import Wish
    from secondlook.predict.weights import load_run
    from secondlook.video.overlay import Look

    if not what.exists():
        raise MissingFile(what, "Give a video, a folder of frames, or a videos table.")
    look = Look(colour_map, alpha, normalise)
    loaded = load_run(run_folder, which)  # type: ignore[arg-type]  # checked there
    stages = [p.module for p in loaded.card.explain.stages]
    wish = Wish(
        method=method,
        label=label,
        options={k: v for k, v in {"layer": layer, "weights": weights}.items() if v},
        layers=tuple(stages if layers == "all" else [name.strip() for name in layers.split(",") if name.strip()]),
        columns=columns,
        video=video,
        gif=gif,
        pictures=pictures,
        look=look,
    )
    folder = output or run_folder / "explain" / what.stem
    if what.suffix == ".parquet":
        _table(loaded, what, wish, folder, run_folder, split, limit, root, seed, timeout_s, as_json)
    else:
        _clip(loaded, what, wish, folder, timeout_s, as_json)


def _clip(loaded: LoadedModel, path: Path, wish: Wish, folder: Path, timeout_s: float, as_json: bool) -> None:
    from secondlook.explain._clips import check, entry, explain_video, write
    from secondlook.video.guard import Guard

    check(loaded, wish)
    with Guard(timeout_s) as guard:
        explained = explain_video(loaded, path, wish, decode=guard.decode)
    paths = write(explained, loaded, folder, wish, path.name)
    facts = entry(explained, loaded)
    lines = [f"{path.name}, {facts['model']}"]
    for rank, guess in enumerate(facts["predicted"], 1):
        mark = "  <- explained" if guess["index"] == facts["label"] else ""
        lines.append(f"  {rank}  {guess['confidence']:6.1%}  {guess['name']}{mark}")
    if all(guess["index"] != facts["label"] for guess in facts["predicted"]):
        lines.append(f"explained: {facts['label_name']}")
    found = (
        "no heat: nothing speaks for this class here" if facts["no_heat"] else f"most heat at {facts['peak_s']:.2f} s"
    )
    lines += [f"{facts['method']} at {facts['module']}; {found}" if facts["module"] else found, "wrote"]
    lines += [f"  {p}" for p in paths.values()]
    finish({"video": str(path), **facts, "paths": paths}, "\n".join(lines), as_json)


def _table(
    loaded: LoadedModel,
    path: Path,
    wish: Wish,
    folder: Path,
    run_folder: Path,
    split: str,
    limit: int | None,
    root: Path | None,
    seed: int,
    timeout_s: float,
    as_json: bool,
) -> None:
    from secondlook import tables
    from secondlook.explain._table import LIST, choose_rows, explain_table

    videos = choose_rows(tables.read(tables.VIDEOS, path), split, limit)
    settings = {**wish.to_dict(), "run": str(run_folder), "split": split, "limit": limit}
    made = tables.provenance("explain", settings, [path, loaded.weights, run_folder / "card.json"], seed)
    name = run_folder.resolve().name
    with progress("explaining", videos.num_rows) as advance:
        result = explain_table(
            loaded,
            videos,
            wish,
            folder,
            run=name,
            root=root,
            made=made,
            seed=seed,
            timeout_s=timeout_s,
            advance=advance,
        )
    entries = result["explanations"]
    bad = [e for e in entries if e["status"] not in tables.USABLE]
    lines = [f"explained {len(entries) - len(bad)} of {len(entries)} videos, {loaded.card.name}, {wish.method}"]
    lines += [f"  {e['video_id']}: {e['status']}: {e['reason']}" for e in bad[:10]]
    lines += [f"  and {len(bad) - 10} more"] if len(bad) > 10 else []
    lines += _averages(result["averages"])
    lines += [f"wrote {folder / LIST}", f"      {folder}/*/strip.png and what else is listed there"]
    shown = {"folder": str(folder), "list": str(folder / LIST), "videos": len(entries), "averages": result["averages"]}
    finish(shown, "\n".join(lines), as_json, failed_rows=len(bad))


def _averages(averages: dict[str, Any]) -> list[str]:
    """Lines of a table: each measure beside what the two baselines get."""
    from secondlook.explain._ground_truth import BASELINES, MEASURES

    lines = []
    for name, meaning in MEASURES.items():
        if name in averages:
            own = averages[name]
            beside = [f"{averages[f'{name}_{b}']['mean']:.2f}" for b in BASELINES]
            interval = f"[{own['low']:.2f}, {own['high']:.2f}]"
            lines.append(f"  {name:<15} {own['mean']:.2f} {interval:<13} {beside[0]:>8} {beside[1]:>8}  {meaning}")
    head = f"  {'measure':<15} {'mean, 95 %':<18} {'uniform':>8} {'centre':>8}"
    return [head, *lines] if lines else []
