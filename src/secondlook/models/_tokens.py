"""Networks of patch tokens: a library's embedding and blocks, with maps between the blocks that a hook can see."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from secondlook.cards import ExplainPoint, ExplainPoints
from secondlook.errors import BadValue
from secondlook.layers.kaiming import kaiming_
from secondlook.layers.token_grid import Order, TokenGrid
from secondlook.models._recogniser import Limits, Recogniser
from secondlook.models._request import CommonOptions, Request
from secondlook.models._staged import CLASSIFIER

Attention = Literal["sdpa", "eager"]


class Options(CommonOptions, total=False):
    """What `build` of a network of tokens takes beyond what all families take."""

    attention: Attention
    """`sdpa`, torch's fused attention (the default), or `eager`, plain products; both compute the same."""


class TokenNetwork(Recogniser):
    """Patches -> tokens -> blocks -> head, `x_BCTHW -> logits_BK`.

    Args:
        request: what was asked for.
        config: the library's.
        embeddings: `x_BTCHW -> tokens_BNC`, a class token first if there is one.
        blocks: `tokens_BNC -> tokens_BNC`; where they give a tuple, the tokens come first.
        norm: what the tokens pass after the last block.
        shape: T, H, W of the patch tokens.
        head: the family's own; another one is built where the request names it.
        order: how the patch tokens follow each other.
        class_token: whether one token, the first, is no patch. The own head then reads it alone.

    Raises:
        BadValue: if the head that was asked for learns from single frames, which such a network cannot take.
    """

    attention_modules: tuple[str, ...] = ()
    """Names in a block of the modules whose output, or its second part, is attention weights."""

    def __init__(
        self,
        request: Request,
        config: Any,
        embeddings: nn.Module,
        blocks: Sequence[nn.Module],
        norm: nn.Module,
        shape: tuple[int, int, int],
        head: nn.Module,
        *,
        order: Order = "THW",
        class_token: bool = False,
    ) -> None:
        self_made = request.head_name == ""
        if not self_made:
            head = request.head(config.hidden_size, shape[0])
            kaiming_(head)
        if getattr(head, "trains_on_one_frame", False):
            rule = f"this head learns from one frame, and {request.card.family} takes exactly {request.frames} frames"
            raise BadValue(request.head_name, rule, "Take another head.")
        limits = Limits(frames=request.frames, height=request.height, width=request.width)
        super().__init__(request.in_channels, head, limits)
        self.config, self.embeddings, self.norm = config, embeddings, norm
        self.blocks = nn.ModuleList(blocks)
        self.class_token = class_token
        self.reads_class_token = class_token and self_made
        self.grid_after: dict[int, str] = {}
        for k, depth in enumerate(grid_depths(len(blocks), class_token), 1):
            self.add_module(f"grid{k}", TokenGrid(*shape, order))
            self.grid_after[depth] = f"grid{k}"

    def features(self, x_BCTHW: Tensor) -> Tensor:
        """The patch tokens after the last block and normalisation as a map, `features_BCTHW`."""
        patches_BNC = self.norm(self.tokens(x_BCTHW)[:, int(self.class_token) :])
        return self._grid("grid1").forward(patches_BNC)  # not called: hooks on the grid must not see it

    def for_head(self, x_BCTHW: Tensor) -> Any:
        """The class token after normalisation, `class_BC`, for the family's own head; else the features."""
        if not self.reads_class_token:
            return self.features(x_BCTHW)
        class_BC: Tensor = self.norm(self.class_tokens(self.tokens(x_BCTHW)))
        return class_BC

    def class_tokens(self, tokens_BNC: Tensor) -> Tensor:
        """The class token of each clip, `class_BC`."""
        return tokens_BNC[:, 0]

    def tokens(self, x_BCTHW: Tensor) -> Tensor:
        """What the last block gives, `tokens_BNC`."""
        self.check(x_BCTHW)
        tokens_BNC: Tensor = self.embeddings(x_BCTHW.transpose(1, 2))
        for depth, block in enumerate(self.blocks, 1):
            tokens_BNC = self.pass_block(block, tokens_BNC)
            if depth in self.grid_after:
                grid = self._grid(self.grid_after[depth])
                if self.class_token:
                    patches_BNC = grid.tokens(grid(tokens_BNC[:, 1:]))
                    tokens_BNC = torch.cat((tokens_BNC[:, :1], patches_BNC), 1)
                else:
                    tokens_BNC = grid.tokens(grid(tokens_BNC))
        return tokens_BNC

    def pass_block(self, block: nn.Module, tokens_BNC: Tensor) -> Tensor:
        """One block."""
        output = block(tokens_BNC)
        tokens: Tensor = output[0] if isinstance(output, tuple) else output
        return tokens

    def attention_weights(self, x_BCTHW: Tensor) -> dict[str, Tensor]:
        """The softmax weights of every attention, by the name of its module, from input to head.

        Each is `B' x heads x N' x N'` of the tokens that see each other there: B' = B and N' = N, but where attention
        is divided between time and space; rows sum to 1. The graph is kept.
        """
        seen: dict[str, Tensor] = {}

        def keep(name: str) -> Any:
            def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
                seen[name] = output[1] if isinstance(output, tuple) else output

            return hook

        names = [f"blocks.{i}.{name}" for i in range(len(self.blocks)) for name in self.attention_modules]
        hooks = [self.get_submodule(name).register_forward_hook(keep(name)) for name in names]
        try:
            with eager_attention(self):
                self(x_BCTHW)
        finally:
            for handle in hooks:
                handle.remove()
        return seen

    def _grid(self, name: str) -> TokenGrid:
        grid = self.get_submodule(name)
        assert isinstance(grid, TokenGrid)
        return grid


class ClassTokenHead(nn.Module):
    """`logits_BK = W class_BC + b` (Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, section 3.1)."""

    def __init__(self, channels: int, num_classes: int, dropout: float, spread: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, num_classes)
        truncated_normal_(self, spread)

    def forward(self, class_BC: Tensor) -> Tensor:
        """Logits of each clip."""
        logits_BK: Tensor = self.classifier(self.dropout(class_BC))
        return logits_BK


@contextmanager
def eager_attention(network: TokenNetwork) -> Iterator[None]:
    """Within it attention is computed by plain products, whose softmax weights a hook can see."""
    before = network.config._attn_implementation
    network.config._attn_implementation = "eager"
    try:
        yield
    finally:
        network.config._attn_implementation = before


def grid_depths(blocks: int, class_token: bool) -> tuple[int, ...]:
    """After which blocks (from 1) a map is shown: four, evenly apart, fewer where there are fewer blocks.

    The last one follows the last block, or, where logits are read from a class token, the one before it: after the
    last block no patch token reaches the logits.
    """
    last = max(1, blocks - class_token)
    return tuple(sorted({max(1, (last * k + 2) // 4) for k in range(1, 5)}))


def points(blocks: int, class_token: bool) -> ExplainPoints:
    """The explain points of a network of so many blocks."""
    count = len(grid_depths(blocks, class_token))
    return ExplainPoints(tuple(ExplainPoint(f"grid{k}") for k in range(1, count + 1)), CLASSIFIER)


def tokens_of(request: Request, patch: tuple[int, int, int]) -> tuple[int, int, int]:
    """T, H, W of the patch tokens of the clips asked for.

    Raises:
        BadValue: if the patch does not divide the clip.
    """
    sizes = {"frames": request.frames, "height": request.height, "width": request.width}
    for (name, size), step in zip(sizes.items(), patch, strict=True):
        if size % step:
            below, above = size // step * step, (size // step + 1) * step
            near = f"{below} or {above}" if below else f"{above}"
            raise BadValue(size, f"{name} of the clip must be a multiple of the patch's {step}", f"Give {near}.")
    return request.frames // patch[0], request.height // patch[1], request.width // patch[2]


def attention_of(options: Mapping[str, Any]) -> str:
    """The way to compute attention that was asked for.

    Raises:
        BadValue: if there is no such way.
    """
    chosen = options.get("attention") or "sdpa"
    if chosen not in get_args(Attention):
        raise BadValue(chosen, f"attention is one of {', '.join(get_args(Attention))}")
    return str(chosen)


def library(family: str) -> tuple[Any, Any]:
    """The modules `configuration_FAMILY` and `modeling_FAMILY` of transformers; imported only when a network is built.

    Raises:
        BadValue: if transformers cannot be imported; says how to install it.
    """
    where = f"transformers.models.{family}"
    try:
        return (
            importlib.import_module(f"{where}.configuration_{family}"),
            importlib.import_module(f"{where}.modeling_{family}"),
        )
    except ImportError as error:
        rule = f"{family} is a network of this library, which cannot be imported ({error})"
        raise BadValue("transformers", rule, "Install it: pip install 'secondlook[transformers]'.") from error


def truncated_normal_(module: nn.Module, spread: float) -> nn.Module:
    """Fills linear layers and convolutions: normal with this deviation, cut off at 2; biases 0; and gives it back."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d | nn.Conv3d):
            nn.init.trunc_normal_(part.weight, std=spread)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return module


def plain_activations_(module: nn.Module) -> nn.Module:
    """Puts torch's GELU in the place of the library's own modules, which compute the same; gives the module back."""
    torchs = {"GELUActivation": "none", "FastGELUActivation": "tanh"}
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child).__name__ in torchs:
                setattr(parent, name, nn.GELU(approximate=torchs[type(child).__name__]))
    return module
