"""Training of the hybrid head: the two terms, the three variants, and prediction without the table of vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.nn import functional

from secondlook import tables
from secondlook.errors import BadValue, MissingFile
from secondlook.labels import LabelSpace
from secondlook.language.vectors import LabelVectors, write_vectors
from secondlook.predict.loader import Batch
from secondlook.predict.run import PredictSettings, predict
from secondlook.predict.weights import build_model, find_card, load_run
from secondlook.train.hybrid import Hybrid, card_with_embeddings, give_vectors, hybrid_head
from secondlook.train.loop import train
from secondlook.train.losses import LabelSets
from secondlook.train.objective import GivenLabels, ReassessedSets
from tests.train.test_resume import CtrlC, same_bits
from tests.train.toy import LABELS, toy_settings

VECTORS = np.array([[1.0, 0.0, 0.5], [0.2, 1.0, -0.5]], np.float32)


def hybrid(read: str = "class", **options: Any) -> Any:
    card = card_with_embeddings(find_card("resnet3d:tiny"), 3)
    options = {**card.options["head_options"], "read": read, **options}
    model = build_model(type(card)(**{**card.__dict__, "options": {"head_options": options}}), 2).eval()
    return model, give_vectors(model, VECTORS)


def batch() -> Batch:
    clips = torch.randn(4, 2, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    return Batch(clips, torch.tensor([0, 1, 1, 0]), torch.arange(4), ())


@pytest.mark.spec("label-reassessment", "H1")
@pytest.mark.parametrize("weight", [5.0, 1.5])
def test_equation_4_5(weight: float) -> None:
    model, head = hybrid()
    given = batch()
    losses = Hybrid(GivenLabels(), head, weight).training(model, given)
    e_BD = head.embed(model.features(given.x_BCTHW))
    twin = functional.cross_entropy(model(given.x_BCTHW), given.label_B, reduction="none")
    twin = twin + weight * (1 - functional.cosine_similarity(e_BD, torch.from_numpy(VECTORS)[given.label_B]))
    torch.testing.assert_close(losses.loss_B, twin)
    assert toy_settings().embedding_weight == 5.0


@pytest.mark.spec("label-reassessment", "H1")
def test_what_each_variant_trains() -> None:
    learns = {}
    for name, read, weight in (("hybrid", "class", 5.0), ("class", "class", 0.0), ("embedding", "embedding", 5.0)):
        model, head = hybrid(read)
        Hybrid(GivenLabels(), head, weight).training(model, batch()).loss_B.mean().backward()
        parts = {"classifier": head.classifier, "embedding": head.embedding, "stem": model.stem}
        learns[name] = {
            part
            for part, module in parts.items()
            if any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
        }
    assert learns == {
        "hybrid": {"classifier", "embedding", "stem"},
        "class": {"classifier", "stem"},
        "embedding": {"embedding", "stem"},
    }
    model, head = hybrid("embedding")
    losses = Hybrid(GivenLabels(), head, 2.0).training(model, batch())
    torch.testing.assert_close(losses.loss_B, 2.0 * losses.parts["embedding"])
    assert torch.equal(losses.logits_BK, model(batch().x_BCTHW))
    with pytest.raises(BadValue, match="learns from the embedding's loss"):
        Hybrid(GivenLabels(), head, 0.0)


def test_a_clip_of_several_labels_goes_to_their_mean() -> None:
    model, head = hybrid()
    sets = LabelSets([[0, 1], [1], [0], [0, 1]], 2)
    losses = Hybrid(ReassessedSets(sets, sets), head, 1.0).training(model, batch())
    unit = functional.normalize(torch.from_numpy(VECTORS), dim=1)
    e_BD = head.embed(model.features(batch().x_BCTHW))
    middle_BD = torch.stack([unit[labels].sum(0) for labels in ([0, 1], [1], [0], [0, 1])])
    torch.testing.assert_close(losses.parts["embedding"], 1 - functional.cosine_similarity(e_BD, middle_BD))


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    """A table of vectors, of the toy's labels in another order."""
    turned = LabelSpace.from_names(LABELS.names[::-1])
    return write_vectors(LabelVectors(turned, VECTORS[::-1].copy(), "by hand"), tmp_path / "vectors.parquet", {})


def test_a_run_learns_and_predicts_without_the_table(
    toy: pa.Table, toy_cache: Path, vectors: Path, tmp_path: Path
) -> None:
    settings = toy_settings(
        cache=toy_cache, embeddings=vectors, head_options={"read": "embedding", "temperature": 0.5}, epochs=2
    )
    train(toy, tmp_path / "a", settings)
    with pytest.raises(KeyboardInterrupt):
        train(toy, tmp_path / "b", settings, callbacks=[CtrlC("batch", 1, 0)])
    train(toy, tmp_path / "b", settings)
    assert same_bits(tmp_path / "a", tmp_path / "b")
    vectors.unlink()
    loaded = load_run(tmp_path / "a")
    head = hybrid_head(loaded.model)
    assert head is not None
    assert loaded.card.head == "hybrid"
    assert loaded.card.options["head_options"]["dimensions"] == 3
    torch.testing.assert_close(head.label_vectors_KD, functional.normalize(torch.from_numpy(VECTORS), dim=1))
    predict(loaded, toy, tmp_path / "p.parquet", PredictSettings("all", workers=0, cache=toy_cache))
    logits_NK = tables.matrix(tables.read(tables.PREDICTIONS, tmp_path / "p.parquet"), "logits")
    assert np.isfinite(logits_NK).all()
    assert np.abs(logits_NK).max() <= 1 / 0.5 + 1e-5, "a cosine over the temperature"


def test_words(toy: pa.Table, vectors: Path, tmp_path: Path) -> None:
    with pytest.raises(BadValue, match=r"'bert': this head has no embedding branch.*--head-option then=bert"):
        train(toy, tmp_path / "a", toy_settings(embeddings=vectors, head="bert"))
    with pytest.raises(MissingFile, match="secondlook language embed"):
        train(toy, tmp_path / "a", toy_settings(embeddings=tmp_path / "none"))
    other = LabelVectors(LabelSpace.from_names(["dark", "dim"]), VECTORS, "by hand")
    write_vectors(other, tmp_path / "other.parquet", {})
    with pytest.raises(BadValue, match="'bright': this label has no vector in the table"):
        train(toy, tmp_path / "a", toy_settings(embeddings=tmp_path / "other.parquet"))
    assert not (tmp_path / "a").exists()
