"""Pictures of heat that move: an H.264 film, a GIF, or every picture as PNG (no torch)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from secondlook.cards import HeatMap
from secondlook.video import encode
from secondlook.video.heat_colours import LOOK, Frames, Look, accent, legend
from secondlook.video.hotspots import EDGE, INSIDE


def playing_time_s(heat: HeatMap) -> float:
    """How long an overlay video plays: as long as the sampled frames span, but from 2 s to 4 s."""
    times_T = heat.frame_time_s_T
    between_s = float(times_T[-1] - times_T[0]) / max(len(times_T) - 1, 1)
    return min(max(between_s * len(times_T), 2.0), 4.0)


def write_video(path: Path, pictures_THWC: Frames, duration_s: float) -> Path:
    """H.264 that browsers play; the whole lasts about `duration_s`.

    Players treat files of one or two frames a second badly, so pictures are repeated up to about 8 a second.
    """
    held = max(1, round(8 * duration_s / len(pictures_THWC)))
    rate = max(1, round(held * len(pictures_THWC) / duration_s))
    return encode.write_video(path, (p for p in pictures_THWC for _ in range(held)), rate, crf=23)


def write_gif(path: Path, pictures_THWC: Frames, duration_s: float, look: Look = LOOK) -> Path:
    """An endless GIF of about `duration_s` a round.

    Each picture has a palette of its own, and a part of it is kept for the colours of heat and hotspots: a palette made
    of the pictures alone gives few colours to small places, and red and blue would be drawn as whatever the video is
    full of.
    """
    images = [_quantized(Image.fromarray(picture), look) for picture in pictures_THWC]
    path.parent.mkdir(parents=True, exist_ok=True)
    milliseconds = max(20, round(100 * duration_s / len(images)) * 10)
    images[0].save(path, save_all=True, append_images=images[1:], duration=milliseconds, loop=0)
    return path


def _quantized(picture: Image.Image, look: Look) -> Image.Image:
    kept_N3 = _kept(look)
    free = 256 - len(kept_N3)
    found = picture.quantize(free, method=Image.Quantize.MEDIANCUT).getpalette() or []
    own_N3 = np.asarray(found, dtype=np.uint8).reshape(-1, 3)[:free]
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate([own_N3, kept_N3]).tobytes())
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


@lru_cache
def _kept(look: Look) -> Frames:
    steps = np.linspace(0, 255, 24).round().astype(int)
    ramps = [legend(look, signed)[steps] for signed in (False, True)]
    single = [accent(look, value, signed) for value, signed in ((1, False), (1, True), (-1, True))]
    return np.concatenate([*ramps, np.array([INSIDE, EDGE, *single], dtype=np.uint8)])


def write_pictures(folder: Path, pictures_THWC: Frames) -> list[Path]:
    """One PNG a picture: `000.png`, `001.png`, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{t:03d}.png" for t in range(len(pictures_THWC))]
    for path, picture in zip(paths, pictures_THWC, strict=True):
        Image.fromarray(picture).save(path)
    return paths
