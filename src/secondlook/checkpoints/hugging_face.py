"""transformers (Hugging Face): TimeSformer, VideoMAE, ViViT and V-JEPA 2, as `save_pretrained` writes them."""

from __future__ import annotations

import re

from torch import Tensor

from secondlook.checkpoints._layout import CLASSIFIER, Layout, Shapes
from secondlook.checkpoints._time_positions import stretch

_FAMILY = r"^(?:timesformer|videomae|vivit|vjepa2)\."
_PRETRAINING = re.compile(r"^(vjepa2\.predictor|videomae\.layernorm|decoder|encoder_to_decoder|mask_token)(\.|$)")
"""What only pre-training uses: V-JEPA 2's predictor, VideoMAE's decoder and the normalisation before it."""


def _recognise(shapes: Shapes) -> bool:
    return any(re.match(_FAMILY, name) for name in shapes) or _is_bare_vjepa2(shapes)


def _is_bare_vjepa2(names: Shapes | dict[str, Tensor]) -> bool:
    """The encoder alone is published without the prefix `vjepa2.`."""
    return "encoder.embeddings.patch_embeddings.proj.weight" in names


def _prepare(file: dict[str, Tensor]) -> dict[str, Tensor]:
    if _is_bare_vjepa2(file):
        file = {f"vjepa2.{name}": tensor for name, tensor in file.items()}
    return {name: tensor for name, tensor in file.items() if not _PRETRAINING.match(name)}


def _caution(shapes: Shapes) -> str:
    said = []
    names = {f"vjepa2.{name}" for name in shapes} if _is_bare_vjepa2(shapes) else set(shapes)
    if any(_PRETRAINING.match(name) for name in names):
        said.append("Parts that only pre-training uses are left out.")
    if shapes.get("videomae.encoder.layer.0.attention.attention.query.weight") == (384, 384):
        said.append("The library runs its VideoMAE-S with 16 heads; it was trained with 6, and 6 are taken here.")
    return " ".join(said)


LAYOUT = Layout(
    about="transformers (huggingface/transformers: TimeSformer, VideoMAE, ViViT, V-JEPA 2)",
    rules=(
        (_FAMILY + r"(?:encoder\.)?embeddings\.", "embeddings."),
        # ViViT's files keep the names of older releases of the library; its state dict has new ones.
        (r"^(vivit\..+)\.attention\.attention\.(q)uery\.", r"\1.attention.\2_proj."),
        (r"^(vivit\..+)\.attention\.attention\.(k)ey\.", r"\1.attention.\2_proj."),
        (r"^(vivit\..+)\.attention\.attention\.(v)alue\.", r"\1.attention.\2_proj."),
        (r"^(vivit\..+)\.attention\.output\.dense\.", r"\1.attention.o_proj."),
        (r"^(vivit\..+)\.intermediate\.dense\.", r"\1.mlp.fc1."),
        (r"^(vivit\..+)\.output\.dense\.", r"\1.mlp.fc2."),
        (r"\.attention\.attention\.q_bias$", ".attention.attention.query.bias"),
        (r"\.attention\.attention\.v_bias$", ".attention.attention.value.bias"),
        (_FAMILY + r"(?:encoder\.layer|layers)\.", "blocks."),
        (_FAMILY + r"(?:encoder\.)?layernorm\.", "norm."),
        (r"^fc_norm\.", "head.norm."),
        (r"^pooler\.", "head.pooler."),
        (r"^classifier\.", CLASSIFIER),
    ),
    recognise=_recognise,
    adapt=stretch,
    prepare=_prepare,
    caution=_caution,
)
