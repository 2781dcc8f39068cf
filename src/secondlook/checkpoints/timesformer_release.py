"""The TimeSformer release (facebookresearch/TimeSformer): divided, joint and space-only attention."""

from __future__ import annotations

from secondlook.checkpoints._layout import CLASSIFIER, Layout, Shapes
from secondlook.checkpoints._time_positions import stretch


def _recognise(shapes: Shapes) -> bool:
    of_frames = len(shapes.get("patch_embed.proj.weight", ())) == 4
    return of_frames and {"cls_token", "pos_embed", "blocks.0.attn.qkv.weight"} <= shapes.keys()


def _caution(shapes: Shapes) -> str:
    if "time_embed" in shapes:
        return ""
    return "It has no positions in time: a TimeSformer with space-only attention, or a ViT of single images."


LAYOUT = Layout(
    about="the TimeSformer release (facebookresearch/TimeSformer)",
    rules=(
        (r"^cls_token$", "embeddings.cls_token"),
        (r"^pos_embed$", "embeddings.position_embeddings"),
        (r"^time_embed$", "embeddings.time_embeddings"),
        (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
        (r"\.temporal_norm1\.", ".temporal_layernorm."),
        (r"\.norm1\.", ".layernorm_before."),
        (r"\.norm2\.", ".layernorm_after."),
        (r"\.temporal_fc\.", ".temporal_dense."),
        (r"\.(temporal_)?attn\.qkv\.", r".\1attention.attention.qkv."),
        (r"\.(temporal_)?attn\.proj\.", r".\1attention.output.dense."),
        (r"\.mlp\.fc1\.", ".intermediate.dense."),
        (r"\.mlp\.fc2\.", ".output.dense."),
        (r"^head\.", CLASSIFIER),
    ),
    recognise=_recognise,
    adapt=stretch,
    caution=_caution,
)
