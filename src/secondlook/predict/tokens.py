"""The frames' vectors on their way through a late temporal head, for looking at them.

Shapes: L encoder layers, H attention heads, N tokens (class token first, if there is one), T frames of the features, D
dimensions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from secondlook.errors import BadValue
from secondlook.models._recogniser import Recogniser
from secondlook.predict.weights import LoadedModel


@torch.no_grad()
def attention_over_frames(loaded: LoadedModel, x_CTHW: Tensor) -> Tensor:
    """How much the read token looks at each frame in the last layer of a BERT head, `weights_HT`.

    With a class token that is its row of the attention; without, the mean of all rows.

    Raises:
        BadValue: if the head has no attention over time.
    """
    network, head = _with_tokens(loaded, "attention_weights")
    weights_HNN: Tensor = head.attention_weights(network.features(x_CTHW[None]))[0, -1]  # type: ignore[operator]
    frames = int(head.frames)  # type: ignore[arg-type]
    rows_HN = weights_HNN[:, 0] if weights_HNN.shape[-1] > frames else weights_HNN.mean(1)
    return rows_HN[:, -frames:]


@torch.no_grad()
def frame_outputs(loaded: LoadedModel, x_CTHW: Tensor) -> Tensor:
    """The frames' tokens after a BERT head's encoder, `y_TD`.

    Raises:
        BadValue: if the head has none.
    """
    network, head = _with_tokens(loaded, "frame_outputs")
    y_TD: Tensor = head.frame_outputs(network.features(x_CTHW[None]))[0]  # type: ignore[operator]
    return y_TD


@torch.no_grad()
def frame_features(loaded: LoadedModel, x_CTHW: Tensor) -> Tensor:
    """The features of each frame, averaged over space and not over time, `z_TC`: what BERT distillation teaches with.

    Raises:
        BadValue: for a network without a map of features.
    """
    z_CTHW: Tensor = _network(loaded).features(x_CTHW[None])[0]
    return z_CTHW.mean((2, 3)).T


def _network(loaded: LoadedModel) -> Recogniser:
    if not isinstance(loaded.model, Recogniser):
        raise BadValue(loaded.card.name, "has no map of features over time")
    return loaded.model.eval()


def _with_tokens(loaded: LoadedModel, method: str) -> tuple[Recogniser, torch.nn.Module]:
    network = _network(loaded)
    if not hasattr(network.head, method):
        raise BadValue(loaded.card.name, "has a head without tokens of its own", "Train it with --head bert.")
    return network, network.head
