"""The BERT head: the source's steps by plain loops, masks, read-outs, counts, initialisation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from secondlook import catalog
from secondlook.errors import BadValue
from secondlook.heads.bert import BertHead


def make(channels: int = 8, frames: int = 4, seed: int = 0, **options) -> BertHead:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = catalog.find("heads", "bert").build(channels, frames, 3, **{"heads": 2, **options})
        for name, parameter in head.named_parameters():
            if "norm" in name or name.endswith(("positions", "class_token")):
                nn.init.normal_(parameter)
    return head


def quiet(**options) -> BertHead:
    """In training mode, with masks but without any dropout."""
    return make(encoder_dropout=0.0, ffn_dropout=0.0, **options).train()


def norm_by_hand(norm: nn.Module, x: Tensor, released: bool) -> Tensor:
    mean = x.sum() / len(x)
    square = ((x - mean) ** 2).sum()
    scale = torch.sqrt(square / (len(x) - 1)) + 1e-6 if released else torch.sqrt(square / len(x) + 1e-5)
    return norm.weight * (x - mean) / scale + norm.bias


def gelu_by_hand(x: Tensor, released: bool) -> Tensor:
    if released:
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


@torch.no_grad()
def by_hand(head: BertHead, features_CTHW: Tensor, *, released: bool = False, unit: bool = False) -> Tensor:
    """Section 1.20, step by step, for one clip; nothing masked. Gives every token's output."""
    tokens = [features_CTHW[:, t].mean((1, 2)) for t in range(features_CTHW.shape[1])]
    if unit:
        tokens = [t / t.norm() for t in tokens]
    if head.embed.class_token is not None:
        tokens = [head.embed.class_token[0, 0], *tokens]
    if head.embed.positions is not None:
        tokens = [t + p for t, p in zip(tokens, head.embed.positions[0], strict=True)]
    for layer in head.encoder.layers:
        seen = [norm_by_hand(layer.norm1, t, released) for t in tokens]
        w, b = layer.attention.qkv.weight.chunk(3), layer.attention.qkv.bias.chunk(3)
        query, key, value = ([w[i] @ t + b[i] for t in seen] for i in range(3))
        size = len(seen[0]) // layer.attention.heads
        attended = []
        for i, token in enumerate(tokens):
            heads = []
            for h in range(layer.attention.heads):
                p = slice(h * size, (h + 1) * size)
                e = [math.exp(float(query[i][p] @ k[p]) / math.sqrt(size)) for k in key]
                heads.append(sum(a / sum(e) * v[p] for a, v in zip(e, value, strict=True)))
            attended.append(token + layer.attention.out.weight @ torch.cat(heads) + layer.attention.out.bias)
        tokens = []
        for token in attended:
            inside = layer.ffn.fc1.weight @ norm_by_hand(layer.norm2, token, released) + layer.ffn.fc1.bias
            tokens.append(token + layer.ffn.fc2.weight @ gelu_by_hand(inside, released) + layer.ffn.fc2.bias)
    return torch.stack(tokens)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("heads", [1, 2, 8])
@pytest.mark.parametrize("read_out", ["class_token", "mean"])
@pytest.mark.spec("late-temporal-bert", "F53", "F56")
def test_is_the_source_step_by_step(layers: int, heads: int, read_out: str) -> None:
    head = make(layers=layers, heads=heads, read_out=read_out).eval()
    features = torch.randn(2, 8, 4, 2, 3)
    for clip in range(2):
        y_ND = by_hand(head, features[clip])
        assert len(y_ND) == (5 if read_out == "class_token" else 4)
        assert torch.allclose(head.outputs(features)[clip], y_ND, atol=1e-5)
        assert torch.allclose(head.frame_outputs(features)[clip], y_ND[-4:], atol=1e-5)
        read = y_ND[0] if read_out == "class_token" else y_ND.mean(0)
        expected = head.classifier.weight @ read + head.classifier.bias
        assert torch.allclose(head(features)[clip], expected, atol=1e-5)


@pytest.mark.parametrize(("released", "unit"), [(True, False), (False, True), (True, True)])
def test_as_its_code_does(released: bool, unit: bool) -> None:
    head = make(as_released=released, unit_tokens=unit).eval()
    features = torch.randn(1, 8, 4, 2, 3)
    assert torch.allclose(
        head.outputs(features)[0], by_hand(head, features[0], released=released, unit=unit), atol=1e-5
    )
    plain = make().eval()
    plain.load_state_dict(head.state_dict())
    assert not torch.allclose(head.outputs(features), plain.outputs(features), atol=1e-3)


@pytest.mark.parametrize(
    ("d", "frames", "count"),
    [
        (512, 4, 3_155_456),
        (512, 8, 3_157_504),
        (512, 16, 3_161_600),
        (640, 8, 4_929_920),
        (256, 32, 798_464),
        (1024, 8, 12_606_464),
        (2048, 16, 50_395_136),
    ],
)
@pytest.mark.spec("late-temporal-bert", "F53")
def test_count(d: int, frames: int, count: int) -> None:
    with torch.device("meta"):
        head = catalog.find("heads", "bert").build(d, frames, 51)
    assert sum(p.numel() for p in head.parameters()) - (51 * d + 51) == count == 12 * d * d + 13 * d + (frames + 2) * d
    assert len(head.encoder.layers) == 1
    assert head.encoder.layers[0].attention.heads == 8
    assert head.encoder.layers[0].ffn.fc1.out_features == 4 * d


@pytest.mark.parametrize("read_out", ["class_token", "mean"])
@pytest.mark.spec("late-temporal-bert", "F54")
def test_without_positions_the_order_is_lost(read_out: str) -> None:
    features = torch.randn(2, 8, 4, 2, 3)
    moved = features[:, :, [2, 0, 3, 1]]
    blind = make(positions=False, read_out=read_out).eval()
    assert torch.allclose(blind(features), blind(moved), atol=1e-5)
    sees = make(read_out=read_out).eval()
    assert not torch.allclose(sees(features), sees(moved), atol=1e-3)


@pytest.mark.parametrize("read_out", ["class_token", "mean"])
@pytest.mark.spec("late-temporal-bert", "F55", "F58")
def test_masks(read_out: str) -> None:
    """A fifth of the frames, in training only; their weight is exactly 0; the class token is always seen."""
    head = quiet(frames=10, read_out=read_out)
    first = 1 if read_out == "class_token" else 0
    features = torch.randn(400, 8, 10, 1, 1)
    weights_BLHNN = head.attention_weights(features)
    hidden_BN = (weights_BLHNN == 0).all((1, 2, 3))
    assert hidden_BN[:, first:].float().mean() == pytest.approx(0.2, abs=0.03)
    assert not hidden_BN[:, :first].any()
    assert torch.equal(hidden_BN, (weights_BLHNN == 0).any((1, 2, 3))), "hidden from all or from none"
    assert torch.allclose(weights_BLHNN.sum(-1), torch.ones(()), atol=1e-5)
    assert len({tuple(row.tolist()) for row in hidden_BN}) > 100, "each clip has its own"
    assert (head.eval().attention_weights(features[:8]) > 0).all()
    assert torch.equal(head(features), head(features))


@pytest.mark.parametrize("read_out", ["class_token", "mean"])
@pytest.mark.spec("late-temporal-bert", "F55")
def test_all_masked(read_out: str) -> None:
    head = quiet(mask=0.999999, read_out=read_out)
    features = torch.randn(5, 8, 4, 2, 2, requires_grad=True)
    logits = head(features)
    logits.square().sum().backward()
    assert logits.isfinite().all()
    assert features.grad.isfinite().all()
    if read_out == "class_token":
        weights = head.attention_weights(features)
        assert torch.equal(weights[..., 0], torch.ones_like(weights[..., 0])), "only the class token is left"
        assert torch.equal(head(features), head(torch.randn(5, 8, 4, 2, 2))), "it sees no frame"
    else:
        assert (head.attention_weights(features) > 0).all(), "with none left, all are seen"


def test_a_masked_frame_changes_nothing_for_the_class_token() -> None:
    head = quiet(mask=0.5)
    features = torch.randn(1, 8, 4, 2, 2)
    other = features.clone()
    other[:, 0, 2] += 5
    told_apart = set()
    for seed in range(12):
        results = []
        for x in (features, other):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                results.append((head.attention_weights(x)[0, 0, 0, 0, 3] > 0, seed))
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                results.append(head(x))
        (seen, _), logits, _, changed = results
        assert bool(seen) != torch.allclose(logits, changed, atol=1e-6)
        told_apart.add(bool(seen))
    assert told_apart == {True, False}


@pytest.mark.spec("late-temporal-bert", "F57")
def test_dropouts_and_initialisation() -> None:
    head = catalog.find("heads", "bert").build(256, 8, 3)
    assert head.encoder.layers[0].ffn.dropout.p == 0.1
    literal = catalog.find("heads", "bert").build(256, 8, 3, ffn_dropout=0.9, encoder_dropout=0.2)
    assert literal.encoder.layers[0].ffn.dropout.p == 0.9
    assert {literal.embed.dropout.p, literal.encoder.layers[0].attention.dropout.p} == {0.2}
    for linear in (m for m in head.encoder.modules() if isinstance(m, nn.Linear)):
        bound = linear.in_features**-0.5
        assert linear.weight.abs().max() <= bound
        assert linear.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    normal = catalog.find("heads", "bert").build(256, 8, 3, initialisation="normal")
    for linear in (m for m in normal.encoder.modules() if isinstance(m, nn.Linear)):
        assert linear.weight.std().item() == pytest.approx(0.02, rel=0.02)
        assert not linear.bias.any()
    for other in (head, normal):
        assert other.embed.positions.std().item() == pytest.approx(0.02, rel=0.1)
        assert other.embed.class_token.std().item() == pytest.approx(0.02, rel=0.2)


def test_a_backbone_does_not_initialise_it_anew() -> None:
    network = catalog.find("models", "tsm").build("tiny", 5, "bert")
    assert network.head.embed.positions.std().item() == pytest.approx(0.02, rel=0.15)
    assert network.head.encoder.layers[0].attention.qkv.bias.abs().sum() > 0


def test_another_length() -> None:
    with pytest.raises(BadValue, match="this head was built for 4"):
        make().eval().frame_outputs(torch.randn(1, 8, 5, 2, 2))
