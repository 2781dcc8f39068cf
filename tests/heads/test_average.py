"""The average head: the mean over frames of what it says of each, and bad inputs."""

from __future__ import annotations

import pytest
import torch

from secondlook import catalog
from secondlook.errors import BadValue


def test_is_the_mean_of_the_logits_of_frames() -> None:
    head = catalog.find("heads", "average").build(6, 4, 3)
    features = torch.randn(2, 6, 4, 3, 5)
    by_hand = torch.stack(
        [head.classifier(features[:, :, t].mean((2, 3))) for t in range(4)]
    )  # what it says of each frame alone
    assert torch.allclose(head.frame_logits(features), by_hand.transpose(0, 1), atol=1e-6)
    assert torch.allclose(head(features), by_hand.mean(0), atol=1e-6)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "23")
def test_is_one_pool_and_one_linear_layer() -> None:
    head = catalog.find("heads", "average").build(6, 1, 3)
    assert sorted(head.state_dict()) == ["classifier.bias", "classifier.weight"]
    features = torch.randn(2, 6, 4, 3, 5)
    logits = features.mean((2, 3, 4)) @ head.classifier.weight.T + head.classifier.bias
    assert torch.allclose(head(features), logits, atol=1e-6)
    assert head(features).shape == (2, 3)


def test_takes_any_length_and_size() -> None:
    head = catalog.find("heads", "average").build(6, 4, 3)
    for shape in ((1, 6, 1, 1, 1), (2, 6, 9, 2, 7)):
        assert head(torch.randn(*shape)).shape == (shape[0], 3)


def test_dropout_acts_in_training_only() -> None:
    head = catalog.find("heads", "average").build(64, 4, 3, dropout=0.5)
    features = torch.randn(2, 64, 4, 3, 3)
    assert not torch.equal(head.train()(features), head(features))
    assert torch.equal(head.eval()(features), head(features))


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_refuses_a_dropout_that_is_no_share(dropout: float) -> None:
    with pytest.raises(BadValue, match="dropout"):
        catalog.find("heads", "average").build(6, 4, 3, dropout=dropout)


def test_does_not_care_for_the_order_of_frames() -> None:
    head = catalog.find("heads", "average").build(6, 5, 3)
    features = torch.randn(2, 6, 5, 3, 2)
    assert torch.allclose(head(features[:, :, [3, 0, 4, 1, 2]]), head(features), atol=1e-6)
    assert not torch.allclose(head(features[:, [1, 0, 2, 3, 4, 5]]), head(features), atol=1e-4), "but for channels"
