"""Class feature pyramids: selection and back-step by hand, the walk down hand-made networks, the method on families."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from secondlook.errors import BadValue, UnknownName
from secondlook.explain import class_feature_pyramids as cfp
from secondlook.explain._pyramid import Choice, back_step, minmax, tube
from secondlook.explain._pyramid_graph import CLASS, TOGETHER, Pyramid
from secondlook.explain.class_feature_pyramids import explain, find, layer_tubes, unsuitable
from secondlook.predict.weights import build_model, find_card
from tests.explain.conftest import SmallNetwork, card_of

ALL = torch.ones(1, 1, dtype=torch.bool)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def seeded(network, seed=1):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return network().eval()


def kernels(pyramid):
    return {layer.name: list(layer.kernels) for layer in pyramid.layers}


class TwoLayers(nn.Module):
    """`conv2(relu(conv1(x)))`, pooled, classified: 1 -> 3 -> 4 channels."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv3d(1, 3, (1, 1, 2), bias=False), nn.Conv3d(3, 4, 1, bias=False)
        self.pool, self.classifier = nn.AdaptiveAvgPool3d(1), nn.Linear(4, 2, bias=False)
        self.conv1.weight.data = torch.tensor([[1.0, 1.0], [2.0, 0.0], [0.0, 0.0]]).reshape(3, 1, 1, 1, 2)
        self.conv2.weight.data = torch.tensor(
            [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 5.0], [-1.0, 2.0, 0.0]]
        ).reshape(4, 3, 1, 1, 1)
        self.classifier.weight.data = torch.tensor([[1.0, 0.0, 0.5, -1.0], [0.0, 1.0, 0.0, 0.0]])

    def forward(self, x_BCTHW):
        return self.classifier(self.pool(self.conv2(functional.relu(self.conv1(x_BCTHW)))).flatten(1))


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "65")
def test_back_step_by_hand_on_two_layers():
    """x = (1, 3, 5): conv1 gives (4, 8), (2, 6), (0, 0), means 6, 4, 0; conv2 means 6, 4, 10, 2."""
    model, x_CTHW = TwoLayers(), torch.tensor([1.0, 3.0, 5.0]).reshape(1, 1, 1, 3)
    found = find(model, card_of("conv2"), x_CTHW, 0, Choice(mode="feature"))
    classifier, conv2 = found.wiring.last("classifier"), found.wiring.last("conv2")
    assert classifier.mean_G.tolist() == pytest.approx([6, 4, 10, 2])
    assert conv2.mean_G.tolist() == pytest.approx([6, 4, 0])
    # w_0 x means = (6, 0, 5, -2), normalised (1, 1/4, 7/8, 0); 0.6 cuts at ln 1.5 = 0.405
    level1 = found.pyramid.layer("conv2")
    assert level1.kernels == (0, 2)
    assert level1.strengths == pytest.approx([1, 0.875])
    # kernel 0: (6, 0, 0) -> (1, 0, 0); kernel 2: (6, 4, 0) -> (1, 2/3, 0)
    assert found.pyramid.parents("conv1") == {"conv2": {0: [0], 2: [0, 1]}}
    assert found.pyramid.layer("conv1").strengths == pytest.approx([1, 0.6667])
    assert found.pyramid.layer("conv1").end == "the network's input"
    # layer-wise: mean (6, 2, 0) -> (1, 1/3, 0)
    together = find(model, card_of("conv2"), x_CTHW, 0, Choice(mode="layer")).pyramid
    assert together.parents("conv1") == {"conv2": {TOGETHER: [0]}}
    assert together.parents("conv2") == {CLASS: {0: [0, 2]}}


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "65")
def test_back_step_matches_its_twin():
    weight, a_CTHW = random(5, 7, 3, 3, 3), random(7, 2, 4, 4, seed=1)
    mean_G, kernels_JG = a_CTHW.mean((1, 2, 3)), weight.mean((2, 3, 4))
    values, keep = back_step(mean_G, kernels_JG, ALL.expand(5, 7), Choice(theta=0.65, mode="feature"))
    for j in range(5):
        row = [float(np.mean(a_CTHW[i].numpy()) * np.mean(weight[j, i].numpy())) for i in range(7)]
        normalised = [(v - min(row)) / (max(row) - min(row)) for v in row]
        assert values[j].tolist() == pytest.approx(normalised, abs=1e-4)
        assert keep[j].tolist() == [1 / (1 + math.exp(-v)) - 0.65 > 0 for v in normalised]


numbers = st.lists(st.floats(-100, 100, allow_subnormal=False), min_size=2, max_size=12)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "64")
@given(numbers, st.floats(0.501, 0.73), st.floats(0.501, 0.73), st.sampled_from(["sigmoid", "minmax"]))
@settings(max_examples=60, deadline=None)
def test_a_higher_theta_keeps_a_subset(row, one, other, select):
    low, high = sorted((one, other))
    values = minmax(torch.tensor(row))
    less, more = (Choice(theta=theta, select=select).keeps(values) for theta in (high, low))
    assert not (less & ~more).any()
    assert values.min() == 0
    assert values.max() in (0, 1)


def nested(more, less):
    wider = kernels(more)
    return all(set(own) <= set(wider.get(name, ())) for name, own in kernels(less).items())


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "64")
@pytest.mark.parametrize("select", ["sigmoid", "minmax"])
def test_the_whole_feature_wise_pyramid_shrinks_as_theta_grows(small, select):
    model, card = small
    x_CTHW = random(2, 4, 8, 8)
    grown = [
        find(model, card, x_CTHW, 1, Choice(theta, 2, "feature", select)).pyramid for theta in (0.52, 0.6, 0.66, 0.72)
    ]
    for more, less in itertools.pairwise(grown):
        assert nested(more, less)
    assert sum(map(len, kernels(grown[0]).values())) > sum(map(len, kernels(grown[-1]).values()))


class Blocks(nn.Module):
    """A stem, a residual block of two convolutions, two branches of unequal length, a classifier."""

    def __init__(self):
        super().__init__()
        self.stem, self.first, self.second = nn.Conv3d(2, 5, 3, padding=1), nn.Conv3d(5, 4, 1), nn.Conv3d(4, 5, 1)
        self.short, self.long1, self.long2 = nn.Conv3d(5, 3, 1), nn.Conv3d(5, 4, 1), nn.Conv3d(4, 2, 1)
        self.classifier = nn.Linear(5, 3)

    def forward(self, x):
        a = self.stem(x).relu()
        a = (self.second(self.first(a).relu()) + a).relu()
        b = torch.cat((self.short(a), self.long2(self.long1(a).relu())), 1)
        return self.classifier(b.mean((2, 3, 4)))


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "66")
def test_indices_pass_a_skip_unchanged_and_short_branches_are_padded_with_ones():
    model = seeded(Blocks)
    pyramid = find(model, card_of("short"), random(2, 3, 4, 4), 1, Choice(0.52, 9, "feature")).pyramid
    assert {layer.name: layer.level for layer in pyramid.layers} == {
        "long2": 1, "short": 1, "long1": 2, "second": 3, "first": 4, "stem": 5,
    }  # fmt: skip
    ones = {(b.parent, b.child): b.ones for b in pyramid.bundles}
    assert ones == {
        (CLASS, "short"): 0, (CLASS, "long2"): 0, ("long2", "long1"): 0, ("long1", "second"): 0, ("short", "second"): 1,
        ("second", "first"): 0, ("first", "stem"): 0, ("long1", "stem"): 2, ("short", "stem"): 3,
    }  # fmt: skip
    for parent in ("short", "long1"):  # what they chose is the same channel of the sum, so of both its ways
        assert pyramid.parents("second")[parent] == pyramid.parents("stem")[parent]
    assert set(pyramid.layer("second").kernels) <= set(pyramid.layer("stem").kernels)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "66")
def test_padding_with_ones_is_what_identity_convolutions_would_do():
    """The skip and the short branch, written out with one-valued kernels (each passes its own channel)."""
    model = seeded(Blocks)

    class Padded(Blocks):
        def __init__(self):
            super().__init__()
            for name, width in (("one_a", 5), ("one_b", 5), ("one_c", 3)):
                one = nn.Conv3d(width, width, 1, groups=width, bias=False)
                one.weight.data.fill_(1)
                self.add_module(name, one)

        def forward(self, x):
            a = self.stem(x).relu()
            a = (self.second(self.first(a).relu()) + self.one_b(self.one_a(a))).relu()
            b = torch.cat((self.one_c(self.short(a)), self.long2(self.long1(a).relu())), 1)
            return self.classifier(b.mean((2, 3, 4)))

    padded = seeded(Padded)
    padded.load_state_dict(model.state_dict(), strict=False)
    x_CTHW = random(2, 3, 4, 4)
    for theta in (0.52, 0.6, 0.68):
        one, other = (
            find(m, card_of("short"), x_CTHW, 1, Choice(theta, 9, "feature")).pyramid for m in (model, padded)
        )
        own = kernels(other)
        assert {name: own.get(name) for name in kernels(one)} == kernels(one)
        assert {n: other.layer(n).level for n in ("short", "second", "stem")} == {"short": 2, "second": 3, "stem": 5}


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "66")
def test_channels_outside_a_group_are_never_chosen():
    mean_G = torch.tensor([1.0, 2.0, 3.0, 4.0])
    inflated = torch.tensor([[-1.0, -2.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]])
    connected = inflated != 0
    values, keep = back_step(mean_G, inflated, connected, Choice(mode="feature"))
    assert values[0].tolist() == pytest.approx([0.75, 0, 1, 1])  # the zeros take part in the normalisation
    assert keep.tolist() == [[True, False, False, False], [False, False, True, False]]
    alone = torch.eye(4, dtype=torch.bool)
    _, keep = back_step(mean_G, -torch.eye(4), alone, Choice(mode="feature"))
    assert torch.equal(keep, alone)  # depth-wise: nothing to choose


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "67")
def test_modes_depth_and_timing(small, make_clip):
    model, card = small
    clip = make_clip(random(2, 4, 8, 8))
    for mode in ("layer", "feature"):
        heats = [explain(model, card, clip, 1, depth=depth, mode=mode, theta=0.55) for depth in (1, 2, 5)]
        assert [heat.notes["layers"] for heat in heats] == [["conv2"], ["conv2", "conv1"], ["conv2", "conv1"]]
        assert [heat.module for heat in heats] == ["conv2", "conv1", "conv1"]
        assert all(heat.notes["back_step_ms"] > 0 and heat.notes["forward_ms"] > 0 for heat in heats)
        ends = [Pyramid.from_dict(heat.notes["pyramid"]).layers[-1].end for heat in heats]
        assert ends == ["depth 1 is reached", "the network's input", "the network's input"]
    feature = Pyramid.from_dict(explain(model, card, clip, 1, mode="feature", theta=0.55).notes["pyramid"])
    layer = Pyramid.from_dict(explain(model, card, clip, 1, mode="layer", theta=0.55).notes["pyramid"])
    assert set(layer.parents("conv1")["conv2"]) == {TOGETHER}
    assert set(feature.parents("conv1")["conv2"]) <= set(feature.layer("conv2").kernels)
    children = [i for own in feature.parents("conv1")["conv2"].values() for i in own]
    assert len(children) > len(set(children))  # each kernel on its own: indices come twice
    assert len(layer.parents("conv1")["conv2"][TOGETHER]) == len(layer.layer("conv1").kernels)


def test_top_keeps_the_strongest(small):
    model, card = small
    x_CTHW = random(2, 4, 8, 8)
    everything = find(model, card, x_CTHW, 1, Choice(0.51, 2, "feature")).pyramid
    some = find(model, card, x_CTHW, 1, Choice(0.51, 2, "feature", top=2)).pyramid
    level1 = everything.layer("conv2")
    strongest = sorted(zip(level1.strengths, level1.kernels, strict=True), reverse=True)[:2]
    assert sorted(some.layer("conv2").kernels) == sorted(j for _, j in strongest)
    assert all(len(layer.kernels) <= 2 for layer in some.layers)
    assert all(set(b.child_kernels) <= set(some.layer(b.child).kernels) for b in some.bundles)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "68")
@pytest.mark.parametrize(
    ("family", "mode"),
    [
        *((family, "layer") for family in ("r3d", "r2plus1d", "mtnet", "csn", "mfnet", "i3d", "tsm")),
        *((family, "feature") for family in ("r3d", "mtnet", "csn", "s3d")),
    ],
)
def test_families(family, mode, make_clip):
    card = find_card(f"{family}:tiny")
    model, spec = build_model(card, 4, seed=1), card.clip
    clip = make_clip(random(spec.channels, spec.frames, spec.height, spec.width, seed=2), 90, 120)
    heat = explain(model, card, clip, 2, mode=mode, theta=0.55)
    pyramid = Pyramid.from_dict(heat.notes["pyramid"])
    assert pyramid.start == "weights"
    assert {layer.level for layer in pyramid.layers} >= {1, 3}
    assert all(layer.level <= 3 for layer in pyramid.layers)
    assert heat.heat_THW.max() == 1
    names = [name for name, _ in model.named_modules()]
    for layer in pyramid.layers:
        assert layer.name in names
        assert max(layer.kernels) < layer.channels
        parents = pyramid.parents(layer.name)
        assert {i for own in parents.values() for found in own.values() for i in found} == set(layer.kernels)
        for parent, own in parents.items():
            assert parent == CLASS or set(own) <= {TOGETHER, *pyramid.layer(parent).kernels}


def test_factorised_pairs_are_two_layers_and_folded_time_is_unfolded():
    card = find_card("r2plus1d:tiny")
    x = random(card.clip.channels, card.clip.frames, card.clip.height, card.clip.width)
    pyramid = find(build_model(card, 4, seed=1), card, x, 1).pyramid
    pair = [
        next(n.name.rpartition(".")[2] for n in pyramid.layers if n.level == level and "conv2" in n.name)
        for level in (1, 2)
    ]
    assert pair == ["temporal", "spatial"]
    card = find_card("tsm:tiny")
    x = random(card.clip.channels, card.clip.frames, card.clip.height, card.clip.width)
    found = find(build_model(card, 4, seed=1), card, x, 1)
    assert all(len(heat_thw) == card.clip.frames for heat_thw in layer_tubes(found).values())


def test_the_tube_is_the_sum_of_squared_normalised_maps(make_clip):
    a_Cthw = torch.tensor([[0.0, 2.0, 1.0, 2.0], [3.0, 3.0, 3.0, 3.0], [4.0, 0.0, 2.0, 1.0]]).reshape(3, 1, 2, 2)
    expected = torch.tensor([1.0, 1.0, 0.25 + 0.25, 1 + 1 / 16]).reshape(1, 2, 2)
    torch.testing.assert_close(tube(a_Cthw, [0, 1, 2]), expected)  # the constant one adds nothing
    model, x_CTHW = TwoLayers(), torch.tensor([1.0, 3.0, 5.0]).reshape(1, 1, 1, 3)
    heat = explain(model, card_of("conv2", frames=1), make_clip(x_CTHW), 0, show="conv2")
    assert heat.module == "conv2"
    assert heat.notes["grid"] == [1, 1, 2]
    assert heat.notes["scale"] == pytest.approx(2)  # both chosen kernels fire on the right


def test_a_head_of_pooling_and_a_linear_layer_starts_alike_from_weights_and_from_the_gradient(small):
    model, card = small
    x_CTHW = random(2, 4, 8, 8)
    weights = find(model, card, x_CTHW, 1).pyramid

    class Hidden(SmallNetwork):
        def forward(self, x_BCTHW):
            features = self.act2(self.norm(self.conv2(self.act1(self.conv1(x_BCTHW)))))
            return torch.einsum("bc,kc->bk", features.mean((2, 3, 4)), self.classifier.weight) + self.classifier.bias

    hidden = seeded(Hidden)
    hidden.load_state_dict(model.state_dict())
    gradient = find(hidden, card, x_CTHW, 1).pyramid
    assert (weights.start, gradient.start) == ("weights", "gradient")
    assert kernels(weights) == kernels(gradient)


def test_equation_to_the_letter_as_an_option(small):
    model, card = small
    x_CTHW = random(2, 4, 8, 8)
    found = find(model, card, x_CTHW, 1, Choice(0.51, 1), association="maps")
    with torch.no_grad():
        a = model.act2(model.norm(model.conv2(model.act1(model.conv1(x_CTHW[None])))))[0]
    value = minmax(minmax((model.classifier.weight[1][:, None] * a.flatten(1)).detach()).mean(1))
    expected = (value > math.log(0.51 / 0.49)).nonzero()[:, 0].tolist()
    assert kernels(found.pyramid) == {"conv2": expected}


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "99")
@pytest.mark.parametrize("theta", [0.5, 0.4, 0.74, 0.9, float("nan")])
def test_theta_outside_what_a_sigmoid_can_give_is_refused(small, make_clip, theta):
    model, card = small
    with pytest.raises(BadValue, match=r"between 0\.5 and 0\.731.*select=minmax"):
        explain(model, card, make_clip(random(2, 4, 8, 8)), 0, theta=theta)


def test_bad_wishes_are_explained(small, make_clip):
    model, card = small
    clip = make_clip(random(2, 4, 8, 8))
    for options, rule in (
        ({"theta": 1.2, "select": "minmax"}, "must lie in"),
        ({"select": "softmax"}, "sigmoid, minmax"),
        ({"mode": "kernel"}, "layer, feature"),
        ({"depth": 0}, "at least 1"),
        ({"top": -1}, "at least 0"),
        ({"association": "sums"}, "means, maps"),
    ):
        with pytest.raises(BadValue, match=rule):
            explain(model, card, clip, 0, **options)
    with pytest.raises(BadValue, match="from 0 to 2"):
        explain(model, card, clip, 3)
    with pytest.raises(UnknownName, match="conv2"):
        explain(model, card, clip, 0, show="conv9")
    assert explain(model, card, clip, 0, theta=1.0, select="minmax", top=1).notes["pyramid"]["top"] == 1


def test_networks_without_convolution_stages_are_unsuitable():
    card = find_card("vivit:tiny")
    assert "no convolution stages" in unsuitable(build_model(card, 4), card)
    card = find_card("r3d:tiny")
    assert unsuitable(build_model(card, 4), card) == ""


def test_a_network_that_cannot_be_followed_says_so(make_clip):
    class Closed(SmallNetwork):
        def forward(self, x_BCTHW):
            return x_BCTHW.flatten(1)[:, :3]

    with pytest.raises(BadValue, match="no convolution can be followed"):
        explain(Closed(), card_of("act2"), make_clip(random(2, 4, 8, 8)), 0)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "63")
def test_notes_are_json_and_survive_the_file(small, make_clip, tmp_path):
    model, card = small
    heat = explain(model, card, make_clip(random(2, 4, 8, 8)), 1, mode="feature")
    heat.save(tmp_path / "heat.npz")
    again = Pyramid.from_dict(type(heat).load(tmp_path / "heat.npz").notes["pyramid"])
    assert again == Pyramid.from_dict(json.loads(json.dumps(heat.notes["pyramid"])))
    assert [layer.name for layer in again.layers] == heat.notes["layers"]
    assert cfp.shown(again) == heat.module
