"""Find the videos that look alike to a network."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secondlook.cli._say import AsJson, finish, progress

if TYPE_CHECKING:
    import pyarrow as pa

    from secondlook.labels import LabelSpace
    from secondlook.predict.similar import Neighbour


def run(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder from `secondlook train`.")],
    videos: Annotated[Path, typer.Argument(help="Videos table, from `secondlook index`.")],
    video_id: Annotated[str, typer.Argument(help="The video to find others like, as the table names it.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many to show.")] = 5,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Picture of them: .png, .svg or .pdf.")] = None,
    embeddings: Annotated[
        Path | None, typer.Option(help="Table of vectors, made if not there [RUN/embeddings.parquet].")
    ] = None,
    which: Annotated[str, typer.Option(help="Weights of the run: best or last.")] = "best",
    workers: Annotated[int, typer.Option(help="Processes that read videos.")] = 2,
    root: Annotated[Path | None, typer.Option(help="Where the videos are now, if they were moved.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the videos that look most like one of them to a network: nearest by what its classifier reads.

    Example: `secondlook similar runs/a videos.parquet Clap/a12.mp4 -k 8 -o alike.png`
    """
    from secondlook import tables
    from secondlook.predict.similar import embed, nearest
    from secondlook.predict.weights import load_run

    model, table = load_run(run, which), tables.read(tables.VIDEOS, videos)  # type: ignore[arg-type]  # checked there
    labels = tables.label_space(table)
    with progress("reading", len(table)) as advance:
        path = embeddings or run / "embeddings.parquet"
        found = embed(model, table, path, workers=workers, root=root, on_step=advance)
    neighbours = nearest(found, video_id, k)
    if output is not None:
        _draw(found, video_id, neighbours, labels, root or Path(tables.made(table)["root"]), output)
    lines = [f"{n.cosine:.3f}  {labels.names[n.label] if n.label >= 0 else '-'}  {n.video_id}" for n in neighbours]
    lines = [f"most like {video_id} (cosine, given label, video):", *lines, *([str(output)] if output else [])]
    told = {"video_id": video_id, "neighbours": [asdict(n) for n in neighbours], "picture": output}
    finish(told, "\n".join(lines), as_json)


def _draw(
    embeddings: pa.Table, video_id: str, neighbours: list[Neighbour], labels: LabelSpace, root: Path, output: Path
) -> None:
    from secondlook import figure_files
    from secondlook.report import figures
    from secondlook.video.clip import Size
    from secondlook.video.decode import decode
    from secondlook.video.sample import Sampling

    at = embeddings["video_id"].to_pylist().index(video_id)
    first = embeddings["path"][at].as_py(), embeddings["label"][at].as_py(), "asked for"
    shown = [first, *((n.path, n.label, f"cosine {n.cosine:.2f}") for n in neighbours)]
    rows = []
    for path, label, words in shown:
        clip = decode(root / path, Sampling(frames=4), size=Size(short_side=96))
        name = labels.names[label] if label >= 0 else "no label"
        rows.append((f"{name}\n{words}", list(clip.frames_THWC) if clip.usable else []))
    figure_files.save(figures.filmstrips(rows), output)
