"""Pictures of label vectors: a t-SNE scatter with every label's name, and the colour map of all cosines.

`label-reassessment`, section 1.1 (outputs) and figures V1 to V3.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from secondlook.errors import BadValue, UnknownName
from secondlook.figure_files import save
from secondlook.language.similarity import cosine_matrix
from secondlook.language.vectors import LabelVectors, unit

Order = Literal["index", "group", "cluster"]


def scatter(
    vectors: LabelVectors, *, dimensions: int = 2, seed: int = 0, perplexity: float = 30.0
) -> NDArray[np.float64]:
    """t-SNE of the vectors scaled to length 1, `place_KD`; the same seed gives the same places.

    Args:
        vectors: at least three.
        dimensions: 2 or 3.
        seed: of the start.
        perplexity: neighbours a label looks at, about; at most a third of the labels are taken.

    Raises:
        BadValue: if there are fewer than three labels, or the number of dimensions is another.
    """
    if dimensions not in (2, 3):
        raise BadValue(dimensions, "labels are drawn in 2 or 3 dimensions")
    count = len(vectors.labels)
    if count < 3:
        raise BadValue(count, "labels are too few to be spread out", "Three are needed.")
    from sklearn.manifold import TSNE

    start = TSNE(dimensions, perplexity=min(perplexity, (count - 1) / 3), init="random", random_state=seed)
    places: NDArray[np.float64] = start.fit_transform(unit(vectors.vectors_KD)).astype(np.float64)
    return places


def draw_scatter(vectors: LabelVectors, path: str | Path, *, seed: int = 0, title: str = "") -> Path:
    """A picture of `scatter` in two dimensions: a dot and its name for each label, coloured by coarse group."""
    from matplotlib.figure import Figure

    place_K2 = scatter(vectors, seed=seed)
    side = max(6.0, len(vectors.labels) ** 0.5 * 1.6)
    figure = Figure((side, side), layout="constrained")
    axes = figure.add_subplot()
    groups = list(vectors.labels.groups)
    colour = [groups.index(label.group) % 20 if label.group else 0 for label in vectors.labels.labels]
    axes.scatter(place_K2[:, 0], place_K2[:, 1], c=colour, cmap="tab20", vmin=0, vmax=19, s=14)
    for label, place in zip(vectors.labels.labels, place_K2.tolist(), strict=True):
        axes.annotate(label.plain, place, fontsize=6, xytext=(2, 2), textcoords="offset points")
    axes.set_title(title or f"{vectors.labels.name} labels, t-SNE of {vectors.method}", fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    return save(figure, path)


def group_order(vectors: LabelVectors) -> list[int]:
    """Indices of the labels, those of one coarse group side by side, groups in order of first appearance."""
    groups = [*vectors.labels.groups, ""]
    return sorted(range(len(vectors.labels)), key=lambda i: (groups.index(vectors.labels.labels[i].group), i))


def cluster_order(vectors: LabelVectors) -> list[int]:
    """Indices of the labels as the leaves of a tree of clusters, turned so that neighbours are near.

    Average linkage of `1 - cosine`; order of leaves of Bar-Joseph, Gifford, Jaakkola, Bioinformatics 2001, as SciPy
    computes it, which comes close to the optimum and does not always reach it.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage  # type: ignore[import-untyped]
    from scipy.spatial.distance import squareform  # type: ignore[import-untyped]

    if len(vectors.labels) < 3:
        return list(range(len(vectors.labels)))
    distance = squareform(1.0 - cosine_matrix(vectors.vectors_KD), checks=False)
    leaves: list[int] = leaves_list(linkage(distance, "average", optimal_ordering=True)).tolist()
    return leaves


def ordered(vectors: LabelVectors, order: str) -> list[int]:
    """Indices of the labels in one of the orders of `Order`.

    Raises:
        UnknownName: if there is no such order.
    """
    if order not in get_args(Order):
        raise UnknownName("order of labels", order, get_args(Order))
    if order == "index":
        return list(range(len(vectors.labels)))
    return group_order(vectors) if order == "group" else cluster_order(vectors)


def draw_cosines(vectors: LabelVectors, path: str | Path, *, order: str = "index", title: str = "") -> Path:
    """The colour map of `cosine_matrix`, rows and columns by class index, coarse group or cluster (`ordered`)."""
    from matplotlib.figure import Figure

    indices = ordered(vectors, order)
    figure = Figure((7.0, 6.0), layout="constrained")
    axes = figure.add_subplot()
    shown = axes.imshow(cosine_matrix(vectors.vectors_KD)[np.ix_(indices, indices)], vmax=1.0)
    figure.colorbar(shown, label="cosine")
    named = {"index": "class index", "group": "label, by coarse group", "cluster": "label, by cluster"}[order]
    axes.set_xlabel(named)
    axes.set_ylabel(named)
    axes.set_title(title or f"{vectors.labels.name} labels, {vectors.method}", fontsize=9)
    return save(figure, path)
