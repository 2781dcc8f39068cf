"""Re-encode videos: dense key frames, a short side, copies that browsers play."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secondlook.cli._engine import Engine, RayAddress, RayWorkers, cluster_of
from secondlook.cli._making import make_videos
from secondlook.cli._say import AsJson


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
    from secondlook.video.prepare import Preparation

    wish = Preparation(short_side, gop if gop is not None or proxy else 8, crf, proxy)
    make_videos(
        videos, out, wish, "preparing", root=root, workers=workers, timeout_s=timeout_s, as_json=as_json,
        cluster=cluster_of(engine, ray_address, ray_workers),
    )  # fmt: skip
