"""Tiny videos of every kind that people have, drawn and encoded by code."""

from __future__ import annotations

import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

HEIGHT, WIDTH = 48, 64


def picture(index: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Frame `index`: a grey that names it, and a white corner that names the orientation (top left)."""
    frame_HWC = np.full((height, width, 3), 10 + 7 * (index % 35), np.uint8)
    frame_HWC[: height // 4, : width // 4] = 255
    return frame_HWC


@pytest.fixture(scope="session")
def encode() -> Callable[..., Path]:
    """Writes the pictures 0..frames-1 with any codec, container, key frame distance, rotation or time stamps."""

    def write(
        path: Path,
        frames: int = 30,
        codec: str = "libx264",
        height: int = HEIGHT,
        width: int = WIDTH,
        fps: int = 12,
        rotation: tuple[int, bool] | None = None,
        stamps: list[int] | None = None,
        audio_s: float = 0.0,
        pix_fmt: str = "yuv420p",
        faststart: bool = False,
        **options: str,
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w", options={"movflags": "+faststart"} if faststart else {}) as container:
            stream = container.add_stream(codec, rate=fps, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
            if rotation is not None:
                stream.set_display_rotation(rotation[0], hflip=rotation[1])
            if stamps is not None:
                stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
            sound = container.add_stream("aac" if path.suffix == ".mp4" else "mp3", rate=16000) if audio_s else None
            for index in range(frames):
                frame = av.VideoFrame.from_ndarray(picture(index, height, width), format="rgb24")
                if stamps is not None:
                    frame.pts, frame.time_base = stamps[index], Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
            if sound is not None:
                for start in range(0, int(16000 * audio_s), 1024):
                    samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
                    samples.sample_rate, samples.pts = 16000, start
                    container.mux(sound.encode(samples))
                container.mux(sound.encode())
        return path

    return write


@pytest.fixture(scope="session")
def kinds(encode: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One video of each kind on which other decoders give wrong frames, and plain ones."""
    folder = tmp_path_factory.mktemp("kinds")
    uneven = np.cumsum([0, *([40, 40, 120, 33] * 8)]).tolist()[:30]
    made = {
        "h264_b_frames": encode(folder / "b.mp4", bf="3", g="12"),
        "h264_pyramid": encode(folder / "p.mp4", bf="4", g="30", **{"x264-params": "b-pyramid=normal:ref=4"}),
        "h264_gop_250": encode(folder / "long.mp4", g="250"),
        "h264_gop_5": encode(folder / "short.mp4", g="5", keyint_min="5", sc_threshold="0"),
        "h264_all_key": encode(folder / "intra.mp4", g="1"),
        "h264_open_gop": encode(
            folder / "open.mp4", bf="3", **{"x264-params": "open-gop=1:keyint=6:min-keyint=6:scenecut=0"}
        ),
        "h264_refresh": encode(folder / "refresh.mp4", **{"x264-params": "intra-refresh=1:keyint=8:bframes=0"}),
        "h264_slices": encode(folder / "slices.mp4", **{"x264-params": "slices=4:bframes=2:keyint=10"}),
        "h264_vfr": encode(folder / "vfr.mp4", stamps=uneven, bf="2", g="8"),
        "h264_avi": encode(folder / "h264.avi", bf="2"),
        "h264_mkv": encode(folder / "h264.mkv", bf="2", g="6"),
        "h264_ts": encode(folder / "h264.ts", bf="2", g="6"),
        "mpeg4_avi": encode(folder / "plain.avi", codec="mpeg4", b="4M"),
        "mpeg4_b_avi": encode(folder / "b.avi", codec="mpeg4", bf="2", g="12", b="4M"),
        "mpeg4_b_mp4": encode(folder / "mpeg4.mp4", codec="mpeg4", bf="2", g="12", b="4M"),
        "vp9_webm": encode(folder / "vp9.webm", codec="libvpx-vp9", deadline="realtime", **{"cpu-used": "8"}),
        "mjpeg_avi": encode(folder / "mjpeg.avi", codec="mjpeg", pix_fmt="yuvj420p"),
        "odd_size": encode(folder / "odd.avi", codec="ffv1", height=47, width=63, pix_fmt="yuv444p"),
        "one_frame": encode(folder / "one.mp4", frames=1),
        "five_frames": encode(folder / "five.mp4", frames=5),
        "with_sound": encode(folder / "sound.mp4", audio_s=4.0, bf="2", g="6"),
        "rotated": encode(folder / "rotated.mp4", rotation=(90, False), bf="2", g="6"),
    }
    made["edit_list"] = cut_with_edit_list(made["h264_gop_250"], folder / "cut.mp4")
    return made


def cut_with_edit_list(source: Path, target: Path, hidden: int = 7) -> Path:
    """A stream-copied cut: the packets before the cut stay, an edit list hides their frames."""
    with av.open(str(source)) as whole, av.open(str(target), "w") as cut:
        stream = whole.streams.video[0]
        out = cut.add_stream_from_template(stream)
        assert stream.average_rate is not None
        assert stream.time_base is not None
        shift = round(hidden / stream.average_rate / stream.time_base)
        for packet in whole.demux(stream):
            if packet.dts is None or packet.pts is None:
                continue
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, out
            cut.mux(packet)
    return target


@pytest.fixture(scope="session")
def bad_files(kinds: dict[str, Path], encode: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files that are no whole videos."""
    folder = tmp_path_factory.mktemp("bad")
    whole = kinds["h264_gop_5"].read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8).tobytes()
    (folder / "zero.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("these are not the frames you are looking for\n" * 20)
    (folder / "page.mp4").write_text("<!DOCTYPE html><html><body>404 Not Found</body></html>\n")
    (folder / "noise.mp4").write_bytes(noise)
    (folder / "header.mp4").write_bytes(whole[:64])
    (folder / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "playlist.mp4").write_text(f"#EXTM3U\n#EXTINF:1,\n{kinds['h264_gop_5']}\n#EXT-X-ENDLIST\n")
    (folder / "concat.mp4").write_text(f"ffconcat version 1.0\nfile {kinds['h264_gop_5']}\n")
    front = encode(folder / "front.mp4", faststart=True, g="1").read_bytes()
    (folder / "cut_faststart.mp4").write_bytes(front[: len(front) * 2 // 3])
    for suffix, kind in (("avi", "mjpeg_avi"), ("webm", "vp9_webm")):
        data = kinds[kind].read_bytes()
        (folder / f"cut.{suffix}").write_bytes(data[: len(data) * 2 // 3])
    Image.fromarray(picture(0)).save(folder / "photo.jpg")
    (folder / "photo.jpg").rename(folder / "photo.mp4")
    with wave.open(str(folder / "sound.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(8000))
    with av.open(str(folder / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        samples.sample_rate, samples.pts = 16000, 0
        container.mux([*stream.encode(samples), *stream.encode()])
    (folder / "no_pictures").mkdir()
    (folder / "no_pictures" / "notes.txt").write_text("nothing here")
    return folder


@pytest.fixture
def frame_folder(tmp_path: Path) -> Path:
    """A folder of 12 numbered jpg pictures, named so that alphabetical order is wrong."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for index in range(12):
        Image.fromarray(picture(index)).save(folder / f"img_{index + 1}.jpg", quality=95)
    return folder


def grey(frame_HWC: np.ndarray) -> float:
    """The grey that names a frame: the mean of its lower right quarter."""
    return float(frame_HWC[frame_HWC.shape[0] // 2 :, frame_HWC.shape[1] // 2 :].mean())


def identity(frame_HWC: np.ndarray) -> int:
    """Index of the picture that a frame shows."""
    return round((grey(frame_HWC) - 10) / 7)
