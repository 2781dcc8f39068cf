import networkx as nx
import numpy as np
import pytest
import torch

from secondlook.errors import BadValue
from secondlook.explain import attention_flow
from secondlook.explain._token_chain import Chain, Layout, Part, chain_of
from tests.explain.test_attention_rollout import TRANSFORMERS, clip_for, given, matrix_of, network


def flows_of_networkx(read, layers):
    """Twin: the graph edge by edge, one maximum flow a node of the last layer."""
    graph = nx.DiGraph()
    for j, width in enumerate(read[0]):
        graph.add_edge("source", (0, j), capacity=float(width))
    for depth, layer in enumerate(layers):
        for i, row in enumerate(layer):
            for j, width in enumerate(row):
                graph.add_edge((depth, i), (depth + 1, j), capacity=float(width))
    last = layers[-1].shape[1]
    return [nx.maximum_flow_value(graph, "source", (len(layers), j)) for j in range(last)]


def random_layers(seed, depth=3, nodes=6):
    generator = np.random.default_rng(seed)
    layers = [generator.dirichlet(np.full(nodes, 0.3), size=nodes) for _ in range(depth)]
    return np.eye(nodes)[:1], [0.5 * layer + 0.5 * np.eye(nodes) for layer in layers]


@pytest.mark.parametrize("seed", range(4))
def test_flows_match_another_algorithm(seed):
    read, layers = random_layers(seed)
    if seed % 2:
        read = np.full((1, 6), 1 / 6)
    np.testing.assert_allclose(attention_flow.max_flows(read, layers), flows_of_networkx(read, layers), atol=2e-6)


def test_three_tokens_by_hand():
    """A class token and two frames, two layers: the widest that fits through, on paper."""
    first = given([[[[0.5, 0.25, 0.25], [0, 1, 0], [1, 0, 0]]]])
    second = given([[[[0.0, 0.5, 0.5], [0, 1, 0], [0, 0, 1]]]])
    layout = Layout(2, 1, 1, 1)
    chain = Chain([Part(layout, [first, second])], torch.tensor([[1.0, 0, 0]]), "class token", torch.zeros(1, 2))
    read, layers = attention_flow.capacities(chain, 48)
    np.testing.assert_allclose(layers[0], [[0.5, 0.25, 0.25], [0, 1, 0], [0, 0, 1]])
    np.testing.assert_allclose(layers[1], [[0.75, 0.125, 0.125], [0, 1, 0], [0.5, 0, 0.5]])
    # From the class token: .5 by itself, .25 by each frame. To itself .5 + .25 (frame 2 lets .5 through); to frame 1
    # .125 + .25; to frame 2 .125 + .25.
    np.testing.assert_allclose(attention_flow.max_flows(read, layers), [0.75, 0.375, 0.375], atol=1e-6)


def test_flow_is_never_narrower_than_rollout_and_never_wider_than_one():
    """Every path of the product is a way for the flow."""
    for seed in range(5):
        read, layers = random_layers(seed, depth=4)
        product = read
        for layer in layers:
            product = product @ layer
        flows = attention_flow.max_flows(read, layers)
        assert (flows >= product[0] - 1e-6).all()
        assert (flows <= 1 + 1e-6).all()


def test_blocks_are_means_over_rows_and_sums_over_columns(make_clip):
    model, card = network("timesformer:tiny", frames=4, height=16, width=24)
    chain = chain_of(model, card, clip_for(card, make_clip).x_CTHW)
    layout = chain.parts[0].layout
    grid, mean_KN, sum_NK = attention_flow.gathered(layout, 6)
    assert grid == (2, 1, 2) or np.prod(grid) <= 6
    block = {n: int(sum_NK[n].argmax()) for n in range(layout.tokens)}
    assert block[0] == 0
    assert sorted(set(block.values())) == list(range(1 + int(np.prod(grid))))
    _, layers = attention_flow.capacities(chain, 6)
    for layer, attention in zip(layers, reversed(chain.attentions), strict=True):
        full = 0.5 * matrix_of(attention, layout) + 0.5 * np.eye(layout.tokens)
        expected = np.zeros((len(mean_KN), len(mean_KN)))
        for n in range(layout.tokens):
            for m in range(layout.tokens):
                expected[block[n], block[m]] += full[n, m] / sum(b == block[n] for b in block.values())
        np.testing.assert_allclose(layer, expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(layer.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize(("name", "head"), TRANSFORMERS)
def test_every_transformer(name, head, make_clip):
    model, card = network(name, head, frames=8, height=24, width=24)
    clip = clip_for(card, make_clip)
    heat = attention_flow.explain(model, card, clip, 2)
    assert heat.heat_THW.max() == 1
    assert (heat.heat_THW >= 0).all()
    assert np.prod(heat.notes["cells"]) <= 48
    coarser = attention_flow.explain(model, card, clip, 2, cells=3)
    assert coarser.notes["grid"] == heat.notes["grid"]


def test_what_cannot_be_asked(small, make_clip):
    model, card = network("vivit:tiny", frames=4, height=16, width=16)
    clip = clip_for(card, make_clip)
    for wrong in ({"cells": 0}, {"cells": 5000}, {"heads": "median"}, {"residual": 1}):
        with pytest.raises(BadValue):
            attention_flow.explain(model, card, clip, 0, **wrong)
    assert attention_flow.unsuitable(*small)
