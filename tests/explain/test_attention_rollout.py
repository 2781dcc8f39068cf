import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.overrides import _get_current_function_mode

from secondlook.cards import ExplainPoint, ExplainPoints
from secondlook.errors import BadValue
from secondlook.explain import attention_rollout
from secondlook.explain._attention import Attention, attending, fused
from secondlook.explain._token_chain import Chain, Layout, Part, chain_of, hand_down, kind_of, look
from secondlook.layers.token_grid import TokenGrid
from secondlook.models import timesformer
from secondlook.predict.weights import build_model, find_card, with_clip
from tests.explain.conftest import card_of

TRANSFORMERS = (
    ("timesformer:tiny", ""),
    ("videomae:tiny", ""),
    ("videomae:tiny", "bert"),
    ("vivit:tiny", ""),
    ("vivit:tiny", "average"),
    ("vjepa2:tiny", ""),
    ("conv_timesformer:tiny", ""),
    ("resnet_transformer:tiny", ""),
    ("resnet_transformer:tiny-2d", ""),
    ("resnet3d:tiny", "bert"),
)


def network(name, head="", **wishes):
    card = replace(with_clip(find_card(name), **wishes), head=head)
    return build_model(card, 4, seed=1), card


def clip_for(card, make_clip, seed=2):
    spec = card.clip
    shape = (spec.channels, spec.frames, spec.height, spec.width)
    return make_clip(torch.randn(shape, generator=torch.Generator().manual_seed(seed)))


def given(weights, attends="", module="hand"):
    """An attention that has these weights, M x H x Q x K."""
    weights = torch.as_tensor(weights, dtype=torch.float32)
    return Attention(module, attends, tuple(weights.shape), lambda a, b: weights[:, :, a:b])


def test_three_tokens_by_hand():
    """A class token and two frames, two layers, worked out on paper."""
    first = given([[[[0.5, 0.25, 0.25], [0, 1, 0], [1, 0, 0]]]])
    second = given([[[[0.0, 0.5, 0.5], [0, 1, 0], [0, 0, 1]]]])
    layout = Layout(2, 1, 1, 1)
    chain = Chain([Part(layout, [first, second])], torch.tensor([[1.0, 0, 0]]), "class token", torch.zeros(1, 2))
    # After the second layer: 0.5 [0 .5 .5] + 0.5 [1 0 0] = [.5 .25 .25]. Rows of 0.5 A + 0.5 I of the first layer are
    # [.75 .125 .125], [0 1 0], [.5 0 .5]; .5 of the one, .25 of the others: [.375 + .125, .0625 + .25, .0625 + .125].
    torch.testing.assert_close(attention_rollout.rollout(chain), torch.tensor([[0.5, 0.3125, 0.1875]]))
    # Without residual connections: [0 .5 .5] A_1 = [.5 .5 0].
    torch.testing.assert_close(attention_rollout.rollout(chain, residual=0), torch.tensor([[0.5, 0.5, 0.0]]))


def test_heads_are_fused_as_asked():
    attention = given([[[[1.0, 0, 0]] * 3, [[0, 0.25, 0.75]] * 3]])
    rows = torch.tensor([[[1.0, 0, 0]]])
    torch.testing.assert_close(attention.times(rows)[0, 0], torch.tensor([0.5, 0.125, 0.375]))
    torch.testing.assert_close(attention.times(rows, "max")[0, 0], torch.tensor([0.5, 0.125, 0.375]))
    torch.testing.assert_close(
        fused(torch.tensor([[[[0.5, 0.5]], [[0.2, 0.8]]]]), "min")[0, 0], torch.tensor([2 / 7, 5 / 7])
    )
    with pytest.raises(BadValue, match="mean, max, min"):
        attention.times(rows, "median")


def matrix_of(attention, layout):
    """Twin: the whole N x N matrix, written cell by cell from what the attentions mean."""
    a = attention.weights().mean(1).double().numpy()
    frames, places, classes = layout.frames, layout.places, layout.classes
    full = np.zeros((layout.tokens, layout.tokens))
    at = lambda t, p: classes + t * places + p  # noqa: E731
    kind = kind_of(attention, layout)
    if kind == "all":
        place = [*range(classes)]
        if layout.order == "HWT":
            place += [at(t, p) for p in range(places) for t in range(frames)]
        else:
            place += [at(t, p) for t in range(frames) for p in range(places)]
        for i, n in enumerate(place):
            for j, m in enumerate(place):
                full[n, m] = a[0, i, j]
        return full
    if kind == "time":
        full[:classes, :classes] = np.eye(classes)
        for p in range(places):
            for t in range(frames):
                for s in range(frames):
                    full[at(t, p), at(s, p)] = a[p, t, s]
        return full
    own = a.shape[1] - places
    if not own:
        full[:classes, :classes] = np.eye(classes)
    for t in range(frames):
        c = t if classes == frames else 0
        share = 1 if classes == frames else 1 / frames
        for p in range(places):
            for q in range(places):
                full[at(t, p), at(t, q)] = a[t, own + p, own + q]
            if own:
                full[at(t, p), c] = a[t, 1 + p, 0]
                full[c, at(t, p)] = share * a[t, 0, 1 + p]
        if own:
            full[c, c] += share * a[t, 0, 0]
    return full


def rolled(chain):
    """Twin of a chain of one part: the product of whole matrices."""
    layout = chain.parts[0].layout
    product = np.eye(layout.tokens)
    for attention in chain.attentions:
        product = (0.5 * matrix_of(attention, layout) + 0.5 * np.eye(layout.tokens)) @ product
    return chain.read_1N.double().numpy() @ product


@pytest.mark.parametrize("name", ["divided", "joint", "space", "convolved", "tubelets", "probe", "frames"])
def test_rollout_matches_the_product_of_whole_matrices(name, make_clip):
    """Every way in which tokens lie: class token of the clip, one a frame, none; place by place, frame by frame."""
    model_name = {
        "convolved": "conv_timesformer:tiny", "tubelets": "vivit:tiny", "probe": "vjepa2:tiny",
        "frames": "resnet_transformer:tiny-2d",
    }.get(name, "timesformer:tiny")  # fmt: skip
    card = with_clip(find_card(model_name), frames=4, height=16, width=24)
    if name in ("joint", "space"):
        plan = replace(timesformer.PLANS["tiny"], attention={"joint": "joint_space_time", "space": "space_only"}[name])
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(timesformer.PLANS, "tiny", plan)
            model = build_model(card, 4, seed=1)
    else:
        model = build_model(card, 4, seed=1)
    clip = clip_for(card, make_clip)
    chain = chain_of(model, card, clip.x_CTHW)
    assert chain.parts[0].layout.classes == {"divided": 1, "joint": 1, "space": 4, "tubelets": 1, "frames": 1}.get(
        name, 0
    )
    np.testing.assert_allclose(attention_rollout.rollout(chain), rolled(chain), rtol=1e-4, atol=1e-6)
    heat = attention_rollout.explain(model, card, clip, 1)
    layout = chain.parts[0].layout
    shape = (layout.frames, layout.height, layout.width)
    assert heat.notes["grid"] == list(shape)
    assert heat.notes["temporal"] == (name == "frames")


@pytest.mark.parametrize(("name", "head"), TRANSFORMERS)
def test_rows_sum_to_one_at_every_attention(name, head, make_clip):
    model, card = network(name, head, frames=8, height=16, width=24)
    chain = chain_of(model, card, clip_for(card, make_clip).x_CTHW)
    assert chain.attentions
    for attention in chain.attentions:
        torch.testing.assert_close(attention.weights().sum(-1), torch.ones(attention.shape[:3]))
    for depth, part in enumerate(chain.parts):
        rows = torch.rand(3, part.layout.tokens, generator=torch.Generator().manual_seed(0))
        for attention in part.attentions:
            torch.testing.assert_close(look(rows, attention, part.layout).sum(1), rows.sum(1))
        if depth:
            patches = rows[:, part.layout.classes :].sum(1)
            torch.testing.assert_close(hand_down(rows, part.layout, chain.parts[depth - 1].layout).sum(1), patches)
    total = attention_rollout.rollout(chain).sum()
    assert total == pytest.approx(1) if len(chain.parts) == 1 else 0 < total < 1


@pytest.mark.parametrize("name", ["timesformer:tiny", "videomae:tiny", "vivit:tiny", "vjepa2:tiny"])
def test_what_is_read_is_what_plain_products_give(name, make_clip):
    """The weights behind the fused call are those that the library computes one by one, and eager mode is read too."""
    model, card = network(name, frames=8, height=16, width=24)
    x_BCTHW = clip_for(card, make_clip).x_CTHW[None]
    expected = model.attention_weights(x_BCTHW)
    with attending(model) as found, torch.no_grad():
        logits = model(x_BCTHW)
    read = [a for a in found if a.module.startswith("blocks.")]
    assert len(read) == len(expected)
    for attention, weights in zip(read, expected.values(), strict=True):
        torch.testing.assert_close(attention.weights(), weights.detach(), rtol=1e-4, atol=1e-6)
    eager = build_model(replace(card, options={"attention": "eager"}), 4, seed=1)
    with attending(eager) as again, torch.no_grad():
        torch.testing.assert_close(eager(x_BCTHW), logits, rtol=1e-4, atol=1e-5)
    assert [a.shape for a in again] == [a.shape for a in found]
    for one, other in zip(found, again, strict=True):
        torch.testing.assert_close(one.weights(), other.weights(), rtol=1e-4, atol=1e-6)


def test_pieces_of_rows_are_the_rows():
    """Weights are reckoned in pieces where all at once would be too many; masks and scales count."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, 4, generator=generator) for n in (5, 6, 6))
    mask = torch.rand(5, 6, generator=generator) > 0.3
    mask[:, 0] = True

    class Calls(nn.Module):
        def forward(self, x):
            functional.scaled_dot_product_attention(q, k, v, mask, scale=0.5)
            functional.scaled_dot_product_attention(q, k[:, :, :5], v[:, :, :5], is_causal=True)
            return functional.scaled_dot_product_attention(q[0, 0], k[0, 0], v[0, 0])

    with attending(Calls()) as found:
        Calls()(q)
    assert not found  # another network
    calls = Calls()
    with attending(calls) as found:
        calls(q)
    masked, causal, plain = found
    expected = torch.softmax((q @ k.transpose(-1, -2) * 0.5).masked_fill(~mask, float("-inf")), -1)
    torch.testing.assert_close(masked.weights(), expected)
    rows = torch.rand(2, 2, 5, generator=generator)
    whole = torch.einsum("rmq,mqk->rmk", rows, expected.mean(1))
    torch.testing.assert_close(masked.times(rows), whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("secondlook.explain._attention.AT_ONCE", 40)
        torch.testing.assert_close(masked.times(rows), whole)
    assert torch.equal(causal.weights(), causal.weights().tril())
    assert plain.shape == (1, 1, 5, 6)


class LibraryNetwork(nn.Module):
    """Patches of 2 x 2 as tokens, frame by frame, through torch's own encoder layer; a token grid as stage."""

    def __init__(self, share=0.0):
        super().__init__()
        self.patch = nn.Conv3d(2, 8, (1, 2, 2), (1, 2, 2))
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=share, batch_first=True)
        self.grid = TokenGrid(2, 2, 2)
        self.classifier = nn.Linear(8, 3)

    def forward(self, x_BCTHW):
        tokens = self.layer(self.patch(x_BCTHW).flatten(2).transpose(1, 2))
        return self.classifier(self.grid(tokens).mean((2, 3, 4)))


def test_torchs_own_attention_is_read(make_clip):
    with torch.random.fork_rng(), warnings.catch_warnings():
        torch.manual_seed(0)
        model = LibraryNetwork().eval()
    card = replace(card_of(frames=2, size=4), explain=ExplainPoints((ExplainPoint("grid"),), "classifier"))
    clip = clip_for(card, make_clip)
    tokens = model.patch(clip.x_CTHW[None]).flatten(2).transpose(1, 2)
    _, weights = model.layer.self_attn(tokens, tokens, tokens, need_weights=True, average_attn_weights=True)
    expected = (0.5 * weights[0] + 0.5 * torch.eye(8)).mean(0).detach().reshape(2, 2, 2)
    heat = attention_rollout.explain(model, card, clip, 1)
    assert heat.notes["read_out"] == "mean of the tokens"
    chain = chain_of(model, card, clip.x_CTHW)
    torch.testing.assert_close(attention_rollout.rollout(chain)[0].reshape(2, 2, 2), expected)
    with torch.no_grad():
        torch.testing.assert_close(chain.logits_BK, model(clip.x_CTHW[None]))


def test_modules_say_what_they_attend_to_where_shapes_cannot(make_clip):
    """As many frames as places: both attentions of a divided block have the same shape."""
    model, card = network("conv_timesformer:tiny", frames=8, height=16, width=16)
    chain = chain_of(model, card, clip_for(card, make_clip).x_CTHW)
    layout = chain.parts[0].layout
    assert layout.frames == layout.places == 4
    assert len({a.shape for a in chain.attentions}) == 1
    assert [kind_of(a, layout) for a in chain.attentions] == ["time", "space"] * 3
    np.testing.assert_allclose(attention_rollout.rollout(chain), rolled(chain), rtol=1e-4, atol=1e-6)
    with pytest.raises(BadValue, match="does not fit a grid of 4 x 2 x 2"):
        kind_of(given(torch.full((1, 1, 3, 3), 1 / 3)), layout)


def test_a_head_over_attention_goes_on_through_the_blocks(make_clip):
    """BERT over VideoMAE: what BERT reads of each frame falls to its places in equal parts, then through the blocks."""
    model, card = network("videomae:tiny", "bert", frames=4, height=16, width=24)
    clip = clip_for(card, make_clip)
    chain = chain_of(model, card, clip.x_CTHW)
    blocks, head = chain.parts
    row = (0.5 * matrix_of(head.attentions[0], head.layout) + 0.5 * np.eye(3))[0]
    rows = np.repeat(row[1:], blocks.layout.places) / blocks.layout.places
    for attention in reversed(blocks.attentions):
        rows = rows @ (0.5 * matrix_of(attention, blocks.layout) + 0.5 * np.eye(len(rows)))
    np.testing.assert_allclose(attention_rollout.rollout(chain)[0], rows, rtol=1e-4)


def test_who_has_no_chain(small, make_clip):
    model, card = small
    assert "no tokens that look at each other" in attention_rollout.unsuitable(model, card)
    with pytest.raises(BadValue, match="no tokens"):
        attention_rollout.explain(model, card, clip_for(card, make_clip), 0)
    late, late_card = network("slowfast:tiny", "slowfast_bert")
    assert "2 encoders beside each other" in attention_rollout.unsuitable(late, late_card)
    convolved, convolved_card = network("resnet3d:tiny", "non_local")
    assert attention_rollout.unsuitable(convolved, convolved_card)


def test_what_cannot_be_asked(make_clip):
    model, card = network("vivit:tiny", frames=4, height=16, width=16)
    clip = clip_for(card, make_clip)
    for wrong in ({"heads": "median"}, {"residual": 1.0}, {"residual": -0.1}):
        with pytest.raises(BadValue):
            attention_rollout.explain(model, card, clip, 0, **wrong)
    with pytest.raises(BadValue, match="class index"):
        attention_rollout.explain(model, card, clip, 4)
    assert _get_current_function_mode() is None
