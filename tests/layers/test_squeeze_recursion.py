"""Squeeze and Recursion against a hand-run LSTM; three ways to fuse; precision, layouts, export."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch

from secondlook.errors import BadValue, UnknownName
from secondlook.layers.recurrent_cells import CELLS
from secondlook.layers.squeeze_recursion import FUSES, Recursion, RecursionSettings, SqueezeRecursion
from secondlook.layers.temporal_gate import TemporalGate
from secondlook.models._count import parameters


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def lstm_by_hand(recursion: Recursion, s_CT: np.ndarray) -> np.ndarray:
    """Equations 4.1 to 4.5, layer by layer, frame by frame; torch holds the gates in the order i, f, candidate, o."""
    state = {name: p.detach().double().numpy() for name, p in recursion.recurrent.named_parameters()}
    x_TC = s_CT.T
    for layer in range(2):
        w, u = state[f"weight_ih_l{layer}"], state[f"weight_hh_l{layer}"]
        bias = state[f"bias_ih_l{layer}"] + state[f"bias_hh_l{layer}"]
        h, c, out = np.zeros(len(s_CT)), np.zeros(len(s_CT)), []
        for x in x_TC:
            i, f, g, o = np.split(w @ x + u @ h + bias, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            out.append(h)
        x_TC = np.stack(out)
    return x_TC.T


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "2", "3")
@pytest.mark.parametrize("fuse", FUSES)
def test_twin(fuse: str) -> None:
    """Input times hidden states over the mean of each frame and channel; or times their logistic, or 1 + them."""
    block = SqueezeRecursion(4, gate=False, fuse=fuse)
    a_BCTHW = torch.randn(2, 4, 5, 3, 2)
    out = block(a_BCTHW).detach().numpy()
    for b in range(2):
        squeezed = a_BCTHW[b].double().numpy().reshape(4, 5, 6).sum(2) / 6
        h_CT = lstm_by_hand(block.recursion, squeezed)
        scale_CT = {"multiply": h_CT, "sigmoid": sigmoid(h_CT), "residual": 1 + h_CT}[fuse]
        np.testing.assert_allclose(out[b], a_BCTHW[b].numpy() * scale_CT[:, :, None, None], atol=1e-5)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "1")
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 4), (7, 5, 2)])
@pytest.mark.parametrize("gate", [True, False])
@pytest.mark.parametrize("cell", CELLS)
def test_shape_stays(cell: str, gate: bool, shape: tuple[int, int, int]) -> None:
    assert SqueezeRecursion(4, cell, gate=gate)(torch.randn(2, 4, *shape)).shape == (2, 4, *shape)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "6")
def test_weights() -> None:
    for channels in (4, 64):
        assert parameters(SqueezeRecursion(channels)) == 16 * channels**2 + 16 * channels


def test_new_recursions_in_a_row_shrink_what_they_multiply_and_keep_what_they_add_to() -> None:
    """Why there are other ways to fuse."""
    torch.manual_seed(0)
    a_BCTHW = torch.rand(1, 16, 8, 2, 2)
    size = {}
    for fuse in FUSES:
        out = a_BCTHW
        for _ in range(4):
            out = SqueezeRecursion(16, gate=False, fuse=fuse)(out)
        size[fuse] = float(out.detach().abs().mean() / a_BCTHW.mean())
    assert size["multiply"] < 1e-2
    assert size["sigmoid"] == pytest.approx(2**-4, rel=0.2)
    assert size["residual"] == pytest.approx(1, rel=0.4)


class OpenToTheFirst(TemporalGate):
    def forward(self, a_BCT, b_BCT):
        return torch.arange(len(a_BCT)) == 0


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "97")
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("half", [None, torch.bfloat16, torch.float16])
def test_modes_precisions_and_layouts(cell: str, training: bool, half: torch.dtype | None) -> None:
    """A clip alone, or in a view, gives what it gives in a batch; half precision keeps its type and its numbers."""
    torch.manual_seed(0)
    block = SqueezeRecursion(4, cell, gate=OpenToTheFirst()).train(training)
    a_BCTHW = torch.rand(2, 4, 5, 3, 2) + 0.5
    expected = block(a_BCTHW).detach()
    a_BCTHW = a_BCTHW.to(half or torch.float32).requires_grad_()
    tolerance = 1e-6 if half is None else 1e-2
    with torch.autocast("cpu", dtype=half or torch.bfloat16, enabled=half is not None):
        out = block(a_BCTHW)
        view = block(a_BCTHW.transpose(3, 4).contiguous().transpose(3, 4))
        last = block(a_BCTHW.contiguous(memory_format=torch.channels_last_3d))
        one = block(a_BCTHW[:1])
    assert out.dtype == a_BCTHW.dtype
    for given, wanted in ((out, expected), (view, expected), (last, expected), (one, expected[:1])):
        torch.testing.assert_close(given.detach().float(), wanted, atol=tolerance, rtol=tolerance)
    assert torch.equal(out[1], a_BCTHW[1])
    out.float().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in block.parameters())
    assert a_BCTHW.grad.isfinite().all()


class Leaning(Recursion):
    """Hidden states near what is read, which open the gate of a clip that moves."""

    def forward(self, s_BCT):
        return s_BCT + 0.01 * super().forward(s_BCT)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "98")
@pytest.mark.parametrize("settings", [{}, {"cell": "gru-literal"}, {"cell": "lstm-peephole", "warmup_steps": 2}])
def test_export_state_dict_and_copy(settings) -> None:
    def make() -> SqueezeRecursion:
        block = RecursionSettings(temperature=1e-4, **settings).make(4).eval()
        block.recursion = Leaning(4, block_cell)
        return block

    torch.manual_seed(0)
    block_cell = settings.get("cell", "lstm")
    block = make()
    if block.gate.steps is not None:
        block.gate.steps += 2
    a_BCTHW = torch.randn(2, 4, 5, 3, 2)
    a_BCTHW[1] = 1
    out = block(a_BCTHW)
    assert not torch.equal(out[0], a_BCTHW[0])
    assert torch.equal(out[1], a_BCTHW[1])
    with warnings.catch_warnings():  # torch's own LSTM assigns tensors while it is exported
        warnings.filterwarnings("ignore", "The tensor attributes? self")
        program = torch.export.export(block, (a_BCTHW,), dynamic_shapes=({0: torch.export.Dim("clips")},)).module()
    for batch in (a_BCTHW, a_BCTHW[:1], a_BCTHW.flip(0).repeat(2, 1, 1, 1, 1)):
        assert torch.allclose(program(batch), block(batch), atol=1e-6)
    other = make()
    other.load_state_dict(block.state_dict())
    assert torch.equal(other(a_BCTHW), out)
    assert torch.equal(copy.deepcopy(block)(a_BCTHW), out)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "98")
def test_scripting_is_refused_with_a_sentence() -> None:
    network = torch.nn.Sequential(SqueezeRecursion(4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with pytest.raises(BadValue, match=r"cannot compile a temporal gate\. Use torch\.export"):
            torch.jit.script(network)


def test_settings_draw_no_random_number() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    RecursionSettings()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "99")
def test_refusals() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'lstm'"):
        SqueezeRecursion(4, "lst")
    with pytest.raises(BadValue, match="at least one layer"):
        SqueezeRecursion(4, layers=0)
    with pytest.raises(UnknownName, match="Did you mean 'multiply'"):
        SqueezeRecursion(4, fuse="multiplying")
    with pytest.raises(BadValue, match=r"\(2, 3, 5, 2, 2\): this recursion wants B x 4 x T x H x W"):
        SqueezeRecursion(4)(torch.randn(2, 3, 5, 2, 2))
    with pytest.raises(BadValue, match="wants B x 4"):
        SqueezeRecursion(4)(torch.randn(2, 4, 5))
    with pytest.raises(UnknownName, match="recurrent cell"):
        RecursionSettings(cell="transformer")
