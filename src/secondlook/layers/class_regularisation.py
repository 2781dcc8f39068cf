"""Class Regularisation: channels of a stage are weighted by how the likeliest class, so far, would weight them.

Stergiou, Poppe, Veltkamp, "Learning Class-specific Features with Class Regularization for Videos", Applied Sciences
2020; `srtg-mtnet-classreg-visualisation`, section 2.11. `W_n = relu(P w_n)` for each class's classifier weights w_n (no
gradient reaches them), `c = argmax_n W_n . mean_THW(a)`, and `a* = a (l + (1 - l) (W_c - min) / (max - min))`. The
selected class is an early prediction. The algorithm prints `l` times the second term; see the specification.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from secondlook.errors import BadValue


class ClassRegularisation(nn.Module):
    """`a_BCTHW -> a*_BCTHW`.

    Args:
        channels: C.
        classifier: the network's last layer; read at every call, never owned.
        rate: l, the affection rate: 1 changes nothing, 0 most.

    Raises:
        BadValue: if the rate is not in [0, 1].
    """

    def __init__(self, channels: int, classifier: nn.Linear, rate: float) -> None:
        super().__init__()
        if not 0 <= rate <= 1:
            raise BadValue(rate, "the affection rate must lie in [0, 1]", "1 has no effect.")
        self.rate = rate
        self.project = nn.Linear(classifier.in_features, channels)
        self._classifier = (classifier,)  # in a tuple, so that it is not a part of this module
        self.early_prediction_B: Tensor | None = None
        """Class selected for each clip of the last call."""

    def forward(self, a_BCTHW: Tensor) -> Tensor:
        """The volume with its channels weighted by the selected class."""
        weights_KC = torch.relu(self.project(self._classifier[0].weight.detach()))
        score_BK = a_BCTHW.mean((2, 3, 4)) @ weights_KC.T
        selected_B = score_BK.argmax(1)
        self.early_prediction_B = selected_B.detach()
        chosen_BC = weights_KC[selected_B]
        low_B1, high_B1 = chosen_BC.amin(1, keepdim=True), chosen_BC.amax(1, keepdim=True)
        span_B1 = high_B1 - low_B1
        share_BC = torch.where(span_B1 > 0, (chosen_BC - low_B1) / span_B1.clamp(min=1e-12), 1.0)
        scale_BC = self.rate + (1 - self.rate) * share_BC
        return a_BCTHW * scale_BC[..., None, None, None]
