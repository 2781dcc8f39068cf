"""Modified ResNet-50: exact counts, where it looks along time, where its non-local blocks stand and how they start."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from secondlook import catalog
from secondlook.errors import BadValue
from secondlook.layers.non_local import NonLocal
from secondlook.models._count import parameters
from secondlook.models._staged import STAGES


def make(variant: str, classes: int = 5, **options) -> nn.Module:
    return catalog.find("models", "modified_resnet").build(variant, classes, **options)


@pytest.mark.spec("late-temporal-bert", "F35")
def test_parameters_of_the_specification() -> None:
    with torch.device("meta"):
        assert parameters(make("50", 51)) == 27_328_371


@pytest.mark.spec("late-temporal-bert", "F36")
def test_five_non_local_blocks() -> None:
    with torch.device("meta"):
        network = make("50-nl", 51)
    assert parameters(network) == 34_686_835
    found = {n: m.theta.weight.shape[:2] for n, m in network.named_modules() if isinstance(m, NonLocal)}
    two, three = {"layer2.1", "layer2.3"}, {"layer3.1", "layer3.3", "layer3.5"}
    assert found == {f"{n}.non_local": (256, 512) for n in two} | {f"{n}.non_local": (512, 1024) for n in three}


def test_blocks_that_look_along_time() -> None:
    with torch.device("meta"):
        network = make("50")
    frames = [[block.conv1.kernel_size[0] for n, block in s.named_children() if n != "pool"] for s in stages(network)]
    assert frames == [[3, 3, 3], [3, 1, 3, 1], [3, 1, 3, 1, 3, 1], [1, 3, 1]]


def stages(network: nn.Module) -> list[nn.Module]:
    return [getattr(network, name) for name in STAGES[1:]]


def test_shapes_on_the_way() -> None:
    """Section 1.12, for 32 frames."""
    seen: dict[str, torch.Size] = {}
    with torch.device("meta"):
        network = make("50").eval()
        for name in ("stem.act", *STAGES, "layer1.2"):
            network.get_submodule(name).register_forward_hook(
                lambda _m, _i, output, name=name: seen.__setitem__(name, tuple(output.shape[1:]))
            )
        network(torch.empty(1, 3, 32, 224, 224))
    assert seen == {
        "stem.act": (64, 16, 112, 112),
        "stem": (64, 8, 55, 55),
        "layer1.2": (256, 8, 55, 55),
        "layer1": (256, 4, 55, 55),
        "layer2": (512, 4, 28, 28),
        "layer3": (1024, 4, 14, 14),
        "layer4": (2048, 4, 7, 7),
    }


@pytest.mark.spec("late-temporal-bert", "F36")
@pytest.mark.parametrize("training", [True, False])
def test_non_local_blocks_start_as_the_identity(training: bool) -> None:
    plain, looking = make("tiny").train(training), make("tiny-nl").train(training)
    looking.load_state_dict(plain.state_dict(), strict=False)
    x_BCTHW = torch.randn(2, 2, 16, 40, 33)
    assert torch.equal(plain(x_BCTHW), looking(x_BCTHW))
    for module in looking.modules():
        if isinstance(module, NonLocal):
            nn.init.ones_(module.norm.weight)
    assert not torch.allclose(plain(x_BCTHW), looking(x_BCTHW))


@pytest.mark.parametrize(("shape", "taken"), [((7, 5, 5), True), ((6, 32, 32), False), ((8, 4, 32), False)])
def test_clips_that_its_pools_cannot_halve_are_refused(shape: tuple[int, int, int], taken: bool) -> None:
    network = make("tiny").eval()
    x_BCTHW = torch.randn(1, 2, *shape)
    if taken:
        assert network(x_BCTHW).isfinite().all()
    else:
        with pytest.raises(BadValue, match="at least"):
            network(x_BCTHW)
