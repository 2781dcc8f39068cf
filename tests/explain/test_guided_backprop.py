import numpy as np
import pytest
import torch
from torch import nn

from secondlook import catalog
from secondlook.errors import BadValue
from secondlook.explain import deconvolution, guided_backprop
from secondlook.explain._captum import asked
from secondlook.explain._methods import unsuitable
from secondlook.predict.weights import build_model, find_card
from tests.explain.conftest import card_of

FAMILIES = tuple(f for f in catalog.names("models") if "tiny" in catalog.find("models", f).CARDS)


def random_input(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class TwoLayers(nn.Module):
    """`z1 = relu(W1 x), z2 = relu(W2 z1), y = W3 z2` with every place of the clip a value of x."""

    def __init__(self, inplace=False):
        super().__init__()
        self.w1, self.w2, self.w3 = (random_input(*s, seed=i) for i, s in enumerate([(6, 8), (5, 6), (2, 5)]))
        self.act1, self.act2 = nn.ReLU(inplace), nn.ReLU(inplace)

    def forward(self, x_BCTHW):
        return self.act2(self.act1(x_BCTHW.flatten(1) @ self.w1.T) @ self.w2.T) @ self.w3.T


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("method", [guided_backprop, deconvolution])
def test_two_layers_by_hand(make_clip, method, inplace):
    """The backward pass written out, ReLU by ReLU."""
    model, x_CTHW = TwoLayers(inplace), random_input(2, 1, 2, 2, seed=9)
    a1 = model.w1 @ x_CTHW.flatten()
    a2 = model.w2 @ a1.clamp(min=0)
    guided = method is guided_backprop
    back = model.w3[1].clamp(min=0) * ((a2 > 0) if guided else 1)
    back = (model.w2.T @ back).clamp(min=0) * ((a1 > 0) if guided else 1)
    expected = (model.w1.T @ back).reshape(2, 1, 2, 2).sum(0)
    heat = method.explain(model, card_of("act2", frames=1), make_clip(x_CTHW), 1)
    np.testing.assert_allclose(heat.heat_THW * heat.notes["scale"], expected, rtol=1e-4, atol=1e-5)
    assert heat.notes["rectifiers"] == 2
    assert heat.notes["other_activations"] == 0


class Pass(torch.autograd.Function):
    """Deconvolution's ReLU: the values of `out`, a gradient to `x` that is cut below 0 and not switched off."""

    @staticmethod
    def forward(_, x, out):
        return out.clone()

    @staticmethod
    def backward(_, slope):
        return slope.clamp(min=0), None


def twin(model, x_BCTHW, label, guided):
    """Each ReLU replaced from outside: its forward pass is another function with the wanted backward pass."""
    kept = [(m, m.forward) for m in model.modules() if isinstance(m, nn.ReLU)]

    def forward(x):
        return Pass.apply(x.relu() if guided else x, x.detach().relu())

    for module, _ in kept:
        module.forward = forward
    x_BCTHW = x_BCTHW.clone().requires_grad_()
    found = torch.autograd.grad(model(x_BCTHW)[:, label].sum(), [x_BCTHW])[0]
    for module, _ in kept:
        del module.forward
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_with_rectifiers_against_a_twin(family, make_clip):
    """Captum's hooks hold on our networks: no ReLU is missed, none is cut twice."""
    card = find_card(f"{family}:tiny")
    spec, model = card.clip, build_model(card, 4, seed=1).eval()
    if not any(isinstance(m, nn.ReLU) for m in model.modules()):
        for name in ("guided_backprop", "deconvolution"):
            assert "no ReLU" in unsuitable(name, model, card)
        return
    clip = make_clip(random_input(spec.channels, spec.frames, spec.height, spec.width))
    with asked(model, clip, 2) as question:
        found = {"guided": guided_backprop.guided(question)}
        found["plain"] = deconvolution.deconvolved(question)
        for name, values in found.items():
            expected = twin(model, clip.x_CTHW[None], 2, name == "guided")
            torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()))


def test_networks_without_rectifiers_are_refused_with_the_reason(make_clip):
    model = nn.Sequential(nn.Flatten(), nn.Linear(8, 4), nn.GELU(), nn.Linear(4, 2))
    for method in (guided_backprop, deconvolution):
        with pytest.raises(BadValue, match="activations are GELU"):
            method.explain(model, card_of("1", frames=1), make_clip(random_input(2, 1, 2, 2)), 0)
    assert "no activations" in guided_backprop.unsuitable(nn.Linear(2, 2), card_of("0"))
