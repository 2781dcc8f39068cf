"""Sentence embeddings of labels by a transformer: the mean of its token vectors, scaled to length 1.

Reimers, Gurevych, "Sentence-BERT", EMNLP 2019; `label-reassessment`, section 1.1, method E2. Its checkpoint is not
named there; any encoder that `transformers` loads will do. Needs the extra `secondlook[transformers]`.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from secondlook.errors import BadValue
from secondlook.labels import LabelSpace
from secondlook.language.vectors import LabelVectors, unit

DEFAULT = "sentence-transformers/all-mpnet-base-v2"
"""768 dimensions."""


def embed(labels: LabelSpace, model: str = DEFAULT, *, batch_size: int = 32) -> LabelVectors:
    """`l = normalise(mean over the tokens of a label (encoder's vector of the token))`; padding does not count.

    Args:
        labels: the label space; each name without brackets is one sentence.
        model: a folder that `save_pretrained` wrote, with its tokenizer; or a name on the Hugging Face hub.
        batch_size: labels at once.

    Raises:
        BadValue: if `transformers` is missing, or the model cannot be loaded.
    """
    if importlib.util.find_spec("transformers") is None:
        raise BadValue(
            model, "needs transformers, which is not installed", "Run pip install 'secondlook[transformers]'."
        )
    import torch

    encoder, tokenizer = _load(model)
    sentences = [label.plain for label in labels.labels]
    found = []
    with torch.inference_mode():
        for start in range(0, len(sentences), batch_size):
            tokens = tokenizer(
                sentences[start : start + batch_size], padding=True, truncation=True, return_tensors="pt"
            )
            y_BND = encoder(**tokens).last_hidden_state
            seen_BN1 = tokens["attention_mask"][:, :, None].to(y_BND)
            found.append(((y_BND * seen_BN1).sum(1) / seen_BN1.sum(1)).double().numpy())
    return LabelVectors(labels, unit(np.concatenate(found)), f"sentence embedding ({model})")


def _load(model: str) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    try:
        return AutoModel.from_pretrained(model).eval(), AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError, KeyError) as error:
        first = (str(error) or type(error).__name__).strip().splitlines()[0]
        rule = f"cannot be loaded as a sentence encoder ({first})"
        raise BadValue(model, rule, "Give a folder with the model and its tokenizer, or --method tfidf.") from None
