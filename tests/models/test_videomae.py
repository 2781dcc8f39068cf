"""VideoMAE and its masked pre-training, against the library's and slow twins."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from secondlook.errors import BadValue
from secondlook.models import _masked_autoencoder as masked
from secondlook.models import videomae

CLIP = (2, 4, 16, 24)
GRID = (2, 2, 3)


def make(**options) -> videomae.VideoMAE:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes = dict(zip(("in_channels", "frames", "height", "width"), CLIP, strict=True))
        return videomae.build("tiny", 3, **{**sizes, **options}).eval()


def clips(batch: int = 3, seed: int = 1) -> Tensor:
    return torch.randn(batch, *CLIP, generator=torch.Generator().manual_seed(seed))


def mask(clips: int = 3, ratio: float = 0.5, seed: int = 0) -> Tensor:
    return masked.tube_mask(clips, GRID, ratio, torch.Generator().manual_seed(seed))


def test_positions_are_the_librarys_and_no_parameter() -> None:
    from transformers.models.videomae.modeling_videomae import get_sinusoid_encoding_table

    network = make()
    assert torch.allclose(network.embeddings.position_embeddings, get_sinusoid_encoding_table(12, 64)[0], atol=1e-6)
    assert not [name for name in network.state_dict() if "position" in name]


@pytest.mark.spec("attention-recognisers", "A5")
@pytest.mark.parametrize("ratio", [0.9, 0.95])
def test_a_tube_hides_the_same_places_in_all_frames(ratio: float) -> None:
    grid = (8, 14, 14)
    masked_BN = masked.tube_mask(64, grid, ratio, torch.Generator().manual_seed(0))
    masked_BTS = masked_BN.reshape(64, 8, 196)
    assert (masked_BTS == masked_BTS[:, :1]).all()
    assert (masked_BTS.sum(2) == int(ratio * 196)).all()
    assert len({tuple(row.tolist()) for row in masked_BTS[:, 0]}) == 64, "each clip has its own"
    often_S = masked_BTS[:, 0].float().mean(0)
    assert often_S.mean() == pytest.approx(int(ratio * 196) / 196, abs=1e-6)
    assert often_S.min() > 0.5, "no place is spared"


def test_masks_repeat_from_a_generator_and_a_share_that_hides_nothing_is_refused() -> None:
    assert torch.equal(mask(seed=1), mask(seed=1))
    assert not torch.equal(mask(seed=1, clips=9), mask(seed=2, clips=9))
    for ratio in (0.0, 0.1, 1.0, 1.5):
        with pytest.raises(BadValue, match="of 6 places"):
            mask(ratio=ratio)


@pytest.mark.spec("attention-recognisers", "A5")
def test_targets_are_normalised_by_patch_and_channel() -> None:
    """A slow twin, patch by patch, from the picture itself."""
    x_BCTHW = clips()
    target_BNP = masked.normalised(masked.patches(x_BCTHW, GRID), 2)
    for b in range(3):
        n = 0
        for t in range(2):
            for h in range(2):
                for w in range(3):
                    cube = x_BCTHW[b, :, 2 * t : 2 * t + 2, 8 * h : 8 * h + 8, 8 * w : 8 * w + 8]
                    place = 0
                    for dt in range(2):
                        for dh in range(8):
                            for dw in range(8):
                                for c in range(2):
                                    if (dh, dw) in ((0, 0), (3, 5), (7, 7)):
                                        channel = cube[c]
                                        expected = (channel[dt, dh, dw] - channel.mean()) / (channel.std() + 1e-6)
                                        assert target_BNP[b, n, place].item() == pytest.approx(
                                            expected.item(), abs=1e-5
                                        )
                                    place += 1
                    n += 1
    assert torch.equal(masked.clips_of(masked.patches(x_BCTHW, GRID), GRID, CLIP), x_BCTHW)


def test_a_scale_and_shift_of_the_recipe_leaves_the_target() -> None:
    """So the library's undoing of ImageNet's mean and deviation is not needed."""
    x_BCTHW = clips()
    scaled = x_BCTHW * torch.tensor([0.25, 0.1]).reshape(2, 1, 1, 1) + torch.tensor([0.45, 0.0]).reshape(2, 1, 1, 1)
    one, other = (masked.normalised(masked.patches(x, GRID), 2) for x in (x_BCTHW, scaled))
    assert torch.allclose(one, other, atol=1e-4)


def test_restored_undoes_normalised() -> None:
    pixels_BNP = masked.patches(clips(), GRID)
    assert torch.allclose(masked.restored(masked.normalised(pixels_BNP, 2), pixels_BNP, 2), pixels_BNP, atol=1e-5)
    flat_BNP = torch.ones_like(pixels_BNP)
    assert masked.normalised(flat_BNP, 2).abs().max() == 0


def theirs(channels: int) -> nn.Module:
    from transformers import VideoMAEConfig, VideoMAEForPreTraining

    plan = videomae.PLANS["tiny"]
    config = VideoMAEConfig(
        image_size=(16, 24), patch_size=8, num_channels=channels, num_frames=4, hidden_size=plan.channels,
        num_hidden_layers=plan.depth, num_attention_heads=plan.heads, intermediate_size=4 * plan.channels,
        decoder_hidden_size=48, decoder_num_hidden_layers=2, decoder_num_attention_heads=3,
        decoder_intermediate_size=192, use_mean_pooling=False,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        network = VideoMAEForPreTraining(config)
        for p in network.parameters():
            nn.init.normal_(p, 0.0, 0.3 if p.ndim < 2 else p[0].numel() ** -0.5)
    return network.eval()


@pytest.mark.spec("attention-recognisers", "A5")
@pytest.mark.parametrize("channels", [2, 3])
def test_pre_training_is_the_librarys(channels: int) -> None:
    """Its prediction, loss and gradients, from the same weights."""
    library = theirs(channels)
    encoder = make(in_channels=channels)
    decoder = masked.Decoder("tiny", (channels, *CLIP[1:]))
    state = library.state_dict()
    encoder.load_state_dict(
        {
            name.replace("videomae.encoder.layer.", "blocks.").replace("videomae.embeddings", "embeddings"): tensor
            for name, tensor in state.items()
            if name.startswith("videomae.") and "layernorm." not in name
        }
        | {name: tensor for name, tensor in encoder.state_dict().items() if name.startswith("head.")}
    )
    own = {name: tensor for name, tensor in state.items() if not name.startswith("videomae.")}
    own |= {f"norm.{part}": state[f"videomae.layernorm.{part}"] for part in ("weight", "bias")}
    decoder.load_state_dict(own)
    x_BCTHW = torch.randn(3, channels, *CLIP[1:], generator=torch.Generator().manual_seed(1))
    masked_BN = mask()
    loss_B, predicted_BMP = masked.reconstruction_loss(encoder, decoder.eval(), x_BCTHW, masked_BN, GRID)
    expected = library(x_BCTHW.transpose(1, 2), bool_masked_pos=masked_BN)
    assert predicted_BMP.shape == (3, 6, 2 * 8 * 8 * channels)
    assert torch.allclose(predicted_BMP, expected.logits, atol=1e-4)
    assert loss_B.shape == (3,)
    assert loss_B.mean().item() == pytest.approx(expected.loss.item(), rel=1e-4)
    loss_B.mean().backward()
    expected.loss.backward()
    for name, other in (("embeddings.patch_embeddings.projection", "videomae.embeddings.patch_embeddings.projection"),):
        assert torch.allclose(
            encoder.get_submodule(name).weight.grad, library.get_submodule(other).weight.grad, atol=1e-5, rtol=1e-3
        )


def test_hidden_pixels_do_not_reach_the_encoder() -> None:
    network, x_BCTHW, masked_BN = make(), clips(), mask()
    noise = masked.patches(clips(seed=9), GRID)
    hidden = torch.where(masked_BN[..., None], noise, masked.patches(x_BCTHW, GRID))
    other = masked.clips_of(hidden, GRID, CLIP)
    assert not torch.allclose(other, x_BCTHW)
    assert torch.equal(network.encode(x_BCTHW, masked_BN), network.encode(other, masked_BN))
    assert network.encode(x_BCTHW, masked_BN).shape == (3, 6, 64)


def test_with_nothing_hidden_the_encoder_is_the_recogniser() -> None:
    network = make()
    tokens_BNC = network.encode(clips(), torch.zeros(3, 12, dtype=torch.bool))
    assert torch.allclose(network.features(clips()).flatten(2).transpose(1, 2), tokens_BNC, atol=1e-6)


def test_the_encoder_is_larger_than_the_decoder() -> None:
    for variant, plan in videomae.PLANS.items():
        with torch.device("meta"):
            decoder = masked.Decoder(variant, (3, 16, 224, 224))
            encoder = videomae.build(variant, 2, in_channels=3, frames=16, height=224, width=224)
        of_decoder, of_encoder = (sum(p.numel() for p in m.parameters()) for m in (decoder, encoder))
        assert of_decoder < of_encoder, variant
        assert plan.decoder[0] < plan.channels
