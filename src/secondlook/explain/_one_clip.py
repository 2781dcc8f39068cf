"""One clip under evaluation: what one network's explanations of it are worth, method by method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax  # type: ignore[import-untyped]
from torch import nn

from secondlook import catalog
from secondlook.cards import HeatMap
from secondlook.errors import BadValue, SecondlookError, UnknownName
from secondlook.explain._bias import bias
from secondlook.explain._cost import cost
from secondlook.explain._faithfulness import Perturbed, Perturbing
from secondlook.explain._ground_truth import CUE, TARGET, as_json, ground_truth
from secondlook.explain._hooks import clip_logits
from secondlook.explain._sanity import sanity
from secondlook.explain._to_input import brightness, frames_at_input, to_input
from secondlook.explain._wish import label_of
from secondlook.predict.weights import LoadedModel
from secondlook.tables import UNLABELLED
from secondlook.video.clip import Clip
from secondlook.video.transform import InputClip, input_clip

GROUPS: Mapping[str, str] = {
    "truth": "against what is known of a drawn clip: hand and object, planted cue, time of the action",
    "perturbation": "deletion, insertion, deleted frames, sensitivity-n, against random order and a centre prior",
    "sanity": "does the map change with random parameters, and with the class",
    "bias": "heat against brightness, borders, scene cuts, and inside against outside the mask",
    "cost": "time and memory as multiples of one forward pass",
}
"""Groups of measures, and what each is."""
OWN: Mapping[str, str] = {
    "conserved": "sum of the relevance as a share of the logit (layer-wise relevance propagation): 1 is all of it",
    "completeness_error": "error of the sum of the heat, as a share of what it should be (integrated gradients)",
}
"""What methods say of their own sums."""
OF_CLIP: Mapping[str, str] = {
    "cue_fall": "by how much the confidence falls when the planted cue is hidden",
    "cue_fall_elsewhere": "by how much it falls when as much is hidden at the mirrored places",
}
"""What is measured of a clip and a network without any method."""


@dataclass(frozen=True)
class Plan:
    """What is measured, and how."""

    measures: tuple[str, ...] = tuple(GROUPS)
    label: str = "predicted"
    """Class that is explained: `predicted`, `given`, a class name, or a class index."""
    perturbing: Perturbing = field(default_factory=Perturbing)
    levels: int = 3
    """Steps of the cascade of random parameters."""
    sanity_clips: int = 6
    """Sanity is checked on the first so many clips of the table: each costs `levels + 1` more explanations."""
    cost_clips: int = 2
    """Cost is measured on the first so many clips."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.measures:
            if name not in GROUPS:
                raise UnknownName("measure", name, GROUPS)
        if not self.measures:
            raise BadValue("", "at least one group of measures must be named", f"Known: {', '.join(GROUPS)}.")
        if self.levels < 1:
            raise BadValue(self.levels, "the cascade needs at least 1 level")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return asdict(self) | {"measures": list(self.measures), "perturbing": self.perturbing.to_dict()}

    def of_clip(self, number: int) -> tuple[str, ...]:
        """Groups that are measured on the clip with this number."""
        few = {"sanity": self.sanity_clips, "cost": self.cost_clips}
        return tuple(name for name in self.measures if number < few.get(name, number + 1))


class OneClip:
    """A clip as one network sees it; what does not depend on a method is computed once, and only when asked for.

    Args:
        loaded: a trained network with its card and labels.
        path: the video.
        plan: what is measured.
        given: given label as a class of the network.
        masks_THW: one mask for every frame of the video; None where the truth is not known.
        interval_s: start and end of the action.
        remark: what is to be said of this clip, kept with it.
        seed: of this clip.
        decode: `video.decode.decode`, or a guard's.

    Raises:
        BadValue: if the video gives no frames, or the given label is wished for and there is none.
        UnknownName: if the label is no class.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        path: Path,
        plan: Plan,
        *,
        given: int = UNLABELLED,
        masks_THW: npt.NDArray[np.uint8] | None = None,
        interval_s: tuple[float, float] | None = None,
        remark: str = "",
        seed: int = 0,
        decode: Callable[..., Clip],
    ) -> None:
        self.remark = remark
        self._loaded, self._plan, self._seed = loaded, plan, seed
        self._masks_THW, self._interval_s = masks_THW, interval_s
        self.clip: InputClip = input_clip(path, loaded.card.clip, decode=decode)
        logits_K = clip_logits(loaded.model, self.clip.x_CTHW)
        self._confidence_K = softmax(logits_K)
        order = np.argsort(-logits_K, kind="stable")
        self.predicted, self.given = int(order[0]), given
        self.label = label_of(plan.label, loaded.labels, given, self.predicted)
        self.other = next((int(k) for k in order if k != self.label), -1)

    @cached_property
    def perturbed(self) -> Perturbed:
        """The clip under perturbation."""
        card, how = self._loaded.card, self._plan.perturbing
        return Perturbed(self._loaded.model, card.clip, self.clip.x_CTHW, self.label, how, self._seed)

    @cached_property
    def _brightness_Thw(self) -> npt.NDArray[np.float32]:
        return brightness(self.clip, self._loaded.card.clip)

    @cached_property
    def _frames_TChw(self) -> npt.NDArray[np.uint8]:
        return frames_at_input(self.clip, self._loaded.card.clip).numpy()

    def _mask(self, values: tuple[int, ...]) -> npt.NDArray[np.float32] | None:
        """Share of each place of the input that shows one of these values; None where nothing does."""
        if self._masks_THW is None:
            return None
        source = self.clip.clip
        if len(self._masks_THW) <= int(source.frame_index_T.max()):
            raise BadValue(len(self._masks_THW), "there must be a mask for every frame")
        mask_Thw = to_input(np.isin(self._masks_THW[source.frame_index_T], values), self.clip)
        return mask_Thw if (mask_Thw > 0.5).any() else None

    def facts(self) -> dict[str, Any]:
        """What is known of this clip and network without any method, JSON-ready.

        `cue_fall` is by how much the confidence falls when the planted cue is hidden; `cue_fall_elsewhere` the mean of
        the same with the mask mirrored across, down, and both: a network that does not use the cue tells no difference.
        """
        names = self._loaded.labels.names
        found: dict[str, Any] = {
            "label": self.label,
            "label_name": names[self.label],
            "predicted": self.predicted,
            "given": self.given,
            "confidence": float(self._confidence_K[self.label]),
            "measures": {},
            "curves": {},
        }
        if "perturbation" in self._plan.measures:
            found["curves"] = self.perturbed.baseline_curves()
        cue_Thw = self._mask(CUE) if "truth" in self._plan.measures else None
        if cue_Thw is not None:
            mirrored = [np.flip(cue_Thw, axes).copy() for axes in ((2,), (1,), (1, 2))]
            found["measures"] = {
                "cue_fall": self.perturbed.fall_without(cue_Thw)[0],
                "cue_fall_elsewhere": float(np.mean([self.perturbed.fall_without(m)[0] for m in mirrored])),
            }
        return found

    def score(self, method: str, groups: tuple[str, ...]) -> dict[str, Any]:
        """One method on this clip, JSON-ready: `measures` (None where one has no meaning), `curves`, `cascade`, ...

        Args:
            method: a file of this room.
            groups: which of `GROUPS`.

        Raises:
            SecondlookError: if the method says nothing about this clip.
        """
        loaded = self._loaded
        explain = catalog.find("explain", method).explain

        def heat_of(model: nn.Module, label: int) -> HeatMap:
            heat: HeatMap = explain(model, loaded.card, self.clip, label)
            return heat

        heat = heat_of(loaded.model, self.label)
        heat_Thw = to_input(heat.heat_THW, self.clip)
        found: dict[str, Any] = {
            "module": heat.module,
            "temporal": bool(heat.notes.get("temporal", False)),
            "no_heat": not bool(heat.heat_THW.any()),
            "curves": {},
            "cascade": [],
        }
        measures: dict[str, float] = _of_notes(heat.notes)
        if "truth" in groups and self._masks_THW is not None:
            measures |= ground_truth(heat, self._masks_THW, self._interval_s)
        if "perturbation" in groups:
            faithful, found["curves"] = self.perturbed.measure(heat_Thw)
            measures |= faithful
        if "sanity" in groups:

            def map_of(model: nn.Module, label: int) -> npt.NDArray[Any]:
                try:
                    return to_input(heat_of(model, label).heat_THW, self.clip)
                except SecondlookError:  # of a random network: not finite; nothing is left of the map
                    return np.zeros_like(heat_Thw)

            checked, found["cascade"] = sanity(
                loaded.model, loaded.card, self.label, self.other, map_of, heat_Thw,
                seed=self._plan.seed, levels=self._plan.levels,
            )  # fmt: skip
            found["cascade"] = [{"layer": s["layer"], **as_json(_numbers(s))} for s in found["cascade"]]
            measures |= checked
        if "bias" in groups:
            frames_TChw = None if loaded.card.clip.modality == "flow" else self._frames_TChw
            measures |= bias(heat_Thw, self._brightness_Thw, frames_TChw=frames_TChw, mask_Thw=self._mask(TARGET))
        if "cost" in groups:
            measures |= cost(loaded.model, self.clip, lambda: heat_of(loaded.model, self.label))
        return found | {"measures": as_json(measures)}


def _numbers(step: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in step.items() if name != "layer"}


def _of_notes(notes: Mapping[str, Any]) -> dict[str, float]:
    """What a method says of its own sums: `conserved` (relevance propagation), `completeness_error` (path methods)."""
    found = {}
    if isinstance(notes.get("conserved"), int | float):
        found["conserved"] = float(notes["conserved"])
    error, gained = notes.get("completeness_error"), notes.get("gained")
    if isinstance(error, int | float) and isinstance(gained, int | float):
        found["completeness_error"] = abs(float(error)) / abs(float(gained)) if gained else float("nan")
    return found
