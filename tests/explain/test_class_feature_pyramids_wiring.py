"""Which convolution feeds which: hand-made networks of every structure, and perturbation of real ones as the twin."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from secondlook.explain._channel_trails import reshaped
from secondlook.explain._pyramid import levels
from secondlook.explain._pyramid_wiring import INPUT, following
from secondlook.predict.weights import build_model, find_card


def wired(model, *shape):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    with following(model, x) as wiring:
        model(x)
    return wiring


def fed_by(wiring, name):
    """Layer -> for each input channel of `name` the kernel that made it."""
    layer = wiring.last(name)
    return {wiring.layers[s.layer].name: s.channel_G.tolist() for s in layer.sources}


class Net(nn.Module):
    """Named convolutions around a function."""

    def __init__(self, forward, **layers):
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.run = forward

    def forward(self, x):
        return self.run(self, x)


def conv(a, b, **options):
    return nn.Conv3d(a, b, 1, **options)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "66")
def test_residual_indices_pass_the_skip_and_the_main_path():
    def forward(net, x):
        stem = functional.relu(net.stem(x))
        return net.last(functional.relu(net.second(functional.relu(net.first(stem))) + stem))

    net = Net(forward, stem=conv(2, 4), first=conv(4, 3), second=conv(3, 4), last=conv(4, 2))
    wiring = wired(net, 1, 2, 2, 3, 3)
    assert fed_by(wiring, "last") == {"second": [0, 1, 2, 3], "stem": [0, 1, 2, 3]}
    assert fed_by(wiring, "first") == {"stem": [0, 1, 2, 3]}
    assert wiring.last("stem").lost == (INPUT,)
    level = levels(wiring, wiring.last("last").sources)
    assert {wiring.layers[n].name: v for n, v in level.items()} == {"second": 1, "first": 2, "stem": 3}


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "66")
def test_grouped_kernels_are_inflated_with_zeros():
    net = nn.Sequential(conv(2, 6), nn.Conv3d(6, 4, (1, 3, 3), padding=(0, 1, 1), groups=2), conv(4, 2))
    layer = wired(net, 1, 2, 2, 4, 4).last("1")
    kernels_JG, kbar = layer.kernels_JG(), net[1].weight.detach().mean((2, 3, 4))
    expected = torch.zeros(4, 6)
    expected[:2, :3], expected[2:, 3:] = kbar[:2], kbar[2:]
    torch.testing.assert_close(kernels_JG, expected)
    torch.testing.assert_close(layer.connected_JG(), expected != 0)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "66")
def test_branches_map_to_offsets_and_short_ones_are_padded():
    def forward(net, x):
        stem = net.stem(x)
        long = net.c(functional.relu(net.b(stem)))
        return net.last(torch.cat((net.a(stem), long, net.d(functional.max_pool3d(stem, 3, 1, 1))), 1))

    net = Net(forward, stem=conv(2, 3), a=conv(3, 2), b=conv(3, 4), c=conv(4, 3), d=conv(3, 1), last=conv(6, 2))
    wiring = wired(net, 1, 2, 3, 3, 3)
    assert fed_by(wiring, "last") == {
        "a": [0, 1, -1, -1, -1, -1],
        "c": [-1, -1, 0, 1, 2, -1],
        "d": [-1, -1, -1, -1, -1, 0],
    }
    level = {wiring.layers[n].name: v for n, v in levels(wiring, wiring.last("last").sources).items()}
    assert level == {"a": 1, "c": 1, "d": 1, "b": 2, "stem": 3}


def shuffle(x):
    return x.reshape(len(x), 2, -1, *x.shape[2:]).transpose(1, 2).flatten(1, 2)


def tsm(x_BCTHW):
    x = x_BCTHW.transpose(1, 2)
    moved = torch.cat((functional.pad(x[:, 1:, :2], (0, 0, 0, 0, 0, 0, 0, 1)), x[:, :, 2:]), 2)
    return moved.transpose(1, 2)


KEEP = list(range(6))
PASSING = {
    "norm, activation, pool": (nn.Sequential(nn.BatchNorm3d(6), nn.SiLU(), nn.AvgPool3d(3, 1, 1)), KEEP),
    "in-place activation": (nn.ReLU(inplace=True), KEEP),
    "channel shuffle": (shuffle, [0, 3, 1, 4, 2, 5]),
    "temporal shift": (tsm, KEEP),
    "slices put together": (lambda x: torch.cat((x[:, 4:], x[:, :4]), 1), [4, 5, 0, 1, 2, 3]),
    "flip of channels": (lambda x: x.flip(1), KEEP[::-1]),
    "index": (lambda x: x[:, [5, 4, 0, 0, 1, 2]], [5, 4, 0, 0, 1, 2]),
    "padding of channels": (lambda x: functional.pad(x[:, :4], (0, 0, 0, 0, 0, 0, 1, 1)), [-1, 0, 1, 2, 3, -1]),
    "padding of places": (lambda x: functional.pad(x, (1, 1, 1, 1)), KEEP),
    "resizing": (lambda x: functional.interpolate(x, scale_factor=2.0, mode="trilinear"), KEEP),
    "stack and sum": (lambda x: torch.stack((x, x.tanh()), 1).sum(1), KEEP),
    "frames one by one": (lambda x: torch.stack([x[:, :, t] for t in range(x.shape[2])], 2), KEEP),
    "time in the batch": (
        lambda x: x.transpose(1, 2).flatten(0, 1).unflatten(0, (len(x), -1)).transpose(1, 2),
        KEEP,
    ),
    "tokens and back": (
        lambda x: functional.layer_norm(x.flatten(2).transpose(1, 2), (6,)).transpose(1, 2).reshape(x.shape),
        KEEP,
    ),
    "gate over channels": (lambda x: x * torch.sigmoid(x.mean((2, 3, 4), keepdim=True).flip(1)), KEEP),
    "gate of the same size": (lambda x: x * torch.sigmoid(x.flip(1)), KEEP),
}


@pytest.mark.parametrize("way", PASSING)
def test_channels_are_followed_through(way):
    operation, expected = PASSING[way]
    net = Net(lambda n, x: n.last(operation(n.first(x))), first=conv(2, 6), last=conv(6, 2))
    assert fed_by(wired(net, 1, 2, 3, 4, 4), "last") == {"first": expected}


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (lambda x: torch.einsum("bcthw,cd->bdthw", x, torch.eye(6)), "mixes channels"),
        (lambda x: x.mean(1, keepdim=True).expand_as(x), "mean mixes channels"),
        (lambda x: x.cumsum(1), "cumsum mixes channels"),
        (lambda x: torch.zeros_like(x).index_put_((torch.tensor([0]),), x[0]), "index_put mixes channels"),
    ],
)
def test_where_a_connection_cannot_be_followed_the_reason_stands(operation, reason):
    net = Net(lambda n, x: n.last(operation(n.first(x))), first=conv(2, 6), last=conv(6, 2))
    layer = wired(net, 1, 2, 3, 4, 4).last("last")
    assert not layer.sources
    assert reason in "; ".join(layer.lost)


def test_a_part_that_is_overwritten_ends_the_trail():
    def forward(net, x):
        a = net.first(x).clone()
        a[:, :2] = net.other(x)
        return net.last(a)

    net = Net(forward, first=conv(2, 6), other=conv(2, 2), last=conv(6, 2))
    layer = wired(net, 1, 2, 3, 4, 4).last("last")
    assert not layer.sources
    assert layer.lost == ("a part of it is overwritten in place",)


def test_a_linear_layer_behind_a_grid_is_a_convolution_as_wide_as_the_grid():
    def forward(net, x):
        return net.fc(net.first(x).flatten(1))

    net = Net(forward, first=conv(2, 5), fc=nn.Linear(5 * 12, 4))
    wiring = wired(net, 1, 2, 3, 2, 2)
    layer = wiring.last("fc")
    assert fed_by(wiring, "fc") == {"first": [0, 1, 2, 3, 4]}
    torch.testing.assert_close(layer.kernels_JG(), net.fc.weight.detach().reshape(4, 5, 12).mean(2))
    torch.testing.assert_close(layer.mean_G, wiring.last("first").activation[0].flatten(1).mean(1))


def test_a_module_that_runs_twice_is_two_layers():
    net = Net(lambda n, x: n.last(n.same(torch.relu(n.same(x)))), same=conv(2, 2), last=conv(2, 2))
    wiring = wired(net, 1, 2, 2, 3, 3)
    assert [layer.name for layer in wiring.layers] == ["same", "same (2)", "last"]
    assert fed_by(wiring, "last") == {"same (2)": [0, 1]}


@pytest.mark.parametrize(
    ("old", "new"), [((2, 6, 3), (2, 2, 3, 3)), ((2, 6, 1, 4), (12, 4)), ((2, 6, 3), (36,)), ((1, 6), (6, 1, 1))]
)
def test_reshapes_move_numbers_as_tensors_do(old, new):
    index = torch.arange(6).reshape(1, 6, *[1] * (len(old) - 2))
    assert torch.equal(reshaped(index, old, new).expand(new), index.expand(old).reshape(new))


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "68")
@pytest.mark.parametrize("family", ["mfnet", "i3d", "slowfast", "tsm"])
def test_what_a_kernel_feeds_is_what_changes_when_it_is_changed(family):
    """The twin: a number is added to one channel a layer gives out; those of the next layer's input that change are
    those the wiring names. Only where no third layer stands between the two."""
    card = find_card(f"{family}:tiny")
    model, spec = build_model(card, 4, seed=1).eval(), card.clip
    x = torch.randn(1, spec.channels, spec.frames, spec.height, spec.width, generator=torch.Generator().manual_seed(2))
    with following(model, x) as wiring:
        model(x)
    modules = dict(model.named_modules())
    inputs = {}
    hooks = [
        modules[r.name].register_forward_pre_hook(lambda m, given, n=r.number: inputs.update({n: given[0]}))
        for r in wiring.layers
    ]
    with torch.no_grad():
        model(x)
        plain = dict(inputs)
        checked = 0
        for child in wiring.layers[1 : -1 : max(1, len(wiring.layers) // 4)]:
            axis = child.activation.ndim - 1 - (child.weight.ndim - 2)
            kernel = child.channels // 2

            def nudge(_m, _i, out, axis=axis, kernel=kernel):
                out = out.clone()
                out.select(axis, kernel).add_(torch.rand(out.select(axis, 0).shape) + 1)
                return out

            handle = modules[child.name].register_forward_hook(nudge)
            model(x)
            handle.remove()
            reach = {child.number}
            for layer in wiring.layers:
                parents = {s.layer for s in layer.sources}
                if child.number in parents and not parents & (reach - {child.number}):
                    own = next(s for s in layer.sources if s.layer == child.number)
                    named = (own.channel_G == kernel).nonzero()[:, 0].tolist()
                    where = inputs[layer.number].ndim - 1 - max(layer.weight.ndim - 2, 0)
                    change = (inputs[layer.number] - plain[layer.number]).movedim(where, 0).flatten(1).abs().sum(1)
                    assert change.nonzero()[:, 0].tolist() == named, (child.name, layer.name)
                    checked += 1
                if parents & reach:
                    reach.add(layer.number)
    for hook in hooks:
        hook.remove()
    assert checked >= 2
