"""Clusters of foci over many clips (spectral relevance analysis, SpRAy), and which of them are suspicious (no torch).

Lapuschkin et al., "Unmasking Clever Hans predictors", Nature Communications 10 (2019); `layerwise-relevance`, item R8.
Heat maps on a small grid (`_focus`) -> graph of the k nearest neighbours -> eigenvectors of its Laplacian -> as many
clusters as the largest gap between its eigenvalues says (`eigengap`).

Departs from the source: distances are Hellinger's by default, `|| sqrt p - sqrt q ||`, so that one hot pixel does not
decide; points become clusters by pivoted QR of the eigenvectors (Damle et al. 2019) instead of k-means, which needs no
random start; and the clusters are ranked by a suspicion, where the source leaves it to the eye.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse  # type: ignore[import-untyped]
from sklearn.neighbors import kneighbors_graph

from secondlook.errors import BadValue
from secondlook.explain._focus import Foci
from secondlook.explain._suspicion import Cluster, describe

Distance = Literal["hellinger", "euclidean"]
AT_LEAST = 12
"""Fewer clips than this are not clustered."""
_FLOOR = 0.02
"""Eigenvalues below this are as good as 0."""
_DENSE = 1500
"""Up to so many clips eigenvalues are those of the whole matrix; beyond, only the wanted ones are looked for."""


@dataclass(frozen=True)
class Clustering:
    """All clusters, the most suspicious first."""

    clusters: tuple[Cluster, ...]
    eigenvalues: npt.NDArray[np.float64]
    """The lowest of the normalised Laplacian, in rising order."""
    neighbours: int


def cluster_foci(
    focus_Nthw: Foci,
    label_N: npt.NDArray[np.integer],
    names: Sequence[str],
    *,
    ids: Sequence[str] = (),
    space_only: bool = True,
    metric: Distance = "hellinger",
    neighbours: int = 0,
    clusters: int = 0,
    most: int = 16,
    seed: int = 0,
) -> Clustering:
    """Clusters foci.

    Args:
        focus_Nthw: one focus a clip, each of which sums to 1.
        label_N: class of each clip, an index of `names`.
        names: of the classes.
        ids: name of each clip, unique; clips are put in their order first, so that the order given changes nothing.
        space_only: leave time out (shares are summed over it).
        metric: distance between foci.
        neighbours: k of the graph; 0: `max(4, ceil(ln N))`, the logarithm as in the source.
        clusters: how many; 0: by the largest gap among the lowest `most + 1` eigenvalues.
        most: greatest number of clusters that is chosen.
        seed: of the start of the iteration for eigenvalues (used beyond 1,500 clips).

    Raises:
        BadValue: if there are fewer than `AT_LEAST` clips, or a number is out of range.
    """
    count = len(focus_Nthw)
    if count < AT_LEAST:
        raise BadValue(count, f"clusters need the heat maps of at least {AT_LEAST} clips", "Explain more videos.")
    if len(label_N) != count or (ids and len(ids) != count):
        raise BadValue((count, len(label_N), len(ids)), "there must be a label (and an id) for each focus")
    neighbours = neighbours or max(4, int(np.ceil(np.log(count))))
    most = min(most, count - 1)
    for name, value in (("neighbours", neighbours), ("clusters", clusters or 1), ("most", most)):
        if not 1 <= value < count:
            raise BadValue(value, f"{name} must be from 1 to {count - 1}, one less than the clips")
    order_N = np.argsort(np.array(ids), kind="stable") if ids else np.arange(count)
    focus_Nthw, label_N = focus_Nthw[order_N], np.asarray(label_N)[order_N]
    points_ND = (focus_Nthw.sum(axis=1) if space_only else focus_Nthw).reshape(count, -1)
    points_ND = np.sqrt(points_ND) if metric == "hellinger" else points_ND
    value_K, vector_NK = spectrum(neighbour_graph(points_ND, neighbours), max(most, clusters) + 1, seed)
    wanted = clusters or eigengap(value_K)
    member_N = pivoted_clusters(vector_NK[:, :wanted])
    members = [np.flatnonzero(member_N == k) for k in range(wanted)]
    found = [describe(focus_Nthw, label_N, own_N, names) for own_N in members if len(own_N)]
    ranked = sorted(found, key=lambda c: (-c.suspicion, -len(c.clips_N), int(c.clips_N.min())))
    return Clustering(tuple(replace(c, clips_N=order_N[c.clips_N]) for c in ranked), value_K, neighbours)


def neighbour_graph(points_ND: Foci, neighbours: int) -> sparse.csr_array:
    """`A_ij = 1` where i is among the k nearest neighbours of j, or j among those of i; the diagonal is 0."""
    graph = kneighbors_graph(points_ND, neighbours, mode="connectivity", include_self=False)
    return sparse.csr_array(graph.maximum(graph.T))


def spectrum(graph: sparse.csr_array, count: int, seed: int = 0) -> tuple[Foci, Foci]:
    """The lowest eigenvalues of `L = I - D^-1/2 A D^-1/2` in rising order, and their eigenvectors, one a column."""
    size = graph.shape[0]
    count = min(count, size)
    root_N = 1 / np.sqrt(np.asarray(graph.sum(axis=1)).ravel())
    scaled = sparse.dia_array((root_N[None], [0]), shape=(size, size))
    similar = scaled @ graph @ scaled
    if size <= _DENSE:
        value_K, vector_NK = linalg.eigh(np.eye(size) - similar.toarray(), subset_by_index=[0, count - 1])
        return value_K.clip(0), vector_NK
    start_N = np.random.default_rng(seed).standard_normal(size)
    value_K, vector_NK = sparse.linalg.eigsh(similar, count, which="LA", v0=start_N)
    order_K = np.argsort(-value_K, kind="stable")
    return (1 - value_K[order_K]).clip(0), vector_NK[:, order_K]


def eigengap(value_K: Foci) -> int:
    """Number of clusters: the k at which `(value_(k+1) + e) / (value_k + e)` is largest, the first of equals; e = 0.02.

    The plain difference is largest among high eigenvalues wherever the graph is sparse, and cuts clear groups into
    pieces; a gap matters against the eigenvalues below it.
    """
    return int(np.argmax((value_K[1:] + _FLOOR) / (value_K[:-1] + _FLOOR))) + 1


def pivoted_clusters(vector_NK: Foci) -> npt.NDArray[np.int64]:
    """Cluster of each point: the column of largest size once the eigenvectors are turned towards K pivot points."""
    wanted = vector_NK.shape[1]
    _, pivots = linalg.qr(vector_NK.T, mode="r", pivoting=True)
    left, _, right = linalg.svd(vector_NK[pivots[:wanted]].T)
    member_N: npt.NDArray[np.int64] = np.abs(vector_NK @ (left @ right)).argmax(axis=1)
    return member_N
