"""Attention rollout: how much of each patch reaches the class token if information only moves along attention.

Abnar, Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, section 3: with `A_l` the mean over heads of a
layer's weights,

    R = (0.5 A_L + 0.5 I) ... (0.5 A_2 + 0.5 I) (0.5 A_1 + 0.5 I)

and the row of what the classifier reads is shown: that of the class token; the mean of all rows where the logits are
read from the mean of the tokens; the learned query's weights times R where a query reads them. Every row sums to 1,
so the map and the class token's own share (note `class_token`) do too. Divided attention has two matrices a layer,
along time and over space, each with its residual connection (`_token_chain`). Under a head with an encoder (BERT, ...)
the product goes on through the network's blocks if they are attentions, and stops at the head's grid if they are
convolutions. It is the same for every class, and knows neither values nor what lies between the attentions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from secondlook.cards import HeatMap, ModelCard
from secondlook.errors import BadValue
from secondlook.explain._attention import check_fuse
from secondlook.explain._hooks import explained_logit, predicted_notes
from secondlook.explain._methods import must_suit
from secondlook.explain._project import heat_map
from secondlook.explain._token_chain import Chain, chain_of, hand_down, mixed, no_chain
from secondlook.video.transform import InputClip


def explain(
    model: nn.Module,
    card: ModelCard,
    clip: InputClip,
    label: int,
    *,
    heads: str = "mean",
    residual: float = 0.5,
) -> HeatMap:
    """Attention rollout of one clip, on the grid of the tokens; needs no gradient.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`.
        card: its card.
        clip: input with its place in the source video.
        label: class index; it does not change the map.
        heads: how the heads of an attention become one: `mean`, as in the paper, `max` or `min` (rows rescaled).
        residual: share of the residual connection, in [0, 1).

    Returns:
        Notes: `read_out` (in words), `attentions` (how many), `class_token` (what stays with class tokens), `temporal`
        where the tokens are frames, and what was predicted.

    Raises:
        BadValue: if the network has no chain of attentions, or an option or the label cannot be.
    """
    must_suit("attention_rollout", model, card)
    check_fuse(heads)
    check_residual(residual)
    chain = chain_of(model, card, clip.x_CTHW.to(next(model.parameters()).device))
    explained_logit(chain.logits_BK, label)
    layout = chain.parts[0].layout
    rows_1N = rollout(chain, heads, residual)
    heat_thw = rows_1N[0, layout.classes :].reshape(layout.frames, layout.height, layout.width)
    return heat_map(
        heat_thw.cpu().numpy(),
        clip,
        method="attention_rollout",
        label=label,
        module=chain.attentions[-1].module,
        read_out=chain.read_out,
        attentions=len(chain.attentions),
        class_token=float(rows_1N[0, : layout.classes].sum()),
        temporal=layout.places == 1,
        **predicted_notes(chain.logits_BK[0], label),
    )


def unsuitable(model: nn.Module, card: ModelCard) -> str:
    """Networks without a chain of attentions."""
    return no_chain(model, card)


@torch.no_grad()
def rollout(chain: Chain, heads: str = "mean", residual: float = 0.5) -> Tensor:
    """`read R`: how much of each token of the first part is read, `rows_1N`; one row vector, from the top down."""
    rows_1N = chain.read_1N
    for depth in range(len(chain.parts) - 1, -1, -1):
        layout = chain.parts[depth].layout
        for attention in reversed(chain.parts[depth].attentions):
            rows_1N = mixed(rows_1N, attention, layout, residual, heads)
        if depth:
            rows_1N = hand_down(rows_1N, layout, chain.parts[depth - 1].layout)
    return rows_1N


def check_residual(residual: float) -> None:
    """Refuses a share that is none, or that leaves no attention.

    Raises:
        BadValue: if it is not in [0, 1).
    """
    if isinstance(residual, bool) or not 0 <= residual < 1:
        raise BadValue(residual, "the share of the residual connection must lie in [0, 1)", "The paper takes 0.5.")
