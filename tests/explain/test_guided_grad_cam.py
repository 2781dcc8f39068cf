import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from secondlook.errors import BadValue
from secondlook.explain import grad_cam, guided_grad_cam
from secondlook.explain._methods import suitable
from tests.explain.conftest import SmallNetwork
from tests.explain.test_grad_cam import grid, random_input


def guided_by_hand(model, x_BCTHW, label):
    """`SmallNetwork` backwards, layer by layer: each ReLU lets through what is positive, where its input was."""
    conv1, conv2, norm, classifier = model.conv1, model.conv2, model.norm, model.classifier
    a1 = conv1(x_BCTHW)
    z1 = a1.clamp(min=0)
    a2 = conv2(z1)
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    n2 = (a2 - norm.running_mean[:, None, None, None]) * scale[:, None, None, None] + norm.bias[:, None, None, None]
    places = n2[0, 0].numel()
    back = classifier.weight[label][None, :, None, None, None].expand_as(n2) / places
    back = back.clamp(min=0) * (n2 > 0) * scale[:, None, None, None]
    back = functional.conv_transpose3d(back, conv2.weight, None, conv2.stride, conv2.padding, (0, 1, 1))
    back = back.clamp(min=0) * (a1 > 0)
    return functional.conv_transpose3d(back, conv1.weight, None, conv1.stride, conv1.padding)


@pytest.mark.spec("label-reassessment", "X9")
@pytest.mark.parametrize("values", ["signed", "positive"])
@pytest.mark.parametrize("weights", ["channel", "channel_time"])
def test_twin(small, make_clip, values, weights):
    """Guided backpropagation by transposed convolutions times the upsampled Grad-CAM, summed over colours."""
    model, card = small
    x_CTHW = random_input(2, 4, 8, 8)
    with torch.no_grad():
        guided = guided_by_hand(model, x_CTHW[None], 0)[0]
    cam = grid(grad_cam.explain(model, card, make_clip(x_CTHW), 0, weights=weights), 4)
    expected = (guided.clamp(min=0) if values == "positive" else guided).sum(0).numpy() * cam
    assert np.abs(expected).max() > 0
    heat = guided_grad_cam.explain(model, card, make_clip(x_CTHW), 0, weights=weights, values=values)
    np.testing.assert_allclose(grid(heat, 4), expected, rtol=1e-3, atol=1e-6 * np.abs(expected).max())
    assert heat.signed is (values == "signed")
    assert heat.notes["grid"] == [4, 8, 8]
    assert heat.module == "act2"
    assert heat.notes["rectifiers"] == 2


def test_networks_without_relu_modules_are_refused(small, make_clip):
    _, card = small
    model = SmallNetwork()
    model.act1, model.act2 = nn.SiLU(), nn.SiLU()
    assert "guided_grad_cam" not in suitable(model, card)
    with pytest.raises(BadValue, match="SiLU"):
        guided_grad_cam.explain(model, card, make_clip(random_input(2, 4, 8, 8)), 0)


def test_unknown_values(small, make_clip):
    model, card = small
    with pytest.raises(BadValue, match="positive"):
        guided_grad_cam.explain(model, card, make_clip(random_input(2, 4, 8, 8)), 0, values="absolute")
