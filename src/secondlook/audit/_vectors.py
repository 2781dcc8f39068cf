"""Embeddings of the videos that are looked at: unit vectors in their order, and of which videos there are any."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from secondlook import tables
from secondlook.audit._align import Aligned
from secondlook.audit._inputs import video_index
from secondlook.errors import BadValue

NO_EMBEDDINGS = "Make them with `secondlook similar` (RUN/embeddings.parquet), and give --embeddings FILE."
"""What to do where there are none."""


def unit_vectors(aligned: Aligned, embeddings: pa.Table) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """`v / |v|` of the videos that have a vector, in their order, `vector_RD`; and which do, `known_N`.

    Raises:
        BadValue: if fewer than two have one.
    """
    at_N = video_index(embeddings, "embeddings").get_indexer(pd.Index(aligned.video_id_N, dtype=object))
    every_MD = tables.matrix(embeddings, "vector")
    length_M = np.sqrt(np.einsum("md,md->m", every_MD, every_MD, dtype=np.float64))
    usable_M = np.isfinite(length_M) & (length_M > 0)
    known_N = np.asarray((at_N >= 0) & usable_M[at_N])
    if known_N.sum() < 2:
        raise BadValue("embeddings", f"hold vectors of {known_N.sum()} of the {len(known_N)} videos",
                       "Make them of the same videos: secondlook similar.")  # fmt: skip
    vector_RD = every_MD[at_N[known_N]]
    vector_RD /= length_M[at_N[known_N], None].astype(np.float32)
    return vector_RD, known_N
