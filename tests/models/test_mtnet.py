"""MTNet: its plans, what its variants share, its counts, and every switch that its source leaves open."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from secondlook.errors import BadValue, UnknownName
from secondlook.layers.halving_pool import POOLINGS
from secondlook.layers.multi_temporal import MultiTemporalConv
from secondlook.layers.multi_temporal_block import MultiTemporalBlock
from secondlook.layers.squeeze_recursion import SqueezeRecursion
from secondlook.models import mtnet
from secondlook.models._count import cost, on_meta, parameters


def on(variant: str, classes: int = 200, **options) -> nn.Module:
    return on_meta(mtnet.CARDS[variant], classes, **options)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "42")
@pytest.mark.parametrize(("variant", "blocks"), [("s", (3, 5, 11, 7)), ("m", (3, 5, 11, 7)), ("l", (5, 10, 25, 15))])
def test_plan(variant: str, blocks: tuple[int, ...]) -> None:
    """Table 6.1b, read off the network."""
    network = on(variant)
    stem = network.stem.conv
    assert (stem.kernel_size, stem.out_channels, stem.stride) == ((1, 3, 3), 24, (1, 2, 2))
    stages = [network.layer1, network.layer2, network.layer3, network.layer4]
    assert tuple(len(stage) for stage in stages) == blocks
    for stage, inner, channels in zip(stages, (54, 108, 216, 432), (24, 48, 96, 192), strict=True):
        for b, block in enumerate(stage):
            assert isinstance(block, MultiTemporalBlock)
            assert block.conv1.kernel_size == block.conv3.kernel_size == (1, 1, 1)
            assert sum(block.conv2.channels) == block.conv1.out_channels == block.conv3.in_channels == inner
            assert block.conv2.channels[0] == inner * 7 // 8
            assert block.conv3.out_channels == channels
            assert block.conv2.local.stride == ((1, 2, 2) if b == 0 else (1, 1, 1))
    assert network.head.classifier.in_features == 2048


def test_input_recipes_and_shapes_on_the_way() -> None:
    """Section 2.18."""
    sizes = {v: (c.clip.frames, c.clip.height, c.clip.width) for v, c in mtnet.CARDS.items() if v != "tiny"}
    assert sizes == {"s": (13, 182, 182), "m": (16, 256, 256), "l": (16, 256, 256)}
    for variant, sides in (("s", (46, 23, 12, 6)), ("m", (64, 32, 16, 8))):
        clip = sizes[variant]
        network = on(variant, cell="rnn", recursion_layers=1)  # the quickest to run on `meta`
        maps = network.eval().stage_maps(torch.empty(1, 3, *clip, device="meta"))
        wanted = [(c, clip[0], s, s) for c, s in zip((24, 48, 96, 192), sides, strict=True)]
        assert [tuple(m.shape[1:]) for m in maps] == wanted


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "43")
def test_s_and_m_share_weights() -> None:
    s, m = on("s").state_dict(), on("m").state_dict()
    assert list(s) == list(m)
    assert all(s[name].shape == m[name].shape for name in s)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "44")
def test_one_gru_a_block() -> None:
    for block in (b for b in on("m").modules() if isinstance(b, MultiTemporalBlock)):
        found = [m for m in block.modules() if isinstance(m, SqueezeRecursion)]
        assert len(found) == 1
        assert isinstance(found[0].recursion.recurrent, nn.GRU)
        assert found[0].recursion.recurrent.num_layers == 2


def test_counts() -> None:
    """Section 11.3: the weights of one layer of recursion; table 5.7: RNN to GRU +1.5 M, RNN to LSTM +2.2 M."""
    one = {cell: parameters(on("m", cell=cell, recursion_layers=1)) for cell in ("rnn", "gru", "lstm")}
    assert one["gru"] - one["rnn"] == 2 * 750_768
    assert one["lstm"] - one["rnn"] == 3 * 750_768
    assert parameters(on("m")) - one["gru"] == 3 * 750_768
    assert parameters(on("l")) - parameters(on("l", recursion_layers=1)) == 3 * 1_630_320
    assert (parameters(on("m", 400)), parameters(on("l", 400))) == (59_119_200, 126_318_716)


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "46")
def test_work_falls_with_the_ratio() -> None:
    """Of the tiny network at each ratio of table 5.6."""
    card, macs = mtnet.CARDS["tiny"], []
    for ratio in (1, 7 / 8, 3 / 4, 5 / 8, 1 / 2, 3 / 8, 1 / 4):
        network = on("tiny", 5, ratio=ratio, cell="rnn", recursion_layers=1)
        counted = cost(network, card.explain, (2, 16, 56, 72))
        assert counted.parameters == parameters(network)
        macs.append(counted.macs)
    assert all(more > less for more, less in itertools.pairwise(macs))
    assert cost(on("tiny", 5), card.explain, (2, 16, 56, 72)).macs < 0.15e9


@pytest.mark.parametrize(
    "options",
    [
        *({"pooling": pooling} for pooling in POOLINGS),
        *({"cell": cell, "recursion_layers": 1} for cell in ("rnn", "lstm", "lstm-peephole")),
        {"recursion_place": "final"},
        {"all_multi_temporal": True},
        {"all_multi_temporal": True, "split_input": True},
        {"depthwise": True},
        {"groups": 4},
        {"share_frames": False, "ends": "exclude", "keep": "largest", "odd": "replicate", "lateral_kernel": 3},
        {"ratio": 0.5},
        {"ratio": 1.0},
        {"class_regularisation": True},
    ],
    ids=str,
)
def test_every_switch_builds_what_trains(options: dict) -> None:
    torch.manual_seed(0)
    network = mtnet.build("tiny", 4, **options)
    logits = network(torch.randn(2, 2, 6, 33, 40))
    nn.functional.cross_entropy(logits, torch.tensor([0, 3])).backward()
    without = {n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    assert not {n for n in without if "class_regularisation" not in n}
    assert logits.shape == (2, 4)


def test_switches_reach_the_convolutions() -> None:
    network = mtnet.build("tiny", 4, pooling="max", ratio=0.5, share_frames=False, split_input=True, odd="replicate")
    convs = [m for m in network.modules() if isinstance(m, MultiTemporalConv)]
    assert [m.channels for m in convs] == [(9, 9), (18, 18), (27, 27), (36, 36)]
    assert all(m.pool.pooling == "max" and m.pool.odd == "replicate" and not m.share_frames for m in convs)
    assert all(m.local.in_channels == m.channels[0] for m in convs)


def test_class_regularisation_stands_after_each_stage() -> None:
    """Its weights fit the head of X3D: 2048 (24 + 48 + 96 + 192), section 11.5."""
    plain, with_it = on("m", 7), on("m", 7, class_regularisation=True)
    stages = [with_it.layer1, with_it.layer2, with_it.layer3, with_it.layer4]
    assert [stage.class_regularisation.rate for stage in stages] == [0.9, 0.8, 0.7, 0.6]
    biases = 24 + 48 + 96 + 192
    assert parameters(with_it) - parameters(plain) == 2048 * biases + biases
    network = mtnet.build("tiny", 4, class_regularisation=True, class_rates=[1, 1, 1, 1]).eval()
    assert network(torch.randn(1, 2, 5, 20, 20)).shape == (1, 4)
    with pytest.raises(BadValue, match="four numbers"):
        mtnet.build("tiny", 4, class_regularisation=True, class_rates=[1.0])


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "99")
def test_refusals() -> None:
    with pytest.raises(UnknownName, match=r"model option 'poolin' is not known.+Did you mean 'pooling'"):
        mtnet.build("tiny", 4, poolin="avg")
    with pytest.raises(UnknownName, match="pooling 'mean' is not known"):
        mtnet.build("tiny", 4, pooling="mean")
    with pytest.raises(UnknownName, match="Did you mean 'gru'"):
        mtnet.build("tiny", 4, cell="gru2")
    with pytest.raises(BadValue, match=r"must lie in \(0, 1\]"):
        mtnet.build("tiny", 4, ratio=0)
    with pytest.raises(BadValue, match="at least one layer"):
        mtnet.build("tiny", 4, recursion_layers=0)


def test_other_heads_read_the_last_stage() -> None:
    network = mtnet.build("tiny", 4, "average", in_channels=2)
    assert network.head.classifier.in_features == 32
