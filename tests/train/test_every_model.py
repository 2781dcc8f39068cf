"""Every family trains by cross-entropy."""

from __future__ import annotations

import pytest
import torch

from secondlook import catalog
from secondlook.predict.loader import Batch
from secondlook.predict.weights import build_model
from secondlook.train.module import Recogniser
from tests.train.toy import toy_settings


@pytest.mark.spec("late-temporal-bert", "F71")
@pytest.mark.parametrize("family", catalog.names("models"))
def test_the_loss_is_cross_entropy_and_reaches_the_classifier(family: str) -> None:
    module = catalog.find("models", family)
    card = module.CARDS[next(name for name in module.CARDS if name.startswith("tiny"))]
    model = build_model(card, 3)
    clip = card.clip
    generator = torch.Generator().manual_seed(0)
    x_BCTHW = torch.randn(2, clip.channels, clip.frames, clip.height, clip.width, generator=generator)
    label_B = torch.tensor([2, 0])
    training = Recogniser(model, toy_settings(), 1, {}).eval()
    training.log = lambda *_, **__: None  # type: ignore[method-assign]
    loss = training.training_step(Batch(x_BCTHW, label_B, torch.arange(2), ()), 0)
    with torch.no_grad():
        p_BK = torch.softmax(model(x_BCTHW.contiguous(memory_format=torch.channels_last_3d)), 1)
    torch.testing.assert_close(loss.detach(), -p_BK[[0, 1], label_B].log().mean(), rtol=1e-4, atol=1e-5)
    loss.backward()
    weight = model.get_submodule(card.explain.classifier).weight
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0
