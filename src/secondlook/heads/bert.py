"""BERT: an encoder layer over the frames, with a learned class token and positions; frames are masked in training.

Kalfaoglu, Kalkan, Alatan, "Late Temporal Modeling in 3D CNN Architectures with BERT for Action Recognition", ECCV
Workshops 2020; `late-temporal-bert`, section 1.20. `12 L D^2 + 13 L D + (T + 2) D` weights before the classifier.
The source writes no residual connections and normalisations; here as in its code
(artest08/LateTemporalModeling3DCNN), which normalises before each branch. That code also drops 0.1 of each layer's
output, which is left out here, and computes layer norm and GELU in its own way: `as_released=True` does likewise.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook.heads._build import choice, flag, share, whole
from secondlook.heads._pool import FramePool
from secondlook.heads.concat import check_length
from secondlook.layers.transformer_encoder import TokenEmbedding, TransformerEncoder

READ_OUTS = ("class_token", "mean")
INITIALISATIONS = ("default", "normal")


class BertHead(nn.Module):
    """`logits_BK = W encoder([class token; mean_HW(features_BCTHW)] + positions) at the class token + b`.

    Args:
        embed: adds class token and positions.
        encoder: the layers.
        classifier: the last layer.
        frames: T.
        dropout: share of the read vector dropped in training.
        mask: probability with which a frame's token is hidden from all others in training.
        unit_tokens: scale the frames' vectors to length 1.
    """

    initialises_itself = True

    def __init__(
        self,
        embed: TokenEmbedding,
        encoder: TransformerEncoder,
        classifier: nn.Linear,
        *,
        frames: int,
        dropout: float,
        mask: float,
        unit_tokens: bool,
    ) -> None:
        super().__init__()
        self.frames, self.mask, self.unit_tokens = frames, mask, unit_tokens
        self.pool = FramePool()
        self.embed = embed
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.classifier = classifier

    def forward(self, features_BCTHW: Tensor) -> Tensor:
        """Logits of each clip.

        Raises:
            BadValue: for a clip of another length than the head was built for.
        """
        y_BND = self.outputs(features_BCTHW)
        read_BD = y_BND[:, 0] if self.embed.class_token is not None else y_BND.mean(1)
        logits_BK: Tensor = self.classifier(self.dropout(read_BD))
        return logits_BK

    def outputs(self, features_BCTHW: Tensor) -> Tensor:
        """Every token after the encoder, `y_BND`: the class token first (if there is one), then the T frames."""
        x_BND = self._tokens(features_BCTHW)
        y_BND: Tensor = self.encoder(x_BND, self._seen(x_BND))
        return y_BND

    def frame_outputs(self, features_BCTHW: Tensor) -> Tensor:
        """The frames' tokens after the encoder, `y_BTD`: what BERT distillation teaches."""
        return self.outputs(features_BCTHW)[:, -self.frames :]

    def attention_weights(self, features_BCTHW: Tensor) -> Tensor:
        """How much each token looks at each, `weights_BLHNN`: layer, head, from, to; each row sums to 1.

        0 towards frames that are masked (in training). To have them of a usual pass, set `keep_weights` of
        `encoder.layers[i].attention`.
        """
        x_BND = self._tokens(features_BCTHW)
        return self.encoder.attention_weights(x_BND, self._seen(x_BND))

    def _tokens(self, features_BCTHW: Tensor) -> Tensor:
        tokens_BTC = self.pool(features_BCTHW)
        check_length(tokens_BTC.shape[1], self.frames)
        if self.unit_tokens:
            tokens_BTC = functional.normalize(tokens_BTC, dim=-1)
        x_BND: Tensor = self.embed(tokens_BTC)
        return x_BND

    def _seen(self, x_BND: Tensor) -> Tensor | None:
        """Which tokens may be looked at: the class token always; all frames again where none would be left."""
        if not self.training or not self.mask:
            return None
        seen_BN = torch.rand(x_BND.shape[:2], device=x_BND.device) >= self.mask
        if self.embed.class_token is not None:
            seen_BN[:, 0] = True
        return seen_BN | ~seen_BN.any(1, keepdim=True)


def build(
    channels: int,
    frames: int,
    num_classes: int,
    *,
    dropout: float = 0.0,
    layers: int = 1,
    heads: int = 8,
    read_out: str = "class_token",
    positions: bool = True,
    mask: float = 0.2,
    ffn_dropout: float = 0.1,
    encoder_dropout: float = 0.1,
    initialisation: str = "default",
    unit_tokens: bool = False,
    as_released: bool = False,
) -> nn.Module:
    """The head.

    Args:
        channels: C of the features, D of the tokens; a multiple of `heads`.
        frames: T of the features.
        num_classes: K.
        dropout: share of the read vector dropped in training; the source takes 0.8 for RGB and 0.7 for flow.
        layers: encoder layers.
        heads: attention heads a layer.
        read_out: `class_token`; or `mean`, that of the frames' outputs, with no class token at all.
        positions: add learned positions; without, the order of the frames is lost.
        mask: probability with which a frame is hidden in training.
        ffn_dropout: share dropped inside the feed-forward branch; 0.1 as in the code, while the text says 0.9.
        encoder_dropout: share dropped of tokens, attention weights and branches.
        initialisation: of the linear layers: `default`, PyTorch's; or `normal`, deviation 0.02 and no bias, as the
            source does on I3D. Class token and positions always have a deviation of 0.02.
        unit_tokens: scale the frames' vectors to length 1, as the source's code does on I3D.
        as_released: layer norm and GELU as in the source's code; for its weights.
    """
    encoder = TransformerEncoder(
        whole(layers, "layers"),
        channels,
        whole(heads, "heads"),
        4 * channels,
        dropout=share(encoder_dropout, "encoder_dropout"),
        ffn_dropout=share(ffn_dropout, "ffn_dropout"),
        as_released=flag(as_released, "as_released"),
    )
    embed = TokenEmbedding(
        frames,
        channels,
        class_token=choice(read_out, "read-out", READ_OUTS) == "class_token",
        positions=flag(positions, "positions"),
        dropout=encoder_dropout,
    )
    head = BertHead(
        embed,
        encoder,
        nn.Linear(channels, num_classes),
        frames=frames,
        dropout=share(dropout, "dropout"),
        mask=share(mask, "mask"),
        unit_tokens=flag(unit_tokens, "unit_tokens"),
    )
    if choice(initialisation, "initialisation", INITIALISATIONS) == "normal":
        for module in encoder.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, 0.02)
                nn.init.zeros_(module.bias)
    return head
