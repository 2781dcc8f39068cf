"""Pictures and clips as data: URIs, small enough to mail: stills as WebP, clips as H.264 that every browser plays."""

from __future__ import annotations

import base64
import io
import tempfile
from pathlib import Path

from PIL import Image

from secondlook.video._read import plays_in_browsers
from secondlook.video.clip import Size
from secondlook.video.decode import decode, probe
from secondlook.video.encode import write_video
from secondlook.video.sample import Sampling

AS_IT_IS_BYTES = 150_000
"""An MP4 up to this size goes into the page untouched."""
LONGEST_FRAMES = 240
"""A longer video is shown by this many frames, evenly spread, at the speed that keeps its duration."""


def picture(path: Path, widest: int = 1600) -> str:
    """A still as a WebP data URI, at most `widest` pixels wide."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    if image.width > widest:
        image = image.resize((widest, round(image.height * widest / image.width)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=82, method=4)
    return _uri("image/webp", buffer.getvalue())


def clip(path: Path, short_side: int = 160) -> tuple[str, str]:
    """A video as a data URI, and the reason in words where it cannot be shown (then the URI is empty)."""
    if (
        path.suffix.lower() == ".mp4"
        and path.is_file()
        and path.stat().st_size <= AS_IT_IS_BYTES
        and plays_in_browsers(path)
    ):
        return _uri("video/mp4", path.read_bytes()), ""
    decoded = decode(path, size=Size(short_side=short_side), sampling=_thinned(path))
    if not decoded.usable:
        return "", f"{decoded.status}: {decoded.reason}"
    fps = decoded.fps * len(decoded.frames_THWC) / max(decoded.frame_count, 1)
    with tempfile.TemporaryDirectory() as folder:
        proxy = Path(folder) / "clip.mp4"
        write_video(proxy, decoded.frames_THWC, fps=max(fps, 1.0), crf=30)
        return _uri("video/mp4", proxy.read_bytes()), ""


def _thinned(path: Path) -> Sampling | None:
    count = probe(path).frame_count
    return Sampling(frames=LONGEST_FRAMES, mode="segments") if count > LONGEST_FRAMES else None


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
