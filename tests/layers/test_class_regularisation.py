"""Class Regularisation against a loop; no gradient to the classifier; no effect where there must be none."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from secondlook.errors import BadValue, UnknownName
from secondlook.layers.class_regularisation import (
    ClassRegularisation,
    early_predictions,
    modules_beside_class_regularisation,
    train_only_class_regularisation,
)
from secondlook.layers.inject import inject_class_regularisation
from secondlook.train.freeze import freeze, hold

RNG = np.random.default_rng(3)


def given(weights_KC: list[list[float]], rate: float, **how) -> ClassRegularisation:
    """A regularisation whose projected weights are these."""
    weights = torch.tensor(weights_KC)
    classifier = nn.Linear(weights.shape[1], len(weights))
    module = ClassRegularisation(weights.shape[1], classifier, rate, **how)
    with torch.no_grad():
        classifier.weight.copy_(weights)
        module.project.weight.copy_(torch.eye(weights.shape[1]))
    return module


def by_hand(module: ClassRegularisation, classifier: nn.Linear, a: np.ndarray) -> tuple[int, np.ndarray]:
    """Algorithm 1, the sum or the largest element in the place of its comparison: class and scales of one clip."""
    w_KD, p_CD = classifier.weight.detach().double().numpy(), module.project.weight.detach().double().numpy()
    projected = [np.maximum(0, p_CD @ w + module.project.bias.detach().double().numpy()) for w in w_KD]
    size = {"sum": np.sum, "max": np.max}[module.selection]
    best = max(range(len(projected)), key=lambda n: float(size(projected[n] * a.mean((1, 2, 3)))))
    low, high = projected[best].min(), projected[best].max()
    top = {"one_sided": 1.0, "two_sided": 2 - module.rate}[module.range]
    return best, module.rate + (top - module.rate) * (projected[best] - low) / (high - low)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "49", "51")
@pytest.mark.parametrize("span", ["one_sided", "two_sided"])
@pytest.mark.parametrize("selection", ["sum", "max"])
def test_twin(selection: str, span: str) -> None:
    torch.manual_seed(0)
    classifier = nn.Linear(6, 5)
    module = ClassRegularisation(4, classifier, 0.7, selection=selection, range=span)
    a_BCTHW = torch.rand(32, 4, 2, 3, 3) * torch.rand(32, 4, 1, 1, 1) ** 4
    out = module(a_BCTHW).detach().numpy()
    for b, a in enumerate(a_BCTHW.double().numpy()):
        best, scale = by_hand(module, classifier, a)
        np.testing.assert_allclose(out[b], a * scale[:, None, None, None], atol=1e-5)
        assert module.early_prediction_B[b] == best
        assert scale.min() == pytest.approx(0.7)
        assert scale.max() == pytest.approx(1 if span == "one_sided" else 1.3)
    assert len(module.early_prediction_B.unique()) > 1, "clips of one batch may be of several classes"


def test_sum_and_max_may_select_other_classes() -> None:
    ones = torch.ones(1, 4, 1, 1, 1)
    spread, peak = [0.5, 0.5, 0.5, 0.4], [0.0, 0.0, 0.0, 1.0]
    for selection, expected in (("sum", 0), ("max", 1)):
        module = given([spread, peak], 0.5, selection=selection)
        module(ones)
        assert module.early_prediction_B.tolist() == [expected]


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "49")
@pytest.mark.parametrize(
    ("rate", "scale"),
    [(1, [1, 1, 1, 1]), (0.9, [0.92, 0.9, 1, 0.96]), (0.6, [0.68, 0.6, 1, 0.84]), (0, [0.2, 0, 1, 0.6])],
)
def test_fixture(rate: float, scale: list[float]) -> None:
    out = given([[0.2, 0, 1, 0.6]], rate)(torch.ones(1, 4, 1, 1, 1))
    np.testing.assert_allclose(out.detach().flatten(), scale, atol=1e-6)
    assert out.max() == 1


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "48", "55")
@pytest.mark.parametrize("span", ["one_sided", "two_sided"])
def test_rate_one_and_equal_weights_change_nothing(span: str) -> None:
    a_BCTHW = torch.randn(2, 4, 2, 3, 3, requires_grad=True)
    assert torch.equal(ClassRegularisation(4, nn.Linear(6, 5), 1.0, range=span)(a_BCTHW), a_BCTHW)
    for bias in (-1e3, 1.0):
        flat = ClassRegularisation(4, nn.Linear(6, 5), 0.1, range=span)
        nn.init.zeros_(flat.project.weight)
        nn.init.constant_(flat.project.bias, bias)
        assert torch.equal(flat(a_BCTHW), a_BCTHW)
        flat(a_BCTHW).sum().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in flat.parameters())
    assert a_BCTHW.grad.isfinite().all()


class Small(nn.Module):
    """Two stages with normalisations and dropout, another width for the classifier."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(nn.Conv3d(2, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU())
        self.stage2 = nn.Sequential(nn.Conv3d(4, 6, 3, padding=1), nn.BatchNorm3d(6), nn.ReLU())
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(6, classes)

    def forward(self, x):
        return self.fc(self.drop(self.stage2(self.stage1(x)).mean((2, 3, 4))))


def regularised() -> Small:
    torch.manual_seed(0)
    network = Small()
    inject_class_regularisation(network, {"stage1": 0.9, "stage2": 0.6}, channels={"stage1": 4, "stage2": 6})
    return network


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "50")
def test_the_loss_teaches_the_map_and_reaches_the_classifier_only_as_a_classifier() -> None:
    """The classifier's gradient is that of a network whose scales are constants."""
    network = regularised().eval()
    x_BCTHW, labels = torch.randn(3, 2, 4, 5, 5), torch.tensor([0, 1, 2])
    nn.functional.cross_entropy(network(x_BCTHW), labels).backward()
    for stage in (network.stage1, network.stage2):
        assert stage.class_regularisation.project.weight.grad.abs().sum() > 0
    before = network.fc.weight.grad.clone()
    pooled: list[torch.Tensor] = []
    handle = network.fc.register_forward_pre_hook(lambda _m, inputs: pooled.append(inputs[0].detach()))
    logits = network(x_BCTHW)
    handle.remove()
    residue = torch.softmax(logits.detach(), 1) - nn.functional.one_hot(labels, 5)
    torch.testing.assert_close(before, residue.T @ pooled[0] / 3)
    alone = ClassRegularisation(4, network.fc, 0.5)
    network.fc.weight.grad = None
    alone(torch.rand(2, 4, 2, 3, 3)).square().sum().backward()
    assert network.fc.weight.grad is None
    assert {n for n, _ in alone.named_parameters()} == {"project.weight", "project.bias"}


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "50")
def test_weights_are_those_of_the_moment() -> None:
    module = given([[1.0, 0.0], [0.0, 1.0]], 0.0)
    a_BCTHW = torch.ones(1, 2, 1, 1, 1) + torch.tensor([0.5, 0.0])[None, :, None, None, None]
    assert module(a_BCTHW).flatten().tolist() == [1.5, 0.0]
    with torch.no_grad():
        module._classifier[0].weight.copy_(torch.tensor([[0.0, 3.0], [0.0, 1.0]]))
    assert module(a_BCTHW).flatten().tolist() == [0.0, 1.0]


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "52")
@pytest.mark.parametrize(("classes", "channels", "width"), [(2, 3, 8), (700, 8, 3), (400, 5, 5), (1, 4, 2)])
def test_classes_and_widths(classes: int, channels: int, width: int) -> None:
    torch.manual_seed(0)
    module = ClassRegularisation(channels, nn.Linear(width, classes), 0.6)
    out = module(torch.rand(2, channels, 3, 2, 2))
    assert out.shape == (2, channels, 3, 2, 2)
    assert out.isfinite().all()
    assert module.projected_KC().shape == (classes, channels)
    assert (module.early_prediction_B < classes).all()


def test_a_convolution_may_classify() -> None:
    torch.manual_seed(0)
    linear, conv = nn.Linear(6, 5), nn.Conv3d(6, 5, 1)
    with torch.no_grad():
        conv.weight.copy_(linear.weight[..., None, None, None])
    one, other = ClassRegularisation(4, linear, 0.5), ClassRegularisation(4, conv, 0.5)
    other.load_state_dict(one.state_dict())
    a_BCTHW = torch.rand(2, 4, 2, 3, 3)
    assert torch.equal(one(a_BCTHW), other(a_BCTHW))


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "56")
def test_early_predictions_by_layer() -> None:
    network = regularised()
    assert early_predictions(network) == {}
    network(torch.randn(3, 2, 4, 5, 5))
    early = early_predictions(network)
    assert list(early) == ["stage1", "stage2"]
    assert all(class_B.shape == (3,) and class_B.dtype == torch.long for class_B in early.values())
    assert torch.equal(early["stage2"], network.stage2.class_regularisation.early_prediction_B)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "54")
@pytest.mark.parametrize("way", ["freeze", "in place"])
def test_training_it_alone_changes_nothing_else(way: str) -> None:
    """Weights, biases and the normalisations' statistics stay bit for bit; decay and momentum notwithstanding."""
    network = regularised()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=0.1)
    if way == "freeze":
        names = modules_beside_class_regularisation(network)
        assert names == ["stage1.0", "stage1.1", "stage1.2", "stage2.0", "stage2.1", "stage2.2", "drop", "fc"]
        frozen = freeze(network, names)
    else:
        train_only_class_regularisation(network)
    for step in range(3):
        if way == "freeze":
            network.train()
            hold(frozen)
        optimizer.zero_grad()
        x_BCTHW = torch.randn(4, 2, 4, 5, 5, generator=torch.Generator().manual_seed(step))
        nn.functional.cross_entropy(network(x_BCTHW), torch.tensor([0, 1, 2, 3])).backward()
        optimizer.step()
    after = network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if "class_regularisation" in name}


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "54")
def test_names_to_freeze_are_refused_where_a_name_would_say_too_much() -> None:
    network = Small()
    with pytest.raises(BadValue, match="'Small': has no Class Regularisation"):
        modules_beside_class_regularisation(network)
    with pytest.raises(BadValue, match="has no Class Regularisation"):
        train_only_class_regularisation(network)
    inject_class_regularisation(network, {"stage1.1": 0.5}, channels=4)
    with pytest.raises(BadValue, match=r"'stage1.1': holds Class Regularisation and weights of its own \(weight, bias"):
        modules_beside_class_regularisation(network)
    train_only_class_regularisation(network)
    trained = [name for name, p in network.named_parameters() if p.requires_grad]
    assert trained == ["stage1.1.class_regularisation.project.weight", "stage1.1.class_regularisation.project.bias"]


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "97")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("half", [None, torch.bfloat16, torch.float16])
def test_modes_precisions_and_layouts(training: bool, half: torch.dtype | None) -> None:
    torch.manual_seed(0)
    module = ClassRegularisation(4, nn.Linear(6, 50), 0.3).train(training)
    a_BCTHW = (torch.rand(2, 4, 5, 3, 2) + 0.5).to(half or torch.float32)
    expected = module(a_BCTHW.float()).detach()
    selected_B = module.early_prediction_B
    a_BCTHW.requires_grad_()
    with torch.autocast("cpu", dtype=half or torch.bfloat16, enabled=half is not None):
        out = module(a_BCTHW)
        assert torch.equal(module.early_prediction_B, selected_B)
        view = module(a_BCTHW.transpose(3, 4).contiguous().transpose(3, 4))
        last = module(a_BCTHW.contiguous(memory_format=torch.channels_last_3d))
        one = module(a_BCTHW[:1])
    assert out.dtype == a_BCTHW.dtype
    tolerance = 1e-6 if half is None else 1e-2
    for given_, wanted in ((out, expected), (view, expected), (last, expected), (one, expected[:1])):
        torch.testing.assert_close(given_.detach().float(), wanted, atol=tolerance, rtol=tolerance)
    out.float().sum().backward()
    assert module.project.weight.grad.abs().sum() > 0
    assert a_BCTHW.grad.isfinite().all()


def test_starts_as_kaiming_says() -> None:
    """Section 6.4.2."""
    torch.manual_seed(0)
    module = ClassRegularisation(300, nn.Linear(200, 3), 0.5)
    assert float(module.project.weight.detach().std()) == pytest.approx((2 / 200) ** 0.5, rel=0.02)
    assert not module.project.bias.any()


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "98")
def test_export_state_dict_and_copy() -> None:
    network = regularised().eval()
    x_BCTHW = torch.randn(2, 2, 4, 5, 5)
    out = network(x_BCTHW)
    program = torch.export.export(network, (x_BCTHW,), dynamic_shapes=({0: torch.export.Dim("clips")},)).module()
    for batch in (x_BCTHW, torch.randn(3, 2, 4, 5, 5)):
        assert torch.allclose(program(batch), network(batch), atol=1e-6)
    twin = copy.deepcopy(network)
    assert twin.stage1.class_regularisation._classifier[0] is twin.fc
    assert torch.equal(twin(x_BCTHW), out)
    other = regularised().eval()
    torch.nn.init.normal_(other.stage1.class_regularisation.project.weight)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(x_BCTHW), out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with pytest.raises(BadValue, match="cannot compile Class Regularisation"):
            torch.jit.script(network)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "99")
def test_refusals() -> None:
    for rate in (1.5, -0.1, float("nan"), "high"):
        with pytest.raises(BadValue, match=r"must lie in \[0, 1\]"):
            ClassRegularisation(4, nn.Linear(6, 5), rate)
    with pytest.raises(UnknownName, match="Did you mean 'sum'"):
        ClassRegularisation(4, nn.Linear(6, 5), 0.5, selection="summ")
    with pytest.raises(UnknownName, match="Did you mean 'two_sided'"):
        ClassRegularisation(4, nn.Linear(6, 5), 0.5, range="two-sided")
    for classifier in (nn.ReLU(), nn.Conv3d(6, 5, 3), nn.BatchNorm3d(3)):
        with pytest.raises(BadValue, match="no weights of classes"):
            ClassRegularisation(4, classifier, 0.5)
    with pytest.raises(BadValue, match="wants B x 4 x T x H x W"):
        ClassRegularisation(4, nn.Linear(6, 5), 0.5)(torch.rand(2, 5, 1, 1, 1))
