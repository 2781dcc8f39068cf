from dataclasses import replace

import numpy as np
import pytest
import torch

from secondlook import catalog
from secondlook.errors import BadValue, UnknownName
from secondlook.explain import head_attention
from secondlook.predict.tokens import attention_over_frames
from secondlook.predict.weights import LoadedModel, build_model, find_card, with_clip
from tests.explain.test_attention_rollout import clip_for, network
from tests.explain.test_no_trace import assert_same, lived_in, state_of


def shown(heat):
    """The grid again, where it has as many steps as there are frames."""
    return heat.heat_THW[:, 0, 0] * heat.notes["scale"]


@pytest.mark.parametrize(
    ("name", "head"), [("resnet2d:tiny", "bert"), ("resnet3d:tiny", "bert"), ("videomae:tiny", "bert")]
)
def test_it_is_what_the_head_itself_says(name, head, make_clip):
    """`BertHead.attention_weights` reckons them in a pass of its own."""
    model, card = network(name, head, frames=8, height=24, width=24)
    clip = clip_for(card, make_clip)
    heat = head_attention.explain(model, card, clip, 1)
    model.eval()
    expected_HT = attention_over_frames(LoadedModel(model, card, None, None), clip.x_CTHW).numpy()
    np.testing.assert_allclose(heat.notes["heads"], expected_HT, rtol=1e-4)
    assert heat.notes["grid"] == [expected_HT.shape[1], 1, 1]
    assert heat.notes["temporal"] is True
    assert expected_HT.sum(1).mean() + heat.notes["class_token"] == pytest.approx(1)
    if expected_HT.shape[1] == len(clip.clip.frame_index_T):
        np.testing.assert_allclose(shown(heat), expected_HT.mean(0), rtol=1e-4)
    assert np.ptp(heat.heat_THW, axis=(1, 2)).max() < 1e-6


def test_by_hand(make_clip):
    """`softmax(q_read k_n / sqrt(d))`, one product at a time."""
    model, card = network("resnet2d:tiny", "bert", frames=8, height=24, width=24)
    clip = clip_for(card, make_clip)
    attention = model.head.encoder.layers[0].attention
    kept = {}
    hook = attention.register_forward_hook(lambda _m, inputs, _o: kept.update(x=inputs[0]))
    heat = head_attention.explain(model, card, clip, 0)
    hook.remove()
    q, k, _ = attention.qkv(kept["x"]).unflatten(-1, (3, attention.heads, -1)).permute(2, 0, 3, 1, 4).detach()
    by_hand = []
    for head in range(attention.heads):
        scores = [float(q[0, head, 0] @ k[0, head, n]) / q.shape[-1] ** 0.5 for n in range(k.shape[2])]
        shares = np.exp(scores) / np.exp(scores).sum()
        by_hand.append(shares[1:])
    np.testing.assert_allclose(heat.notes["heads"], by_hand, rtol=1e-4)


@pytest.mark.parametrize("head", ["frab", "hybrid"])
def test_heads_inside_heads(head, make_clip):
    options = {"then": "bert"} if head == "hybrid" else {"width": 16}
    model, card = network("resnet2d:tiny", head)
    if head == "hybrid":
        card = replace(card, options={"head_options": options})
        model = build_model(card, 4, seed=1)
    heat = head_attention.explain(model, card, clip_for(card, make_clip), 1)
    assert heat.notes["bert_heads"] == ["head.then"]
    assert np.sum(heat.notes["heads"], axis=1).mean() + heat.notes["class_token"] == pytest.approx(1)


def test_a_head_a_pathway(make_clip):
    model, card = network("slowfast:tiny", "slowfast_bert", height=32, width=32)
    clip = clip_for(card, make_clip)
    slow = head_attention.explain(model, card, clip, 1)
    fast = head_attention.explain(model, card, clip, 1, head="head.fast_bert")
    assert slow.notes["bert_heads"] == ["head.slow_bert", "head.fast_bert"]
    assert slow.notes["grid"][0] < fast.notes["grid"][0]
    with pytest.raises(UnknownName, match="fast_bert"):
        head_attention.explain(model, card, clip, 1, head="head.fast")


def test_what_cannot_be_asked(small, make_clip):
    model, card = network("resnet2d:tiny", "bert")
    clip = clip_for(card, make_clip)
    with pytest.raises(BadValue, match="counted from 0 to 0"):
        head_attention.explain(model, card, clip, 0, encoder_layer=1)
    with pytest.raises(BadValue, match="no BERT head"):
        head_attention.explain(*small, clip_for(small[1], make_clip), 0)
    assert head_attention.unsuitable(*network("resnet2d:tiny", "average"))
    assert torch.is_grad_enabled()


BUILT = (
    ("head_attention", "resnet2d:tiny", "bert", {}),
    ("attention_flow", "vivit:tiny", "bert", {}),
    ("recursion_gates", "r3d:tiny", "", {"srtg": True}),
    ("early_predictions", "mtnet:tiny", "", {"class_regularisation": True}),
)


@pytest.mark.parametrize(("method", "name", "head", "options"), BUILT)
def test_nothing_is_left_in_networks_that_options_make(method, name, head, options, make_clip):
    """What `test_no_trace` asks of plain tiny networks, after a good pass and after a class that does not exist."""
    card = replace(with_clip(find_card(name), frames=8, height=24, width=24), head=head, options=options)
    model = lived_in(build_model(card, 4, seed=1))
    state = state_of(model)
    clip = clip_for(card, make_clip)
    explain = catalog.find("explain", method).explain
    one, other = explain(model, card, clip, 1), explain(model, card, clip, 1)
    np.testing.assert_array_equal(one.heat_THW, other.heat_THW)
    assert_same(state, state_of(model))
    with pytest.raises(BadValue, match="class index"):
        explain(model, card, clip, 99)
    assert_same(state, state_of(model))
