"""Distillation: losses against slow twins, a frozen teacher, tokens that align, a student that costs the same."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

from secondlook.errors import BadValue, UnknownName
from secondlook.labels import LabelSpace
from secondlook.models._count import parameters
from secondlook.predict.loader import Batch
from secondlook.predict.weights import LoadedModel, build_model, find_card, load_run, read_weights, with_clip
from secondlook.train.distillation import (
    BertTerm,
    Distilled,
    FeatureTerm,
    Reduction,
    SoftLabelTerm,
    bert_distillation,
    check_tokens,
    feature_distillation,
    soft_label_distillation,
)
from secondlook.train.loop import train
from secondlook.train.module import Recogniser
from secondlook.train.objective import GivenLabels
from secondlook.train.teacher import Teacher
from tests.train.test_resume import CtrlC, same_bits
from tests.train.toy import LABELS, toy_settings

SMALL: dict[str, Any] = {"model": "hara:tiny", "head": "bert", "frames": 16, "epochs": 2}


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def network(head: str = "bert", seed: int = 0, modality: str = "rgb", frames: int = 16, **options: Any) -> LoadedModel:
    card = with_clip(find_card("hara:tiny"), frames=frames, height=32, width=32, modality=modality)
    card = type(card)(**{**card.__dict__, "head": head, "options": options})
    return LoadedModel(build_model(card, 2, seed), card, LABELS, Path("nowhere/best.safetensors"))


def pair(frames: int = 16) -> tuple[LoadedModel, Teacher, Batch]:
    student, teacher = network(), Teacher(network(seed=1, modality="luma_difference", frames=frames))
    batch = Batch(
        noise(3, 3, 16, 32, 32), torch.tensor([0, 1, 1]), torch.arange(3), (), noise(3, 2, frames, 32, 32, seed=1)
    )
    return student, teacher, batch


def clips_of(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    assert batch.twin_BCTHW is not None
    return batch.x_BCTHW[:1], batch.twin_BCTHW[:1]


def slow_bert(y_BND: torch.Tensor, z_BND: torch.Tensor) -> list[float]:
    """Equation 5.1's sum, number by number."""
    losses = []
    for y_ND, z_ND in zip(y_BND.tolist(), z_BND.tolist(), strict=True):
        total = 0.0
        for y, z in zip(y_ND, z_ND, strict=True):
            long_y, long_z = (math.sqrt(sum(v * v for v in x)) for x in (y, z))
            total += sum((a / long_y - b / long_z) ** 2 for a, b in zip(y, z, strict=True))
        losses.append(total)
    return losses


@pytest.mark.spec("late-temporal-bert", "F73")
def test_equation_5_1() -> None:
    y_BND, z_BND, literal = noise(2, 5, 7), noise(2, 5, 7, seed=1), Reduction.of("batch")
    torch.testing.assert_close(bert_distillation(y_BND, z_BND, literal), torch.tensor(slow_bert(y_BND, z_BND)))
    torch.testing.assert_close(bert_distillation(y_BND, 3.0 * y_BND, literal), torch.zeros(2))
    torch.testing.assert_close(bert_distillation(y_BND, -0.1 * y_BND, literal), torch.full((2,), 4.0 * 5))


@pytest.mark.spec("late-temporal-bert", "F74")
def test_reductions() -> None:
    e_BND = noise(3, 4, 5).square()
    for text, minimised in {
        "sum": e_BND.sum(),
        "mean": e_BND.mean(),
        "batch": e_BND.sum() / 3,
        "tokens": e_BND.sum() / 4,
        "dims": e_BND.sum() / 5,
        "batch+tokens": e_BND.sum() / 12,
        "batch+tokens+dims": e_BND.mean(),
    }.items():
        torch.testing.assert_close(Reduction.of(text)(e_BND).mean(), minimised)
    with pytest.raises(UnknownName, match="Did you mean 'tokens'"):
        Reduction.of("batch+token")


def test_a_feature_loss_is_a_squared_distance() -> None:
    f_BC, g_BC = noise(3, 4), noise(3, 4, seed=1)
    twin = [
        sum((a - b) ** 2 for a, b in zip(f, g, strict=True)) for f, g in zip(f_BC.tolist(), g_BC.tolist(), strict=True)
    ]
    torch.testing.assert_close(feature_distillation(f_BC, g_BC, Reduction.of("batch")), torch.tensor(twin))


@pytest.mark.spec("late-temporal-bert", "F78")
def test_soft_labels_are_their_twin() -> None:
    ours_BK, theirs_BK = noise(4, 5).double(), noise(4, 5, seed=1).double()
    for temperature in (1.0, 4.0):
        twin = []
        for ours, theirs in zip(ours_BK.tolist(), theirs_BK.tolist(), strict=True):
            p, q = ([math.exp(v / temperature) for v in row] for row in (theirs, ours))
            p, q = ([v / sum(row) for v in row] for row in (p, q))
            twin.append(temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)))
        got_B = soft_label_distillation(ours_BK, theirs_BK, temperature)
        torch.testing.assert_close(got_B, torch.tensor(twin, dtype=torch.float64))
    assert soft_label_distillation(ours_BK, ours_BK, 2.0).abs().max() < 1e-12


@pytest.mark.spec("late-temporal-bert", "F72")
def test_mars_is_cross_entropy_and_a_weighted_feature_loss() -> None:
    student, teacher, batch = pair()
    term = FeatureTerm(student.model, student.card, teacher, clips_of(batch), Reduction.of("batch"))
    losses = Distilled(GivenLabels(), term, 3.0).training(student.model.eval(), batch)
    assert batch.twin_BCTHW is not None
    head, other = student.model.head, teacher.network.head  # type: ignore[union-attr]
    ours = head.outputs(student.model.features(batch.x_BCTHW))[:, 0]  # type: ignore[operator,union-attr]
    theirs = other.outputs(teacher.network.features(batch.twin_BCTHW))[:, 0]  # type: ignore[operator,union-attr]
    labels_B = nn.functional.cross_entropy(student.model(batch.x_BCTHW), batch.label_B, reduction="none")
    torch.testing.assert_close(losses.loss_B, labels_B + 3.0 * (ours - theirs).square().sum(1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(losses.parts["labels"], labels_B)


@pytest.mark.spec("late-temporal-bert", "F72")
def test_mers_moves_features_by_the_teacher_alone() -> None:
    student, teacher, batch = pair()
    term = FeatureTerm(student.model, student.card, teacher, clips_of(batch), Reduction.of("batch"), features_only=True)
    Distilled(GivenLabels(), term, 3.0).training(student.model.eval(), batch).loss_B.mean().backward()
    got = {name: p.grad.clone() for name, p in student.model.named_parameters() if p.grad is not None}
    student.model.zero_grad()
    assert batch.twin_BCTHW is not None
    ours = student.model.head.outputs(student.model.features(batch.x_BCTHW))[:, 0]  # type: ignore[operator,union-attr]
    (3.0 * (ours - teacher.pooled(batch.twin_BCTHW)).square().sum(1)).mean().backward()
    for name, parameter in student.model.named_parameters():
        if name.startswith("head.classifier"):
            assert got[name].abs().sum() > 0, "the classifier learns from labels"
        else:
            assert parameter.grad is not None
            torch.testing.assert_close(got[name], parameter.grad, rtol=1e-3, atol=1e-4)


@pytest.mark.spec("late-temporal-bert", "F72")
@pytest.mark.parametrize("kind", ["bert", "mars", "mers", "hinton"])
def test_the_teacher_stays_as_it_was(kind: str) -> None:
    """Evaluation mode while the student trains, no gradient, no weight or statistic moved, not in any optimiser."""
    student, teacher, batch = pair()
    clips, reduction = clips_of(batch), Reduction.of("mean")
    term: Any = SoftLabelTerm(LABELS, teacher, 4.0)
    if kind == "bert":
        term = BertTerm(student.model, teacher, clips, reduction)
    elif kind != "hinton":
        term = FeatureTerm(student.model, student.card, teacher, clips, reduction, features_only=kind == "mers")
    before = {name: tensor.clone() for name, tensor in teacher.network.state_dict().items()}
    module = Recogniser(student.model, toy_settings(), 1, {}, Distilled(GivenLabels(), term, 2.0)).train()
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    loss = module.training_step(batch, 0)
    loss.backward()
    assert not teacher.network.training
    assert not any(m.training for m in teacher.network.modules())
    assert all(p.grad is None and not p.requires_grad for p in teacher.network.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.network.state_dict().items())
    own = {id(p) for p in student.model.parameters()}
    optimizer = module.configure_optimizers()["optimizer"]
    assert {id(p) for group in optimizer.param_groups for p in group["params"]} == own
    assert all(name.startswith("model.") for name in module.state_dict())
    assert sum(float(p.grad.abs().sum()) for p in student.model.parameters() if p.grad is not None) > 0


def test_bert_distillation_reads_the_tokens_of_both() -> None:
    student, teacher, batch = pair()
    term = BertTerm(student.model, teacher, clips_of(batch), Reduction.of("batch"))
    losses = Distilled(GivenLabels(), term, 1.0).training(student.model.eval(), batch)
    assert batch.twin_BCTHW is not None
    y_BND = student.model.head.frame_outputs(student.model.features(batch.x_BCTHW))  # type: ignore[operator,union-attr]
    z_BND = teacher.network.features(batch.twin_BCTHW).mean((3, 4)).transpose(1, 2)  # type: ignore[operator]
    twin = torch.tensor(slow_bert(y_BND, z_BND))
    torch.testing.assert_close(losses.parts["bert_distillation"], twin, rtol=1e-4, atol=1e-4)


def test_a_teacher_without_bert_and_one_with_frab_give_tokens() -> None:
    x_BCTHW = noise(2, 3, 16, 32, 32)
    plain, narrow = Teacher(network("average")), Teacher(network("frab", head_options={"width": 16}))
    z_BND = plain.network.features(x_BCTHW).mean((3, 4)).transpose(1, 2)  # type: ignore[operator]
    torch.testing.assert_close(plain.tokens(x_BCTHW), z_BND)
    unit = narrow.network.head.unit  # type: ignore[union-attr]
    torch.testing.assert_close(
        narrow.tokens(x_BCTHW),
        unit(narrow.network.features(x_BCTHW)).mean((3, 4)).transpose(1, 2),  # type: ignore[operator]
    )


@pytest.mark.spec("late-temporal-bert", "F75")
def test_tokens_align_or_it_is_said() -> None:
    check_tokens((4, 512), (4, 512), adapter=False)
    with pytest.raises(BadValue, match=r"'4x512': the student's tokens do not align with the teacher's 8x512: tokens"):
        check_tokens((4, 512), (8, 512), adapter=False)
    with pytest.raises(BadValue, match=r"dimensions a token differ. Give --distillation-adapter"):
        check_tokens((4, 512), (4, 256), adapter=False)
    check_tokens((4, 512), (8, 256), adapter=True)
    with pytest.raises(BadValue, match="An adapter averages tokens, it makes none"):
        check_tokens((8, 512), (4, 512), adapter=True)


@pytest.mark.spec("late-temporal-bert", "F75")
def test_an_adapter_brings_tokens_together() -> None:
    student = network("frab", head_options={"width": 16}, frames=16)
    _, teacher, batch = pair(frames=32)
    clips = clips_of(batch)
    with pytest.raises(BadValue, match=r"'\dx16'.*do not align with the teacher's \dx64"):
        BertTerm(student.model, teacher, clips, Reduction.of("mean"))
    term = BertTerm(student.model, teacher, clips, Reduction.of("mean"), adapter=True)
    again = BertTerm(student.model, teacher, clips, Reduction.of("mean"), adapter=True)
    assert term.adapter is not None
    assert again.adapter is not None
    assert torch.equal(term.adapter.weight, again.adapter.weight)  # type: ignore[arg-type]
    Distilled(GivenLabels(), term, 1.0).training(student.model, batch).loss_B.mean().backward()
    assert term.adapter.weight.grad is not None


def test_no_bert_in_the_student_and_two_are_refused() -> None:
    student, teacher = network("average"), pair()[1]
    clips = clips_of(pair()[2])
    with pytest.raises(BadValue, match=r"has no BERT head, whose outputs this distillation teaches. Give --head bert"):
        BertTerm(student.model, teacher, clips, Reduction.of("mean"))
    card = find_card("slowfast:tiny")
    two = type(card)(**{**card.__dict__, "head": "slowfast_bert", "options": {"head_options": {"slow_width": 16}}})
    with pytest.raises(BadValue, match="2: BERT heads in one network"):
        BertTerm(build_model(two, 2), teacher, clips, Reduction.of("mean"))


@pytest.mark.spec("late-temporal-bert", "F78")
def test_soft_labels_follow_the_students_order_of_labels() -> None:
    loaded = network()
    other = LoadedModel(loaded.model, loaded.card, LabelSpace.from_names(["bright", "dark"]), loaded.weights)
    x_BCTHW, logits_BK = noise(2, 3, 16, 32, 32), noise(2, 2, seed=3)
    term_B = SoftLabelTerm(LABELS, Teacher(other), 2.0)(logits_BK, x_BCTHW)
    twin_B = soft_label_distillation(logits_BK, loaded.model(x_BCTHW).flip(1), 2.0)
    torch.testing.assert_close(term_B, twin_B)
    with pytest.raises(BadValue, match="'dim': the teacher does not know this label"):
        SoftLabelTerm(LabelSpace.from_names(["dim", "dark"]), Teacher(other), 2.0)


@pytest.fixture(scope="module")
def teacher_run(toy: pa.Table, toy_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("teachers") / "motion"
    train(toy, run, toy_settings(**SMALL, modality="luma_difference", cache=toy_cache))
    return run


def student_settings(teacher: Path, cache: Path, **more: Any) -> Any:
    chosen = {**SMALL, "modality": "rgb", "flip": 0.5, "teacher": teacher, "distillation": "bert", "cache": cache}
    return toy_settings(**{**chosen, **more})


@pytest.mark.spec("late-temporal-bert", "F77")
def test_a_student_needs_no_teacher_and_costs_the_same(
    toy: pa.Table, toy_cache: Path, teacher_run: Path, tmp_path: Path
) -> None:
    settings = student_settings(teacher_run, toy_cache, distillation_adapter=True, epochs=1)
    done = train(toy, tmp_path / "student", settings)
    train(toy, tmp_path / "plain", toy_settings(**{**SMALL, "epochs": 1}, modality="rgb", cache=toy_cache))
    assert any(note.startswith("the teacher is hara:tiny of") for note in done.notes)
    student, plain = load_run(tmp_path / "student"), load_run(tmp_path / "plain")
    assert student.card == plain.card
    assert parameters(student.model) == parameters(plain.model)
    assert read_weights(student.weights).keys() == read_weights(plain.weights).keys()
    checkpoint = torch.load(tmp_path / "student/checkpoints/last.ckpt", weights_only=True)
    beside = {name for name in checkpoint["state_dict"] if not name.startswith("model.")}
    assert beside == {"beside.weight", "beside.bias"}, "the adapter, and nothing of the teacher"
    assert [type(m) for m in student.model.modules()] == [type(m) for m in plain.model.modules()]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in student.model.modules())
    moved = [n for n, p in student.model.state_dict().items() if not torch.equal(p, plain.model.state_dict()[n])]
    assert moved, "the teacher was heard"


@pytest.mark.parametrize("kind", ["bert", "mers"])
def test_a_distillation_that_was_stopped_ends_with_the_same_bits(
    kind: str, toy: pa.Table, toy_cache: Path, teacher_run: Path, tmp_path: Path
) -> None:
    settings = student_settings(teacher_run, toy_cache, distillation=kind, distillation_adapter=True)
    train(toy, tmp_path / "a", settings)
    with pytest.raises(KeyboardInterrupt):
        train(toy, tmp_path / "b", settings, callbacks=[CtrlC("batch", 1, 1)])
    assert train(toy, tmp_path / "b", settings).resumed == 1
    assert same_bits(tmp_path / "a", tmp_path / "b")


def test_another_teacher_is_another_run(toy: pa.Table, toy_cache: Path, teacher_run: Path, tmp_path: Path) -> None:
    settings = student_settings(teacher_run, toy_cache, epochs=1, distillation="hinton")
    train(toy, tmp_path / "a", settings)
    other = tmp_path / "other"
    train(toy, other, toy_settings(**{**SMALL, "epochs": 1}, modality="luma_difference", cache=toy_cache, seed=5))
    with pytest.raises(BadValue, match=r"'teacher': is not the file that .* was started with"):
        train(toy, tmp_path / "a", student_settings(other, toy_cache, epochs=1, distillation="hinton"))
    moved = tmp_path / "moved"
    teacher_copy = {p.name: p.read_bytes() for p in teacher_run.iterdir() if p.is_file()}
    moved.mkdir()
    for name, content in teacher_copy.items():
        (moved / name).write_bytes(content)
    again = student_settings(moved, toy_cache, epochs=1, distillation="hinton")
    assert train(toy, tmp_path / "a", again).resumed == 1, "a teacher may be moved"


class Parts(Callback):
    """Keeps what was logged."""

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.seen = {name: float(value) for name, value in trainer.callback_metrics.items()}


def test_terms_are_logged_by_name(toy: pa.Table, toy_cache: Path, teacher_run: Path, tmp_path: Path) -> None:
    parts = Parts()
    settings = student_settings(teacher_run, toy_cache, epochs=1, distillation="mars", distillation_weight=2.0)
    train(toy, tmp_path / "a", settings, callbacks=[parts])
    both = parts.seen["train_labels"] + 2.0 * parts.seen["train_feature_distillation"]
    assert parts.seen["train_loss"] == pytest.approx(both, rel=1e-4)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"teacher": Path("a")}, "a teacher and what is learned from it come together"),
        ({"distillation": "mars"}, "'mars': a teacher and what is learned from it come together"),
        ({"teacher_videos": Path("v")}, "videos of a teacher need a teacher"),
        ({"distillation_weight": 0.0}, "0.0: the distillation weight must be positive"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"distillation": "brt"}, "Did you mean 'bert'"),
        ({"embedding_weight": -1.0}, "embedding weight must not be negative"),
        ({"soft_targets": True, "label_smoothing": 0.1}, "neither smoothed nor swapped"),
    ],
)
def test_settings_that_do_not_go_together(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises((BadValue, UnknownName), match=words):
        toy_settings(**wrong)
