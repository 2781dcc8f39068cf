"""Which frames a BERT head looks at: the attention of its read token, over time only.

`a_t = mean over heads of softmax(q k' / sqrt(d))[read, t]` of the encoder's last layer, read being the class token, or
the mean over all tokens where there is none (Kalfaoglu, Kalkan, Alatan, ECCV Workshops 2020; `late-temporal-bert`,
section 1.19). What the class token looks at in itself is left out; the note `class_token` has its share. Attention says
what is read, not for which class: the map is the same for every class.
"""

from __future__ import annotations

import torch
from torch import nn

from secondlook.cards import HeatMap, ModelCard
from secondlook.errors import BadValue, UnknownName
from secondlook.explain._attention import attending
from secondlook.explain._hooks import explained_logit, logits_of, predicted_notes
from secondlook.explain._methods import must_suit
from secondlook.explain._project import heat_map
from secondlook.heads.bert import BertHead
from secondlook.video.transform import InputClip


def explain(
    model: nn.Module, card: ModelCard, clip: InputClip, label: int, *, head: str = "", encoder_layer: int = -1
) -> HeatMap:
    """Attention over frames, on a grid `t x 1 x 1`; needs no gradient.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`, with a BERT head at any depth.
        card: its card.
        clip: input with its place in the source video.
        label: class index; it does not change the map.
        head: dotted name of the BERT head, where there are several (one a pathway); empty: the first.
        encoder_layer: which of the head's layers; -1 is the last.

    Returns:
        Notes: `heads` (weights of each attention head, H x t), `class_token` (what the class token gives itself, 0
        without one), `bert_heads` (names of all), `temporal`, and what was predicted.

    Raises:
        BadValue: if there is no BERT head, no such layer, or the label is no class of the network.
        UnknownName: if there is no BERT head of that name.
    """
    must_suit("head_attention", model, card)
    found = bert_heads(model)
    if head and head not in found:
        raise UnknownName("BERT head", head, found)
    name = head or next(iter(found))
    bert = found[name]
    layers = len(bert.encoder.layers)
    if not -layers <= encoder_layer < layers:
        raise BadValue(encoder_layer, f"this head's layers are counted from 0 to {layers - 1}", "-1 is the last.")
    device = next(model.parameters()).device
    with attending(model) as attentions, torch.no_grad():
        logits_BK = logits_of(model, clip.x_CTHW.to(device)[None])
        explained_logit(logits_BK, label)
    own = [a for a in attentions if a.module.startswith(f"{name}.encoder.")]
    weights_HNN = own[encoder_layer].weights()[0].float()
    has_class_token = bert.embed.class_token is not None
    rows_HN = weights_HNN[:, 0] if has_class_token else weights_HNN.mean(1)
    frames_HT = rows_HN[:, -bert.frames :]
    return heat_map(
        frames_HT.mean(0).cpu().numpy()[:, None, None],
        clip,
        method="head_attention",
        label=label,
        module=own[encoder_layer].module,
        temporal=True,
        heads=frames_HT.tolist(),
        class_token=float(rows_HN[:, 0].mean()) if has_class_token else 0.0,
        bert_heads=list(found),
        **predicted_notes(logits_BK[0], label),
    )


def unsuitable(model: nn.Module, card: ModelCard) -> str:
    """Networks without a BERT head have no read token."""
    return "" if bert_heads(model) else "it has no BERT head, whose attention over frames this shows"


def bert_heads(model: nn.Module) -> dict[str, BertHead]:
    """Every BERT head of a network, by its dotted name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, BertHead)}
