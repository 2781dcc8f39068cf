import numpy as np
import pytest
import torch

from secondlook import catalog
from secondlook.errors import BadValue
from secondlook.explain import saliency_tubes
from secondlook.explain._amplified import amplified, kernels_picture, tubes_picture
from secondlook.explain._hooks import watch
from secondlook.predict.weights import build_model, find_card
from tests.explain.test_grad_cam import random_input
from tests.explain.test_spline import enlarged_twin

CARD = find_card("r3d:tiny")
LAYERS = ("layer1", "layer2", "layer3", "layer4")


@pytest.fixture
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return catalog.find("models", "r3d").build("tiny", 4, class_regularisation=True, in_channels=2).eval()


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "93")
def test_each_layer_gives_its_tube_and_its_strongest_kernels(model, make_clip):
    clip = make_clip(random_input(2, 8, 64, 64))
    found = amplified(model, CARD, clip, 2, k=3)
    assert [f.layer for f in found] == list(LAYERS)
    names = [f"{layer}.class_regularisation" for layer in LAYERS]
    with watch(model, names) as watched:
        model(clip.x_CTHW[None])
    for name, layer in zip(names, found, strict=True):
        weight_C = model.get_submodule(name).projected_KC()[2].detach().numpy()
        best = sorted(range(len(weight_C)), key=lambda j: -weight_C[j])[:3]
        assert [k.channel for k in layer.kernels] == best
        np.testing.assert_allclose([k.weight for k in layer.kernels], weight_C[best])
        tube = saliency_tubes.explain(model, CARD, clip, 2, layer=layer.layer)
        np.testing.assert_array_equal(layer.tube.heat_THW, tube.heat_THW)
        for kernel in layer.kernels:
            values = watched.outputs[name][0, kernel.channel].detach().double().numpy()
            z = (values - values.min()) / max(np.ptp(values), 1e-9)  # a strong kernel may be silent
            expected = np.maximum(enlarged_twin(z, (8, 64, 64)), 0)
            np.testing.assert_allclose(kernel.heat.heat_THW, expected / max(expected.max(), 1e-9), atol=1e-4)
            assert kernel.heat.notes["channel"] == kernel.channel
            assert kernel.heat.module == name
            assert kernel.heat.label == 2


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "93")
def test_pictures_have_a_row_a_frame_and_a_column_a_layer_or_kernel(model, make_clip, tmp_path):
    clip = make_clip(random_input(2, 8, 64, 64))
    found = amplified(model, CARD, clip, 1, k=2)
    frames_THWC = np.full((8, 64, 64, 3), 90, np.uint8)
    tubes, kernels = (draw(frames_THWC, found, rows=3) for draw in (tubes_picture, kernels_picture))
    tubes.save(tmp_path / "tubes.png")
    assert (tmp_path / "tubes.png").stat().st_size > 1000
    assert kernels.width - tubes.width == (8 - 4) * (176 + 3)
    assert kernels.height == tubes.height > 3 * 176
    first_row = np.asarray(tubes.convert("RGB")).astype(int)[36 : 36 + 176]
    columns = [np.abs(first_row[:, x : x + 176] - 90).max() > 20 for x in range(66, 66 + 5 * 179, 179)]
    assert columns == [False, True, True, True, True], "the clip itself, then a tube a layer"


def test_at_most_all_kernels_and_no_trace(model, make_clip):
    clip = make_clip(random_input(2, 8, 64, 64))
    hooks = [len(m._forward_hooks) for m in model.modules()]
    assert [len(f.kernels) for f in amplified(model, CARD, clip, 0, k=30)] == [16, 24, 30, 30]
    assert hooks == [len(m._forward_hooks) for m in model.modules()]


def test_what_cannot_be_is_refused(model, make_clip):
    clip = make_clip(random_input(2, 8, 64, 64))
    with pytest.raises(BadValue, match="at least one"):
        amplified(model, CARD, clip, 0, k=0)
    with pytest.raises(BadValue, match="class index"):
        amplified(model, CARD, clip, 4)
    with pytest.raises(BadValue, match="no Class Regularisation"):
        amplified(build_model(CARD, 4), CARD, clip, 0)
