"""Layer-wise relevance propagation of whole networks: the sum is kept, on every family; nothing of it stays behind."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from secondlook import catalog
from secondlook.errors import BadValue, UnknownName
from secondlook.explain import lrp
from secondlook.explain._lrp_composites import COMPOSITES
from secondlook.explain._lrp_rules import Ledger
from secondlook.predict.weights import build_model, find_card
from tests.explain.conftest import SmallNetwork, card_of

FAMILIES = tuple(f for f in catalog.names("models") if "tiny" in catalog.find("models", f).CARDS)
CLASS_TOKENS = {"resnet_transformer": (2.47, 2.52), "timesformer": (0.63, 0.71), "vivit": (-0.69, 0.61)}
"""Their learned class token speaks for or against the class by itself: a constant, whose relevance no input can have.
Measured shares that reach the input; input and token together are the logit."""


def clips(card, number=2, seed=2):
    spec = card.clip
    shape = (number, spec.channels, spec.frames, spec.height, spec.width)
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def lived_in(model, seed=3):
    """Normalisations and biases that are not the initial ones."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
            elif isinstance(module, nn.LayerNorm | nn.Linear) and module.bias is not None:
                module.bias.normal_(0, 0.05, generator=generator)
    return model.eval()


def without_biases(model):
    with torch.no_grad():
        for name, value in (*model.named_parameters(), *model.named_buffers()):
            if "bias" in name.rpartition(".")[2] or name.endswith("running_mean"):
                value.zero_()
    return model


@pytest.mark.spec("layerwise-relevance", "R3")
@pytest.mark.parametrize("family", FAMILIES)
def test_the_logit_is_found_again_on_every_family(family):
    """Biases ignored, so that it is not a matter of how large they are: at the input, and what the ledger says."""
    card = find_card(f"{family}:tiny")
    model = lived_in(build_model(card, 4, seed=1))
    x_BCTHW = clips(card, 1)
    with torch.no_grad():
        plain_BK = model(x_BCTHW)
    found = lrp.conservation(model, card, x_BCTHW, 2, lrp.settings_of(bias="ignore"))
    np.testing.assert_allclose(found.logit_B, plain_BK[:, 2], rtol=1e-6)
    back = float((found.input_B * found.logit_B).sum()) + sum(found.lost.values())
    size = float(found.logit_B.abs().sum())
    assert abs(back - float(found.logit_B.sum())) < 1e-3 * size
    if family in CLASS_TOKENS:
        assert abs(found.lost["constant"]) > 0.05 * size
        return
    assert abs(found.lost.get("constant", 0.0)) < 1e-6 * size
    for name, ratio in found.rows():
        assert ratio == pytest.approx(1, abs=1e-3), name
    assert {n for cut in found.stages for n in cut.split(" + ")} == {p.module for p in card.explain.stages}


@pytest.mark.spec("layerwise-relevance", "R3")
def test_an_18_layer_3d_residual_network():
    """Its normalisations have the statistics of such clips, as those of a trained one have."""
    card = find_card("resnet3d:18")
    card = dataclasses.replace(card, clip=dataclasses.replace(card.clip, frames=4, height=32, width=32))
    model = build_model(card, 7, seed=1).train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = 1.0
    with torch.no_grad():
        model(clips(card, 6, seed=7))
    model.eval()
    x_BCTHW = clips(card, 1)
    label = int(model(x_BCTHW).detach()[0].argmax())
    absorbed = lrp.conservation(model, card, x_BCTHW, label, lrp.settings_of())
    assert all(0.5 < ratio < 1.5 for _, ratio in absorbed.rows()), absorbed.rows()
    ignored = lrp.conservation(model, card, x_BCTHW, label, lrp.settings_of(bias="ignore"))
    assert all(abs(ratio - 1) < 1e-3 for _, ratio in ignored.rows())
    assert [n for n, _ in ignored.rows()] == ["input", *(p.module for p in card.explain.stages)]


def networks():
    hybrid = find_card("resnet3d:tiny")
    embedding = {"head_options": {"dimensions": 6, "read": "embedding"}}
    pathways = find_card("slowfast:tiny")
    bert = {"head_options": {"slow_width": 8, "bert_options": {"heads": 4}}}
    return {
        "two pathways": pathways,
        "two pathways, each read by itself": dataclasses.replace(pathways, head="slowfast_bert", options=bert),
        "hybrid": dataclasses.replace(hybrid, head="hybrid"),
        "hybrid, read by its embedding": dataclasses.replace(hybrid, head="hybrid", options=embedding),
        "stages fused": dataclasses.replace(find_card("resnet2d:tiny"), head="stage_fusion"),
        "lstm head": dataclasses.replace(find_card("resnet2d:tiny"), head="lstm"),
        "conv gru head": dataclasses.replace(find_card("resnet2d:tiny"), head="conv_gru"),
        "non-local head": dataclasses.replace(find_card("resnet2d:tiny"), head="non_local"),
    }


@pytest.mark.spec("layerwise-relevance", "R3")
@pytest.mark.parametrize("name", networks())
@pytest.mark.parametrize("bias", ["absorb", "ignore"])
def test_networks_of_several_streams_and_heads(name, bias):
    """Biases absorbed: the same numbers on the network without biases."""
    card = networks()[name]
    model = lived_in(build_model(card, 4, seed=1))
    if "embedding" in name:
        model.head.set_labels(torch.randn(4, 6, generator=torch.Generator().manual_seed(0)))
    if bias == "absorb":
        without_biases(model)
    found = lrp.conservation(model, card, clips(card), 1, lrp.settings_of(bias=bias))
    taken = found.lost.get("constant", 0.0) / float(found.logit_B.sum())
    total = float((found.input_B * found.logit_B).sum() / found.logit_B.sum())
    assert total + taken == pytest.approx(1, abs=1e-3)
    if "bert" not in card.head:
        assert total == pytest.approx(1, abs=1e-3)
    if card.head == "" and card.family == "slowfast":
        assert next(iter(found.stages)) == "slow.stem + fast.stem"
        assert all(abs(ratio - 1) < 1e-3 for _, ratio in found.rows())


@pytest.mark.spec("layerwise-relevance", "R3")
@pytest.mark.parametrize("composite", COMPOSITES)
def test_every_composite_keeps_the_sum_and_the_predictions(composite):
    """On a network with two entries for the input, a first layer that reads values outside no bounds."""
    card = find_card("slowfast:tiny")
    model = lived_in(build_model(card, 4, seed=1))
    x_BCTHW = clips(card, 1)
    with torch.no_grad():
        plain_BK = model(x_BCTHW)
    found = lrp.relevance(model, x_BCTHW, 0, lrp.settings_of(composite, "ignore"), spec=card.clip)
    assert torch.equal(found.logits_BK, plain_BK)
    assert float(found.input_BCTHW.double().sum() / plain_BK[0, 0]) == pytest.approx(1, abs=1e-3)


def test_zeros_of_the_input_get_relevance_from_first_layer_rules(small):
    model, card = small
    x_BCTHW = clips(card, 1)
    x_BCTHW[:, :, :2] = 0
    for composite in ("epsilon-plus-flat", "epsilon-plus-box", "epsilon-w-square"):
        found = lrp.relevance(model, x_BCTHW, 0, lrp.settings_of(composite, "ignore"), spec=card.clip)
        assert found.input_BCTHW[:, :, 0].abs().sum() > 0
        assert float(found.input_BCTHW.sum() / found.logits_BK[0, 0]) == pytest.approx(1, abs=1e-3)
        assert torch.equal(found.logits_BK, model(x_BCTHW).detach())


@pytest.mark.spec("layerwise-relevance", "R3")
def test_zero_rule_on_a_relu_network_is_gradient_times_input(small, make_clip):
    model, card = small
    x_CTHW = clips(card, 1)[0]
    x_BCTHW = x_CTHW[None].clone().requires_grad_()
    slope = torch.autograd.grad(model(x_BCTHW)[0, 1], x_BCTHW)[0]
    wanted = (x_BCTHW * slope).detach().sum(1)[0].numpy()
    heat = lrp.explain(model, card, make_clip(x_CTHW), 1, composite="zero")
    np.testing.assert_allclose(heat.heat_THW * heat.notes["scale"], wanted, rtol=1e-3, atol=1e-6)
    assert heat.signed
    assert heat.notes["conserved"] == pytest.approx(wanted.sum() / heat.notes["logit"], rel=1e-4)


def test_each_clip_for_itself():
    card = find_card("mfnet:tiny")
    model = lived_in(build_model(card, 4, seed=1))
    x_BCTHW = clips(card, 3)
    both = lrp.relevance(model, x_BCTHW, 1, lrp.settings_of("epsilon-gamma-box", epsilon=0.1), spec=card.clip)
    alone = lrp.relevance(model, x_BCTHW[1:2], 1, lrp.settings_of("epsilon-gamma-box", epsilon=0.1), spec=card.clip)
    torch.testing.assert_close(both.input_BCTHW[1:2], alone.input_BCTHW, rtol=1e-3, atol=1e-7)


def test_bounds_come_from_the_recipe():
    card = find_card("resnet3d:18")
    mean, std = card.clip.mean, card.clip.std
    low, high = lrp.input_bounds(torch.zeros(1, 3, 2, 4, 4), card.clip)
    np.testing.assert_allclose(low[0, :, 0, 0, 0], [-m / s for m, s in zip(mean, std, strict=True)], rtol=1e-6)
    np.testing.assert_allclose(high[0, :, 0, 0, 0], [(1 - m) / s for m, s in zip(mean, std, strict=True)], rtol=1e-6)
    change = dataclasses.replace(card.clip, modality="luma_difference", mean=(0.4, 0.0), std=(0.2, 0.1))
    low, high = lrp.input_bounds(torch.zeros(1, 2, 2, 4, 4), change)
    np.testing.assert_allclose(low[0, :, 0, 0, 0], [-2, -10], rtol=1e-6)
    np.testing.assert_allclose(high[0, :, 0, 0, 0], [3, 10], rtol=1e-6)
    low, high = lrp.input_bounds(torch.full((1, 2, 2, 4, 4), 20.0), change)
    assert float(high.max()) == 20


def test_any_layer_and_pathway(small, make_clip):
    model, card = small
    clip = make_clip(clips(card, 1)[0])
    for layer in ("conv1", "act1", "act2"):
        heat = lrp.explain(model, card, clip, 0, layer=layer, bias="ignore")
        assert heat.module == layer
        assert heat.notes["conserved"] == pytest.approx(1, abs=1e-3)
    card = find_card("slowfast:tiny")
    model = lived_in(build_model(card, 4, seed=1))
    sums = [
        lrp.explain(model, card, make_clip(clips(card, 1)[0]), 0, pathway=p, bias="ignore").notes["conserved"]
        for p in ("slow", "fast")
    ]
    assert sum(sums) == pytest.approx(1, abs=1e-3)


def test_attention_options_differ(make_clip):
    card = find_card("videomae:tiny")
    model = lived_in(build_model(card, 4, seed=1))
    clip = make_clip(clips(card, 1)[0])
    one, other = (lrp.explain(model, card, clip, 0, attention=a) for a in ("conservative", "attnlrp"))
    assert not np.allclose(one.heat_THW, other.heat_THW)


def test_a_frozen_network_in_no_grad_gives_the_same(small, make_clip):
    model, card = small
    clip = make_clip(clips(card, 1)[0])
    wanted = lrp.explain(model, card, clip, 0).heat_THW
    model.requires_grad_(False)
    with torch.inference_mode():
        np.testing.assert_array_equal(lrp.explain(model, card, clip, 0).heat_THW, wanted)


def test_the_ledger_books_what_biases_took():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = SmallNetwork().eval()
    card, ledger = card_of("act2", frames=4, size=8), Ledger()
    found = lrp.relevance(model, clips(card, 1), 0, lrp.settings_of(), ledger=ledger)
    kept = float(found.input_BCTHW.double().sum()) + sum(ledger.lost.values())
    assert kept == pytest.approx(float(found.logits_BK[0, 0]), rel=1e-4)
    assert set(ledger.lost) == {"dense", "convolution"}


def test_bad_options(small, make_clip):
    model, card = small
    clip = make_clip(clips(card, 1)[0])
    with pytest.raises(UnknownName, match="epsilon-plus"):
        lrp.explain(model, card, clip, 0, composite="epsilon-plsu")
    with pytest.raises(BadValue, match="bias must be one of"):
        lrp.explain(model, card, clip, 0, bias="drop")
    with pytest.raises(BadValue, match="attention must be one of"):
        lrp.explain(model, card, clip, 0, attention="none")
    with pytest.raises(BadValue, match="epsilon must be 0 or more"):
        lrp.explain(model, card, clip, 0, epsilon=-1.0)
    with pytest.raises(BadValue, match="class index"):
        lrp.explain(model, card, clip, 9)
    with pytest.raises(BadValue, match="does not run"):
        lrp.explain(model, card, clip, 0, layer="spare")
    with pytest.raises(UnknownName):
        lrp.explain(model, card, clip, 0, layer="act3")


@pytest.mark.parametrize("composite", ["epsilon-plus-flat", "epsilon-w-square", "epsilon-gamma-box"])
@pytest.mark.parametrize("family", ["i3d", "movinet"])
def test_what_padding_put_before_the_first_layer_gets_nothing(family, composite):
    """Both pad by hand (`F.pad`), so that the first convolution cannot tell zeros from inputs but by their bounds."""
    card = find_card(f"{family}:tiny")
    model, spec = build_model(card, 5, seed=0).eval(), card.clip
    shape = (1, spec.channels, spec.frames, spec.height, spec.width)
    x_BCTHW = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = lrp.conservation(model, card, x_BCTHW, 1, lrp.settings_of(composite, "ignore"))
    assert float(found.input_B) == pytest.approx(1, abs=1e-3)
