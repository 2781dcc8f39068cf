"""Each rule of relevance propagation against loops over single neurons: a dense layer, and 3D convolutions."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from secondlook.errors import UnknownName
from secondlook.explain._lrp_composites import COMPOSITES, composite_of
from secondlook.explain._lrp_rules import Layer, LinearMap, Rule, backward, ruled

RULES = {
    "zero": Rule("epsilon"),
    "epsilon": Rule("epsilon", epsilon=0.1),
    "gamma": Rule("gamma", gamma=0.25),
    "z-plus": Rule("alpha-beta"),
    "alpha2-beta1": Rule("alpha-beta", alpha=2.0, beta=1.0),
    "flat": Rule("flat"),
    "w-square": Rule("w-square"),
    "z-B": Rule("z-B"),
}
LOW, HIGH = -2.5, 3.0


def random(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def relevance_by_loops(rule, bias_mode, a_J, links_KJ, b_K, g_K, mean_z):
    """`links_KJ[k][j]`: the weight from input j to output k, or None where they are not connected."""
    relevance_J = np.zeros(len(a_J))
    for k, links in enumerate(links_KJ):
        linked = [(j, w) for j, w in enumerate(links) if w is not None]
        given = {j: a_J[j] * w for j, w in linked}
        bias = b_K[k] if bias_mode == "absorb" else 0.0
        z = sum(given.values()) + b_K[k]
        total = z * g_K[k]
        whole = sum(given.values()) + bias
        if rule.kind == "epsilon":
            shares = {j: s / (z + np.copysign(rule.epsilon * mean_z, z)) for j, s in given.items()}
            if bias_mode == "ignore":
                size = sum(abs(s) for s in given.values())
                damped = b_K[k] / (z + np.copysign(rule.epsilon * mean_z, z))
                shares = {j: s + damped * abs(given[j]) / size for j, s in shares.items()}
        elif rule.kind == "gamma":
            sign = 1 if whole >= 0 else -1
            part = {j: s + rule.gamma * (s if s * sign > 0 else 0) for j, s in given.items()}
            d = sum(part.values()) + bias + rule.gamma * (bias if bias * sign > 0 else 0)
            shares = {j: p / d for j, p in part.items()}
        elif rule.kind == "alpha-beta":
            up, down = (sum(max(s * f, 0) for s in [*given.values(), bias]) * f for f in (1, -1))
            alpha, beta = (rule.alpha, rule.beta) if up and down else ((1, 0) if up else (0, -1))
            shares = {j: alpha * max(s, 0) / (up or 1) - beta * min(s, 0) / (down or 1) for j, s in given.items()}
        elif rule.kind == "flat":
            shares = {j: 1 / len(linked) for j, _ in linked}
        elif rule.kind == "w-square":
            shares = {j: w**2 / sum(v**2 for _, v in linked) for j, w in linked}
        else:
            part = {j: a_J[j] * w - LOW * max(w, 0) - HIGH * min(w, 0) for j, w in linked}
            d = sum(part.values()) + max(bias, 0)
            shares = {j: p / d for j, p in part.items()}
        for j, share in shares.items():
            relevance_J[j] += share * total
    return relevance_J


def dense():
    a, w, b = random(1, 6, seed=0), random(4, 6, seed=1), random(4, seed=2)
    return LinearMap(), a.clamp(LOW, HIGH), w, b, [[float(v) for v in row] for row in w], b.tolist()


def conv(groups, stride, padding, dilation=(1, 1, 1)):
    """With padding, links to zeros outside are none for flat and w-square to count, as for the convolution itself."""
    a, w, b = random(1, 4, 3, 4, 3, seed=0).clamp(LOW, HIGH), random(6, 4 // groups, 2, 3, 2, seed=1), random(6, seed=2)
    linear = LinearMap(3, stride, padding, dilation, groups)
    out = linear.apply(a, w)
    place = {p: i for i, p in enumerate(itertools.product(*map(range, a.shape[1:])))}
    links, biases = [], []
    for o, *at in itertools.product(*map(range, out.shape[1:])):
        row = [None] * len(place)
        for c, *offset in itertools.product(*map(range, w.shape[1:])):
            channel = o // (6 // groups) * (4 // groups) + c
            where = (
                channel,
                *(i * s - p + d * f for i, s, p, d, f in zip(at, stride, padding, dilation, offset, strict=True)),
            )
            if where in place:
                row[place[where]] = float(w[(o, c, *offset)])
        links.append(row)
        biases.append(float(b[o]))
    return linear, a, w, b, links, biases


LAYERS = {
    "dense": dense,
    "plain": lambda: conv(1, (1, 1, 1), (0, 0, 0)),
    "grouped, strided, padded": lambda: conv(2, (2, 1, 2), (1, 1, 1)),
    "dilated": lambda: conv(1, (1, 1, 1), (1, 0, 0), (2, 1, 1)),
}


@pytest.mark.spec("layerwise-relevance", "R3")
@pytest.mark.parametrize("sign", ["both signs", "not negative"])
@pytest.mark.parametrize("bias_mode", ["absorb", "ignore"])
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("layer", LAYERS)
def test_each_rule_is_the_sum_over_neurons(layer, name, bias_mode, sign):
    linear, a, w, b, links, biases = LAYERS[layer]()
    if sign == "not negative":
        a = a.clamp(min=0)
    z = linear.apply(a, w) + linear.spread(b)
    g = random(*z.shape, seed=3)
    bounds = (torch.full_like(a, LOW), torch.full_like(a, HIGH))
    ran = Layer(RULES[name], bias_mode, linear, w, b, z, bounds)
    found = torch.where(a == 0, 1e-12, a) * backward(ran, a, g)
    wanted = relevance_by_loops(
        RULES[name], bias_mode, a.flatten().tolist(), links, biases, g.flatten().tolist(), float(z.abs().mean())
    )
    np.testing.assert_allclose(found.flatten(), wanted, rtol=1e-5, atol=1e-6)
    if bias_mode == "ignore" and name != "epsilon":
        assert float(found.sum()) == pytest.approx(float((z * g).sum()), rel=1e-5)


@pytest.mark.parametrize("name", [n for n in RULES if n not in ("flat", "w-square", "z-B")])
def test_outputs_of_nothing_but_bias_give_theirs_to_the_others(name):
    """Two places of the input are 0: by loops, what they have is shared out among the channel's others, as |z|."""
    linear, w, b = LinearMap(1, (1,), (0,), (1,), 1), random(2, 3, 1, seed=1), random(2, seed=2)
    a = random(1, 3, 5, seed=0)
    a[:, :, 1:3] = 0
    z = linear.apply(a, w) + linear.spread(b)
    g = random(*z.shape, seed=3)
    moved = g.clone()
    for k in range(2):
        lost = sum(float(z[0, k, i] * g[0, k, i]) for i in (1, 2))
        size = sum(abs(float(z[0, k, i])) for i in (0, 3, 4))
        for i in (0, 3, 4):
            moved[0, k, i] += lost / size * float(z[0, k, i].sign())
    moved[:, :, 1:3] = 0
    layer = Layer(RULES[name], "ignore", linear, w, b, z)
    found = a * backward(layer, a, g)
    alive = [0, 3, 4]
    rest = Layer(RULES[name], "ignore", linear, w, b, z[..., alive])
    wanted = a[..., alive] * backward(rest, a[..., alive], moved[..., alive])
    assert not found[..., 1:3].any()
    if name != "epsilon":  # whose stabiliser is relative to the mean of all
        torch.testing.assert_close(found[..., alive], wanted)
        assert float(found.sum()) == pytest.approx(float((z * g).sum()))
    absorbed = a * backward(Layer(RULES[name], "absorb", linear, w, b, z), a, g)
    assert not absorbed[..., 1:3].any()


@pytest.mark.parametrize("name", RULES)
def test_the_plain_output_is_kept_and_clips_do_not_mix(name):
    linear, w = LinearMap(3, (1, 1, 1), (1, 1, 1), (1, 1, 1)), random(3, 2, 3, 3, 3, seed=1)
    a = random(2, 2, 3, 4, 4, seed=0).requires_grad_()
    z = linear.apply(a, w).detach()
    out = ruled(a, Layer(RULES[name], "absorb", linear, w, None, z, (a.detach() - 1, a.detach() + 1)))
    assert torch.equal(out, z)
    both = torch.autograd.grad(out[..., 0].sum(), a)[0]
    alone = Layer(RULES[name], "absorb", linear, w, None, z[:1], (a.detach()[:1] - 1, a.detach()[:1] + 1))
    g = torch.zeros_like(z[:1])
    g[..., 0] = 1
    torch.testing.assert_close(backward(alone, a.detach()[:1], g), both[:1])


def test_zero_is_gradient_times_input():
    a, w, b = random(3, 5, seed=0).requires_grad_(), random(2, 5, seed=1), random(2, seed=2)
    z = functional.linear(a, w, b)
    g = random(3, 2, seed=3)
    layer = Layer(Rule("epsilon"), "absorb", LinearMap(), w, b, z.detach())
    assert torch.equal(backward(layer, a.detach(), g), torch.autograd.grad(z, a, g)[0])


def test_composites_by_name():
    assert {"epsilon-plus", "epsilon-gamma-box", "epsilon-alpha2-beta1-flat"} <= set(COMPOSITES)
    found = composite_of("epsilon-gamma-box", epsilon=0.5, gamma=2.0)
    assert (found.dense, found.conv) == (Rule("epsilon", epsilon=0.5), Rule("gamma", gamma=2.0))
    assert found.first == Rule("z-B")
    assert composite_of("zero", epsilon=0.5).dense.epsilon == 0
    with pytest.raises(UnknownName, match="epsilon-plus"):
        composite_of("epsilon-plsu")
