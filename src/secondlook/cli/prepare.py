"""Re-encode videos: dense key frames, a short side, copies that browsers play."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from secondlook.cli._engine import Engine, RayAddress, RayWorkers, cluster_of
from secondlook.cli._say import AsJson, finish, progress


def run(
    videos: Annotated[Path, typer.Argument(help="The videos table, as `secondlook index` writes it.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the new files and their videos.parquet.")],
    short_side: Annotated[
        int | None, typer.Option(help="Resize to this short side in pixels; size kept if left out.")
    ] = None,
    gop: Annotated[
        int | None,
        typer.Option(help="A key frame every so many frames; 8 if left out, but with --proxy the encoder's."),
    ] = None,
    crf: Annotated[int, typer.Option(help="Quality: 0 lossless, 18 hardly to be told from the source, 30 small.")] = 18,
    proxy: Annotated[
        bool, typer.Option("--proxy", help="For browsers only: what they play already is copied, the rest re-encoded.")
    ] = False,
    root: Annotated[Path | None, typer.Option(help="Folder of the videos, if it was moved since the index.")] = None,
    workers: Annotated[
        int, typer.Option(help="Videos encoded at once by the local engine, each in its own process.")
    ] = 2,
    timeout_s: Annotated[float, typer.Option(help="Seconds allowed for one video.")] = 600.0,
    engine: Engine = "local",
    ray_address: RayAddress = None,
    ray_workers: RayWorkers = None,
    as_json: AsJson = False,
) -> None:
    """Re-encode videos as H.264 mp4, and write a new videos table beside them.

    Frames, times, ids, labels and splits stay; sound is left out. A video that cannot be read keeps its row, with the
    reason. Run it again to go on where it was stopped: files that are there already are not made again.

    Example: `secondlook prepare videos.parquet -o small --short-side 128 --gop 8`
    """
    from secondlook import tables
    from secondlook.video.prepare import Preparation
    from secondlook.video.prepare_table import prepare_table

    wish = Preparation(short_side, gop if gop is not None or proxy else 8, crf, proxy)
    cluster = cluster_of(engine, ray_address, ray_workers)
    table = tables.read(tables.VIDEOS, videos)
    with progress("preparing", table.num_rows) as advance:
        if cluster is not None:
            from secondlook.bulk import prepare as bulk

            result = bulk.prepare_table(
                table, out, wish, cluster, root=root, timeout_s=timeout_s, inputs=(videos,), advance=advance
            )
        else:
            result = prepare_table(
                table,
                out,
                wish,
                root=root,
                workers=workers,
                timeout_s=timeout_s,
                inputs=(videos,),
                advance=advance,
            )
    finish(result, words_of(result), as_json, result["failed_rows"])


def words_of(result: Mapping[str, Any]) -> str:
    """What `prepare_table` did, in words."""
    from secondlook import tables

    words = [
        f"wrote {result['path']}: {result['rows']} rows, {result['prepared']} videos made now, "
        f"{result['already_there']} already there",
    ]
    if result["failed_rows"]:
        kinds = ", ".join(f"{n} {s}" for s, n in result["statuses"].items() if s not in tables.USABLE)
        words.append(f"{result['failed_rows']} rows have no usable video ({kinds}); the column reason says why")
    if result["truth_dropped"]:
        words.append(f"{result['truth_dropped']} rows lost their truth masks, which fit the old size only")
    return "\n".join(words)
