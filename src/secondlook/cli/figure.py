"""Draw how a method works, and what sets two models apart: crops, modalities, attention over time, class accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secondlook.cli._explanation_figures import pyramids, segments
from secondlook.cli._say import AsJson, Seed, finish
from secondlook.cli._words import height_width
from secondlook.errors import BadValue

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from matplotlib.figure import Figure

    from secondlook.predict.weights import LoadedModel
    from secondlook.video.sample import Sampling
    from secondlook.video.transform import InputClip

app = typer.Typer(help="Draw how a method works, as a picture file.", no_args_is_help=True)

_Output = Annotated[Path, typer.Option("-o", "--output", help="Picture to write: .png, .svg or .pdf.")]
_Video = Annotated[Path, typer.Argument(help="A video file.")]


@app.callback()
def _group() -> None:
    """Draw how a method works, as a picture file.

    Example: `secondlook figure crops clip.mp4 -o crops.png`
    """


@app.command("crops")
def crops(
    video: _Video,
    output: _Output,
    size: Annotated[str, typer.Option(help="Height x width that the network takes.")] = "224x224",
    short_side: Annotated[int, typer.Option(min=1, help="The short side is resized to this first.")] = 256,
    as_json: AsJson = False,
) -> None:
    """The 13 places of a multi-scale training crop on a frame, and the five that ten-crop testing uses.

    Example: `secondlook figure crops clip.mp4 -o crops.png`
    """
    from secondlook.report import figures
    from secondlook.video.augment import POSITIONS
    from secondlook.video.sample import Sampling

    tall, wide = height_width(size)
    assert tall is not None
    assert wide is not None
    frame = _frames(video, Sampling(frames=1), short_side)[0][0]
    height, width = frame.shape[:2]
    if tall > height or wide > width:
        raise BadValue(size, f"does not fit in a frame of {height}x{width}", "Give a smaller --size.")
    boxes = [(down * (height - tall) // 4, across * (width - wide) // 4, tall, wide) for down, across in POSITIONS]
    _write(figures.crops(frame, boxes, boxes[:5]), output, {"boxes": boxes}, as_json)


@app.command("modalities")
def modalities(
    video: _Video,
    output: _Output,
    flow: Annotated[
        Path | None, typer.Option(help="Its file from `secondlook flow`; computed here (dis) when left out.")
    ] = None,
    pose: Annotated[Path | None, typer.Option(help="Its file from `secondlook pose`.")] = None,
    columns: Annotated[int, typer.Option(min=1, max=16, help="Moments, spread over the video.")] = 5,
    bound: Annotated[float, typer.Option(help="Of flow computed here: so many pixels are black or white.")] = 5.0,
    as_json: AsJson = False,
) -> None:
    """One video in every modality, row by row: RGB, flow across, flow down, pose.

    Example: `secondlook figure modalities clip.mp4 --pose pose/clip.mp4 -o modalities.png`
    """
    from tempfile import TemporaryDirectory

    from secondlook.report import figures
    from secondlook.video.clip import Size
    from secondlook.video.decode import probe
    from secondlook.video.flow_store import flow_file
    from secondlook.video.modalities import pictures_of

    found = probe(video)
    if not found.usable:
        raise BadValue(str(video), f"this video cannot be used ({found.status}: {found.reason})")
    chosen = [(2 * i + 1) * found.frame_count // (2 * columns) for i in range(columns)]
    with TemporaryDirectory() as folder:
        if flow is None:
            flow = Path(folder) / "flow.mp4"
            flow_file(video, flow, method="dis", short_side=120, bound=bound)
        size = Size(short_side=120)
        shown = [pictures_of(index, rgb=video, flow=flow, pose=pose, size=size) for index in chosen]
    names = {"rgb": "RGB", "flow_x": "flow across", "flow_y": "flow down", "pose": "pose"}
    rows = {names[name]: [pictures[name] for pictures in shown] for name in shown[0]}
    times_s = [index / found.fps for index in chosen]
    _write(figures.strips(rows, times_s), output, {"frames": chosen, "rows": list(rows)}, as_json)


@app.command("shift")
def shift(
    output: _Output,
    frames: Annotated[int, typer.Option(min=1, max=32)] = 8,
    channels: Annotated[int, typer.Option(min=1, max=64)] = 8,
    fraction: Annotated[float, typer.Option(min=0.0, max=1.0, help="Moved in each direction.")] = 0.125,
    online: Annotated[bool, typer.Option("--online", help="Only from the frame before.")] = False,
    as_json: AsJson = False,
) -> None:
    """Which frame each channel of each frame comes from after a temporal shift.

    Example: `secondlook figure shift --online -o shift.png`
    """
    from secondlook.report import figures

    if fraction > (1.0 if online else 0.5):
        raise BadValue(fraction, "the channels that move, both ways together, are no more than all")
    _write(figures.shift(frames, channels, fraction, online=online), output, {"fraction": fraction}, as_json)


@app.command("attention")
def attention(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of a network with a BERT head.")],
    video: _Video,
    output: _Output,
    as_json: AsJson = False,
) -> None:
    """How much the class token of a BERT head looks at each part of a clip.

    Example: `secondlook figure attention runs/bert clip.mp4 -o attention.png`
    """
    from secondlook.predict.tokens import attention_over_frames
    from secondlook.predict.weights import load_run
    from secondlook.report import figures

    loaded = load_run(run_folder)
    weights_HT = attention_over_frames(loaded, _clip(loaded, video).x_CTHW).numpy()
    pictures, times_s = _parts(loaded, video, weights_HT.shape[1])
    drawn = figures.attention_over_time(pictures, times_s, weights_HT)
    _write(drawn, output, {"weights": weights_HT.tolist(), "times_s": times_s}, as_json)


@app.command("similarity")
def similarity(
    teacher: Annotated[Path, typer.Argument(help="Run folder of the teacher.")],
    student: Annotated[Path, typer.Argument(help="Run folder of a student with a BERT head.")],
    video: _Video,
    output: _Output,
    teacher_video: Annotated[
        Path | None, typer.Option(help="The teacher's video, if it reads another: flow of the same one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Cosine between a student's tokens and its teacher's features, token by token.

    Example: `secondlook figure similarity runs/teacher runs/student clip.mp4 -o tokens.png`
    """
    from torch.nn import functional

    from secondlook.predict.tokens import frame_features, frame_outputs
    from secondlook.predict.weights import load_run
    from secondlook.report import figures

    one, other = load_run(student), load_run(teacher)
    y_SD = functional.normalize(frame_outputs(one, _clip(one, video).x_CTHW), dim=1)
    z_TD = functional.normalize(frame_features(other, _clip(other, teacher_video or video).x_CTHW), dim=1)
    if y_SD.shape[1] != z_TD.shape[1]:
        raise BadValue(z_TD.shape[1], f"the teacher's features need the {y_SD.shape[1]} dimensions of the student's")
    cosine_ST = (y_SD @ z_TD.T).numpy()
    drawn = figures.token_similarity(cosine_ST, f"{one.card.name} beside {other.card.name}")
    _write(drawn, output, {"cosine": cosine_ST.tolist()}, as_json)


@app.command("starts")
def starts(
    output: _Output,
    frames: Annotated[int, typer.Option(min=8, help="L, frames of the video.")] = 250,
    draws: Annotated[int, typer.Option(min=10, help="Clips drawn.")] = 10_000,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Where clips start under the sampler `normal_start`, beside the density it draws from.

    Example: `secondlook figure starts --frames 250 -o starts.png`
    """
    import numpy as np

    from secondlook.report import figures
    from secondlook.video.sample import Sampling, choose

    generator = np.random.default_rng(seed)
    sampling = Sampling(frames=1, mode="normal_start")
    found = np.array([int(choose(sampling, frames, generator)[0]) for _ in range(draws)])
    _write(figures.start_frames(frames, found), output, {"mean": float(found.mean())}, as_json)


@app.command("multigrid")
def multigrid(
    output: _Output,
    clips: Annotated[int, typer.Option(min=1, help="B, the base batch.")] = 32,
    frames: Annotated[int, typer.Option(min=1, help="T.")] = 16,
    size: Annotated[str, typer.Option(help="Height x width.")] = "224x224",
    as_json: AsJson = False,
) -> None:
    """The shapes of multigrid batches over an epoch: baseline, long cycle, short cycle, both.

    Example: `secondlook figure multigrid --clips 32 --frames 16 -o multigrid.png`
    """
    from secondlook.report import schedule_figures
    from secondlook.video.multigrid import Grid, grids

    tall, wide = height_width(size)
    assert tall is not None
    assert wide is not None
    drawn = schedule_figures.multigrid(clips, frames, tall, wide)
    shapes = grids(Grid(clips, frames, tall, wide, 1.0), "both")
    _write(drawn, output, {"both": [[shape._asdict() for shape in part] for part in shapes]}, as_json)


@app.command("differences")
def differences(
    first: Annotated[Path, typer.Argument(help="Predictions table of one model.")],
    second: Annotated[Path, typer.Argument(help="Of the model it is held against, on the same videos.")],
    output: _Output,
    split: Annotated[str, typer.Option(help="Only videos of this split; all when left out.")] = "",
    as_json: AsJson = False,
) -> None:
    """Accuracy of each class under one model less that under another, a bar a class, sorted.

    Example: `secondlook figure differences with.parquet without.parquet -o differences.png`
    """
    from secondlook.audit import name_models, read_video_rows
    from secondlook.evaluate.details import accuracy_difference, details
    from secondlook.report import score_figures

    read = [read_video_rows(path) for path in (first, second)]
    names = name_models(read, [first, second])
    one, other = details(dict(zip(names, read, strict=True)), top=(1,), split=split)
    rows = accuracy_difference(one, other)
    drawn = score_figures.accuracy_differences({row["name"]: row["difference"] for row in rows}, *names)
    _write(drawn, output, {"classes": rows}, as_json)


app.command("segments")(segments)
app.command("pyramids")(pyramids)


def _write(drawn: Figure, output: Path, facts: dict[str, Any], as_json: bool) -> None:
    from secondlook import figure_files

    path = figure_files.save(drawn, output)
    finish({"picture": path, **facts}, str(path), as_json)


def _frames(video: Path, sampling: Sampling, short_side: int) -> tuple[npt.NDArray[np.uint8], list[float]]:
    """Frames of a video, and their times."""
    from secondlook.video.clip import Size
    from secondlook.video.decode import decode

    clip = decode(video, sampling, size=Size(short_side=short_side))
    if not clip.usable:
        raise BadValue(str(video), f"this video cannot be used ({clip.status}: {clip.reason})")
    return clip.frames_THWC, clip.frame_time_s_T.tolist()


def _clip(loaded: LoadedModel, video: Path) -> InputClip:
    from secondlook.video.transform import input_clip

    return input_clip(video, loaded.card.clip)


def _parts(loaded: LoadedModel, video: Path, count: int) -> tuple[list[npt.NDArray[np.uint8]], list[float]]:
    """A picture and the time of the middle frame of each of `count` equal parts of the clip that a network sees."""
    from secondlook.video.sample import Sampling

    frames_THWC, times_s = _frames(video, Sampling.from_spec(loaded.card.clip), 120)
    middles = [(2 * i + 1) * len(times_s) // (2 * count) for i in range(count)]
    return [frames_THWC[i] for i in middles], [times_s[i] for i in middles]
