"""The hybrid language head: two branches over one vector, one of which is read; vectors travel with the weights."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from secondlook.errors import BadValue, UnknownName
from secondlook.heads import hybrid


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.spec("label-reassessment", "H1")
def test_two_linear_branches_over_the_pooled_vector() -> None:
    head = hybrid.build(6, 4, 3, dimensions=5).eval()
    features = noise(2, 6, 4, 3, 5)
    pooled = features.mean((2, 3, 4))
    torch.testing.assert_close(head(features), pooled @ head.classifier.weight.T + head.classifier.bias)
    e_BD = pooled @ head.embedding.weight.T + head.embedding.bias
    torch.testing.assert_close(head.embed(features), e_BD / e_BD.norm(dim=1, keepdim=True))
    assert torch.allclose(head.embed(features).norm(dim=1), torch.ones(2), atol=1e-6)


@pytest.mark.spec("label-reassessment", "H2")
def test_the_embedding_ranks_labels_by_cosine() -> None:
    head = hybrid.build(6, 4, 7, dimensions=5, read="embedding", temperature=0.05).eval()
    vectors_KD, features = noise(7, 5, seed=1), noise(3, 6, 4, 3, 5)
    head.set_labels(10.0 * vectors_KD)
    twin = torch.stack([
        torch.stack([functional.cosine_similarity(e, v, dim=0) for v in vectors_KD]) for e in head.embed(features)
    ])  # fmt: skip
    logits_BK = head(features)
    torch.testing.assert_close(logits_BK, twin / 0.05, atol=1e-4, rtol=1e-4)
    assert torch.equal(logits_BK.argsort(1, descending=True), twin.argsort(1, descending=True))
    top = logits_BK.topk(5, 1).indices
    assert torch.equal(top[:, 0], twin.argmax(1))
    assert torch.equal(top.sort(1).values, twin.topk(5, 1).indices.sort(1).values)


def test_label_vectors_travel_with_the_weights() -> None:
    first, second = (hybrid.build(6, 4, 3, dimensions=5, read="embedding").eval() for _ in range(2))
    first.set_labels(noise(3, 5))
    second.load_state_dict(first.state_dict())
    features = noise(2, 6, 4, 3, 5)
    assert torch.equal(first(features), second(features))


def test_over_another_head() -> None:
    head = hybrid.build(8, 4, 3, dimensions=5, then="bert", then_options={"heads": 2}).eval()
    features = noise(2, 8, 4, 3, 5)
    assert torch.allclose(head(features), head.classifier(head.then.outputs(features)[:, 0]), atol=1e-6)
    assert not torch.allclose(head.embed(features), head.embed(features.flip(2)), atol=1e-5)


def test_words() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'embedding'"):
        hybrid.build(6, 4, 3, read="embeding")
    with pytest.raises(UnknownName, match="head under the two branches 'hybrid' is not known"):
        hybrid.build(6, 4, 3, then="hybrid")
    with pytest.raises(BadValue, match="temperature must be positive"):
        hybrid.build(6, 4, 3, temperature=0)
    with pytest.raises(BadValue, match="'4x5': this head takes 3x5 label vectors"):
        hybrid.build(6, 4, 3, dimensions=5).set_labels(torch.ones(4, 5))
