import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from secondlook import catalog
from secondlook.errors import BadValue, UnknownName
from secondlook.explain import _tube, saliency_tubes
from secondlook.explain._class_weights import class_weights
from secondlook.explain._clips import Wish, explain_video, write
from secondlook.explain._hooks import watch
from secondlook.explain._methods import suitable
from secondlook.labels import LabelSpace
from secondlook.layers.inject import inject_class_regularisation
from secondlook.predict.weights import LoadedModel, build_model, find_card
from tests.explain.conftest import card_of
from tests.explain.test_grad_cam import random_input
from tests.explain.test_spline import enlarged_twin


class Linear(nn.Module):
    """Two convolutions, average pooling, one linear layer: the map is `act(conv(stem(x)))`."""

    def __init__(self, channels=5, classes=3, stride=(2, 4, 4)):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.stem = nn.Conv3d(2, 4, 1)
            self.conv = nn.Conv3d(4, channels, 3, stride, 1)
            self.act = nn.ReLU()
            self.pool = nn.AdaptiveAvgPool3d(1)
            self.classifier = nn.Linear(channels, classes)

    def forward(self, x_BCTHW):
        return self.classifier(self.pool(self.act(self.conv(self.stem(x_BCTHW)))).flatten(1))


CARD = card_of("act", frames=6, size=16)
ORDERS = ("spline_then_square", "square_then_spline")


@pytest.fixture
def clip(make_clip):
    return make_clip(random_input(2, 6, 16, 16))


def map_of(model, clip):
    with torch.no_grad():
        return model.act(model.conv(model.stem(clip.x_CTHW[None])))[0].double().numpy()


def scaled(values):
    span = values.max() - values.min()
    return (values - values.min()) / span if span > 0 else np.zeros_like(values)


def twin(map_Cthw, weight_C, size_THW, threshold=0.0, square_first=False):
    """Section 2.13 step by step, a channel at a time, enlarged by SciPy."""
    total = 0.0
    for weight, channel in zip(weight_C, map_Cthw, strict=True):
        weighted = weight * channel
        if weighted.max() < threshold:
            continue
        z = scaled(weighted)
        total = total + (z**2 if square_first else np.maximum(enlarged_twin(z, size_THW), 0) ** 2)
    return scaled(np.maximum(enlarged_twin(total, size_THW), 0) if square_first else total + np.zeros(size_THW))


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "58")
@pytest.mark.parametrize("threshold", [0.0, 0.05, -np.inf])
@pytest.mark.parametrize("order", ORDERS)
def test_twin(clip, order, threshold):
    model = Linear()
    expected = twin(
        map_of(model, clip), model.classifier.weight[1].tolist(), (6, 16, 16), threshold, order == "square_then_spline"
    )
    heat = saliency_tubes.explain(model, CARD, clip, 1, order=order, threshold=threshold)
    np.testing.assert_allclose(heat.heat_THW, expected, atol=1e-4)
    assert heat.heat_THW.min() == 0
    assert heat.heat_THW.max() == 1
    assert (heat.notes["grid"], heat.module, heat.signed) == ([6, 16, 16], "act", False)
    assert heat.notes["linear_head"] is True
    assert heat.notes["weights_of"] == "classifier"


def test_the_two_orders_differ(clip):
    one, other = (saliency_tubes.explain(Linear(), CARD, clip, 1, order=o).heat_THW for o in ORDERS)
    assert np.abs(one - other).max() > 0.01


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "58")
@pytest.mark.parametrize("order", ORDERS)
def test_one_time_step_gives_a_tube_constant_over_time(clip, order):
    model = Linear(stride=(6, 4, 4))
    assert map_of(model, clip).shape[1] == 1
    heat_THW = saliency_tubes.explain(model, CARD, clip, 0, order=order).heat_THW
    assert heat_THW.shape == (6, 16, 16)
    np.testing.assert_array_equal(heat_THW, np.broadcast_to(heat_THW[:1], heat_THW.shape))
    expected = twin(
        map_of(model, clip), model.classifier.weight[0].tolist(), (6, 16, 16), 0.0, order == "square_then_spline"
    )
    np.testing.assert_allclose(heat_THW, expected, atol=1e-4)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "59")
@pytest.mark.parametrize("channel", range(5))
def test_a_weight_on_one_channel_gives_that_channel_squared(clip, channel):
    """Zero weights make constant channels, which count for nothing, also without a threshold."""
    model = Linear()
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.weight[2, channel] = 0.3
    z = scaled(map_of(model, clip)[channel])
    expected = scaled(np.maximum(enlarged_twin(z, (6, 16, 16)), 0) ** 2)
    for threshold in (0.0, -np.inf):
        heat = saliency_tubes.explain(model, CARD, clip, 2, threshold=threshold)
        np.testing.assert_allclose(heat.heat_THW, expected, atol=1e-4)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "60")
def test_threshold_by_hand():
    """Largest weighted values 4, 1, 0 (negative weight, silent somewhere), -1 and 2 (constant)."""
    map_Cthw = torch.tensor([[0.0, 2.0], [0.0, 1.0], [0.0, 3.0], [1.0, 2.0], [2.0, 2.0]])[:, None, None]
    weight_C = torch.tensor([2.0, 1.0, -1.0, -1.0, 1.0])
    expected = {-np.inf: [0, 1, 2, 3, 4], 0.0: [0, 1, 2, 4], 1e-9: [0, 1, 4], 1.0: [0, 1, 4], 1.5: [0, 4], 4.5: []}
    for threshold, channels in expected.items():
        kept = _tube.keep(map_Cthw, weight_C, threshold)
        assert kept.channel_N.tolist() == channels
        assert _tube.tube(kept.shown_Nthw, (1, 1, 2)).shape == (1, 1, 2)
    everything = _tube.keep(map_Cthw, weight_C, -np.inf).shown_Nthw[:, 0, 0].tolist()
    assert everything == [[0, 1], [0, 1], [1, 0], [1, 0], [0, 0]]
    assert _tube.tube(_tube.keep(map_Cthw, weight_C, 0.0).shown_Nthw, (1, 1, 2))[0, 0].tolist() == [1, 2]


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "60")
def test_threshold_in_the_network(clip):
    model = Linear()
    map_Cthw, weight_C = map_of(model, clip), model.classifier.weight[1].detach().numpy()
    largest_C = (weight_C[:, None, None, None] * map_Cthw).max((1, 2, 3))
    for threshold in (-np.inf, 0.0, float(np.median(largest_C)), 1e9):
        notes = saliency_tubes.explain(model, CARD, clip, 1, threshold=threshold).notes
        assert notes["kept"] == (largest_C >= threshold).sum()
        assert notes["upside_down"] == ((largest_C >= threshold) & (weight_C < 0)).sum()
    assert not saliency_tubes.explain(model, CARD, clip, 1, threshold=1e9).heat_THW.any()


def test_memory_chunks_and_bands_change_nothing(monkeypatch):
    shown_Nthw = torch.from_numpy(np.random.default_rng(0).random((9, 3, 4, 5)))
    whole = _tube.tube(shown_Nthw, (6, 17, 10))
    np.testing.assert_allclose(
        whole, sum(np.maximum(enlarged_twin(z, (6, 17, 10)), 0) ** 2 for z in shown_Nthw.numpy()), atol=1e-10
    )
    monkeypatch.setattr(_tube, "_BAND", 6 * 10 * 3)
    monkeypatch.setattr(_tube, "_AT_ONCE", 6 * 10 * 3 * 2)
    torch.testing.assert_close(_tube.tube(shown_Nthw, (6, 17, 10)), whole)


def test_cam_mode_is_the_weighted_sum_of_all_channels(clip):
    model = Linear()
    sum_thw = np.tensordot(model.classifier.weight[1].detach().double().numpy(), map_of(model, clip), 1)
    heat = saliency_tubes.explain(model, CARD, clip, 1, mode="cam")
    np.testing.assert_allclose(heat.heat_THW, scaled(enlarged_twin(sum_thw, (6, 16, 16))), atol=1e-4)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "62")
def test_any_class_has_its_tube(clip):
    model = Linear()
    heats = [saliency_tubes.explain(model, CARD, clip, k) for k in range(3)]
    for k, heat in enumerate(heats):
        expected = twin(map_of(model, clip), model.classifier.weight[k].tolist(), (6, 16, 16))
        np.testing.assert_allclose(heat.heat_THW, expected, atol=1e-4)
        assert heat.label == k
    assert len({h.notes["predicted"] for h in heats}) == 1
    assert not np.allclose(heats[0].heat_THW, heats[1].heat_THW)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "105")
def test_two_classes_compared(clip):
    model = Linear()
    one, other = (saliency_tubes.explain(model, CARD, clip, k).heat_THW for k in (0, 2))
    heat = saliency_tubes.explain(model, CARD, clip, 0, against=2)
    np.testing.assert_allclose(heat.heat_THW * heat.notes["scale"], one - other, atol=1e-4)
    assert heat.signed
    assert (heat.label, heat.notes["against"]) == (0, 2)
    back = saliency_tubes.explain(model, CARD, clip, 2, against=0)
    np.testing.assert_allclose(back.heat_THW, -heat.heat_THW, atol=1e-5)
    assert not saliency_tubes.explain(model, CARD, clip, 1, against=1).heat_THW.any()
    with pytest.raises(BadValue, match="class index"):
        saliency_tubes.explain(model, CARD, clip, 0, against=3)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "62")
@pytest.mark.parametrize("family", ["r3d", "mtnet"])
def test_a_tube_for_each_layer_with_class_regularisation(family, make_clip):
    """The projected weights `relu(P y)` stand for the classifier's, which in MTNet are of other channels."""
    card = find_card(f"{family}:tiny")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = catalog.find("models", family).build("tiny", 4, class_regularisation=True, in_channels=2).eval()
    clip = make_clip(random_input(2, 8, 32, 32))
    for layer in ("layer1", "layer2", "layer3", "layer4"):
        with watch(model, [f"{layer}.class_regularisation"]) as watched:
            model(clip.x_CTHW[None])
        regularisation = model.get_submodule(f"{layer}.class_regularisation")
        with torch.no_grad():
            project = regularisation.project
            weight_C = (project.weight @ model.get_submodule("head.classifier").weight[3] + project.bias).clamp(min=0)
        map_Cthw = watched.outputs[f"{layer}.class_regularisation"][0].detach().double().numpy()
        heat = saliency_tubes.explain(model, card, clip, 3, layer=layer)
        assert heat.module == heat.notes["weights_of"] == f"{layer}.class_regularisation"
        np.testing.assert_allclose(heat.heat_THW, twin(map_Cthw, weight_C.tolist(), (8, 32, 32)), atol=2e-4)
        same = saliency_tubes.explain(model, card, clip, 3, layer=f"{layer}.class_regularisation")
        np.testing.assert_array_equal(same.heat_THW, heat.heat_THW)
    if family == "mtnet":
        with pytest.raises(BadValue, match="Class Regularisation has a tube"):
            saliency_tubes.explain(model, card, clip, 3)


def test_injected_class_regularisation_is_found(clip):
    model = Linear()
    inject_class_regularisation(model, {"stem": 0.8}, "classifier", channels=4)
    heat = saliency_tubes.explain(model, CARD, clip, 1, layer="stem")
    assert heat.module == "stem.class_regularisation"
    assert heat.heat_THW.any()


def test_no_backward_pass(clip):
    """Nothing on the way may be differentiated: a network whose backward pass fails is explained all the same."""

    class Forward(torch.autograd.Function):
        @staticmethod
        def forward(_, x):
            return x.clone()

        @staticmethod
        def backward(_, gradient):
            raise RuntimeError("differentiated")

    model = Linear()
    model.pool.register_forward_hook(lambda _m, _i, output: Forward.apply(output))
    assert saliency_tubes.explain(model, CARD, clip, 1).heat_THW.any()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("x3d:tiny", "head.conv stands between"), ("c3d:tiny", "head.fc6"), ("vivit:tiny", "no convolution's")],
)
def test_networks_whose_class_weights_are_of_other_channels(name, reason, make_clip):
    card = find_card(name)
    model = build_model(card, 3)
    assert reason in saliency_tubes.unsuitable(model, card)
    assert "saliency_tubes" not in suitable(model, card)
    spec = card.clip
    with pytest.raises(BadValue, match=reason):
        saliency_tubes.explain(
            model, card, make_clip(random_input(spec.channels, spec.frames, spec.height, spec.width)), 0
        )


def test_networks_that_fit_have_a_linear_head(make_clip):
    """Also where time lies in the batch."""
    for name in ("tsm:tiny", "slowfast:tiny", "i3d:tiny"):
        card = find_card(name)
        spec, model = card.clip, build_model(card, 3)
        clip = make_clip(random_input(spec.channels, spec.frames, spec.height, spec.width))
        assert saliency_tubes.explain(model, card, clip, 0).notes["linear_head"] is True


def test_a_head_that_is_not_linear_over_time_is_told(clip):
    model = Linear()
    model.pool = nn.AdaptiveMaxPool3d(1)
    assert saliency_tubes.explain(model, CARD, clip, 0).notes["linear_head"] is False


def test_what_cannot_be_is_refused(clip):
    model = Linear()
    for wrong in ({"order": "square"}, {"mode": "map"}, {"threshold": float("nan")}):
        with pytest.raises(BadValue):
            saliency_tubes.explain(model, CARD, clip, 0, **wrong)
    with pytest.raises(BadValue, match="gives 4 channels"):
        saliency_tubes.explain(model, CARD, clip, 0, layer="stem")
    with pytest.raises(UnknownName, match="stem"):
        saliency_tubes.explain(model, CARD, clip, 0, layer="stm")
    with pytest.raises(BadValue, match="class index"):
        saliency_tubes.explain(model, CARD, clip, 3)
    model.classifier = nn.Sequential(nn.Linear(5, 3))
    with pytest.raises(BadValue, match="no weights of classes"):
        class_weights(model, CARD)
    assert "Sequential" in saliency_tubes.unsuitable(model, CARD)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "92")
def test_strip_and_film_of_a_tube(tmp_path, draw_video):
    """Each frame of the clip with its slice of the tube, as a picture (figure 7.6) and as a film."""
    card = find_card("tsm:tiny")
    model = build_model(card, 2, seed=0).eval()
    loaded = LoadedModel(model, card, LabelSpace.from_names(["left", "right"]), tmp_path / "none.safetensors")
    wish = Wish(method="saliency_tubes", columns=4)
    explained = explain_video(loaded, draw_video(tmp_path / "clip.mp4"), wish)
    assert explained.heat.method == "saliency_tubes"
    assert explained.heat.heat_THW.max() == 1
    paths = write(explained, loaded, tmp_path / "out", wish, "clip.mp4")
    strip = np.asarray(Image.open(paths["strip"]).convert("RGB"))
    assert strip.shape[1] > 4 * 176
    assert len(np.unique(strip.reshape(-1, 3), axis=0)) > 100, "heat has colours; the drawn frames are grey"
    assert (np.ptp(strip.astype(int), axis=2) > 60).mean() > 0.01
    with av.open(str(paths["video"])) as film:
        shown = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(shown) >= card.clip.frames
    half = shown[0].shape[1] // 2
    colour = [float(np.ptp(frame[:, half:].astype(int), axis=2).mean()) for frame in shown]
    grey = [float(np.ptp(frame[:, : half - 4].astype(int), axis=2).mean()) for frame in shown]
    assert max(colour) > 3 * max(grey)
