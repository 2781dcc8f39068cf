"""Distillation: a student learns from a frozen teacher as well as from labels (BERT outputs, MARS, MERS, soft labels).

Kalfaoglu, "Late Temporal Modeling in 3D CNN Architectures", section 5.1, equation 5.1; Crasto et al., "MARS:
Motion-Augmented RGB Stream for Action Recognition", CVPR 2019; Hinton, Vinyals, Dean, "Distilling the Knowledge in a
Neural Network", 2015; `late-temporal-bert`, sections 1.18 and 1.23.

Shapes: B clips, K classes, C channels, N tokens, D dimensions of a token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondlook.cards import ModelCard
from secondlook.errors import BadValue, UnknownName
from secondlook.labels import LabelSpace
from secondlook.predict.loader import Batch
from secondlook.predict.taps import bert_outputs_tap, pooled_tap
from secondlook.train.objective import Losses, Objective
from secondlook.train.teacher import Teacher, columns_of

WEIGHTS: Mapping[str, float] = {"bert": 100_000.0, "mars": 50.0, "mers": 50.0, "hinton": 1.0}
"""Lambda when none is given: that of equation 5.1's study, and of MARS's code."""
AXES = ("batch", "tokens", "dims")


@dataclass(frozen=True)
class Reduction:
    """Squared errors `e_BND` -> a number for each clip: over each of `AXES` their mean, or their sum.

    The mean loss of a batch is what is minimised; a sum over the batch is therefore B times a clip's own.
    """

    averaged: frozenset[str]
    """Axes over which errors are averaged; they are summed over the others."""

    @classmethod
    def of(cls, text: str) -> Reduction:
        """`sum`, `mean`, or the axes to average over, joined by `+`, such as `batch+tokens`.

        Raises:
            UnknownName: if an axis is not one of `AXES`.
        """
        if text in ("sum", "mean"):
            return cls(frozenset(AXES if text == "mean" else ()))
        names = text.split("+")
        for name in names:
            if name not in AXES:
                raise UnknownName("distillation reduction", name, ("sum", "mean", *AXES), "Join axes by +.")
        return cls(frozenset(names))

    def __call__(self, error_BND: Tensor) -> Tensor:
        """`loss_B`; features without tokens have N = 1."""
        error_BN = error_BND.mean(2) if "dims" in self.averaged else error_BND.sum(2)
        loss_B = error_BN.mean(1) if "tokens" in self.averaged else error_BN.sum(1)
        return loss_B if "batch" in self.averaged else loss_B * len(loss_B)


def bert_distillation(y_BND: Tensor, z_BND: Tensor, reduction: Reduction) -> Tensor:
    """`sum_i |y_i / |y_i| - z_i / |z_i||^2` of each clip: the second term of equation 5.1. Gives `loss_B`.

    0 where they point the same way, 4 a token where they point opposite ways.

    Args:
        y_BND: the student's BERT outputs at the frames.
        z_BND: the teacher's features before pooling.
        reduction: the equation's own is `batch`: sums over tokens and dimensions.
    """
    return reduction((functional.normalize(y_BND, dim=-1) - functional.normalize(z_BND, dim=-1)).square())


def feature_distillation(f_BC: Tensor, teacher_BC: Tensor, reduction: Reduction) -> Tensor:
    """`|f - teacher|^2` of each clip: MARS, equation 2.2. Gives `loss_B`."""
    return reduction((f_BC - teacher_BC).square()[:, None])


def soft_label_distillation(logits_BK: Tensor, teacher_BK: Tensor, temperature: float) -> Tensor:
    """`T^2 KL(softmax(teacher / T) | softmax(logits / T))` of each clip (Hinton et al., section 2). Gives `loss_B`."""
    ours_BK = functional.log_softmax(logits_BK / temperature, 1)
    theirs_BK = functional.log_softmax(teacher_BK / temperature, 1)
    return temperature**2 * functional.kl_div(ours_BK, theirs_BK, reduction="none", log_target=True).sum(1)


class Term(Protocol):
    """What a student is told beside its labels."""

    name: str
    adapter: nn.Module | None
    """Trained with the student, and left out when it is exported."""

    def __call__(self, logits_BK: Tensor, twin_BCTHW: Tensor) -> Tensor:
        """`loss_B` after a forward pass of the student, from what the teacher says of its twins of the clips."""


class BertTerm:
    """BERT distillation: the student's BERT outputs go where the teacher's features before pooling are.

    Args:
        student: with a BERT head.
        teacher: any network with features.
        clips: a clip of each (B = 1), for a look at their tokens.
        reduction: see `Reduction`.
        adapter: let a linear layer bring the student's tokens to the teacher's width, and average the teacher's tokens
            to the student's number.
        seed: of the adapter's weights.

    Raises:
        BadValue: if the tokens do not align.
    """

    name = "bert_distillation"

    def __init__(
        self,
        student: nn.Module,
        teacher: Teacher,
        clips: tuple[Tensor, Tensor],
        reduction: Reduction,
        *,
        adapter: bool = False,
        seed: int = 0,
    ) -> None:
        self.teacher, self.reduction = teacher, reduction
        self._tap = bert_outputs_tap(student)
        _look(student, clips[0])
        y_BND, z_BND = self._tap.take(), teacher.tokens(clips[1])
        check_tokens((y_BND.shape[1], y_BND.shape[2]), (z_BND.shape[1], z_BND.shape[2]), adapter=adapter)
        self.adapter: nn.Module | None = _linear(y_BND.shape[2], z_BND.shape[2], seed) if adapter else None

    def __call__(self, logits_BK: Tensor, twin_BCTHW: Tensor) -> Tensor:
        """Equation 5.1's second term."""
        y_BND, z_BND = self._tap.take(), self.teacher.tokens(twin_BCTHW)
        if self.adapter is not None:
            y_BND = self.adapter(y_BND)
            z_BND = functional.adaptive_avg_pool1d(z_BND.transpose(1, 2), y_BND.shape[1]).transpose(1, 2)
        return bert_distillation(y_BND.float(), z_BND, self.reduction)


class FeatureTerm:
    """MARS and MERS: the vector that the student's classifier reads goes where the teacher's is.

    Args:
        student: any network.
        card: its card.
        teacher: with as wide a vector, unless there is an adapter.
        clips: a clip of each (B = 1).
        reduction: see `Reduction`.
        adapter: let a linear layer bring the student's vector to the teacher's width.
        features_only: MERS: the features learn from the teacher alone. The classifier goes on learning from labels, by
            features whose gradient is cut; the source trains it afterwards.
        seed: of the adapter's weights.

    Raises:
        BadValue: if the widths differ and there is no adapter.
    """

    name = "feature_distillation"

    def __init__(
        self,
        student: nn.Module,
        card: ModelCard,
        teacher: Teacher,
        clips: tuple[Tensor, Tensor],
        reduction: Reduction,
        *,
        adapter: bool = False,
        features_only: bool = False,
        seed: int = 0,
    ) -> None:
        self.teacher, self.reduction = teacher, reduction
        self._tap = pooled_tap(student, card)
        _look(student, clips[0])
        width, wanted = self._tap.take().shape[1], teacher.pooled(clips[1]).shape[1]
        if width != wanted and not adapter:
            rule = f"channels of the student's features are not the teacher's {wanted}"
            raise BadValue(width, rule, "Give --distillation-adapter, or networks of one width.")
        self.adapter: nn.Module | None = _linear(width, wanted, seed) if adapter else None
        if features_only:
            student.get_submodule(card.explain.classifier).register_forward_pre_hook(_cut)

    def __call__(self, logits_BK: Tensor, twin_BCTHW: Tensor) -> Tensor:
        """Equation 2.2's second term."""
        f_BC = self._tap.take()
        f_BC = f_BC if self.adapter is None else self.adapter(f_BC)
        return feature_distillation(f_BC.float(), self.teacher.pooled(twin_BCTHW), self.reduction)


class SoftLabelTerm:
    """Hinton's soft labels.

    Args:
        student: its label space.
        teacher: knows every label of the student.
        temperature: T.

    Raises:
        BadValue: if the teacher does not know a label.
    """

    name = "soft_label_distillation"
    adapter: nn.Module | None = None

    def __init__(self, student: LabelSpace, teacher: Teacher, temperature: float) -> None:
        self.teacher, self.temperature = teacher, temperature
        columns = columns_of(teacher.labels, student)
        if columns is None:
            lacking = next(name for name in student.names if name not in teacher.labels.names)
            raise BadValue(lacking, "the teacher does not know this label, and its logits are what is taught",
                           "Take a teacher of these labels, or --distillation mars.")  # fmt: skip
        self._columns_K = torch.tensor(columns)

    def __call__(self, logits_BK: Tensor, twin_BCTHW: Tensor) -> Tensor:
        """`T^2 KL`."""
        theirs_BK = self.teacher.logits(twin_BCTHW)
        taught_BK = theirs_BK[:, self._columns_K.to(theirs_BK.device)]
        return soft_label_distillation(logits_BK.float(), taught_BK, self.temperature)


class Distilled:
    """`loss = labels' loss + lambda term` in training; in validation the labels' loss alone, without the teacher.

    Args:
        base: what is learned from labels.
        term: what is learned from the teacher.
        weight: lambda.
    """

    def __init__(self, base: Objective, term: Term, weight: float) -> None:
        self.base, self.term, self.weight = base, term, weight

    @property
    def trained(self) -> nn.Module | None:
        """The adapter, if there is one."""
        return self.term.adapter

    def training(self, forward: Callable[[Tensor], Tensor], batch: Batch) -> Losses:
        """Both terms, and each by its name."""
        assert batch.twin_BCTHW is not None
        kept: list[Tensor] = []

        def keeping(x_BCTHW: Tensor) -> Tensor:
            kept.append(forward(x_BCTHW))
            return kept[-1]

        losses = self.base.training(keeping, batch)
        term_B = self.term(kept[-1], batch.twin_BCTHW)
        parts = {**losses.parts, "labels": losses.loss_B.detach(), self.term.name: term_B.detach()}
        return losses._replace(loss_B=losses.loss_B + self.weight * term_B, parts=parts)

    def validation(self, forward: Callable[[Tensor], Tensor], batch: Batch) -> Losses:
        """As without a teacher."""
        return self.base.validation(forward, batch)


def check_tokens(student: tuple[int, int], teacher: tuple[int, int], *, adapter: bool) -> None:
    """Refuses tokens that do not align, each given as number and width.

    Raises:
        BadValue: if number or width differ and there is no adapter to bring them together, or the teacher has fewer
            tokens than the student.
    """
    if adapter and teacher[0] >= student[0]:
        return
    for what, ours, theirs in (("tokens", student[0], teacher[0]), ("dimensions a token", student[1], teacher[1])):
        if ours != theirs and not (adapter and what != "tokens"):
            cure = "Give --distillation-adapter, or make them alike by --frames, reduce_to, or the head frab."
            if adapter:
                cure = "An adapter averages tokens, it makes none: take fewer student frames."
            raise BadValue(
                f"{student[0]}x{student[1]}",
                f"the student's tokens do not align with the teacher's {teacher[0]}x{teacher[1]}: {what} differ",
                cure,
            )


def _linear(width: int, wanted: int, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(width, wanted)


def _cut(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (inputs[0].detach(), *inputs[1:])


@torch.no_grad()
def _look(student: nn.Module, x_BCTHW: Tensor) -> None:
    """One forward pass, for the taps; the network is left as it was."""
    training = student.training
    student.eval()(x_BCTHW)
    student.train(training)
