"""Class Regularisation: channels of a stage are weighted by how the likeliest class, so far, would weight them.

Stergiou, Poppe, Veltkamp, "Learning Class-specific Features with Class Regularization for Videos", Applied Sciences
2020; `srtg-mtnet-classreg-visualisation`, section 2.11. `W_n = relu(P w_n)` for each class's classifier weights w_n (no
gradient reaches them), `c = argmax_n W_n . mean_THW(a)`, and `a* = a (l + (1 - l) (W_c - min) / (max - min))`. The
selected class is an early prediction. The algorithm prints `l` times the second term; see the specification. Beyond
the source: `max` as another reading of its comparison of vectors, and a range around 1.

Shapes: B clips, C channels, D channels of the classifier's input, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from secondlook.errors import BadValue, UnknownName
from secondlook.layers._full_precision import full_precision, wide

Selection = Literal["sum", "max"]
Range = Literal["one_sided", "two_sided"]
SELECTIONS: Sequence[str] = get_args(Selection)
RANGES: Sequence[str] = get_args(Range)
_SMALLEST_SPAN = 1e-12
"""Weights of a class that differ by less count as equal."""


class ClassRegularisation(nn.Module):
    """`a_BCTHW -> a*_BCTHW`.

    Args:
        channels: C.
        classifier: the network's last layer, linear or a convolution with a kernel of 1; read at every call, never
            owned. A network that is given another classifier later needs another Class Regularisation.
        rate: l, the affection rate: 1 changes nothing, 0 most.
        selection: the class is that with the largest `sum` over channels of `W_n mean(a)`, or largest single element
            (`max`).
        range: scales lie in `[l, 1]` (`one_sided`) or `[l, 2 - l]` (`two_sided`). Where all weights of the class are
            equal, such as all 0, they are 1.

    Raises:
        BadValue: if the rate is not in [0, 1], or the classifier has no weights of classes.
        UnknownName: for another selection or range.
    """

    initialises_itself = True

    def __init__(
        self,
        channels: int,
        classifier: nn.Module,
        rate: float,
        *,
        selection: str = "sum",
        range: str = "one_sided",
    ) -> None:
        super().__init__()
        check(rate, selection, range)
        self.channels, self.rate, self.selection, self.range = channels, rate, selection, range
        self.project = nn.Linear(_weights_KD(classifier).shape[1], channels)
        nn.init.kaiming_normal_(self.project.weight, nonlinearity="relu")
        nn.init.zeros_(self.project.bias)
        self._classifier = (classifier,)  # in a tuple, so that it is not a part of this module
        self.early_prediction_B: Tensor | None = None
        """Class selected for each clip of the last call."""

    def projected_KC(self) -> Tensor:
        """`relu(P w_n)`: what each class's weights are among this layer's channels; no gradient to the classifier."""
        weights_KD = _weights_KD(self._classifier[0]).detach()
        with full_precision(weights_KD):
            projected_KC: Tensor = self.project(weights_KD.to(self.project.weight.dtype))
        return torch.relu(wide(projected_KC))

    def forward(self, a_BCTHW: Tensor) -> Tensor:
        """The volume with its channels weighted by the selected class.

        Raises:
            BadValue: if it is no B x C x T x H x W with the right C.
        """
        if a_BCTHW.ndim != 5 or a_BCTHW.shape[1] != self.channels:
            raise BadValue(tuple(a_BCTHW.shape), f"this Class Regularisation wants B x {self.channels} x T x H x W")
        weights_KC = self.projected_KC()
        with full_precision(a_BCTHW):
            mean_BC = a_BCTHW.detach().mean((2, 3, 4), dtype=weights_KC.dtype)
            if self.selection == "sum":
                score_BK = mean_BC @ weights_KC.detach().T
            else:
                score_BK = (mean_BC[:, None] * weights_KC.detach()).amax(2)
        selected_B = score_BK.argmax(1)
        if not torch.compiler.is_compiling():
            self.early_prediction_B = selected_B
        return a_BCTHW * self._scale_BC(weights_KC[selected_B]).to(a_BCTHW.dtype)[..., None, None, None]

    def _scale_BC(self, chosen_BC: Tensor) -> Tensor:
        low_B1, high_B1 = chosen_BC.amin(1, keepdim=True), chosen_BC.amax(1, keepdim=True)
        span_B1 = high_B1 - low_B1
        differs_B1 = span_B1 > _SMALLEST_SPAN
        share_BC = (chosen_BC - low_B1) / torch.where(differs_B1, span_B1, 1.0)
        # Written from 1 downwards, so that the largest is exactly 1.
        scale_BC = 1 - (1 - self.rate) * (1 - share_BC * (1 if self.range == "one_sided" else 2))
        return torch.where(differs_B1, scale_BC, 1.0)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"{self.channels}, rate={self.rate:g}, selection={self.selection!r}, range={self.range!r}"

    def __prepare_scriptable__(self) -> nn.Module:
        """Says why `torch.jit.script` cannot have it."""
        rule = "cannot compile Class Regularisation, which reads the classifier of its network"
        raise BadValue("torch.jit.script", rule, "Use torch.export.")


def check(rate: float, selection: str = "sum", range: str = "one_sided") -> None:
    """Refuses what Class Regularisation cannot be.

    Raises:
        BadValue: if the rate is not in [0, 1].
        UnknownName: for another selection or range.
    """
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
        raise BadValue(rate, "the affection rate must lie in [0, 1]", "1 has no effect.")
    if selection not in SELECTIONS:
        raise UnknownName("selection of a class", str(selection), SELECTIONS)
    if range not in RANGES:
        raise UnknownName("range of the scales", str(range), RANGES)


def early_predictions(network: nn.Module) -> dict[str, Tensor]:
    """The class that each Class Regularisation selected for each clip of the last call, `class_B` by layer.

    A layer is named as the module after which the regularisation stands. Empty before the first call.
    """
    return {
        name.removesuffix("class_regularisation").rstrip("."): module.early_prediction_B
        for name, module in network.named_modules()
        if isinstance(module, ClassRegularisation) and module.early_prediction_B is not None
    }


def modules_beside_class_regularisation(network: nn.Module) -> list[str]:
    """Names of the largest modules that hold no Class Regularisation: what to freeze when it alone is trained.

    Section 6.4.2 of the source: the network is trained already, and stays as it is. Switch off the gradients of these
    modules and keep them in evaluation mode, so that normalisations gather no statistics: `train.freeze.freeze` and
    `hold` do so.

    Raises:
        BadValue: if there is no Class Regularisation, or modules around one have weights of their own.
    """
    _some(network)
    return list(_beside(network, ""))


def train_only_class_regularisation(network: nn.Module) -> None:
    """The same in place, for any network: gradients for Class Regularisation alone, and evaluation mode for all.

    Class Regularisation does the same in either mode. After `network.train()`, call this again.

    Raises:
        BadValue: if there is no Class Regularisation.
    """
    regularisations = _some(network)
    network.requires_grad_(False).eval()
    for module in regularisations:
        module.requires_grad_(True)


def _some(network: nn.Module) -> list[ClassRegularisation]:
    found = [m for m in network.modules() if isinstance(m, ClassRegularisation)]
    if not found:
        raise BadValue(type(network).__name__, "has no Class Regularisation", "Inject it, or build it with the option.")
    return found


def _beside(module: nn.Module, name: str) -> Iterator[str]:
    own = [n for n, _ in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))]
    if own:
        rule = f"holds Class Regularisation and weights of its own ({', '.join(own)}), and a name would freeze both"
        raise BadValue(name or type(module).__name__, rule, "Call train_only_class_regularisation.")
    for child_name, child in module.named_children():
        full = f"{name}.{child_name}" if name else child_name
        if isinstance(child, ClassRegularisation):
            continue
        if any(isinstance(m, ClassRegularisation) for m in child.modules()):
            yield from _beside(child, full)
        else:
            yield full


def _weights_KD(classifier: nn.Module) -> Tensor:
    """The weights of a linear layer, or of a convolution whose kernel is 1."""
    weight = getattr(classifier, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim < 2 or weight[0, 0].numel() != 1:
        rule = "has no weights of classes over channels"
        raise BadValue(type(classifier).__name__, rule, "Name a linear layer, or a convolution with a kernel of 1.")
    return weight.flatten(1)
