"""A video fed frame by frame: the frames and what is said of them are those of whole clips, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from secondlook import catalog
from secondlook.cards import ClipSpec
from secondlook.errors import BadValue, MissingFile
from secondlook.models._streaming import Stream, Streams
from secondlook.predict import stream as room
from secondlook.predict.stream import FrameInput, LivePrediction, default_stride, streaming_models
from secondlook.predict.weights import build_model, find_card
from secondlook.video.clip import Size
from secondlook.video.decode import decode
from secondlook.video.sample import Sampling
from secondlook.video.transform import to_input, working_size
from secondlook.video.walk import Walk
from tests.predict.streaming_runs import make_model

Draw = Callable[..., Path]
RGB = {"modality": "rgb", "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}


@pytest.mark.parametrize("changes", [{}, RGB, {"fit": "crop", "short_side": 36}, {**RGB, "fit": "crop"}])
def test_frames_become_what_a_whole_clip_becomes(changes: dict, draw_video: Draw, tmp_path: Path) -> None:
    spec = make_model("tsm:tiny-online", frames=9, **changes).card.clip
    clip = decode(draw_video(tmp_path / "a.mp4", frames=9), size=working_size(spec))
    whole_CTHW = to_input(clip.frames_THWC, spec)
    make = FrameInput(spec)
    for t, frame_HWC in enumerate(clip.frames_THWC):
        assert torch.equal(make(frame_HWC)[0, :, 0], whole_CTHW[:, t])


@pytest.mark.spec("late-temporal-bert", "F38")
@pytest.mark.parametrize("name", ["movinet:tiny-stream", "tsm:tiny-online"])
@pytest.mark.parametrize(("sampling", "stride"), [("dense", 1), ("dense", 3), ("segments", 1)])
def test_says_of_each_moment_what_the_network_says_of_all_until_then(
    name: str, sampling: str, stride: int, draw_video: Draw, tmp_path: Path
) -> None:
    model = make_model(name, frames=5, sampling=sampling, stride=stride)
    path = draw_video(tmp_path / "a.mp4", frames=13)
    apart = stride if sampling == "dense" else 2
    with LivePrediction(model, path) as live:
        said = list(live)
        assert live.stride == apart
    assert [r.frame for r in said] == list(range(0, 13, apart))
    assert [r.seen for r in said] == list(range(1, len(said) + 1))
    assert [r.time_s for r in said] == pytest.approx([r.frame / 12 for r in said], abs=1e-4)
    frames_THWC = decode(path, size=working_size(model.card.clip)).frames_THWC[::apart]
    spec = model.card.clip.to_dict() | {"frames": len(said)}
    x_CTHW = to_input(frames_THWC, ClipSpec.from_dict(spec))
    with torch.no_grad():
        for running in said:
            whole_K = model.model(x_CTHW[None, :, : running.seen])[0].double().softmax(0).numpy()
            np.testing.assert_allclose(running.probability_K, whole_K, atol=1e-4)
    assert np.ptp([r.probability_K for r in said], axis=0).max() > 0.01, "the frames matter"


def test_start_stride_and_limit(draw_video: Draw, tmp_path: Path) -> None:
    path = draw_video(tmp_path / "a.mp4", frames=20)
    with LivePrediction(make_model(), path, start=3, stride=4, limit=3) as live:
        assert [(r.frame, r.seen) for r in live] == [(3, 1), (7, 2), (11, 3)]
    with LivePrediction(make_model(), path, start=20) as live, pytest.raises(BadValue, match="behind the last frame"):
        list(live)
    for wrong in ({"start": -1}, {"stride": 0}, {"limit": 0}):
        with pytest.raises(BadValue, match="must be at least"):
            LivePrediction(make_model(), path, **wrong)


@pytest.mark.parametrize("name", ["movinet:tiny-stream", "tsm:tiny-online"])
def test_memory_does_not_grow(name: str, draw_video: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what the stream keeps, nor the frames that are alive at once."""
    import weakref

    model = make_model(name, sampling="dense", stride=1)
    alive: list[weakref.ref] = []
    most, kept = [], []
    plain = room.cut

    def counted(frames_THWC: np.ndarray, spec: ClipSpec) -> torch.Tensor:
        frame = plain(frames_THWC, spec)
        alive.append(weakref.ref(frame))
        most.append(sum(ref() is not None for ref in alive))
        return frame

    monkeypatch.setattr(room, "cut", counted)
    with LivePrediction(model, draw_video(tmp_path / "a.mp4", frames=60)) as live:
        assert isinstance(live._stream, Stream)
        for _ in live:
            kept.append(live._stream.memory_bytes)
    assert len(kept) == 60
    assert len(set(kept)) == 1
    assert kept[0] > 0
    assert max(most) <= 2


@pytest.mark.parametrize(
    ("sampling", "count", "apart"),
    [("dense", 1000, 3), ("dense", None, 3), ("segments", 100, 12), ("segments", 7, 1), ("segments", None, 1)],
)
def test_default_stride(sampling: str, count: int | None, apart: int) -> None:
    assert default_stride(ClipSpec(frames=8, sampling=sampling, stride=3), count) == apart


def test_models_that_stream_are_those_that_say_so() -> None:
    """By building every variant, small as a thought, and asking it."""
    found = []
    for family in catalog.names("models"):
        for card in catalog.find("models", family).CARDS.values():
            if card.variant.startswith("tiny") or family in ("tsm", "movinet"):
                with torch.device("meta"):
                    network = catalog.find("models", family).build(card.variant, 2, card.head, **card.options).eval()
                try:
                    assert isinstance(network, Streams)
                    network.stream()
                    found.append(card.name)
                except (AssertionError, BadValue):
                    continue
    assert found == streaming_models()


@pytest.mark.parametrize("name", ["tsm:tiny", "resnet3d:tiny", "movinet:tiny"])
def test_a_model_that_cannot_names_those_that_can(name: str, draw_video: Draw, tmp_path: Path) -> None:
    with pytest.raises(BadValue, match=rf"{name}.+Train one of .*movinet:a0-stream.*tsm:r50-online"):
        LivePrediction(make_model(name), draw_video(tmp_path / "a.mp4"))


@pytest.mark.parametrize("head", ["lstm", "concat"])
@pytest.mark.parametrize("name", ["movinet:tiny-stream", "tsm:tiny-online"])
def test_a_head_that_needs_all_frames_is_refused(name: str, head: str) -> None:
    network = build_model(replace(find_card(name), head=head), 3).eval()
    assert isinstance(network, Streams)
    with pytest.raises(BadValue, match="needs all frames at once"):
        network.stream()


class TestWalk:
    @pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
    def test_frames_and_times_are_those_of_decode(self, suffix: str, draw_video: Draw, tmp_path: Path) -> None:
        codec = "mpeg4" if suffix == ".avi" else "libx264"
        path = draw_video(tmp_path / f"a{suffix}", frames=15, codec=codec)
        clip = decode(path, size=Size(short_side=24))
        with Walk(path, Size(short_side=24)) as walk:
            assert walk.frame_count == 15
            shown = list(walk.frames())
        assert [s.index for s in shown] == list(range(15))
        assert all(np.array_equal(s.frame_HWC, clip.frames_THWC[s.index]) for s in shown)
        assert [s.time_s for s in shown] == pytest.approx(clip.frame_time_s_T.tolist())

    def test_start_and_stride(self, draw_video: Draw, tmp_path: Path) -> None:
        path = draw_video(tmp_path / "a.mp4", frames=15)
        chosen = decode(path, Sampling(4, "dense", 3))
        with Walk(path) as walk:
            shown = list(walk.frames(int(chosen.frame_index_T[0]), 3))[:4]
        assert all(np.array_equal(s.frame_HWC, f) for s, f in zip(shown, chosen.frames_THWC, strict=True))

    def test_a_folder_of_pictures(self, tmp_path: Path) -> None:
        from PIL import Image

        for i in (1, 2, 10):
            Image.new("RGB", (20, 10), (i * 20, 0, 0)).save(tmp_path / f"f{i}.png")
        with Walk(tmp_path) as walk:
            assert [(s.index, s.time_s, int(s.frame_HWC[0, 0, 0])) for s in walk.frames()] == [
                (0, 0.0, 20),
                (1, 0.04, 40),
                (2, 0.08, 200),
            ]
        (tmp_path / "f11.png").write_bytes(b"no picture")
        with Walk(tmp_path) as walk, pytest.raises(BadValue, match=r"f11\.png cannot be read"):
            list(walk.frames())

    def test_what_is_no_video_says_why(self, tmp_path: Path) -> None:
        with pytest.raises(MissingFile):
            Walk(tmp_path / "none.mp4")
        (tmp_path / "text.mp4").write_text("hello")
        with pytest.raises(BadValue, match="not_a_video: a text, not a video"):
            Walk(tmp_path / "text.mp4")
        (tmp_path / "empty").mkdir()
        with pytest.raises(BadValue, match="no_frames"):
            Walk(tmp_path / "empty")

    def test_a_damaged_file_counts_what_is_lost(self, draw_video: Draw, tmp_path: Path) -> None:
        path = draw_video(tmp_path / "a.avi", frames=40, codec="mjpeg", height=96, width=128)
        data = bytearray(path.read_bytes())
        start = [i for i in range(len(data) - 1) if data[i : i + 2] == b"\xff\xd8"][20]
        end = data.index(b"\xff\xd9", start)
        data[start:end] = bytes(end - start)
        path.write_bytes(data)
        with Walk(path) as walk:
            shown = list(walk.frames())
        clip = decode(path)
        assert clip.status == "partial"
        assert walk.errors
        assert walk.last_error
        assert len(shown) == clip.frame_count < 40
