"""From the settings of a training to what it minimises: labels, then a label embedding, then a teacher on top."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import torch
from torch import nn

from secondlook import tables
from secondlook.cards import ModelCard
from secondlook.errors import BadValue
from secondlook.labels import LabelSpace
from secondlook.language.vectors import LabelVectors, read_vectors
from secondlook.train.data import ClipData, Rows
from secondlook.train.distillation import WEIGHTS, BertTerm, Distilled, FeatureTerm, Reduction, SoftLabelTerm, Term
from secondlook.train.hybrid import Hybrid, card_with_embeddings, give_vectors
from secondlook.train.objective import GivenLabels, Objective, ReassessedSets
from secondlook.train.paired import PairedClips, teacher_clips
from secondlook.train.settings import TrainSettings
from secondlook.train.soft import SoftTargets, vote_shares
from secondlook.train.teacher import Teacher


@dataclass(frozen=True)
class Helpers:
    """What a training learns from beside its labels, read from files."""

    teacher: Teacher | None
    videos: pa.Table | None
    """The teacher's own videos table."""
    vectors: LabelVectors | None
    inputs: Mapping[str, str]
    """Name and SHA-256 of each file."""

    def card(self, card: ModelCard) -> ModelCard:
        """The student's card, with a hybrid head where there are label vectors."""
        return card if self.vectors is None else card_with_embeddings(card, self.vectors.dimensions)


def helpers_of(settings: TrainSettings, labels: LabelSpace) -> Helpers:
    """Reads the teacher and the label vectors that the settings name.

    Raises:
        MissingFile: if a file is not there.
        BadValue: if it is something else, or its labels are others.
    """
    teacher, videos, vectors = None, None, None
    inputs: dict[str, str] = {}
    if settings.teacher is not None:
        teacher = Teacher.of_run(settings.teacher)
        inputs["teacher"] = tables.file_sha256(teacher.weights)
    if settings.teacher_videos is not None:
        videos = tables.read(tables.VIDEOS, settings.teacher_videos)
        inputs["teacher_videos"] = tables.file_sha256(settings.teacher_videos)
    if settings.embeddings is not None:
        vectors = read_vectors(settings.embeddings).of_labels(labels)
        inputs["embeddings"] = tables.file_sha256(settings.embeddings)
    return Helpers(teacher, videos, vectors, inputs)


def objective_of(
    settings: TrainSettings,
    model: nn.Module,
    card: ModelCard,
    labels: LabelSpace,
    data: ClipData,
    helpers: Helpers,
    reassessed: pa.Table | None,
) -> tuple[Objective, tuple[str, ...]]:
    """What is minimised; the data's training clips are paired with the teacher's where there is one.

    Returns:
        The objective, and sentences that the user should see.

    Raises:
        BadValue: if what was asked for does not fit together.
    """
    base = _of_labels(settings, data.rows, labels, reassessed)
    if helpers.vectors is not None:
        base = Hybrid(base, give_vectors(model, helpers.vectors.vectors_KD), settings.embedding_weight)
    teacher = helpers.teacher
    if teacher is None:
        return base, ()
    student = data.datasets["train"]
    assert not isinstance(student, PairedClips)
    assert student.augment is not None
    clips, note = teacher_clips(
        data.rows.train,
        card.clip,
        teacher.card.clip,
        student.augment,
        settings,
        root=student.root,
        other=helpers.videos,
    )
    data.datasets["train"] = PairedClips(student, clips, same_videos=helpers.videos is None)
    weight = WEIGHTS[settings.distillation] if settings.distillation_weight is None else settings.distillation_weight
    words = f"the teacher is {teacher.card.name} of {teacher.weights.parent}, {settings.distillation} x {weight:g}"
    return Distilled(base, _term(settings, model, card, labels, teacher), weight), (words, *([note] if note else []))


def _of_labels(settings: TrainSettings, rows: Rows, labels: LabelSpace, reassessed: pa.Table | None) -> Objective:
    if reassessed is None:
        if settings.soft_targets:
            raise BadValue("soft_targets", "are the votes of a labels table", "Give --labels labels.parquet.")
        return GivenLabels(settings.label_smoothing)
    assert rows.train_sets is not None
    assert rows.val_sets is not None
    if not settings.soft_targets:
        return ReassessedSets(rows.train_sets, rows.val_sets)
    shares = [vote_shares(reassessed, table, len(labels)) for table in (rows.train, rows.val)]
    return SoftTargets((shares[0], rows.train_sets), (shares[1], rows.val_sets))


def _term(settings: TrainSettings, model: nn.Module, card: ModelCard, labels: LabelSpace, teacher: Teacher) -> Term:
    if settings.distillation == "hinton":
        return SoftLabelTerm(labels, teacher, settings.temperature)
    specs = (card.clip, teacher.card.clip)
    student_clip, teacher_clip = (torch.zeros(1, s.channels, s.frames, s.height, s.width) for s in specs)
    clips = (student_clip, teacher_clip)
    reduction = Reduction.of(settings.distillation_reduction)
    adapter, seed = settings.distillation_adapter, settings.seed
    if settings.distillation == "bert":
        return BertTerm(model, teacher, clips, reduction, adapter=adapter, seed=seed)
    only = settings.distillation == "mers"
    return FeatureTerm(model, card, teacher, clips, reduction, adapter=adapter, features_only=only, seed=seed)
