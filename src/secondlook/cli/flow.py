"""Compute the optical flow of videos, to train and predict on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secondlook.cli._engine import Engine, RayAddress, RayWorkers, cluster_of
from secondlook.cli._making import make_videos
from secondlook.cli._say import AsJson


def run(
    videos: Annotated[Path, typer.Argument(help="The videos table, as `secondlook index` writes it.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the flow files and their videos.parquet.")],
    method: Annotated[
        str, typer.Option(help="dis, tvl1, farneback or horn_schunck; or pictures: flow_x and flow_y of a folder.")
    ] = "dis",
    short_side: Annotated[
        int | None, typer.Option(help="Compute at this short side in pixels; at the size of the video if left out.")
    ] = None,
    bound: Annotated[float, typer.Option(help="Displacements beyond so many pixels are clipped.")] = 20.0,
    root: Annotated[Path | None, typer.Option(help="Folder of the videos, if it was moved since the index.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Videos worked on at once, each in its own process [all cores].")
    ] = None,
    timeout_s: Annotated[float, typer.Option(help="Seconds allowed for one video.")] = 3600.0,
    engine: Engine = "local",
    ray_address: RayAddress = None,
    ray_workers: RayWorkers = None,
    as_json: AsJson = False,
) -> None:
    """Compute how every pixel moves from one frame to the next, and write a videos table of it.

    Ids, labels, splits, frames and times stay. Then `secondlook train flow/videos.parquet --modality flow` trains on
    motion alone. A video that cannot be read keeps its row, with the reason. Run it again to go on where it was
    stopped: flow that is there already is not computed again.

    Example: `secondlook flow videos.parquet -o flow --short-side 128`
    """
    from secondlook.video.flow_store import FlowMaking

    make_videos(
        videos, out, FlowMaking(method, short_side, bound), "computing flow", root=root, workers=workers,
        timeout_s=timeout_s, as_json=as_json, cluster=cluster_of(engine, ray_address, ray_workers),
    )  # fmt: skip
