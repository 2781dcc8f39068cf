"""State dicts of networks of patch tokens, laid out as transformers and the first releases lay them out."""

from __future__ import annotations

from dataclasses import dataclass

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Size:
    """What the shapes depend on."""

    channels: int = 768
    depth: int = 12
    patch: int = 16
    frames: int = 8
    height: int = 224
    width: int = 224
    classes: int = 400
    inputs: int = 3

    @property
    def places(self) -> int:
        return (self.height // self.patch) * (self.width // self.patch)


def _linear(name: str, outputs: int, inputs: int, bias: bool = True) -> Shapes:
    return {f"{name}.weight": (outputs, inputs)} | ({f"{name}.bias": (outputs,)} if bias else {})


def _norms(prefix: str, names: tuple[str, ...], channels: int) -> Shapes:
    return {f"{prefix}{name}.{part}": (channels,) for name in names for part in ("weight", "bias")}


def timesformer_release(attention: str, size: Size = Size()) -> Shapes:
    """`model_state` of facebookresearch/TimeSformer, `model.` taken off; attention is divided, joint or space."""
    c, p = size.channels, size.patch
    shapes: Shapes = {"cls_token": (1, 1, c), "pos_embed": (1, size.places + 1, c)}
    if attention != "space":
        shapes["time_embed"] = (1, size.frames, c)
    shapes |= {"patch_embed.proj.weight": (c, size.inputs, p, p), "patch_embed.proj.bias": (c,)}
    for i in range(size.depth):
        block = f"blocks.{i}."
        shapes |= _norms(block, ("norm1", "norm2"), c)
        kinds = ("attn", "temporal_attn") if attention == "divided" else ("attn",)
        for kind in kinds:
            shapes |= _linear(f"{block}{kind}.qkv", 3 * c, c) | _linear(f"{block}{kind}.proj", c, c)
        if attention == "divided":
            shapes |= _norms(block, ("temporal_norm1",), c) | _linear(f"{block}temporal_fc", c, c)
        shapes |= _linear(f"{block}mlp.fc1", 4 * c, c) | _linear(f"{block}mlp.fc2", c, 4 * c)
    return shapes | _norms("", ("norm",), c) | _linear("head", size.classes, c)


def videomae_release(size: Size = Size(), decoder: int = 0) -> Shapes:
    """`modeling_finetune.py` of MCG-NJU/VideoMAE; with a decoder of that width, four blocks, `modeling_pretrain.py`."""
    c, p = size.channels, size.patch

    def blocks(prefix: str, channels: int, depth: int) -> Shapes:
        shapes: Shapes = {}
        for i in range(depth):
            block = f"{prefix}blocks.{i}."
            shapes |= _norms(block, ("norm1", "norm2"), channels)
            shapes |= {f"{block}attn.q_bias": (channels,), f"{block}attn.v_bias": (channels,)}
            shapes |= _linear(f"{block}attn.qkv", 3 * channels, channels, bias=False)
            shapes |= _linear(f"{block}attn.proj", channels, channels)
            shapes |= _linear(f"{block}mlp.fc1", 4 * channels, channels)
            shapes |= _linear(f"{block}mlp.fc2", channels, 4 * channels)
        return shapes

    prefix = "encoder." if decoder else ""
    shapes = {f"{prefix}patch_embed.proj.weight": (c, size.inputs, 2, p, p), f"{prefix}patch_embed.proj.bias": (c,)}
    shapes |= blocks(prefix, c, size.depth)
    if not decoder:
        return shapes | _norms("", ("fc_norm",), c) | _linear("head", size.classes, c)
    shapes |= _norms("encoder.", ("norm",), c) | {"mask_token": (1, 1, decoder)}
    shapes |= _linear("encoder_to_decoder", decoder, c, bias=False) | blocks("decoder.", decoder, 4)
    return shapes | _norms("decoder.", ("norm",), decoder) | _linear("decoder.head", 2 * p * p * size.inputs, decoder)


def _layer(prefix: str, c: int) -> Shapes:
    """What follows attention in a block of the library's older networks."""
    return _linear(f"{prefix}intermediate.dense", 4 * c, c) | _linear(f"{prefix}output.dense", c, 4 * c)


def timesformer(size: Size = Size()) -> Shapes:
    """`TimesformerForVideoClassification`, divided attention."""
    c, p = size.channels, size.patch
    e = "timesformer.embeddings."
    shapes: Shapes = {
        f"{e}cls_token": (1, 1, c),
        f"{e}position_embeddings": (1, size.places + 1, c),
        f"{e}time_embeddings": (1, size.frames, c),
        f"{e}patch_embeddings.projection.weight": (c, size.inputs, p, p),
        f"{e}patch_embeddings.projection.bias": (c,),
    }
    for i in range(size.depth):
        layer = f"timesformer.encoder.layer.{i}."
        for kind in ("attention", "temporal_attention"):
            shapes |= _linear(f"{layer}{kind}.attention.qkv", 3 * c, c) | _linear(f"{layer}{kind}.output.dense", c, c)
        shapes |= _layer(layer, c) | _linear(f"{layer}temporal_dense", c, c)
        shapes |= _norms(layer, ("layernorm_before", "layernorm_after", "temporal_layernorm"), c)
    return shapes | _norms("timesformer.", ("layernorm",), c) | _linear("classifier", size.classes, c)


def videomae(size: Size = Size(), *, old: bool = True) -> Shapes:
    """`VideoMAEForVideoClassification`; old: with the names that the files on the hub have."""
    c, p = size.channels, size.patch
    e = "videomae.embeddings.patch_embeddings.projection"
    shapes: Shapes = {f"{e}.weight": (c, size.inputs, 2, p, p), f"{e}.bias": (c,)}
    for i in range(size.depth):
        layer = f"videomae.encoder.layer.{i}."
        for part in ("query", "key", "value"):
            shapes |= _linear(f"{layer}attention.attention.{part}", c, c, bias=False)
        for part in ("q_bias", "v_bias") if old else ("query.bias", "value.bias"):
            shapes[f"{layer}attention.attention.{part}"] = (c,)
        shapes |= _linear(f"{layer}attention.output.dense", c, c) | _layer(layer, c)
        shapes |= _norms(layer, ("layernorm_before", "layernorm_after"), c)
    return shapes | _norms("", ("fc_norm",), c) | _linear("classifier", size.classes, c)


def vivit(size: Size = Size(frames=32), *, old: bool = True) -> Shapes:
    """`VivitForVideoClassification`; old: with the names that the file on the hub has."""
    c, p = size.channels, size.patch
    e = "vivit.embeddings."
    shapes: Shapes = {
        f"{e}cls_token": (1, 1, c),
        f"{e}position_embeddings": (1, size.places * size.frames // 2 + 1, c),
        f"{e}patch_embeddings.projection.weight": (c, size.inputs, 2, p, p),
        f"{e}patch_embeddings.projection.bias": (c,),
    }
    for i in range(size.depth):
        if old:
            layer = f"vivit.encoder.layer.{i}."
            for part in ("query", "key", "value"):
                shapes |= _linear(f"{layer}attention.attention.{part}", c, c)
            shapes |= _linear(f"{layer}attention.output.dense", c, c) | _layer(layer, c)
        else:
            layer = f"vivit.layers.{i}."
            for part in "qkvo":
                shapes |= _linear(f"{layer}attention.{part}_proj", c, c)
            shapes |= _linear(f"{layer}mlp.fc1", 4 * c, c) | _linear(f"{layer}mlp.fc2", c, 4 * c)
        shapes |= _norms(layer, ("layernorm_before", "layernorm_after"), c)
    return shapes | _norms("vivit.", ("layernorm",), c) | _linear("classifier", size.classes, c)


def vjepa2_encoder(size: Size, prefix: str = "") -> Shapes:
    """`VJEPA2Model`, with a predictor of one block (the releases have twelve)."""
    c, p = size.channels, size.patch
    e = f"{prefix}encoder.embeddings.patch_embeddings.proj"
    shapes: Shapes = {f"{e}.weight": (c, size.inputs, 2, p, p), f"{e}.bias": (c,)}
    stacks = [(f"{prefix}encoder.layer.{i}.", c) for i in range(size.depth)]
    for layer, width in [*stacks, (f"{prefix}predictor.layer.0.", 384)]:
        for part in ("query", "key", "value", "proj"):
            shapes |= _linear(f"{layer}attention.{part}", width, width)
        shapes |= _linear(f"{layer}mlp.fc1", 4 * width, width) | _linear(f"{layer}mlp.fc2", width, 4 * width)
        shapes |= _norms(layer, ("norm1", "norm2"), width)
    shapes |= _norms(f"{prefix}encoder.", ("layernorm",), c) | _norms(f"{prefix}predictor.", ("layernorm",), 384)
    shapes |= {f"{prefix}predictor.embeddings.mask_tokens": (10, 1, 1, 384)}
    return shapes | _linear(f"{prefix}predictor.proj", c, 384)


LARGE = Size(channels=1024, depth=24, frames=64, height=256, width=256, classes=174)
PRETRAINED = {name.replace("fc_norm", "videomae.layernorm"): s for name, s in videomae().items() if name[:2] != "cl"}
DECODER = {"mask_token": (1, 1, 384), "encoder_to_decoder.weight": (384, 768), "decoder.norm.weight": (384,)}
FILES: dict[str, tuple[str, Shapes]] = {
    "TimeSformer, divided": ("timesformer_release", timesformer_release("divided")),
    "TimeSformer, joint": ("timesformer_release", timesformer_release("joint")),
    "TimeSformer, space only": ("timesformer_release", timesformer_release("space")),
    "VideoMAE-B, fine-tuned": ("videomae_release", videomae_release()),
    "VideoMAE-B, pre-trained": ("videomae_release", videomae_release(decoder=384)),
    "transformers TimeSformer": ("hugging_face", timesformer()),
    "transformers VideoMAE-B": ("hugging_face", videomae()),
    "transformers VideoMAE-B, new names": ("hugging_face", videomae(old=False)),
    "transformers VideoMAE-B, pre-trained": ("hugging_face", PRETRAINED | DECODER),
    "transformers ViViT": ("hugging_face", vivit()),
    "transformers ViViT, new names": ("hugging_face", vivit(old=False)),
    "transformers V-JEPA 2, encoder": ("hugging_face", vjepa2_encoder(LARGE)),
    "transformers V-JEPA 2": (
        "hugging_face",
        vjepa2_encoder(LARGE, "vjepa2.") | {"pooler.query_tokens": (1, 1, 1024)} | _linear("classifier", 174, 1024),
    ),
}
"""Case -> (the layout that must know it, name -> shape as `read_state` gives them)."""
