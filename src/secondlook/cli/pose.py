"""Draw the pose of videos as skeletons, to train and predict on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secondlook.cli._making import make_videos
from secondlook.cli._say import AsJson


def run(
    videos: Annotated[Path, typer.Argument(help="The videos table, as `secondlook index` writes it.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pose videos and their videos.parquet.")],
    keypoints: Annotated[
        Path | None, typer.Option(help="Folder of key points: OpenPose or COCO, JSON or Parquet, named as the videos.")
    ] = None,
    estimator: Annotated[
        Path | None, typer.Option(help="ONNX file of a pose network of your own; none comes with secondlook.")
    ] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Take the pose pictures of folders of frames as they are.")
    ] = False,
    skeleton: Annotated[str, typer.Option(help="Body that the network knows: body25 or coco17.")] = "body25",
    threshold: Annotated[float, typer.Option(help="Joints of lower confidence are not drawn.")] = 0.1,
    root: Annotated[Path | None, typer.Option(help="Folder of the videos, if it was moved since the index.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Videos worked on at once, each in its own process [all cores].")
    ] = None,
    timeout_s: Annotated[float, typer.Option(help="Seconds allowed for one video.")] = 3600.0,
    as_json: AsJson = False,
) -> None:
    """Draw the people of every frame as skeletons on black, and write a videos table of these pictures.

    Ids, labels, splits, frames and times stay; the new videos are trained on as any other. A video without key points
    keeps its row, with the reason. Run it again to go on where it was stopped.

    Example: `secondlook pose videos.parquet --keypoints openpose -o pose`
    """
    from secondlook.video.pose_store import PoseMaking

    wish = PoseMaking(
        None if keypoints is None else str(keypoints.absolute()),
        None if estimator is None else str(estimator.absolute()),
        pictures, skeleton, threshold,
    )  # fmt: skip
    make_videos(videos, out, wish, "drawing pose", root=root, workers=workers, timeout_s=timeout_s, as_json=as_json)
