"""GloVe-mean: the mean of the vectors of a label's words at length 1, from a text file of word vectors.

`label-reassessment`, section 1.1, method E1: every word counts alike, which makes "in front of" weigh little.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secondlook.errors import BadValue, MissingFile
from secondlook.labels import LabelSpace
from secondlook.language.vectors import LabelVectors, unit


def embed(labels: LabelSpace, file: str | Path) -> LabelVectors:
    """`l = normalise(mean over its words (vector of the word))`; words without a vector are left out and listed.

    Args:
        labels: the label space.
        file: a word and its numbers on each line, separated by spaces, as GloVe is published. Only the lines of words
            that are needed are kept.

    Raises:
        MissingFile: if there is no such file.
        BadValue: if a line is not of this form, or no word of a label has a vector.
    """
    words_K = [words(label.plain) for label in labels.labels]
    known = read_words(file, {word for label in words_K for word in label})
    if not known:
        raise BadValue(str(file), "has a vector for no word of the labels", "Is it of another language?")
    dimensions = len(next(iter(known.values())))
    vectors_KD = np.zeros((len(labels), dimensions), np.float32)
    unknown: dict[str, tuple[str, ...]] = {}
    for k, (name, found) in enumerate(zip(labels.names, words_K, strict=True)):
        here = [known[word] for word in found if word in known]
        if here:
            vectors_KD[k] = np.mean(here, axis=0)
        if len(here) < len(found):
            unknown[name] = tuple(dict.fromkeys(word for word in found if word not in known))
    return LabelVectors(labels, unit(vectors_KD), f"mean of word vectors ({Path(file).name})", unknown)


def words(text: str) -> list[str]:
    """Words of a label in small letters: "PushLeft, twice" -> push, left, twice."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return [word.casefold() for word in re.findall(r"[^\W_]+(?:'[^\W_]+)?", apart)]


def read_words(file: str | Path, wanted: set[str]) -> dict[str, NDArray[np.float32]]:
    """The vectors of some words of a file, which is read line by line and only until all are found.

    Raises:
        MissingFile: if there is no such file.
        BadValue: if a wanted line is not a word and numbers, as many as on the others.
    """
    file = Path(file)
    if not file.is_file():
        raise MissingFile(file, "Give a text file of word vectors, such as glove.6B.300d.txt.")
    found: dict[str, NDArray[np.float32]] = {}
    missing = {word.encode() for word in wanted}
    with file.open("rb") as lines:
        for number, raw in enumerate(lines, 1):
            if raw[: raw.find(b" ")] not in missing:
                continue
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            word, _, rest = line.partition(" ")
            if number == 1 and len(rest.split()) == 1:  # a word2vec file says its size first
                continue
            try:
                found[word] = np.array(rest.split(), np.float32)
            except ValueError:
                raise BadValue(line[:40], f"line {number} of {file.name} must be a word and its numbers") from None
            if len(found[word]) != len(next(iter(found.values()))) or not len(found[word]):
                raise BadValue(line[:40], f"line {number} of {file.name} has another number of values than the first")
            missing.remove(word.encode())
            if not missing:
                break
    return found
