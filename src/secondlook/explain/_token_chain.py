"""How a network's attentions follow one another over its tokens, from what the logits are read from down to the clip.

A *chain* has one part or two: the blocks of a network of tokens, and the encoder of a late temporal head; the tokens of
the second are means over places of the first. Each part has T x h x w patch tokens and C class tokens: none, one a
clip, or one a frame (attention over space only). Everywhere here they lie as C class tokens, then the patch tokens
frame by frame, whatever their order in the network.

One attention is, on all these tokens, a matrix `A` whose rows sum to 1:

* joint attention: its softmax weights, the mean over heads;
* along time, at each place p: `A[(t, p), (s, q)] = [p = q] a_p[t, s]` (Kronecker structure); class tokens keep to
  themselves;
* over the places of each frame t: `A[(t, p), (s, q)] = [t = s] a_t[p, q]`. A class token of the clip takes part in
  every frame, and its row is the mean of what it does in each (as TimeSformer averages it).

Divided attention is the product of the last two. They are never written down: a row vector is multiplied by them.

Shapes: R rows, N tokens, C class tokens, T frames, P places of the tokens' grid; B = 1 clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook.cards import ModelCard
from secondlook.errors import BadValue
from secondlook.explain._attention import Attention, attending
from secondlook.explain._hooks import find_module, logits_of
from secondlook.heads.bert import BertHead
from secondlook.heads.transformer import TransformerHead
from secondlook.layers.token_grid import TokenGrid


class Layout(NamedTuple):
    """How many tokens there are, and in which order the network has the patch tokens (`TokenGrid`)."""

    frames: int
    height: int
    width: int
    classes: int = 0
    """Class tokens: 0, 1, or one a frame."""
    order: str = "THW"

    @property
    def places(self) -> int:
        """P."""
        return self.height * self.width

    @property
    def patches(self) -> int:
        """Patch tokens."""
        return self.frames * self.places

    @property
    def tokens(self) -> int:
        """N."""
        return self.classes + self.patches


@dataclass(frozen=True)
class Part:
    """Attentions over one set of tokens, from input to head."""

    layout: Layout
    attentions: Sequence[Attention]


@dataclass(frozen=True)
class Chain:
    """Every attention between the clip and the logits."""

    parts: Sequence[Part]
    """From input to head."""
    read_1N: Tensor
    """How much of each token of the last part the classifier reads; sums to 1."""
    read_out: str
    """The same in words: `class token`, `mean of the tokens` or `learned query`."""
    logits_BK: Tensor

    @property
    def attentions(self) -> list[Attention]:
        """Of all parts, from input to head."""
        return [attention for part in self.parts for attention in part.attentions]


def chain_of(model: nn.Module, card: ModelCard, x_CTHW: Tensor) -> Chain:
    """Runs a network once and finds its chain; see `no_chain` for which networks have one.

    Raises:
        BadValue: if an attention does not fit the grid of tokens that the card's last stage shows.
    """
    head_name, head = next(iter(_encoder_heads(model).items()), ("", None))
    stage = card.explain.stages[-1].module if card.explain.stages else ""
    grids: list[tuple[int, ...]] = []

    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        grids.append(tuple(output.shape[2:]))

    with attending(model) as attentions, torch.no_grad():
        handle = find_module(model, stage).register_forward_hook(keep) if stage else None
        try:
            logits_BK = logits_of(model, x_CTHW[None])
        finally:
            if handle is not None:
                handle.remove()
    of_head = [a for a in attentions if head is not None and a.module.startswith(f"{head_name}.encoder.".lstrip("."))]
    parts: list[Part] = []
    read: Tensor | None = None
    words = ""
    if _has_blocks(model, card):
        rest = [a for a in attentions if a not in of_head]
        frames, height, width = grids[-1]
        order = str(getattr(find_module(model, stage), "order", "THW"))
        blocks = [a for a in rest if a.shape[2] == a.shape[3]]
        layout = Layout(frames, height, width, 0, order)
        layout = layout._replace(classes=_classes(blocks, layout))
        parts.append(Part(layout, blocks))
        probes = [a for a in rest if a.shape[2] != a.shape[3]]
        read, words = _read_of_blocks(model, layout, probes, x_CTHW)
    if head is not None:
        grid = (head.frames, 1, 1) if isinstance(head, BertHead) else head.pool.grid
        has_class_token = head.embed.class_token is not None
        layout = Layout(*_three(grid), int(has_class_token))
        parts.append(Part(layout, of_head))
        read, words = _read(layout, has_class_token, x_CTHW)
    assert read is not None, "no_chain was not asked"
    for part in parts:
        for attention in part.attentions:
            kind_of(attention, part.layout)
    return Chain(parts, read, words, logits_BK)


def no_chain(model: nn.Module, card: ModelCard) -> str:
    """Why a network has no chain, in words; empty where it has one. Reads structure only."""
    heads = _encoder_heads(model)
    if len(heads) > 1:
        return f"it has {len(heads)} encoders beside each other ({', '.join(heads)}), not one chain of attentions"
    if heads or _has_blocks(model, card):
        return ""
    return "it has no tokens that look at each other, layer after layer, up to what the logits are read from"


def kind_of(attention: Attention, layout: Layout) -> str:
    """Which tokens see each other in it: `all`, `time` (at each place) or `space` (in each frame).

    What the module says of itself counts (`attends`); where it says nothing, shapes tell.

    Raises:
        BadValue: if its shape fits none of them.
    """
    groups, _, queries, _ = attention.shape
    fits = {
        "all": groups == 1 and queries == layout.tokens,
        "time": groups == layout.places and queries == layout.frames,
        "space": groups == layout.frames and queries - layout.places in (0, min(layout.classes, 1)),
    }
    if fits.get(attention.attends):
        return attention.attends
    possible = [kind for kind, does in fits.items() if does]
    if not possible:
        size = " x ".join(str(n) for n in (layout.frames, layout.height, layout.width))
        rule = f"its attention ({groups} groups of {queries} tokens) does not fit a grid of {size} tokens"
        raise BadValue(attention.module, rule)
    return possible[0]


def look(rows_RN: Tensor, attention: Attention, layout: Layout, fuse: str = "mean") -> Tensor:
    """`rows A`: from how much of each token is asked for after an attention to how much of each before it."""
    class_RC, patch_RTP = _split(rows_RN, layout)
    kind = kind_of(attention, layout)
    if kind == "all":
        ordered = patch_RTP.transpose(1, 2) if layout.order == "HWT" else patch_RTP
        seen_RN = attention.times(torch.cat([class_RC, ordered.flatten(1)], 1)[:, None], fuse)[:, 0]
        patch_RN = seen_RN[:, layout.classes :]
        if layout.order == "HWT":
            patch_RN = patch_RN.reshape(-1, layout.places, layout.frames).transpose(1, 2).flatten(1)
        return torch.cat([seen_RN[:, : layout.classes], patch_RN], 1)
    if kind == "time":
        patch_RPT = attention.times(patch_RTP.transpose(1, 2), fuse)
        return torch.cat([class_RC, patch_RPT.transpose(1, 2).flatten(1)], 1)
    if attention.shape[2] == layout.places:
        return torch.cat([class_RC, attention.times(patch_RTP, fuse).flatten(1)], 1)
    of_frames_RT = class_RC if layout.classes == layout.frames else class_RC.expand(-1, layout.frames) / layout.frames
    seen_RTN = attention.times(torch.cat([of_frames_RT[:, :, None], patch_RTP], 2), fuse)
    of_frames_RT = seen_RTN[:, :, 0]
    class_RC = of_frames_RT if layout.classes == layout.frames else of_frames_RT.sum(1, keepdim=True)
    return torch.cat([class_RC, seen_RTN[:, :, 1:].flatten(1)], 1)


def mixed(rows_RN: Tensor, attention: Attention, layout: Layout, residual: float, fuse: str = "mean") -> Tensor:
    """`rows (residual I + (1 - residual) A)`: attention with the residual connection around it."""
    return residual * rows_RN + (1 - residual) * look(rows_RN, attention, layout, fuse)


def hand_down(rows_RN: Tensor, upper: Layout, lower: Layout) -> Tensor:
    """From tokens of a head to the tokens they are means of. A head's class token is learned: its share is dropped."""
    _, patch_RTP = _split(rows_RN, upper)
    rows = patch_RTP.reshape(-1, upper.frames, upper.height, upper.width)
    for axis, size in enumerate((lower.frames, lower.height, lower.width), start=1):
        rows = _spread(rows, axis, size)
    return torch.cat([rows_RN.new_zeros((len(rows_RN), lower.classes)), rows.flatten(1)], 1)


def _spread(rows: Tensor, axis: int, size: int) -> Tensor:
    """Undoes an adaptive mean along an axis: what is asked of a mean is asked of its cells in equal parts."""
    means_uv = functional.adaptive_avg_pool1d(torch.eye(size, dtype=rows.dtype)[None], rows.shape[axis])[0].T
    spread: Tensor = torch.tensordot(rows.movedim(axis, -1), means_uv.to(rows.device), dims=1).movedim(-1, axis)
    return spread


def _split(rows_RN: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    patches = rows_RN[:, layout.classes :].reshape(-1, layout.frames, layout.places)
    return rows_RN[:, : layout.classes], patches


def _three(grid: Sequence[int | None]) -> tuple[int, int, int]:
    time, height, width = (int(n or 1) for n in grid)
    return time, height, width


def _classes(blocks: Sequence[Attention], layout: Layout) -> int:
    """C: tokens that are beyond the grid. Frames that lie in the batch have one each."""
    most = 0
    for groups, _, queries, _ in (a.shape for a in blocks):
        if groups == 1 and queries == layout.patches + 1:
            most = max(most, 1)
        elif groups == layout.frames and queries == layout.places + 1:
            most = max(most, layout.frames if layout.order == "HW" else 1)
    return most


def _read_of_blocks(model: nn.Module, layout: Layout, probes: Sequence[Attention], like: Tensor) -> tuple[Tensor, str]:
    if probes:
        weights_1N = probes[-1].weights().mean((0, 1, 2))[None].to(like.device, torch.float32)
        if weights_1N.shape[1] != layout.patches:
            raise BadValue(probes[-1].module, f"looks at {weights_1N.shape[1]} tokens of {layout.patches}")
        return torch.cat([weights_1N.new_zeros((1, layout.classes)), weights_1N], 1), "learned query"
    return _read(layout, bool(getattr(model, "reads_class_token", layout.classes > 0)), like)


def _read(layout: Layout, class_token: bool, like: Tensor) -> tuple[Tensor, str]:
    read_1N = torch.zeros((1, layout.tokens), device=like.device)
    if class_token:
        read_1N[:, : layout.classes] = 1 / layout.classes
        return read_1N, "class token"
    read_1N[:, layout.classes :] = 1 / layout.patches
    return read_1N, "mean of the tokens"


def _encoder_heads(model: nn.Module) -> dict[str, BertHead | TransformerHead]:
    return {name: m for name, m in model.named_modules() if isinstance(m, BertHead | TransformerHead)}


def _has_blocks(model: nn.Module, card: ModelCard) -> bool:
    """The card's last stage shows tokens: it is their grid, or a block with attention over time or space in it."""
    modules = dict(model.named_modules())
    stage = modules.get(card.explain.stages[-1].module) if card.explain.stages else None
    if stage is None:
        return False
    return isinstance(stage, TokenGrid) or any(getattr(m, "attends", "") in ("time", "space") for m in stage.modules())
