"""Files and pictures of a pyramid: JSON, DOT, SVG, PNG, tubes of layers, of kernels, of networks side by side."""

import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from secondlook.errors import BadValue
from secondlook.explain._pyramid import Choice
from secondlook.explain._pyramid_figure import LINK, SKIP, pyramid_figure, to_svg
from secondlook.explain._pyramid_files import layer_heats, level_heats, write_pyramid
from secondlook.explain._pyramid_graph import CLASS, TOGETHER, Bundle, Pyramid, PyramidLayer
from secondlook.explain._pyramid_pictures import Network, features_picture, networks_picture
from secondlook.explain.class_feature_pyramids import find
from secondlook.predict.weights import build_model, find_card
from secondlook.video.grid import Caption
from secondlook.video.heat_cells import heated, plain


def asked(family, make_clip, seed=2):
    card = find_card(f"{family}:tiny")
    spec = card.clip
    shape = (spec.channels, spec.frames, spec.height, spec.width)
    clip = make_clip(torch.randn(shape, generator=torch.Generator().manual_seed(seed)), 60, 80)
    clip.clip.frames_THWC[...] = np.linspace(40, 200, 80, dtype=np.uint8)[:, None]
    return build_model(card, 4, seed=1), card, clip


def edges(text):
    return re.findall(r'^  "([^"]+)" -> "([^"]+)"', text, re.MULTILINE)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "63")
@pytest.mark.parametrize("mode", ["layer", "feature"])
def test_json_and_dot_hold_the_same_graph(make_clip, mode):
    model, card, clip = asked("r3d", make_clip)
    pyramid = find(model, card, clip.x_CTHW, 1, Choice(0.68, 3, mode)).pyramid
    again = Pyramid.from_dict(json.loads(json.dumps(pyramid.to_dict())))
    assert again == pyramid
    text = pyramid.to_dot()
    expected = [
        (b.parent if j == TOGETHER else f"{b.parent}:{j}", f"{b.child}:{i}")
        for b in pyramid.bundles
        for j, i in zip(b.parent_kernels, b.child_kernels, strict=True)
    ]
    expected = [(p.replace("class:0", f"class:{pyramid.label}"), c) for p, c in expected]
    assert sorted(edges(text)) == sorted(expected)
    nodes = set(re.findall(r'^    "([^"]+)" \[label=', text, re.MULTILINE))
    assert nodes == {f"{layer.name}:{j}" for layer in pyramid.layers for j in layer.kernels}
    assert re.findall(r'^    label="([^"]+)";', text, re.MULTILINE) == [layer.name for layer in pyramid.layers]
    declared = set(re.findall(r'^ +"([^"]+)" \[(?:label|shape)', text, re.MULTILINE))
    assert {end for edge in edges(text) for end in edge} <= declared
    assert text.count("{") == text.count("}")


def hand_made(mode="feature"):
    top = PyramidLayer("a.conv", 1, "convolution", 8, (1, 2, 2), (1, 6), (1.0, 0.5))
    low = PyramidLayer("b.conv", 2, "convolution", 4, (1, 4, 4), (0, 3), (0.9, 0.7), "depth 2 is reached")
    j = (1, 6) if mode == "feature" else (TOGETHER, TOGETHER)
    bundles = (
        Bundle(CLASS, "a.conv", 0, (0, 0), (1, 6), (1.0, 0.5)),
        Bundle("a.conv", "b.conv", 0, j, (0, 3), (0.9, 0.7)),
        Bundle(CLASS, "b.conv", 1, (0,), (3,), (0.6,)),
    )
    return Pyramid(7, 0.6, "sigmoid", mode, 2, 0, "weights", (top, low), bundles)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "95")
@pytest.mark.parametrize("mode", ["layer", "feature"])
def test_the_drawing_has_a_row_a_layer_a_dot_a_kernel_and_a_curve_a_link(mode):
    figure = pyramid_figure(hand_made(mode), "cartwheel")
    axes = figure.axes[0]
    dots = [c.get_offsets() for c in axes.collections if len(c.get_offsets()) == 2]
    assert [row[:, 0].tolist() for row in dots] == [[1.5 / 8, 6.5 / 8], [0.5 / 4, 3.5 / 4]]
    assert dots[0][0, 1] > dots[1][0, 1]
    curves = [c for c in axes.collections if len(c.get_offsets()) != 2]
    assert [len(c.get_paths()) for c in curves] == [2, 2, 1]
    solid, dashed = curves[0], curves[2]
    alphas = solid.get_edgecolors()[:, 3]
    assert alphas[0] > alphas[1]  # the stronger link is the darker
    assert not np.allclose(solid.get_edgecolors()[0, :3], dashed.get_edgecolors()[0, :3])
    assert solid.get_linestyle()[0][1] is None
    assert dashed.get_linestyle()[0][1] is not None
    svg = to_svg(figure)
    ElementTree.fromstring(svg)
    assert svg == to_svg(pyramid_figure(hand_made(mode), "cartwheel"))
    for text in ("cartwheel", "class 7", "a.conv", "b.conv", "2 of 8 kernels", "level 1", "level 2", "θ = 0.6"):
        assert text in svg
    assert LINK != SKIP


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "95")
def test_crowded_rows_draw_the_strongest_and_say_so():
    pyramid = hand_made()
    figure = pyramid_figure(pyramid, at_most=1)
    dots = [c.get_offsets()[:, 0].tolist() for c in figure.axes[0].collections if hasattr(c, "get_sizes")]
    assert [1.5 / 8] in dots
    assert "2 of 8 kernels, 1 strongest drawn" in to_svg(figure)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "95")
@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "94")
@pytest.mark.parametrize(("family", "mode"), [("i3d", "layer"), ("r3d", "feature")])
def test_all_files_are_written(make_clip, tmp_path, family, mode):
    model, card, clip = asked(family, make_clip)
    frames_THWC = np.full((card.clip.frames, 120, 160, 3), 90, np.uint8)
    choice = Choice(0.65, 3, mode, top=4)
    paths = write_pyramid(
        tmp_path / "new", model, card, clip, 1, choice=choice, frames_THWC=frames_THWC, caption=Caption("walk", "toy")
    )
    assert {"json", "dot", "svg", "png", "layers"} <= set(paths)
    assert ("features" in paths) == (mode == "feature")
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == sorted(p.name for p in paths.values())
    pyramid = Pyramid.from_dict(json.loads(paths["json"].read_text()))
    assert pyramid == find(model, card, clip.x_CTHW, 1, choice).pyramid
    assert paths["dot"].read_text() == pyramid.to_dot()
    ElementTree.fromstring(paths["svg"].read_text())
    for kind in ("png", "layers", *(["features"] if mode == "feature" else [])):
        with Image.open(paths[kind]) as picture:
            assert np.asarray(picture.convert("L")).std() > 5
    with Image.open(paths["layers"]) as picture:  # the clip and one column a layer
        assert picture.width > 150 * (1 + len(pyramid.layers))


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "94")
def test_networks_side_by_side_with_the_clip(make_clip):
    networks = []
    for family, theta in (("r3d", 0.6), ("i3d", 0.55)):
        model, card, clip = asked(family, make_clip)
        found = find(model, card, clip.x_CTHW, 1, Choice(theta))
        heats = level_heats(found, clip)
        levels = [found.pyramid.layer(heat.module).level for heat in heats]
        assert levels == [1, 2, 3]
        for heat, level in zip(heats, levels, strict=True):
            own = {n.name: sum(n.strengths) for n in found.pyramid.layers if n.level == level and n.grid}
            assert own[heat.module] == max(own.values())
            np.testing.assert_array_equal(heat.heat_THW, layer_heats(found, clip)[heat.module].heat_THW)
        networks.append(Network(card.name, clip.clip.frames_THWC, heats, f"θ = {theta}"))
    picture = np.asarray(networks_picture(networks, Caption("walk", "layer-wise"), moments=2, width=80))
    for n, network in enumerate(networks):
        last = len(network.frames_THWC) - 1
        shown = plain(network.frames_THWC, network.heats[0], [0, last], 80)
        x = 14 + 44 + 83 * (2 * n + 1)
        y = 14 + 46 + 40
        np.testing.assert_array_equal(picture[y : y + 60, x : x + 80], shown[1])
        for level, heat in enumerate(network.heats, 1):
            cell = picture[y + 80 * level : y + 80 * level + 60, x : x + 80]
            np.testing.assert_array_equal(cell, heated(shown, heat, [0, last])[1])
    with pytest.raises(BadValue, match="at least one tube"):
        networks_picture([Network("none", networks[0].frames_THWC, [])], Caption())
    with pytest.raises(BadValue, match="at least one tube"):
        features_picture(networks[0].frames_THWC, {}, Caption())
