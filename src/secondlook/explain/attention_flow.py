"""Attention flow: how much could flow from each patch to the class token if attention weights were the widths of pipes.

Abnar, Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, section 3: tokens of all layers are the nodes of
a graph, `0.5 A_l + 0.5 I` the capacities of the edges between one layer and the next, and a patch's heat is the maximum
flow between it and what the classifier reads. Unlike rollout, which multiplies and so fades with depth, the flow is as
wide as its narrowest place. Same chain of attentions as `attention_rollout`.

Departs from the paper in two ways, for a maximum flow is needed for every patch: tokens are gathered in at most `cells`
blocks of neighbours (mean over a block's rows, sum over its columns; a token's heat is its block's flow over the number
of its tokens), and capacities are rounded to whole 10^-7.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse  # type: ignore[import-untyped]
from scipy.sparse import csgraph  # type: ignore[import-untyped]
from torch import Tensor, nn

from secondlook.cards import HeatMap, ModelCard
from secondlook.errors import BadValue
from secondlook.explain._attention import check_fuse
from secondlook.explain._hooks import explained_logit, predicted_notes
from secondlook.explain._methods import must_suit
from secondlook.explain._project import heat_map
from secondlook.explain._token_chain import Chain, Layout, chain_of, hand_down, mixed, no_chain
from secondlook.explain.attention_rollout import check_residual
from secondlook.video.transform import InputClip

Matrix = npt.NDArray[np.float64]
MOST_CELLS = 1024
_UNIT = 10**7
"""Capacities are whole numbers for the algorithm: so many make 1."""


def explain(
    model: nn.Module,
    card: ModelCard,
    clip: InputClip,
    label: int,
    *,
    cells: int = 48,
    heads: str = "mean",
    residual: float = 0.5,
) -> HeatMap:
    """Attention flow of one clip, on the grid of the tokens; needs no gradient.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`.
        card: its card.
        clip: input with its place in the source video.
        label: class index; it does not change the map.
        cells: blocks in which patch tokens are gathered, at most; time grows with the third power of it.
        heads: how the heads of an attention become one: `mean`, as in the paper, `max` or `min` (rows rescaled).
        residual: share of the residual connection, in [0, 1).

    Returns:
        Notes: `cells` (t, h, w of the blocks), `read_out` (in words), `attentions` (how many), `temporal` where the
        tokens are frames, and what was predicted.

    Raises:
        BadValue: if the network has no chain of attentions, or an option or the label cannot be.
    """
    must_suit("attention_flow", model, card)
    check_fuse(heads)
    check_residual(residual)
    if not 1 <= cells <= MOST_CELLS:
        rule = f"cells must lie in 1 to {MOST_CELLS}: each has a maximum flow through a graph of cells^2 edges a layer"
        raise BadValue(cells, rule, "48 is the usual.")
    chain = chain_of(model, card, clip.x_CTHW.to(next(model.parameters()).device))
    explained_logit(chain.logits_BK, label)
    layout = chain.parts[0].layout
    first = gathered(layout, cells)
    read, layers = capacities(chain, cells, heads, residual)
    flow_K = max_flows(read, layers)[layout.classes :]
    size_K = first.sum_NK[layout.classes :, layout.classes :].sum(0).numpy()
    of_token_N = (first.sum_NK[layout.classes :, layout.classes :].numpy() * (flow_K / size_K)).sum(1)
    return heat_map(
        of_token_N.reshape(layout.frames, layout.height, layout.width).astype(np.float32),
        clip,
        method="attention_flow",
        label=label,
        module=chain.attentions[-1].module,
        cells=list(first.grid),
        read_out=chain.read_out,
        attentions=len(chain.attentions),
        temporal=layout.places == 1,
        **predicted_notes(chain.logits_BK[0], label),
    )


def unsuitable(model: nn.Module, card: ModelCard) -> str:
    """Networks without a chain of attentions."""
    return no_chain(model, card)


class Gathered(NamedTuple):
    """Tokens in blocks; class tokens stay by themselves, before the blocks."""

    grid: tuple[int, int, int]
    mean_KN: Tensor
    """Each block's mean."""
    sum_NK: Tensor
    """Each token's block."""


def gathered(layout: Layout, cells: int) -> Gathered:
    """Blocks of neighbours, at most `cells` of them: the longest side is halved until they are so few."""
    sizes = [layout.frames, layout.height, layout.width]
    grid = list(sizes)
    while grid[0] * grid[1] * grid[2] > cells:
        longest = grid.index(max(grid))
        grid[longest] = (grid[longest] + 1) // 2
    block = [torch.arange(size) * count // size for size, count in zip(sizes, grid, strict=True)]
    of_token_N = ((block[0][:, None, None] * grid[1] + block[1][:, None]) * grid[2] + block[2]).flatten()
    count = layout.classes + grid[0] * grid[1] * grid[2]
    sum_NK = torch.zeros(layout.tokens, count)
    sum_NK[: layout.classes, : layout.classes] = torch.eye(layout.classes)
    sum_NK[torch.arange(layout.classes, layout.tokens), layout.classes + of_token_N] = 1
    return Gathered((grid[0], grid[1], grid[2]), sum_NK.T / sum_NK.sum(0)[:, None], sum_NK)


@torch.no_grad()
def capacities(chain: Chain, cells: int, heads: str = "mean", residual: float = 0.5) -> tuple[Matrix, list[Matrix]]:
    """Widths of the pipes: of what is read (one row), then of each layer from head to input; each row sums to 1.

    Between two parts of a chain lies a layer of its own, from a head's tokens to those they are means of.
    """
    blocks = [gathered(part.layout, cells) for part in chain.parts]
    layers: list[Matrix] = []
    for depth in range(len(chain.parts) - 1, -1, -1):
        layout, here = chain.parts[depth].layout, blocks[depth]
        mean_KN, sum_NK = (m.to(chain.read_1N) for m in (here.mean_KN, here.sum_NK))
        for attention in reversed(chain.parts[depth].attentions):
            layers.append(_matrix(mixed(mean_KN, attention, layout, residual, heads) @ sum_NK))
        if depth:
            below = blocks[depth - 1].sum_NK.to(chain.read_1N)
            layers.append(_matrix(hand_down(mean_KN, layout, chain.parts[depth - 1].layout) @ below))
    return _matrix(chain.read_1N @ blocks[-1].sum_NK.to(chain.read_1N)), layers


def max_flows(read_1K: Matrix, layers: list[Matrix]) -> Matrix:
    """Maximum flow from what is read to each node of the last layer, `flow_K`.

    Args:
        read_1K: capacities from the source to the nodes of the first layer.
        layers: capacities from nodes (rows) to nodes of the next (columns), from head to input.
    """
    edges, source, start = [], 0, 1
    rows, columns = np.nonzero(read_1K > 0)
    edges.append((rows + source, columns + start, read_1K[rows, columns]))
    for layer in layers:
        rows, columns = np.nonzero(layer > 0)
        edges.append((rows + start, columns + start + len(layer), layer[rows, columns]))
        start += len(layer)
    nodes = start + (layers[-1].shape[1] if layers else read_1K.shape[1])
    from_E, to_E, width_E = (np.concatenate(parts) for parts in zip(*edges, strict=True))
    whole_E = np.rint(width_E * _UNIT).astype(np.int32)
    graph = sparse.csr_matrix((whole_E, (from_E, to_E)), shape=(nodes, nodes))
    graph.eliminate_zeros()
    flows = [csgraph.maximum_flow(graph, source, sink).flow_value for sink in range(start, nodes)]
    return np.array(flows, dtype=np.float64) / _UNIT


def _matrix(x: Tensor) -> Matrix:
    return x.double().cpu().numpy()
