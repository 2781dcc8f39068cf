import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from secondlook.cards import HeatMap
from secondlook.report import _viewer, page


def heat(values_THW, signed=False, method="grad_cam", module="", label=0, **notes):
    values = np.asarray(values_THW, np.float32)
    frames = np.arange(len(values))
    return HeatMap(values, frames, frames / 5, method, label, module, signed, notes)


def levels(packed):
    picture = Image.open(io.BytesIO(base64.b64decode(packed["picture"].partition(",")[2])))
    pixels = np.asarray(picture)
    return pixels.reshape(len(packed["times_s"]), packed["rows"], -1)


def test_heat_comes_back_from_the_picture_within_a_step_of_256():
    rng = np.random.default_rng(0)
    values = rng.random((3, 8, 12)).astype(np.float32)
    values /= values.max()
    np.testing.assert_allclose(levels(_viewer.packed(heat(values))) / 255, values, atol=0.5 / 255 + 1e-6)
    signed = values * 2 - 1
    signed /= np.abs(signed).max()
    packed = _viewer.packed(heat(signed, signed=True))
    np.testing.assert_allclose((levels(packed).astype(float) - 128) / 127, signed, atol=0.5 / 127 + 1e-6)
    assert packed["signed"]


def test_large_maps_shrink_by_averages_and_keep_their_shape():
    values = np.zeros((2, 2 * _viewer.TALLEST, 4 * _viewer.TALLEST), np.float32)
    values[1, :2, :2] = 1
    packed = _viewer.packed(heat(values))
    assert levels(packed).shape == (2, _viewer.TALLEST, 2 * _viewer.TALLEST)
    assert levels(packed)[1, 0, 0] == 255
    assert levels(packed).sum() == 255


def test_bars_hold_both_signs_against_the_strongest_frame():
    values = np.zeros((3, 2, 2), np.float32)
    values[0, 0, 0], values[1, 0, 0], values[1, 1, 1] = 1.0, 0.5, -0.25
    assert _viewer.packed(heat(values, signed=True))["bars"] == [[1.0, 0.0], [0.5, -0.25], [0.0, 0.0]]


def test_a_map_without_heat_is_black():
    packed = _viewer.packed(heat(np.zeros((2, 4, 4))))
    assert not levels(packed).any()
    assert packed["bars"] == [[0.0, 0.0]] * 2


@pytest.fixture
def with_heat(campaign):
    """The campaign's explanation with its heat map, a second layer and one that cannot be read."""
    folder = campaign / "explained"
    layers = folder / "layers"
    layers.mkdir()
    heat(np.ones((2, 6, 8))).save(folder / "heat.npz")
    heat(np.ones((2, 6, 8)), method="recursion_gates", module="layer3", label=2, temporal=True).save(layers / "1.npz")
    (layers / "2.npz").write_bytes(b"no heat map")
    data = json.loads((folder / "explanations.json").read_text())
    entry = data["explanations"][0]
    entry["paths"] |= {"heat": "heat.npz", "layers-heat": "layers"}
    (folder / "explanations.json").write_text(json.dumps(data))
    return campaign


def test_the_page_holds_clips_with_all_their_maps(with_heat, tmp_path):
    page.write(with_heat, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    block = re.search(r'<script type="application/json" id="viewer-data">(.*?)</script>', text, re.S).group(1)
    assert "<b>" not in block  # names are data, never markup
    data = json.loads(block)
    (clip,) = data["clips"]
    assert clip["film"].startswith("data:video/mp4")
    assert [(m["model"], m["method"], m["layer"], m["temporal"]) for m in clip["maps"]] == [
        ("a", "grad cam", "input", False),
        ("a", "recursion gates", "layer3", True),
    ]
    assert [m["class"] for m in clip["maps"]] == ["Tilting <b>& co</b>", "class 2"]
    assert all(len(hexed) == 256 * 6 for hexed in data["colours"].values())


def test_no_viewer_without_the_clip(with_heat, tmp_path):
    for clip in (with_heat.parent / "clips").glob("*.mp4"):
        clip.unlink()
    page.write(with_heat, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "viewer-data" not in text.split("<script>")[0]
    assert 'class="explained"' in text
