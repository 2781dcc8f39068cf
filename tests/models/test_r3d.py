"""R3D and R(2+1)D of the SRTG work: counts, shapes on the way, clips of many sizes, middle widths, options."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from secondlook import catalog
from secondlook.errors import BadValue
from secondlook.layers.factorised_conv import FactorisedConv
from secondlook.models._count import parameters
from secondlook.models._staged import STAGES

BIG = ["r3d-34", "r3d-50", "r3d-101", "r2plus1d-34", "r2plus1d-50", "r2plus1d-101", "wide-r3d-50"]


def make(variant: str, classes: int = 5, **options) -> nn.Module:
    return catalog.find("models", "r3d").build(variant, classes, **options)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "20")
@pytest.mark.parametrize(
    ("variant", "millions"), list(zip(BIG, (63.72, 36.76, 69.10, 61.83, 34.86, 67.22, 140.98), strict=True))
)
def test_parameters_of_the_specification(variant: str, millions: float) -> None:
    with torch.device("meta"):
        assert round(parameters(make(variant, 400)) / 1e6, 2) == millions


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "20")
def test_wide_with_200_classes() -> None:
    with torch.device("meta"):
        assert round(parameters(make("wide-r3d-50", 200)) / 1e6, 2) == 140.87


@pytest.mark.parametrize(
    ("max_pool", "pooled", "rows"),
    [
        (True, (64, 8, 56, 56), [(64, 8, 56, 56), (128, 4, 28, 28), (256, 2, 14, 14), (512, 1, 7, 7)]),
        (False, (64, 16, 112, 112), [(64, 16, 112, 112), (128, 8, 56, 56), (256, 4, 28, 28), (512, 2, 14, 14)]),
    ],
)
@pytest.mark.parametrize("variant", ["r3d-50", "r2plus1d-34"])
def test_shapes_on_the_way(variant: str, max_pool: bool, pooled: tuple[int, ...], rows: list[tuple[int, ...]]) -> None:
    """Section 2.18, both columns."""
    seen: dict[str, torch.Size] = {}
    with torch.device("meta"):
        network = make(variant, max_pool=max_pool).eval()
        for name in (*STAGES, "stem.act" if variant == "r3d-50" else "stem.act2"):
            network.get_submodule(name).register_forward_hook(
                lambda _m, _i, output, name=name: seen.__setitem__(name, output.shape[1:])
            )
        network(torch.empty(1, 3, 16, 224, 224))
    assert seen.pop("stem.act" if variant == "r3d-50" else "stem.act2") == (64, 16, 112, 112)
    assert seen == dict(zip(STAGES, [pooled, *rows], strict=True))


SHAPES = [(16, 112, 112), (16, 224, 224), (8, 112, 112), (4, 79, 79), (4, 112, 79), (1, 7, 7)]


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "22")
@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "23")
@pytest.mark.parametrize("variant", BIG)
def test_clips_of_many_sizes(variant: str) -> None:
    with torch.device("meta"):
        network = make(variant, 7).eval()
        for shape in SHAPES:
            assert network(torch.empty(2, 3, *shape)).shape == (2, 7)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "22")
@pytest.mark.parametrize("shape", [(16, 112, 112), (8, 112, 112), (4, 79, 79)])
@pytest.mark.parametrize("variant", ["tiny", "tiny-bottleneck", "tiny-r2plus1d"])
def test_multigrid_clips_give_numbers(variant: str, shape: tuple[int, int, int]) -> None:
    network = make(variant, 7, in_channels=3)
    for mode in (True, False):
        assert network.train(mode)(torch.randn(2, 3, *shape)).isfinite().all()


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "23")
@pytest.mark.parametrize("variant", ["tiny", "tiny-bottleneck", "tiny-r2plus1d"])
def test_head_is_a_global_mean_and_one_linear_layer(variant: str) -> None:
    network = make(variant).eval()
    x_BCTHW = torch.randn(3, 2, 6, 40, 33)
    features_BCTHW = network.features(x_BCTHW)
    classifier = network.head.classifier
    expected_BK = features_BCTHW.sum((2, 3, 4)) / features_BCTHW[0, 0].numel() @ classifier.weight.T + classifier.bias
    assert torch.allclose(network(x_BCTHW), expected_BK, atol=1e-5)
    assert len(list(network.head.parameters())) == 2


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "21")
def test_middle_widths_are_reckoned_once_a_block() -> None:
    """Also for the convolution inside a bottleneck, from what enters the block and not from what enters it itself."""
    for variant in ("r2plus1d-34", "r2plus1d-50"):
        with torch.device("meta"):
            network = make(variant)
        for stage, (first, later) in enumerate(((144, 144), (230, 288), (460, 576), (921, 1152)), 1):
            blocks = getattr(network, f"layer{stage}")
            for b, block in enumerate(blocks):
                middles = {m.spatial.out_channels for m in block.modules() if isinstance(m, FactorisedConv)}
                assert middles == {later if b else first}, (variant, stage, b)


def test_bottlenecks_do_not_widen() -> None:
    with torch.device("meta"):
        narrow, wide = make("r3d-50"), make("wide-r3d-50")
    for network, inner in ((narrow, 128), (wide, 256)):
        block = network.layer2[0]
        assert [c.out_channels for c in (block.conv1, block.conv2, block.conv3)] == [inner, inner, 128]
        assert isinstance(network.layer1[0].shortcut, nn.Identity)


@pytest.mark.parametrize(("variant", "stem"), [("r3d-18", "conv"), ("r2plus1d-18", "temporal")])
@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_stem_kernel(variant: str, stem: str, kernel: int) -> None:
    with torch.device("meta"):
        network = make(variant, stem_kernel=kernel).eval()
        assert getattr(network.stem, stem).kernel_size[0] == kernel
        assert network.stem(torch.empty(1, 3, 9, 20, 20)).shape == (1, 64, 5, 5, 5)


@pytest.mark.parametrize("kernel", [0, 2, -1])
def test_a_stem_kernel_is_odd(kernel: int) -> None:
    with pytest.raises(BadValue, match=f"{kernel}: stem_kernel must be odd"):
        make("tiny", stem_kernel=kernel)


def test_a_convolution_can_be_exchanged_by_name() -> None:
    network = make("tiny-bottleneck").eval()
    x_BCTHW = torch.randn(1, 2, 6, 40, 33)
    before = network(x_BCTHW)
    network.set_submodule("layer2.0.conv2", nn.Sequential(network.get_submodule("layer2.0.conv2"), nn.Tanh()))
    assert not torch.allclose(network(x_BCTHW), before)


@pytest.mark.parametrize("variant", BIG)
@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "19")
def test_every_backbone_with_classes_channels_and_flags(variant: str) -> None:
    """SRTG adds 16 C^2 + 16 C a block, Class Regularisation one map from the classifier's width to C a stage."""
    with torch.device("meta"):
        plain, both = (
            make(variant, 7, in_channels=2, srtg=flag, class_regularisation=flag).eval() for flag in (False, True)
        )
        assert both(torch.empty(1, 2, 8, 64, 64)).shape == (1, 7)
    widths = [(c, len(getattr(plain, f"layer{i}"))) for i, c in enumerate((64, 128, 256, 512), 1)]
    recursion = sum(depth * (16 * c * c + 16 * c) for c, depth in widths)
    regularisation = sum(512 * c + c for c, _ in widths)
    assert parameters(both) - parameters(plain) == recursion + regularisation


@pytest.mark.parametrize(("variant", "more"), [("r3d-34", 20_179_968), ("r3d-101", 38_075_392)])
@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "7")
def test_weights_of_srtg(variant: str, more: int) -> None:
    with torch.device("meta"):
        assert parameters(make(variant, 400, srtg=True)) - parameters(make(variant, 400)) == more


@pytest.mark.parametrize("gates", [True, False])
def test_srtg_and_class_regularisation_train(gates: bool) -> None:
    network = make("tiny", 5, srtg=True, gates=gates, class_regularisation=True)
    x_BCTHW = torch.randn(2, 2, 8, 33, 41)
    nn.functional.cross_entropy(network(x_BCTHW), torch.tensor([0, 3])).backward()
    names = [n for n, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert any("class_regularisation" in n for n in names)
    assert gates or any("recursion.recurrent" in n for n in names)
    layers = [network.layer1, network.layer2, network.layer3, network.layer4]
    assert [stage.class_regularisation.rate for stage in layers] == [0.9, 0.8, 0.7, 0.6]
    assert all(stage.class_regularisation.early_prediction_B.shape == (2,) for stage in layers)


def test_without_flags_nothing_changes() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        plain = make("tiny", 5)
        torch.manual_seed(3)
        off = make("tiny", 5, srtg=False, class_regularisation=False)
    assert plain.state_dict().keys() == off.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), off.parameters(), strict=True))
