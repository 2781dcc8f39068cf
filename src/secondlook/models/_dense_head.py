"""The head of networks from before global pooling: all values of the last map through fully connected layers."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


class DenseHead(nn.Module):
    """`logits_BK = W act(... act(W_1 flatten(features_BCTHW) + b_1) ...) + b`.

    Hidden layers start as Kaiming says for rectifiers, the classifier from a normal distribution of deviation 0.01;
    biases from 0. Their number of weights is tied to the size of the map.

    Args:
        values: of the map that is flattened, C T H W; C H W with `each_frame`.
        hidden: name -> width of each hidden layer, such as `{"fc6": 4096}`; its activation and dropout are called
            alike (`fc6_act`, `fc6_dropout`), but for the last dropout, which is `dropout`.
        num_classes: K.
        dropout: share dropped in training after each hidden layer.
        each_frame: each frame of the map is classified alone, and the logits are the mean over frames; it then learns
            from one random frame of a clip.
    """

    initialises_itself = True

    def __init__(
        self,
        values: int,
        hidden: Mapping[str, int],
        num_classes: int,
        dropout: float = 0.0,
        *,
        each_frame: bool = False,
    ) -> None:
        super().__init__()
        self.each_frame = self.trains_on_one_frame = each_frame
        self.hidden = tuple(hidden)
        width = values
        for i, (name, outputs) in enumerate(hidden.items(), 1):
            self.add_module(name, nn.Linear(width, outputs))
            self.add_module(f"{name}_act", nn.ReLU())
            self.add_module(f"{name}_dropout" if i < len(hidden) else "dropout", nn.Dropout(dropout))
            width = outputs
        self.classifier = nn.Linear(width, num_classes)
        for layer in self.children():
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        nn.init.normal_(self.classifier.weight, 0.0, 0.01)

    def forward(self, features_BCTHW: Tensor) -> Tensor:
        """Logits of each clip."""
        x = features_BCTHW.transpose(1, 2).flatten(2) if self.each_frame else features_BCTHW.flatten(1)
        for layer in self.children():
            x = layer(x)
        return x.mean(1) if self.each_frame else x
