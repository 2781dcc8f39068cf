"""The VideoMAE release (MCG-NJU/VideoMAE): fine-tuned networks, and the encoder of pre-trained ones."""

from __future__ import annotations

import re

from torch import Tensor

from secondlook.checkpoints._layout import CLASSIFIER, Layout, Shapes

_PRETRAINING = re.compile(r"^(decoder|encoder_to_decoder|mask_token|encoder\.norm)(\.|$)")


def _recognise(shapes: Shapes) -> bool:
    return any(f"{prefix}blocks.0.attn.q_bias" in shapes for prefix in ("", "encoder."))


def _prepare(file: dict[str, Tensor]) -> dict[str, Tensor]:
    """Splits each fused `qkv.weight` in three; the key has no bias, by design."""
    found: dict[str, Tensor] = {}
    for name, tensor in file.items():
        if _PRETRAINING.match(name):
            continue
        name = name.removeprefix("encoder.")
        if name.endswith(".attn.qkv.weight"):
            for part, rows in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                found[name.replace(".qkv.", f".{part}.")] = rows
        else:
            found[name] = tensor
    return found


def _caution(shapes: Shapes) -> str:
    return "Parts that only pre-training uses are left out." if any(map(_PRETRAINING.match, shapes)) else ""


LAYOUT = Layout(
    about="the VideoMAE release (MCG-NJU/VideoMAE)",
    rules=(
        (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
        (r"\.attn\.q_bias$", ".attn.query.bias"),
        (r"\.attn\.v_bias$", ".attn.value.bias"),
        (r"\.attn\.(query|key|value)\.", r".attention.attention.\1."),
        (r"\.attn\.proj\.", ".attention.output.dense."),
        (r"\.norm1\.", ".layernorm_before."),
        (r"\.norm2\.", ".layernorm_after."),
        (r"\.mlp\.fc1\.", ".intermediate.dense."),
        (r"\.mlp\.fc2\.", ".output.dense."),
        (r"^head\.", CLASSIFIER),
        (r"^fc_norm\.", "head.norm."),
    ),
    recognise=_recognise,
    prepare=_prepare,
    caution=_caution,
)
