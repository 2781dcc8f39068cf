"""Published layouts load to the last tensor; what does not match is said; nothing in a file is ever run."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from secondlook import catalog
from secondlook.errors import BadValue, MissingFile, UnknownName
from secondlook.predict.published import adapt_channels, layout_of, load_published, own_name
from tests.checkpoints import layouts_torchvision as layouts


def make(name: str, classes: int, **options) -> nn.Module:
    family, _, variant = name.partition(":")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return catalog.find("models", family).build(variant, classes, **options)


def tsm_file(state: dict[str, Tensor]) -> dict[str, object]:
    return {"epoch": 50, "arch": "resnet50", "state_dict": state, "optimizer": {"param_groups": []}, "best_prec1": 74.1}


CASES = {
    "torchvision r3d_18": (
        "resnet3d:18",
        "torchvision_r3d",
        layouts.torchvision_r3d((2, 2, 2, 2), 400),
        122,
        {"stem.0.weight": "stem.conv.weight", "layer2.0.conv1.0.weight": "layer2.0.conv1.weight"}
        | {
            "layer2.0.downsample.1.running_var": "layer2.0.shortcut.norm.running_var",
            "fc.bias": "head.classifier.bias",
        },
    ),
    "torchvision r2plus1d_18": (
        "r2plus1d:18",
        "torchvision_r2plus1d",
        layouts.torchvision_r2plus1d((2, 2, 2, 2), 400, layouts.R2PLUS1D_18),
        224,
        {"stem.3.weight": "stem.temporal.weight", "layer1.0.conv1.0.0.weight": "layer1.0.conv1.spatial.weight"}
        | {"layer1.1.conv2.0.3.weight": "layer1.1.conv2.temporal.weight"}
        | {"layer1.0.conv1.1.bias": "layer1.0.norm1.bias", "layer1.0.conv1.0.1.bias": "layer1.0.conv1.norm.bias"},
    ),
    "IG-65M r2plus1d_34": (
        "r2plus1d:34",
        "torchvision_r2plus1d",
        layouts.torchvision_r2plus1d((3, 4, 6, 3), 359, layouts.R2PLUS1D_34),
        416,
        {"layer2.0.conv2.0.0.weight": "layer2.0.conv2.spatial.weight"},
    ),
    "TSM release, ResNet-50": (
        "tsm:r50",
        "tsm",
        layouts.resnet((3, 4, 6, 3), 174, bottleneck=True, tsm=True),
        320,
        {"module.base_model.layer1.0.conv1.net.weight": "layer1.0.conv1.conv.weight"}
        | {"module.base_model.conv1.weight": "stem.conv.weight", "module.new_fc.weight": "head.classifier.weight"}
        | {"module.base_model.layer3.0.bn3.running_mean": "layer3.0.norm3.running_mean"}
        | {"module.base_model.layer1.0.downsample.0.weight": "layer1.0.shortcut.conv.weight"},
    ),
    "ImageNet ResNet-18": (
        "tsm:r18",
        "torchvision_2d",
        layouts.resnet((2, 2, 2, 2), 1000, bottleneck=False),
        122,
        {"layer1.0.conv1.weight": "layer1.0.conv1.conv.weight", "bn1.weight": "stem.norm.weight"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_tensor_arrives(case: str, tmp_path: Path) -> None:
    name, expected_source, shapes, keys, some = CASES[case]
    assert len(shapes) == keys, "the layout has as many tensors as the publisher's file"
    state = layouts.values(shapes)
    classes = next(shape[0] for key, shape in shapes.items() if key.endswith(("fc.bias",)))
    path = tmp_path / "weights.pth"
    torch.save(tsm_file(state) if expected_source == "tsm" else state, path)
    network = make(name, classes)
    report = load_published(network, path)
    own = network.state_dict()
    assert report.complete
    assert not report.reinitialised
    assert not report.adapted
    assert report.source == expected_source
    assert report.assumed
    assert len(report.matched) == len(own) == keys
    for published, name_here in some.items():
        assert torch.equal(own[name_here], state[published]), published
    # Tensors are unlike each other, so equal sums over a sorted list mean that each arrived once.
    assert sorted(t.double().sum().item() for t in own.values()) == pytest.approx(
        sorted(t.double().sum().item() for t in state.values())
    )
    bare = {published.removeprefix("module."): published for published in state}
    assert all(
        torch.equal(own[own_name(layout_of(report.source).rename(key), own)], state[published])
        for key, published in bare.items()
    )
    assert f"{keys} of {keys} tensors matched" in report.words()


def test_a_named_source_is_not_an_assumption(tmp_path: Path) -> None:
    torch.save(layouts.values(layouts.torchvision_r3d((1, 1, 1, 1), 7)), tmp_path / "w.pth")
    report = load_published(make("resnet3d:10", 7), tmp_path / "w.pth", "torchvision_r3d")
    assert report.complete
    assert not report.assumed
    assert "read as torchvision's R3D" in report.words()


def test_safetensors_load_too(tmp_path: Path) -> None:
    state = layouts.values(layouts.torchvision_r3d((1, 1, 1, 1), 7))
    save_file(state, tmp_path / "w.safetensors")
    network = make("resnet3d:10", 7)
    assert load_published(network, tmp_path / "w.safetensors").complete
    assert torch.equal(network.stem.conv.weight, state["stem.0.weight"])


def test_a_run_of_ours_loads_and_a_loaded_net_computes_as_the_first(tmp_path: Path) -> None:
    first, second = make("tsm:tiny", 5).eval(), make("tsm:tiny", 5, dropout=0.3).eval()
    nn.init.normal_(first.head.classifier.weight)
    save_file({k: v.contiguous() for k, v in first.state_dict().items()}, tmp_path / "best.safetensors")
    report = load_published(second, tmp_path / "best.safetensors")
    assert report.source == "secondlook_run"
    x_BCTHW = torch.randn(1, 2, 5, 32, 32)
    assert torch.equal(first(x_BCTHW), second(x_BCTHW))


def test_other_classes_leave_only_the_classifier_fresh(tmp_path: Path) -> None:
    state = layouts.values(layouts.torchvision_r3d((1, 1, 1, 1), 400))
    torch.save(state, tmp_path / "w.pth")
    network = make("resnet3d:10", 51)
    fresh = network.head.classifier.weight.clone()
    report = load_published(network, tmp_path / "w.pth")
    assert set(report.reinitialised) == {"head.classifier.weight", "head.classifier.bias"}
    assert report.complete
    assert torch.equal(network.head.classifier.weight, fresh)
    assert torch.equal(network.stem.conv.weight, state["stem.0.weight"])
    assert "classifier keeps fresh values" in report.words()


@pytest.mark.spec("late-temporal-bert", "F16")
@pytest.mark.parametrize("channels", [1, 2, 20])
@pytest.mark.parametrize("name", ["resnet3d:10", "tsm:r18"])
def test_other_channels_are_each_the_mean_of_the_old(name: str, channels: int, tmp_path: Path) -> None:
    three_d = name == "resnet3d:10"
    shapes = layouts.torchvision_r3d((1, 1, 1, 1), 7) if three_d else layouts.resnet((2, 2, 2, 2), 7, bottleneck=False)
    state = layouts.values(shapes)
    torch.save(state, tmp_path / "w.pth")
    network = make(name, 7, in_channels=channels)
    report = load_published(network, tmp_path / "w.pth")
    old = state["stem.0.weight" if three_d else "conv1.weight"]
    for c in range(channels):
        mean = (old[:, 0] + old[:, 1] + old[:, 2]) / 3
        assert torch.allclose(network.stem.conv.weight[:, c], mean)
    assert report.adapted == ("stem.conv.weight",)
    assert "mean of the file's" in report.words()
    assert report.complete


def test_adapting_leaves_the_old_weight_alone() -> None:
    old = torch.rand(4, 3, 7, 7)
    new = adapt_channels(old, 2)
    new.zero_()
    assert old.all()


def test_what_does_not_match_is_named(tmp_path: Path) -> None:
    state = layouts.values(layouts.torchvision_r3d((2, 2, 2, 2), 400))
    del state["layer1.0.conv1.0.weight"]
    state["layer2.0.conv1.0.weight"] = torch.zeros(128, 64, 1, 1, 1)
    state["layer5.0.conv1.0.weight"] = torch.zeros(1)
    state["stem.1.weight"] = torch.zeros(45)
    torch.save(state, tmp_path / "w.pth")
    network = make("resnet3d:18", 400)
    before = network.layer2[0].conv1.weight.clone()
    report = load_published(network, tmp_path / "w.pth", "torchvision_r3d")
    assert report.missing == ("layer1.0.conv1.weight",)
    assert report.unexpected == ("layer5.0.conv1.0.weight",)
    assert [line.partition(":")[0] for line in report.reshaped] == ["stem.norm.weight", "layer2.0.conv1.weight"]
    assert "(45,), (64,)" in report.reshaped[0]
    assert torch.equal(network.layer2[0].conv1.weight, before)
    assert not report.complete
    for sentence in ("Not in the file", "In the file only", "Of another shape", "119 of 122 tensors matched"):
        assert sentence in report.words()


def test_a_depth_below_leaves_the_rest_named(tmp_path: Path) -> None:
    torch.save(layouts.values(layouts.torchvision_r3d((2, 2, 2, 2), 400)), tmp_path / "w.pth")
    report = load_published(make("resnet3d:34", 400), tmp_path / "w.pth")
    assert len(report.matched) == 122
    assert all(name.split(".")[1] in "2345" for name in report.missing)


def test_r2plus1d_says_what_names_cannot_tell(tmp_path: Path) -> None:
    """The SRTG repository's r2plus1d_18 has torchvision's 224 names and shapes, and one max-pool more."""
    torch.save(layouts.values(CASES["torchvision r2plus1d_18"][2]), tmp_path / "w.pth")
    words = load_published(make("r2plus1d:18", 400), tmp_path / "w.pth").words()
    assert "taken for torchvision's R(2+1)D" in words
    assert "SRTG" in words
    assert "max-pool" in words


def test_srtg_r3d_says_what_names_cannot_tell(tmp_path: Path) -> None:
    """With one level of names taken off, it has resnet3d's tensors; its last state has one max-pool more."""
    state = layouts.values(layouts.torchvision_r3d((1, 1, 1, 1), 7))
    deeper = {k.replace("conv1.0.", "conv1.0.0.").replace("conv2.0.", "conv2.0.0."): v for k, v in state.items()}
    torch.save({"state_dict": {f"module.{k}": v for k, v in deeper.items()}}, tmp_path / "w.pth")
    report = load_published(make("resnet3d:10", 7), tmp_path / "w.pth")
    assert report.source == "stergiou"
    assert report.complete
    assert "Names do not tell whether a max-pool follows" in report.words()
    assert "nor in resnet3d" in report.words()


def test_tsm_with_its_shift_around_the_block_fits_in_place_only(tmp_path: Path) -> None:
    state = layouts.values(layouts.resnet((2, 2, 2, 2), 7, bottleneck=False, tsm=True, in_block=True))
    torch.save(tsm_file(state), tmp_path / "w.pth")
    assert load_published(make("tsm:r18", 7, placement="in_place"), tmp_path / "w.pth").complete
    with pytest.raises(BadValue, match="it fits 1 of this network's 20 layers, fewer than half"):
        load_published(make("tsm:r18", 7), tmp_path / "w.pth")


def test_a_tsn_file_says_so(tmp_path: Path) -> None:
    state = layouts.values(layouts.resnet((2, 2, 2, 2), 7, bottleneck=False, tsm=True))
    torch.save(tsm_file({k.replace(".net.", "."): v for k, v in state.items()}), tmp_path / "w.pth")
    report = load_published(make("tsm:r18", 7), tmp_path / "w.pth")
    assert report.complete
    assert "it is a TSN" in report.words()


@pytest.mark.parametrize(
    ("name", "fit"),
    [
        ("tsm:r18", "0 of this network's 20"),
        ("r2plus1d:10", "3 of this network's 21"),
        ("resnet3d:34", "12 of this network's 36"),
    ],
)
def test_weights_of_another_network_are_refused_and_nothing_changes(name: str, fit: str, tmp_path: Path) -> None:
    """Norms and shortcuts of R3D have the names and shapes of R(2+1)D's: too few to be worth a start."""
    torch.save(layouts.values(layouts.torchvision_r3d((1, 1, 1, 1), 7)), tmp_path / "w.pth")
    network = make(name, 7)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    with pytest.raises(BadValue, match=rf"it fits {fit} layers, fewer than half\. Build the family"):
        load_published(network, tmp_path / "w.pth")
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)

    plain, zipped = tmp_path / "plain.pth", tmp_path / "zipped.pth"
    plain.write_bytes(pickle.dumps({"stem.0.weight": Evil()}))
    torch.save({"state_dict": {"stem.0.weight": torch.zeros(1)}, "evil": Evil()}, zipped)
    for path in (plain, zipped):
        with pytest.raises(BadValue, match="could run any code"):
            load_published(make("resnet3d:tiny", 3), path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"PK\x03\x04 cut off"])
def test_a_broken_file_is_a_sentence(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadValue, match=r"file of (weights|tensors)"):
        load_published(make("resnet3d:tiny", 3), tmp_path / name)


def test_a_file_without_tensors_or_with_strange_names(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "none.pth")
    torch.save({"strange.0.conv.weight": torch.zeros(3)}, tmp_path / "strange.pth")
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    network = make("resnet3d:tiny", 3)
    for name in ("none.pth", "list.pth"):
        with pytest.raises(BadValue, match="no tensors by name"):
            load_published(network, tmp_path / name)
    with pytest.raises(BadValue, match=r"no known source \(such as strange.0.conv.weight\)"):
        load_published(network, tmp_path / "strange.pth")


def test_missing_file_and_unknown_source(tmp_path: Path) -> None:
    with pytest.raises(MissingFile):
        load_published(make("resnet3d:tiny", 3), tmp_path / "nothing.pth")
    with pytest.raises(UnknownName, match="Did you mean 'torchvision_r3d'"):
        load_published(make("resnet3d:tiny", 3), tmp_path / "nothing.pth", "torchvision_r3")
