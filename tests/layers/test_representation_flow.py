"""Representation flow against loops written by hand, and what a flow must do: follow what moves, and be learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from secondlook.errors import BadValue
from secondlook.layers.representation_flow import RepresentationFlow, scaled


def taps(parameter: torch.Tensor) -> np.ndarray:
    return parameter.detach().numpy()


def correlate(maps_CHW: np.ndarray, kernel: np.ndarray, across: bool, at: tuple[int, int]) -> np.ndarray:
    """Sum over a kernel whose place `at` lies on each place of the map; zeros outside."""
    channels, height, width = maps_CHW.shape
    out = np.zeros_like(maps_CHW)
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                for k, source in enumerate(range(channels) if across else [c]):
                    for dy in range(kernel.shape[2]):
                        for dx in range(kernel.shape[3]):
                            sy, sx = y + dy - at[0], x + dx - at[1]
                            if 0 <= sy < height and 0 <= sx < width:
                                out[c, y, x] += kernel[c, k, dy, dx] * maps_CHW[source, sy, sx]
    return out


def twin(layer: RepresentationFlow, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Flow from map a to map b, C x H x W each: the three cases of the data step and the dual step, place by place."""
    across = layer.groups == 1 and len(a) > 1
    lam, theta, tau = (float(p.detach()) for p in (layer.lambda_, layer.theta, layer.tau))
    framed = np.pad(b, ((0, 0), (1, 1), (1, 1)), mode="edge")
    inner = np.s_[:, 1:-1, 1:-1]
    grad = [
        correlate(framed, taps(layer.image_x), across, (0, 1))[inner],
        correlate(framed, taps(layer.image_y), across, (1, 0))[inner],
    ]
    u = [np.zeros_like(a), np.zeros_like(a)]
    p = [[np.zeros_like(a), np.zeros_like(a)] for _ in range(2)]  # component, direction
    for _ in range(layer.iterations):
        rho = b - a + grad[0] * u[0] + grad[1] * u[1]
        squared = grad[0] ** 2 + grad[1] ** 2
        for i in range(2):
            v = np.empty_like(a)
            for place in np.ndindex(a.shape):
                if rho[place] < -lam * theta * squared[place]:
                    step = lam * theta * grad[i][place]
                elif rho[place] > lam * theta * squared[place]:
                    step = -lam * theta * grad[i][place]
                else:
                    step = -rho[place] * grad[i][place] / squared[place] if squared[place] > 0 else 0.0
                v[place] = u[i][place] + step
            across_p, down_p = p[i][0].copy(), p[i][1].copy()
            across_p[:, :, -1] = 0
            down_p[:, -1] = 0
            div = correlate(across_p, taps(layer.divergence_x), across, (0, 1))
            div += correlate(down_p, taps(layer.divergence_y), across, (1, 0))
            u[i] = v + theta * div
        for i in range(2):
            right = correlate(u[i], taps(layer.flow_x), across, (0, 0))
            below = correlate(u[i], taps(layer.flow_y), across, (0, 0))
            right[:, :, -1] = 0
            below[:, -1] = 0
            length = np.sqrt(right**2 + below**2)
            for direction, slope in enumerate((right, below)):
                p[i][direction] = (p[i][direction] + tau / theta * slope) / (1 + tau / theta * length)
    return np.concatenate(u)


def random_layer(channels: int, iterations: int, across: bool) -> RepresentationFlow:
    """With kernels moved away from their start, so that each of them matters."""
    layer = RepresentationFlow(channels, iterations, across_channels=across).double()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return layer


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("iterations", [1, 2, 5])
def test_is_what_loops_compute(iterations: int, across: bool) -> None:
    layer = random_layer(3, iterations, across)
    x_BCTHW = torch.randn(2, 3, 3, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    flow = layer(x_BCTHW)
    assert flow.shape == (2, 6, 2, 4, 5)
    maps = scaled(x_BCTHW).numpy()
    for clip in range(2):
        for t in range(2):
            expected = twin(layer, maps[clip, :, t], maps[clip, :, t + 1])
            np.testing.assert_allclose(flow[clip, :, t].detach().numpy(), expected, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize(("right", "down"), [(1, 0), (-1, 0), (0, 1), (0.5, -0.5)])
def test_follows_what_moves(right: float, down: float) -> None:
    """Waves that move by less than a pixel; each channel has other waves and the same motion."""
    y, x = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    frames = [
        torch.stack(
            [
                torch.sin(0.4 * (x - right * t) + 0.2 * (y - down * t)) + torch.cos(0.35 * (y - down * t)),
                torch.cos(0.3 * (x - right * t)) + torch.sin(0.45 * (y - down * t) - 0.2 * (x - right * t)),
            ]
        )
        for t in range(2)
    ]
    layer = RepresentationFlow(2, 100)
    flow = layer(torch.stack(frames, 1)[None]).detach()[0, :, 0, 4:-4, 4:-4]
    for channel in range(2):
        assert flow[channel].median().item() == pytest.approx(right, abs=0.15)
        assert flow[2 + channel].median().item() == pytest.approx(down, abs=0.15)


def test_a_still_clip_has_no_flow_and_a_reversed_one_the_opposite() -> None:
    layer = RepresentationFlow(2)
    still = torch.randn(1, 2, 1, 6, 7).expand(-1, -1, 4, -1, -1)
    assert layer(still).abs().max() == 0
    assert layer(torch.ones(1, 2, 3, 6, 7)).abs().max() == 0
    y = torch.arange(12.0)
    clip = torch.stack([torch.sin(0.5 * (y - 0.5 * t)).expand(8, 12) for t in range(2)])[None, None]
    forward, backward = RepresentationFlow(1)(clip), RepresentationFlow(1)(clip.flip(2))
    assert forward[0, 0, 0, :, 4:8].mean() > 0.1
    assert backward[0, 0, 0, :, 4:8].mean() < -0.1


def test_knows_only_its_own_clip_and_neither_offset_nor_contrast() -> None:
    layer, x = RepresentationFlow(2), torch.rand(3, 2, 3, 6, 6)
    assert torch.allclose(layer(x)[1:2], layer(x[1:2]), atol=1e-5)
    assert torch.allclose(layer(7 * x - 3), layer(x), atol=1e-3)


@pytest.mark.spec("late-temporal-bert", "F44")
@pytest.mark.parametrize("across", [False, True])
def test_every_number_of_it_is_learned(across: bool) -> None:
    """Towards the flow of another layer: each parameter has a gradient, and steps along them bring it nearer."""
    x = torch.randn(2, 2, 3, 6, 6, generator=torch.Generator().manual_seed(0)).double()
    goal = random_layer(2, 3, across)(x).detach()
    layer = RepresentationFlow(2, 3, across_channels=across).double()
    optimizer = torch.optim.Adam(layer.parameters(), 0.003)
    losses = []
    for _ in range(30):
        loss = (layer(x) - goal).square().mean()
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_gradients_are_right() -> None:
    layer = random_layer(2, 3, False)
    x = torch.randn(1, 2, 2, 3, 4, generator=torch.Generator().manual_seed(2)).double().requires_grad_()
    inputs = (x, *layer.parameters())
    names = [n for n, _ in layer.named_parameters()]

    def run(x: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(run, inputs, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (4, 1), (2, 2)])
def test_narrow_maps(shape: tuple[int, int]) -> None:
    layer, x = RepresentationFlow(2, 3), torch.randn(1, 2, 3, *shape, requires_grad=True)
    flow = layer(x)
    assert flow.shape == (1, 4, 2, *shape)
    assert flow.isfinite().all()
    flow.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_refuses_what_cannot_be() -> None:
    with pytest.raises(BadValue, match="at least two frames"):
        RepresentationFlow(2)(torch.randn(1, 2, 1, 4, 4))
    for channels, iterations in ((0, 1), (1, 0)):
        with pytest.raises(BadValue, match="at least one"):
            RepresentationFlow(channels, iterations)
