"""Transformer encoder over a grid of places in time and space, with a class token and learned positions.

`attention-recognisers`, sections 2.1 and 2.2: tokens are the vectors of the frames of a 2D network (grid `(T, 1, 1)`,
the default), or the places of a 3D network's last map, pooled to a grid ("adaptive change"). The source gives neither
the order of normalisations nor the depth; here one layer, normalised before each branch and once after the last, as in
vision transformers. Its "FC 512" is read as the width of the tokens or of the feed-forward branch: `width`, `fc`.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from secondlook.errors import BadValue
from secondlook.heads._build import flag, share, whole
from secondlook.heads._pool import GridPool
from secondlook.layers.transformer_encoder import TokenEmbedding, TransformerEncoder


class TransformerHead(nn.Module):
    """`logits_BK = W norm(encoder([class token; project(places)] + positions)) at the class token + b`.

    Args:
        channels: C of the features.
        grid: tokens in time, height and width; features of another size are pooled to it.
        width: D of the tokens; they are projected if it is not C.
        encoder: over tokens of this width.
        num_classes: K.
        dropout: share of the class token dropped in training.
        encoder_dropout: share of the tokens dropped in training.
        positions: add learned positions.
    """

    initialises_itself = True

    def __init__(
        self,
        channels: int,
        grid: tuple[int, int, int],
        width: int,
        encoder: TransformerEncoder,
        num_classes: int,
        *,
        dropout: float,
        encoder_dropout: float,
        positions: bool,
    ) -> None:
        super().__init__()
        self.pool = GridPool(grid)
        self.project: nn.Module = nn.Identity() if width == channels else nn.Linear(channels, width)
        tokens = grid[0] * grid[1] * grid[2]
        self.embed = TokenEmbedding(tokens, width, positions=positions, dropout=encoder_dropout)
        self.encoder = encoder
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, features_BCTHW: Tensor) -> Tensor:
        """Logits of each clip."""
        y_BND = self.encoder(self._tokens(features_BCTHW))
        logits_BK: Tensor = self.classifier(self.dropout(self.norm(y_BND[:, 0])))
        return logits_BK

    def attention_weights(self, features_BCTHW: Tensor) -> Tensor:
        """How much each token looks at each, `weights_BLHNN`: layer, head, from, to; the class token is the first."""
        return self.encoder.attention_weights(self._tokens(features_BCTHW))

    def _tokens(self, features_BCTHW: Tensor) -> Tensor:
        x_BND: Tensor = self.embed(self.project(self.pool(features_BCTHW).flatten(2).transpose(1, 2)))
        return x_BND


def build(
    channels: int,
    frames: int,
    num_classes: int,
    *,
    dropout: float = 0.0,
    grid: Sequence[int] | None = None,
    width: int | None = None,
    layers: int = 1,
    heads: int = 8,
    fc: int | None = None,
    positions: bool = True,
    encoder_dropout: float = 0.1,
) -> nn.Module:
    """The head.

    Args:
        channels: C of the features.
        frames: T of the features.
        num_classes: K.
        dropout: share of the class token dropped in training.
        grid: tokens in time, height and width; `(frames, 1, 1)` when left out. Features of another size are averaged
            to it, or repeated where they have fewer places.
        width: D of the tokens, a multiple of `heads`; C when left out.
        layers: encoder layers.
        heads: attention heads a layer.
        fc: width of the feed-forward branch; 4 D when left out.
        positions: add learned positions; without, the order of the tokens is lost.
        encoder_dropout: share dropped of tokens, attention weights and branches.
    """
    size = tuple(grid) if isinstance(grid, Sequence) else (frames, 1, 1) if grid is None else ()
    if len(size) != 3:
        raise BadValue(grid, "a grid is three numbers: tokens in time, height and width", "For example [8, 2, 2].")
    time, height, across = (whole(cells, "each number of the grid") for cells in size)
    inside = channels if width is None else whole(width, "width")
    encoder = TransformerEncoder(
        whole(layers, "layers"),
        inside,
        whole(heads, "heads"),
        4 * inside if fc is None else whole(fc, "fc"),
        dropout=share(encoder_dropout, "encoder_dropout"),
        ffn_dropout=encoder_dropout,
    )
    return TransformerHead(
        channels,
        (time, height, across),
        inside,
        encoder,
        num_classes,
        dropout=share(dropout, "dropout"),
        encoder_dropout=encoder_dropout,
        positions=flag(positions, "positions"),
    )
