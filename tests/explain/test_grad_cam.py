import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from secondlook import catalog
from secondlook.errors import BadValue, UnknownName
from secondlook.explain import grad_cam
from secondlook.explain._hooks import watch
from secondlook.predict.weights import build_model, find_card
from tests.explain.conftest import HandNetwork, SmallNetwork, card_of


def grid(heat, frames):
    """The network's own grid again, where input, source and grid have one size: undoes the division by the maximum."""
    assert heat.heat_THW.shape[0] == frames
    return heat.heat_THW * heat.notes["scale"]


def random_input(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.spec("label-reassessment", "X1")
def test_image_form_by_hand(make_clip):
    """One frame, two channels: alpha = (2, -1), L = ReLU(2 A_1 - A_2), worked out on paper (equations 3.2 and 3.3)."""
    model = HandNetwork((1.0, 3.0), [[2.0, -1.0], [0.0, 0.0]], [1.0])
    x_CTHW = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]], [[[1.0, 1.0], [1.0, 3.0]]]])
    heat = grad_cam.explain(model, card_of("conv"), make_clip(x_CTHW), 0)
    # A_1 = x_1, A_2 = 3 x_2: 2 * [1 2; 3 4] - [3 3; 3 9] = [-1 1; 3 -1]
    np.testing.assert_allclose(grid(heat, 1), [[[0, 1], [3, 0]]], atol=1e-6)
    assert heat.notes["scale"] == pytest.approx(3)
    assert heat.heat_THW.max() == 1
    # y_0 = sum of 2 A_1 - A_2 = 2 * 10 - 18
    assert heat.notes["logit"] == pytest.approx(2)


@pytest.mark.parametrize("weights", ["channel", "channel_time"])
def test_two_definitions_by_hand(make_clip, weights):
    """Two frames with gradients v_k u_t, u = (1, 3): the channel form uses v_k * 2 in both frames."""
    model = HandNetwork((1.0, 1.0), [[2.0, -1.0]], [1.0, 3.0])
    x_CTHW = random_input(2, 2, 2, 2)
    heat = grad_cam.explain(model, card_of("conv"), make_clip(x_CTHW), 0, weights=weights)
    u_T = {"channel": [2.0, 2.0], "channel_time": [1.0, 3.0]}[weights]
    expected = (2 * x_CTHW[0] - x_CTHW[1]).relu() * torch.tensor(u_T)[:, None, None]
    np.testing.assert_allclose(grid(heat, 2), expected, rtol=1e-5)


def twin(activations_KThw, gradient_KThw, weights):
    """The formula as nested loops over channels, times, rows and columns."""
    channels, frames, rows, columns = activations_KThw.shape
    heat = np.zeros((frames, rows, columns))
    for t in range(frames):
        for i in range(rows):
            for j in range(columns):
                for k in range(channels):
                    seen = gradient_KThw[k] if weights == "channel" else gradient_KThw[k, t]
                    heat[t, i, j] += seen.mean() * activations_KThw[k, t, i, j]
    return np.maximum(heat, 0)


@pytest.mark.parametrize("weights", ["channel", "channel_time"])
@pytest.mark.spec("label-reassessment", "X2")
def test_video_form_matches_its_twin_and_keeps_frames(small, make_clip, weights):
    """Gradients by finite differences, weights and sums by loops: nothing in common with autograd and einsum."""
    model, card = small
    model = model.double()
    x_CTHW = random_input(2, 4, 8, 8).double()
    with torch.no_grad():
        activations = model.act2(model.norm(model.conv2(model.act1(model.conv1(x_CTHW[None])))))
        steps = 1e-5 * torch.eye(activations.numel(), dtype=torch.float64).reshape(-1, *activations.shape[1:])
        rest = lambda a: model.classifier(model.pool(a).flatten(1))[:, 1]  # noqa: E731
        slope = ((rest(activations + steps) - rest(activations - steps)) / 2e-5).reshape(activations.shape)
    expected_thw = twin(activations[0].numpy(), slope[0].numpy(), weights)
    heat = grad_cam.explain(model, card, make_clip(x_CTHW), 1, weights=weights)
    assert heat.notes["grid"] == [4, 4, 4]
    assert heat.heat_THW.shape == (4, 8, 8)
    assert (heat.heat_THW >= 0).all()
    upsampled = functional.interpolate(
        torch.from_numpy(expected_thw)[None, None], (4, 8, 8), mode="trilinear", align_corners=False
    )
    np.testing.assert_allclose(grid(heat, 4), upsampled[0, 0], rtol=1e-4, atol=1e-7)


def test_channel_weights_do_not_depend_on_time(make_clip):
    """A shuffle of the frames of a network without memory shuffles the maps of the channel form, and nothing else."""
    model = HandNetwork((1.0, 2.0), [[1.0, -0.5]], [1.0, 1.0, 1.0])
    x_CTHW = random_input(2, 3, 4, 4)
    order = [2, 0, 1]
    one = grad_cam.explain(model, card_of("conv", frames=3, size=4), make_clip(x_CTHW), 0)
    other = grad_cam.explain(model, card_of("conv", frames=3, size=4), make_clip(x_CTHW[:, order]), 0)
    np.testing.assert_allclose(one.heat_THW[order], other.heat_THW, rtol=1e-6)


class FoldedNetwork(nn.Module):
    """`SmallNetwork`'s first layers as a 2D network over frames."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 5, 3, padding=1)
        self.classifier = nn.Linear(5, 3)

    def forward(self, x_BCTHW):
        folded = self.conv(x_BCTHW.transpose(1, 2).flatten(0, 1))
        return self.classifier(folded.mean((2, 3))).unflatten(0, (len(x_BCTHW), -1)).mean(1)


@pytest.mark.parametrize("known", [True, False])
def test_time_folded_into_the_batch_is_unfolded(make_clip, known):
    """The same network written with 3D convolutions of one frame gives the same maps."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        folded = FoldedNetwork()
    unfolded = nn.Sequential()
    unfolded.conv = nn.Conv3d(2, 5, (1, 3, 3), padding=(0, 1, 1))
    unfolded.conv.weight.data = folded.conv.weight.data[:, :, None]
    unfolded.conv.bias.data = folded.conv.bias.data
    unfolded.forward = lambda x: folded.classifier(unfolded.conv(x).mean((2, 3, 4)))
    clip = make_clip(random_input(2, 3, 6, 6))
    card = card_of("conv", layout="(BT)CHW", frames=3, size=6) if known else card_of(frames=3, size=6)
    for weights in ("channel", "channel_time"):
        one = grad_cam.explain(folded, card, clip, 2, layer="conv", weights=weights)
        other = grad_cam.explain(unfolded, card_of("conv", frames=3, size=6), clip, 2, weights=weights)
        np.testing.assert_allclose(one.heat_THW, other.heat_THW, rtol=1e-4, atol=1e-6)


@pytest.mark.spec("label-reassessment", "X4")
@pytest.mark.parametrize(("size", "cells"), [(224, 7), (256, 8)])
def test_tsm_r50_gives_2048_channels_on_7_by_7_or_8_by_8(make_clip, size, cells):
    model = build_model(find_card("tsm:r50"), 5)
    card = find_card("tsm:r50")
    x_CTHW = random_input(3, 2, size, size)
    with watch(model, [card.explain.last().module]) as watched:
        model(x_CTHW[None])
    assert watched.outputs[card.explain.last().module].shape == (2, 2048, cells, cells)
    heat = grad_cam.explain(model, card, make_clip(x_CTHW), 3)
    assert heat.notes["grid"] == [2, cells, cells]
    assert heat.heat_THW.shape == (2, size, size)


@pytest.mark.spec("label-reassessment", "X6")
def test_any_class_can_be_explained(small, make_clip):
    """Each class of the network has a map of its own; the classes' logits are the network's."""
    model, card = small
    clip = make_clip(random_input(2, 4, 8, 8))
    logits_K = model(clip.x_CTHW[None])[0].detach()
    heats = [grad_cam.explain(model, card, clip, k) for k in range(3)]
    assert [h.label for h in heats] == [0, 1, 2]
    np.testing.assert_allclose([h.notes["logit"] for h in heats], logits_K, rtol=1e-5)
    assert {h.notes["predicted"] for h in heats} == {int(logits_K.argmax())}
    assert sum(h.notes["confidence"] for h in heats) == pytest.approx(1)
    assert not np.allclose(heats[0].heat_THW, heats[1].heat_THW)


@pytest.mark.spec("label-reassessment", "X5")
def test_any_layer_can_be_read(small, make_clip):
    """Also one whose output is overwritten by the next, in-place module: what is kept is what it gave out."""
    model, card = small
    clip = make_clip(random_input(2, 4, 8, 8))
    for layer in ("conv1", "act1", "conv2", "norm", "act2"):
        heat = grad_cam.explain(model, card, clip, 0, layer=layer)
        assert heat.module == layer
        with torch.no_grad():
            expected = clip.x_CTHW[None]
            for name in ("conv1", "act1", "conv2", "norm", "act2"):
                expected = getattr(model, name)(expected)
                if name == layer:
                    break
            expected = expected.clone()
        with watch(model, [layer]) as watched:
            model(clip.x_CTHW[None])
        torch.testing.assert_close(watched.outputs[layer].detach(), expected)


def test_default_layer_is_the_last_stage(small, make_clip):
    model, _ = small
    heat = grad_cam.explain(model, card_of("conv1", "act2", frames=4, size=8), make_clip(random_input(2, 4, 8, 8)), 0)
    assert heat.module == "act2"


def test_frozen_networks_and_switched_off_gradients_do_not_matter(small, make_clip):
    model, card = small
    clip = make_clip(random_input(2, 4, 8, 8))
    expected = grad_cam.explain(model, card, clip, 0).heat_THW
    model.requires_grad_(False)
    with torch.no_grad():
        np.testing.assert_array_equal(grad_cam.explain(model, card, clip, 0).heat_THW, expected)
    with torch.inference_mode():
        np.testing.assert_array_equal(grad_cam.explain(model, card, clip, 0).heat_THW, expected)


def test_a_class_that_nothing_speaks_for_gives_zeros(make_clip):
    model = HandNetwork((1.0, 1.0), [[-1.0, -1.0]], [1.0])
    heat = grad_cam.explain(model, card_of("conv"), make_clip(torch.rand(2, 1, 2, 2)), 0)
    assert not heat.heat_THW.any()
    assert heat.notes["scale"] == 0


def test_heat_lies_in_the_source_frame(make_clip):
    """A 2 x 2 input that shows the middle half of a 8 x 8 source: heat inside the box, none outside."""
    from secondlook.video.transform import Box

    model = HandNetwork((1.0,), [[1.0]], [1.0])
    x_CTHW = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    clip = make_clip(x_CTHW, 8, 8, Box(2, 2, 4, 4))
    heat = grad_cam.explain(model, card_of("conv"), clip, 0)
    assert heat.heat_THW.shape == (1, 8, 8)
    assert heat.heat_THW[0, 2, 2] == 1
    inside = np.zeros((8, 8), bool)
    inside[2:6, 2:6] = True
    assert not heat.heat_THW[0][~inside].any()
    assert heat.notes["box"] == [2, 2, 4, 4]
    mirrored = make_clip(x_CTHW, 8, 8, Box(2, 2, 4, 4), "center_mirrored")
    np.testing.assert_array_equal(
        grad_cam.explain(model, card_of("conv"), mirrored, 0).heat_THW, heat.heat_THW[..., ::-1]
    )


def test_saved_and_read_again(small, make_clip, tmp_path):
    model, card = small
    heat = grad_cam.explain(model, card, make_clip(random_input(2, 4, 8, 8)), 1)
    heat.save(tmp_path / "heat.npz")
    again = type(heat).load(tmp_path / "heat.npz")
    np.testing.assert_array_equal(again.heat_THW, heat.heat_THW)
    assert again.notes == heat.notes
    assert (again.method, again.label, again.module) == ("grad_cam", 1, "act2")


def test_bad_wishes_are_explained(small, make_clip):
    model, card = small
    clip = make_clip(random_input(2, 4, 8, 8))
    with pytest.raises(UnknownName, match=r"'conv3' is not known. Did you mean 'conv[12]' or 'conv[12]'"):
        grad_cam.explain(model, card, clip, 0, layer="conv3")
    with pytest.raises(BadValue, match="from 0 to 2"):
        grad_cam.explain(model, card, clip, 3)
    with pytest.raises(BadValue, match="from 0 to 2"):
        grad_cam.explain(model, card, clip, -1)
    with pytest.raises(BadValue, match="does not run"):
        grad_cam.explain(model, card, clip, 0, layer="spare")
    with pytest.raises(BadValue, match="no channels over frames"):
        grad_cam.explain(model, card, clip, 0, layer="classifier")
    with pytest.raises(BadValue, match="channel, channel_time"):
        grad_cam.explain(model, card, clip, 0, weights="frame")
    with pytest.raises(BadValue, match="names no explain point"):
        grad_cam.explain(model, card_of(), clip, 0)


def test_a_layer_beside_the_path_to_the_logits_is_refused(make_clip):
    class Beside(SmallNetwork):
        def forward(self, x_BCTHW):
            self.spare(x_BCTHW)
            return super().forward(x_BCTHW)

    with pytest.raises(BadValue, match="does not depend"):
        grad_cam.explain(Beside(), card_of("spare"), make_clip(random_input(2, 4, 8, 8)), 0)


def test_every_method_is_listed_with_a_first_line():
    assert catalog.describe("explain")["grad_cam"].startswith("Grad-CAM")
