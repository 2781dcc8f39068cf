"""Predictions of parts of a video beside that of the whole, and their figure."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from secondlook.errors import BadValue
from secondlook.explain._segments import SegmentPrediction, draw, segment_predictions, segments_figure
from secondlook.labels import LabelSpace
from secondlook.predict.weights import LoadedModel, build_model, find_card, with_clip
from secondlook.video.decode import decode
from secondlook.video.sample import Sampling, choose
from secondlook.video.transform import input_clip, to_input, working_size

ITEM = pytest.mark.spec("srtg-mtnet-classreg-visualisation", "91")
LABELS = LabelSpace.from_names(["dive", "jump", "run", "swim"], "toy")


@pytest.fixture(scope="module")
def video(tmp_path_factory, draw_video):
    return draw_video(tmp_path_factory.mktemp("videos") / "clip.mp4", frames=26, fps=10)


@pytest.fixture(scope="module", params=["segments", "dense"])
def loaded(request):
    card = with_clip(find_card("resnet3d:tiny"), frames=4, height=32, width=40)
    card = replace(card, clip=replace(card.clip, sampling=request.param))
    return LoadedModel(build_model(card, 4, seed=1).eval(), card, LABELS, Path("none"))


@ITEM
def test_each_part_is_sampled_as_if_it_were_a_video(loaded, video):
    """Twin: all frames, cut in four, each sampled and run by hand."""
    spec = loaded.card.clip
    everything = decode(video, None, size=working_size(spec))
    found = segment_predictions(loaded, video)
    assert len(found) == 5
    for part, one in enumerate(found[:-1]):
        frames = everything.pick(range(6 * part, 6 * part + 6))
        seen = frames.pick(choose(Sampling.from_spec(spec), 6))
        np.testing.assert_array_equal(one.frames_THWC, seen.frames_THWC)
        with torch.no_grad():
            expected = loaded.model(to_input(seen.frames_THWC, spec)[None])[0]
        np.testing.assert_allclose(one.logits_K, expected, rtol=1e-5)
        assert (one.start_s, one.end_s) == pytest.approx((0.6 * part, 0.6 * part + 0.6))
        assert not one.whole
    whole = found[-1]
    with torch.no_grad():
        expected = loaded.model(input_clip(video, spec).x_CTHW[None])[0]
    np.testing.assert_allclose(whole.logits_K, expected, rtol=1e-5)
    assert (whole.start_s, whole.end_s, whole.whole) == (0.0, pytest.approx(2.6), True)
    assert whole.confidence_K.sum() == pytest.approx(1)


@ITEM
def test_one_part_and_too_many(loaded, video, tmp_path):
    assert len(segment_predictions(loaded, video, 1)) == 2
    for parts in (0, 13, True):
        with pytest.raises(BadValue, match="1 to 12 parts"):
            segment_predictions(loaded, video, parts)
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    with pytest.raises(BadValue, match="cannot be used"):
        segment_predictions(loaded, broken)


def one(logits, start_s, whole=False):
    frames = np.random.default_rng(0).integers(0, 255, (4, 6, 9, 3), dtype=np.uint8)
    return SegmentPrediction(start_s, start_s + 1, np.array(logits, np.float32), frames, whole)


@ITEM
def test_a_row_a_part_and_the_whole_last():
    found = [one([3, 1, 0, 0], 0.0), one([0, 1, 4, 0], 1.0), one([0, 2, 3, -1], 0.0, whole=True)]
    assert [k for k, _ in found[0].top(2)] == [0, 1]
    figure = draw(found, LABELS, given=0, top=2, thumbnails=2, title="clip")
    named = [a.get_ylabel() for a in figure.axes if a.get_ylabel()]
    assert named == ["0.0 to 1.0 s", "1.0 to 2.0 s", "whole clip\n0.0 to 1.0 s"]
    assert sum(len(a.images) for a in figure.axes) == 6
    bars = [a for a in figure.axes if a.texts]
    assert [[t.get_text().split()[0] for t in a.texts] for a in bars] == [
        ["dive", "jump"],
        ["run", "jump"],
        ["run", "jump"],
    ]
    for axes, part in zip(bars, found, strict=True):
        widths = [p.get_width() for p in axes.patches[:2]]
        assert widths == pytest.approx([100 * share for _, share in part.top(2)])
    # The class of the whole (run) and the given label (dive) have colours of their own, wherever they stand.
    colours = {
        t.get_text().split()[0]: p.get_facecolor() for a in bars for t, p in zip(a.texts, a.patches, strict=False)
    }
    assert len({colours["run"], colours["dive"], colours["jump"]}) == 3
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [
        "predicted for the whole: run",
        "given label: dive",
    ]


@ITEM
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_figure_of_a_video(loaded, video, tmp_path, suffix):
    found = segment_predictions(loaded, video, 2)
    path = segments_figure(found, LABELS, tmp_path / f"parts{suffix}", given=found[-1].top(1)[0][0], title="clip.mp4")
    assert path.stat().st_size > 1000
    with pytest.raises(BadValue, match="needs a part"):
        segments_figure([], LABELS, path)
