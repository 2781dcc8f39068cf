"""Pools, selections and multi-temporal modules alike: batches of 1, strides, precision, devices, saving, exporting."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from secondlook.errors import BadValue
from secondlook.layers.frame_selection import FrameSelection
from secondlook.layers.halving_pool import POOLINGS, HalvingPool
from secondlook.layers.multi_temporal import MultiTemporalConv
from secondlook.layers.multi_temporal_block import MultiTemporalBlock
from secondlook.layers.softpool import SoftPool1d, SoftPool2d, SoftPool3d
from secondlook.models import mtnet

CLIP = (8, 6, 7, 9)
MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "softpool1d": (lambda: SoftPool1d(3, 2, 1), (8, 9)),
    "softpool2d": (lambda: SoftPool2d(2), (8, 7, 9)),
    "softpool3d": (lambda: SoftPool3d(2, ceil_mode=True), CLIP),
    "selection": (lambda: FrameSelection(), CLIP),
    **{f"halve-{p}": (lambda p=p: HalvingPool(p), CLIP) for p in POOLINGS},
    "conv": (lambda: MultiTemporalConv(8, 16), CLIP),
    "conv-strided": (lambda: MultiTemporalConv(8, 16, 3, 2, share_frames=False), CLIP),
    "conv-plain": (lambda: MultiTemporalConv(8, 16, ratio=1), CLIP),
    "conv-thin": (lambda: MultiTemporalConv(8, 8, depthwise=True, odd="replicate"), CLIP),
    "block": (lambda: MultiTemporalBlock(8, 18, 8), CLIP),
    "block-final": (lambda: MultiTemporalBlock(8, 18, 8, (1, 2), recursion_place="final", cell="lstm"), CLIP),
    "network": (lambda: mtnet.build("tiny", 4), (2, 6, 33, 20)),
}
LEARNING = ["conv", "conv-strided", "conv-plain", "conv-thin", "block", "block-final", "network"]


def made(name: str, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODULES[name][0]()


def batch(name: str, clips: int = 3) -> Tensor:
    return torch.randn(clips, *MODULES[name][1], generator=torch.Generator().manual_seed(1))


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "97")
@pytest.mark.parametrize("name", MODULES)
class TestEverywhere:
    def test_batches_of_one(self, name: str) -> None:
        module, x = made(name).eval(), batch(name)
        alone = torch.cat([module(x[i : i + 1]) for i in range(3)])
        assert torch.allclose(module(x).double(), alone.double(), atol=1e-5)
        assert module.train()(x[:1]).shape == module.eval()(x[:1]).shape

    def test_strides_of_the_input_do_not_matter_and_it_is_left_alone(self, name: str) -> None:
        module, x = made(name).eval(), batch(name)
        strange = x.movedim(1, -1).contiguous().movedim(-1, 1)
        assert not strange.is_contiguous()
        part = torch.cat([x, x], -1)[..., : x.shape[-1]]
        for other in (strange, part):
            assert torch.allclose(module(other).double(), module(x).double(), atol=1e-5)
        assert torch.equal(x, batch(name))

    @pytest.mark.parametrize("training", [True, False])
    def test_autocast(self, name: str, training: bool) -> None:
        module, x = made(name).train(training), batch(name).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            out = module(x)
        assert out.double().isfinite().all()
        if out.is_floating_point():
            out.float().square().mean().backward()
            assert x.grad.isfinite().all()
            assert x.grad.abs().sum() > 0

    def test_half_precision_weights(self, name: str) -> None:
        module, x = made(name).to(torch.bfloat16).eval(), batch(name).to(torch.bfloat16)
        assert module(x).double().isfinite().all()

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
    def test_gpu(self, name: str) -> None:
        module, x = made(name).eval(), batch(name)
        wanted = module(x)
        module.cuda()
        assert torch.allclose(module(x.cuda()).cpu().double(), wanted.double(), atol=1e-2)
        out = module.train()(x.cuda().requires_grad_())
        with torch.autocast("cuda", torch.float16):
            assert module(x.cuda()).double().isfinite().all()
        if out.is_floating_point():
            out.sum().backward()

    def test_meta(self, name: str) -> None:
        module, x = made(name).eval(), batch(name)
        assert copy.deepcopy(module).to("meta")(x.to("meta")).shape == module(x).shape


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "98")
@pytest.mark.parametrize("name", MODULES)
def test_exports(name: str) -> None:
    """`torch.export`, and a clear word from `torch.jit.script` where it cannot."""
    module, x = made(name).eval(), batch(name)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The tensor attributes? self")  # torch's own, of every GRU
        exported = torch.export.export(module, (x,)).module()
        assert torch.allclose(exported(x).double(), module(x).double(), atol=1e-5)
        other = batch(name).flip(0)
        assert torch.allclose(exported(other).double(), module(other).double(), atol=1e-5)
    if name != "network":
        with pytest.raises(BadValue, match=r"cannot compile .+ Use torch.export"), pytest.warns(match="deprecated"):
            torch.jit.script(module)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "98")
@pytest.mark.parametrize("name", MODULES)
def test_state_goes_round(name: str) -> None:
    module, other, x = made(name, 1).eval(), made(name, 2).eval(), batch(name)
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(x), module(x))
    assert torch.equal(copy.deepcopy(module)(x), module(x))
    assert bool(module.state_dict()) == (name in LEARNING)
