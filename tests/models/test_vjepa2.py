"""V-JEPA 2: its places on clips that are not square, its probe, its size."""

from __future__ import annotations

import torch

from secondlook.models import vjepa2
from secondlook.models._count import on_meta, parameters


def make(height: int, width: int) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return vjepa2.build("tiny", 3, in_channels=1, frames=4, height=height, width=width).eval()


def test_each_token_knows_its_own_row_and_column() -> None:
    """The library's own reckoning, asked for the row and column of every token."""
    for height, width in ((24, 16), (16, 32), (8, 24)):
        network = make(height, width)
        attention = network.blocks[0].attention
        tokens = torch.zeros(1, 2 * (height // 8) * (width // 8), 64)
        found = attention.get_position_ids(tokens, network.places_N[None])
        t, h, w = torch.meshgrid(
            torch.arange(2), torch.arange(height // 8), torch.arange(width // 8), indexing="ij"
        )  # fmt: skip
        for ids, expected in zip(found, (t, h, w), strict=True):
            assert ids.shape[:2] == (1, 4)
            assert all(torch.equal(head, expected.flatten()) for head in ids[0])


def test_a_square_clip_needs_no_places_and_places_change_nothing_there() -> None:
    network = make(16, 16)
    assert vjepa2.places((2, 2, 2)) is None
    x_BCTHW = torch.randn(2, 1, 4, 16, 16)
    before = network(x_BCTHW)
    network.is_square = False
    network.register_buffer("places_N", torch.arange(2 * 2 * 2), persistent=False)
    assert torch.allclose(network(x_BCTHW), before, atol=1e-6)


def test_weights_fit_clips_of_any_size() -> None:
    make(24, 16).load_state_dict(make(16, 32).state_dict())


def test_the_probe_does_not_depend_on_the_order_of_tokens() -> None:
    network = make(16, 16)
    features = torch.randn(2, 64, 2, 2, 2)
    assert torch.allclose(network.head(features), network.head(features.flip(2, 3)), atol=1e-5)


def test_is_as_large_as_the_librarys() -> None:
    from transformers import VJEPA2Config, VJEPA2ForVideoClassification

    for variant, sizes in (
        ("large-ssv2", {}),
        ("giant-384-ssv2", {"hidden_size": 1408, "num_hidden_layers": 40, "num_attention_heads": 22}),
    ):
        ratio = {"mlp_ratio": 48 / 11} if sizes else {}
        with torch.device("meta"):
            theirs = VJEPA2ForVideoClassification(VJEPA2Config(num_labels=174, **sizes, **ratio))
        network = on_meta(vjepa2.CARDS[variant], 174)
        assert parameters(network) == parameters(theirs) - parameters(theirs.vjepa2.predictor)
