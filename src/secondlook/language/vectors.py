"""The vectors of a label space: a table of them, checked against the labels they are for.

Shapes: K labels, D dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondlook import tables
from secondlook.errors import BadValue, MissingFile
from secondlook.labels import LabelSpace, normalise


@dataclass(frozen=True)
class LabelVectors:
    """One vector a label.

    Raises:
        BadValue: if they are not K x D, not finite, or one of them has no length.
    """

    labels: LabelSpace
    vectors_KD: NDArray[np.float32]
    method: str
    """How they were made, in words."""
    unknown: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Label -> its words that the method has no vector for."""

    def __post_init__(self) -> None:
        if self.vectors_KD.ndim != 2 or len(self.vectors_KD) != len(self.labels):
            raise BadValue(self.vectors_KD.shape, f"there must be one vector for each of the {len(self.labels)} labels")
        if not np.isfinite(self.vectors_KD).all():
            raise BadValue(self.method, "gave vectors that are not finite")
        for name, length in zip(self.labels.names, np.linalg.norm(self.vectors_KD, axis=1).tolist(), strict=True):
            if not length:
                raise BadValue(name, f"{self.method} knows no word of this label, so that it has no direction",
                               "Take another method, such as tfidf with --analyzer char.")  # fmt: skip

    @property
    def dimensions(self) -> int:
        """D."""
        return int(self.vectors_KD.shape[1])

    def of_labels(self, labels: LabelSpace) -> LabelVectors:
        """The vectors in the order of another label space; names and synonyms are matched.

        Raises:
            BadValue: if a label has no vector.
        """
        at = {normalise(text): i for i, x in enumerate(self.labels.labels) for text in (x.name, *x.synonyms)}
        rows = [next((at[k] for k in map(normalise, (x.name, *x.synonyms)) if k in at), -1) for x in labels.labels]
        for label, row in zip(labels.names, rows, strict=True):
            if row < 0:
                raise BadValue(label, "this label has no vector in the table", "Embed the labels of this dataset.")
        return replace(self, labels=labels, vectors_KD=self.vectors_KD[rows])


def unit(vectors_KD: NDArray[Any]) -> NDArray[np.float32]:
    """The same directions with length 1; a vector without length stays so."""
    exact_KD = vectors_KD.astype(np.float64)
    length_K1 = np.linalg.norm(exact_KD, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = (exact_KD / np.where(length_K1 == 0, 1.0, length_K1)).astype(np.float32)
    return scaled


def write_vectors(vectors: LabelVectors, path: str | Path, made: Mapping[str, Any]) -> Path:
    """Writes a table of label vectors."""
    rows = [
        {"index": i, "label": name, "vector": vector.tolist()}
        for i, (name, vector) in enumerate(zip(vectors.labels.names, vectors.vectors_KD, strict=True))
    ]
    about = {
        **made,
        "label_space": vectors.labels.to_dict(),
        "method": vectors.method,
        "unknown": {name: list(words) for name, words in vectors.unknown.items()},
    }
    return tables.write(tables.LABEL_VECTORS, rows, path, about)


def read_vectors(path: str | Path) -> LabelVectors:
    """Reads a table of label vectors.

    Raises:
        MissingFile: if there is no such file.
        BadValue: if it is another table.
    """
    if not Path(path).is_file():
        raise MissingFile(path, "Make it with `secondlook language embed`.")
    table = tables.read(tables.LABEL_VECTORS, path)
    made = tables.made(table)
    unknown = {name: tuple(words) for name, words in made.get("unknown", {}).items()}
    vectors_KD = tables.matrix(table, "vector").astype(np.float32)
    return LabelVectors(tables.label_space(table), vectors_KD, made.get("method", ""), unknown)


def read_array(path: str | Path, labels: LabelSpace) -> LabelVectors:
    """Vectors made elsewhere, in index order, scaled to length 1: `.npy`, or `.npz` with one array.

    Raises:
        MissingFile: if there is no such file.
        BadValue: if it is no array of numbers, K x D.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFile(path, "Give a .npy or .npz file.")
    try:
        loaded = np.load(path, allow_pickle=False)
        array = loaded[loaded.files[0]] if hasattr(loaded, "files") else loaded
        vectors_KD = np.asarray(array, np.float32)
    except (ValueError, OSError, EOFError, IndexError) as error:
        raise BadValue(str(path), f"is no array of numbers ({error})", "Write it with numpy.save.") from None
    if vectors_KD.ndim == 2 and np.isfinite(vectors_KD).all():
        vectors_KD = unit(vectors_KD)
    return LabelVectors(labels, vectors_KD, f"vectors of {path.name}")
