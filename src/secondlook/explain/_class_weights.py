"""The weights of every class over the channels of a map, read from a network without running it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from secondlook.cards import ModelCard
from secondlook.errors import BadValue
from secondlook.explain._hooks import find_module, point_of
from secondlook.layers.class_regularisation import ClassRegularisation


@dataclass(frozen=True)
class ClassWeights:
    """Weights of classes over the channels of what a module gives out."""

    module: str
    owner: str
    """The module that holds the weights: the classifier, or a Class Regularisation."""
    of_KC: Tensor
    bias_K: Tensor


def class_weights(model: nn.Module, card: ModelCard, layer: str = "") -> ClassWeights:
    """Those of a layer: projected ones where it has a Class Regularisation, the classifier's everywhere else.

    Args:
        model: the network.
        card: its card; names the last stage and the classifier.
        layer: a Class Regularisation, the module that holds one, or any other; empty: the last stage, with the
            classifier's weights.

    Raises:
        UnknownName: if there is no such module.
        BadValue: if the classifier has no weights of classes.
    """
    if layer:
        found = find_module(model, layer)
        inside = f"{layer}.class_regularisation"
        names = dict(model.named_modules())
        if not isinstance(found, ClassRegularisation) and isinstance(names.get(inside), ClassRegularisation):
            layer, found = inside, names[inside]
        if isinstance(found, ClassRegularisation):
            with torch.no_grad():
                projected_KC = found.projected_KC().float()
            return ClassWeights(layer, layer, projected_KC, projected_KC.new_zeros(len(projected_KC)))
    classifier = find_module(model, card.explain.classifier)
    weight = _weight(classifier)
    if weight is None:
        rule = f"is a {type(classifier).__name__}, which has no weights of classes over channels"
        raise BadValue(card.explain.classifier, rule, "It must be linear, or a convolution with a kernel of 1.")
    bias = getattr(classifier, "bias", None)
    of_KC = weight.detach().flatten(1).float()
    bias_K = bias.detach().float() if isinstance(bias, Tensor) else of_KC.new_zeros(len(of_KC))
    return ClassWeights(point_of(card, layer)[0], card.explain.classifier, of_KC, bias_K)


def class_regularisations(model: nn.Module) -> list[str]:
    """Every Class Regularisation of a network, from input to head."""
    return [name for name, module in model.named_modules() if isinstance(module, ClassRegularisation)]


def no_class_weights(model: nn.Module, card: ModelCard) -> str:
    """Why the classifier's weights are not over the channels of the last stage, in words; empty where they may be.

    Read from the structure, so as far as that tells: whether channels are as many is seen when the network runs.
    """
    if not card.explain.stages or not card.explain.classifier:
        return "its card names no last stage or no classifier"
    modules = dict(model.named_modules())
    name, last = card.explain.classifier, card.explain.stages[-1].module
    if name not in modules or last not in modules:
        return "it lacks the last stage or the classifier that its card names"
    if _weight(modules[name]) is None:
        return f"its classifier is a {type(modules[name]).__name__}, which has no weights of classes over channels"
    if between := _between(modules, last, name):
        cure = "; a layer with Class Regularisation has a tube" if class_regularisations(model) else ""
        return f"{between} stands between the last stage and the classifier, whose weights are of other channels{cure}"
    if sum(isinstance(m, nn.Conv1d | nn.Conv2d | nn.Conv3d) for m in modules.values()) < 2:
        return "its last stage is no convolution's"
    return ""


def _between(modules: dict[str, nn.Module], last: str, classifier: str) -> str:
    """A module with weights of its own between two others: in the classifier's head, or set between them."""
    order = list(modules)
    at_last, at_classifier = order.index(last), order.index(classifier)
    head = classifier.rpartition(".")[0]
    for place, (name, module) in enumerate(modules.items()):
        if name == classifier or not list(module.parameters(recurse=False)):
            continue
        in_head = bool(head) and name.startswith(f"{head}.") and not last.startswith(f"{head}.")
        after = place > at_last and not name.startswith(f"{last}.")
        if in_head or (after and (at_classifier < at_last or place < at_classifier)):
            return name
    return ""


def _weight(classifier: nn.Module) -> Tensor | None:
    weight = getattr(classifier, "weight", None)
    if isinstance(weight, Tensor) and weight.ndim >= 2 and weight[0, 0].numel() == 1:
        return weight
    return None
