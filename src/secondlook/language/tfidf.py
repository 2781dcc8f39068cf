"""TF-IDF of words, or of pieces of words: label vectors that need no download.

`label-reassessment`, section 1.1, equations 2.1 to 2.3: `tf = log(1 + count)`, `idf = log(N / labels with the term)`.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from secondlook.errors import UnknownName
from secondlook.labels import LabelSpace
from secondlook.language.vectors import LabelVectors, unit

Analyzer = Literal["word", "char"]


def embed(labels: LabelSpace, *, analyzer: str = "char") -> LabelVectors:
    """`tf idf` of each label over the terms of all of them, scaled to length 1.

    Args:
        labels: the label space; brackets of placeholders do not count.
        analyzer: `word`: words and pairs of words. `char`: pieces of 2 to 4 letters within words, so that forms of a
            word are near each other.

    Raises:
        UnknownName: if there is no such analyzer.
        BadValue: if a label has only terms that all have.
    """
    if analyzer not in get_args(Analyzer):
        raise UnknownName("analyzer", analyzer, get_args(Analyzer))
    from sklearn.feature_extraction.text import CountVectorizer

    if analyzer == "word":
        counter = CountVectorizer(token_pattern=r"(?u)\w+", ngram_range=(1, 2))  # noqa: S106
    else:
        counter = CountVectorizer(analyzer="char_wb", ngram_range=(2, 4))
    count_KD = counter.fit_transform([label.plain for label in labels.labels]).toarray()
    idf_D = np.log(len(labels) / (count_KD > 0).sum(0))
    return LabelVectors(labels, unit(np.log1p(count_KD) * idf_D), f"TF-IDF ({analyzer})")
