"""How the classes of a model and those of a videos table fit together, by name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secondlook import tables
from secondlook.errors import BadValue, UnknownName
from secondlook.labels import Label, LabelSpace


@dataclass(frozen=True)
class Match:
    """The label space of predictions, and the way into it from the model's columns and from the table's labels."""

    labels: LabelSpace
    columns_K: NDArray[np.int64]
    """Which of the model's columns becomes column `k`."""
    new_label: NDArray[np.int32]
    """New index of each label of the table; its last entry is that of `UNLABELLED` (-1), which stays."""

    def relabel(self, videos: pa.Table) -> pa.Table:
        """The same rows with labels in the new space."""
        relabelled = pa.array(self.new_label[videos["label"].to_numpy()])
        return videos.set_column(videos.column_names.index("label"), "label", relabelled)


def match_labels(known: LabelSpace, videos: pa.Table) -> Match:
    """Fits the classes a model knows to those of a videos table.

    The table's own space is kept where both hold the same classes in any order, so that two models' predictions of
    one table always agree; the model's is taken where it knows more, or the table keeps none.

    Raises:
        BadValue: if the table has classes the model does not know; names them.
    """
    data = tables.made(videos).get("label_space")
    given = LabelSpace.from_dict(data) if data else LabelSpace(())
    found = [_find(known, label) for label in given.labels]
    strangers = [label.name for label, place in zip(given.labels, found, strict=True) if place is None]
    if strangers:
        few = ", ".join(strangers[:5]) + (" ..." if len(strangers) > 5 else "")
        raise BadValue(
            few,
            f"the model knows no such label ({len(strangers)} of the {len(given)} of the videos table; it knows "
            f"{len(known)}, such as {', '.join(known.names[:3])})",
            "Train a run on these labels, or index the videos with labels that the run knows.",
        )
    places = [place for place in found if place is not None]
    if sorted(places) == list(range(len(known))):
        same = np.array([*range(len(given)), tables.UNLABELLED], dtype=np.int32)
        return Match(given, np.array(places, dtype=np.int64), same)
    return Match(known, np.arange(len(known)), np.array([*places, tables.UNLABELLED], dtype=np.int32))


def _find(known: LabelSpace, label: Label) -> int | None:
    for text in (label.name, *label.synonyms):
        try:
            return known.index_of(text)
        except UnknownName:
            continue
    return None
