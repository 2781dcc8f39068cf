"""ViViT; what it shares with others: test_timesformer; that it equals the library's: tests/checkpoints."""

from __future__ import annotations

import torch

from secondlook.models import vivit


def test_a_tubelet_is_one_token_and_the_class_token_another() -> None:
    torch.manual_seed(0)
    network = vivit.build("tiny", 3, in_channels=1, frames=6, height=16, width=24).eval()
    tokens_BNC = network.tokens(torch.randn(2, 1, 6, 16, 24))
    assert tokens_BNC.shape == (2, 1 + 3 * 2 * 3, 64)
    assert network.embeddings.position_embeddings.abs().sum() > 0


def test_gelu_by_tanh_as_in_the_library() -> None:
    from transformers.activations import FastGELUActivation

    network = vivit.build("tiny", 3)
    x = torch.linspace(-4, 4, 101)
    assert torch.allclose(network.blocks[0].mlp.activation_fn(x), FastGELUActivation()(x), atol=1e-6)
