from dataclasses import replace

import numpy as np
import pytest
import torch

from secondlook.errors import BadValue, UnknownName
from secondlook.explain import early_predictions
from secondlook.explain.early_predictions import class_map, class_scores, regularised_maps
from secondlook.layers import class_regularisation
from secondlook.layers.class_regularisation import ClassRegularisation
from secondlook.layers.inject import inject_class_regularisation
from secondlook.predict.weights import build_model, find_card, with_clip
from tests.explain.test_attention_rollout import clip_for


@pytest.fixture(scope="module")
def regularised():
    card = replace(
        with_clip(find_card("mtnet:tiny"), frames=8, height=32, width=40), options={"class_regularisation": True}
    )
    return build_model(card, 6, seed=1), card


def twin(module, a_CThw):
    """Score and map of every class, channel by channel."""
    weights_KD = module._classifier[0].weight.detach().flatten(1).double().numpy()
    project, bias = module.project.weight.detach().double().numpy(), module.project.bias.detach().double().numpy()
    maps, scores = [], []
    for w_D in weights_KD:
        w_C = np.maximum(project @ w_D + bias, 0)
        maps.append(sum(w_C[c] * a_CThw[c] for c in range(len(w_C))))
        each = [w_C[c] * a_CThw[c].mean() for c in range(len(w_C))]
        scores.append(sum(each) if module.selection == "sum" else max(each))
    return np.array(scores), np.array(maps)


@pytest.mark.parametrize("selection", ["sum", "max"])
def test_scores_and_maps_match_their_twin(regularised, make_clip, selection):
    model, card = regularised
    modules = {
        n.removesuffix(".class_regularisation"): m
        for n, m in model.named_modules()
        if isinstance(m, ClassRegularisation)
    }
    for module in modules.values():
        module.selection = selection
    clip = clip_for(card, make_clip)
    _, maps = regularised_maps(model, clip.x_CTHW[None])
    assert list(maps) == list(modules) == [f"layer{k}" for k in range(1, 5)]
    heat = early_predictions.explain(model, card, clip, 3, top=6)
    for name, module in modules.items():
        scores_K, maps_Kthw = twin(module, maps[name][0].double().numpy())
        np.testing.assert_allclose(class_scores(module, maps[name]).detach()[0], scores_K, rtol=1e-4)
        np.testing.assert_allclose(class_map(module, maps[name], 2).detach()[0], maps_Kthw[2], rtol=1e-4, atol=1e-6)
        noted = heat.notes["layers"][name]
        assert [k for k, _ in noted] == list(np.argsort(-scores_K, kind="stable"))
        np.testing.assert_allclose([s for _, s in noted], np.sort(scores_K)[::-1], rtol=1e-4)
        assert heat.notes["ranks"][name] == 1 + int((scores_K > scores_K[3]).sum())
        if selection == "sum":
            assert maps_Kthw[2].mean() == pytest.approx(scores_K[2], rel=1e-4)
    for module in modules.values():
        module.selection = "sum"


def test_the_best_class_is_the_one_the_layer_selects(regularised, make_clip):
    """And what the layers remember of their own last call stays."""
    model, card = regularised
    clip = clip_for(card, make_clip)
    model.eval()
    with torch.no_grad():
        model(clip.x_CTHW[None])
    selected = class_regularisation.early_predictions(model)
    heat = early_predictions.explain(model, card, clip_for(card, make_clip, seed=9), 0)
    assert all(torch.equal(v, selected[k]) for k, v in class_regularisation.early_predictions(model).items())
    heat = early_predictions.explain(model, card, clip, 0)
    assert {name: best[0][0] for name, best in heat.notes["layers"].items()} == {k: int(v) for k, v in selected.items()}
    assert all(len(best) == 5 for best in heat.notes["layers"].values())


def test_any_layer_and_any_network(make_clip):
    card = with_clip(find_card("resnet3d:tiny"), frames=8, height=32, width=40)
    model = build_model(card, 4, seed=1)
    assert early_predictions.unsuitable(model, card)
    inject_class_regularisation(
        model, {"layer2": 0.8, "layer3": 0.7}, card.explain.classifier, example=torch.zeros(1, 2, 8, 32, 40)
    )
    clip = clip_for(card, make_clip)
    heat = early_predictions.explain(model, card, clip, 2, layer="layer2")
    assert heat.module == "layer2"
    assert list(heat.notes["layers"]) == ["layer2", "layer3"]
    assert early_predictions.explain(model, card, clip, 2).module == "layer3"
    assert heat.heat_THW.min() >= 0
    other = early_predictions.explain(model, card, clip, 3, layer="layer2")
    assert not np.allclose(heat.heat_THW, other.heat_THW)


def test_what_cannot_be_asked(regularised, small, make_clip):
    model, card = regularised
    clip = clip_for(card, make_clip)
    with pytest.raises(UnknownName, match="layer4"):
        early_predictions.explain(model, card, clip, 0, layer="layer9")
    with pytest.raises(BadValue, match="at least one class"):
        early_predictions.explain(model, card, clip, 0, top=0)
    with pytest.raises(BadValue, match="class index"):
        early_predictions.explain(model, card, clip, 6)
    with pytest.raises(BadValue, match="no Class Regularisation"):
        early_predictions.explain(*small, clip_for(small[1], make_clip), 0)
