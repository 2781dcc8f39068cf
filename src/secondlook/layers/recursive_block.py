"""Where in a residual block Squeeze and Recursion stands: start, top, mid, end, res, final or sum.

Stergiou, "Efficient Modelling Across Time of Human Actions and Interactions", 2021, section 4.3.3;
`srtg-mtnet-classreg-visualisation`, section 2.4. `start`: on the block's input, so that both branches see the outcome;
`top`: after the first activation of a bottleneck; `mid`: after the first activation of a basic block, the second of a
bottleneck; `end`: after a bottleneck's last normalisation, before the sum; `res`: on the shortcut, before the sum;
`final`: after the last activation. The source does not say on which side of the last activation; recursion is defined
on what an activation gives, so it is after, and before it is `sum`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from torch import nn

from secondlook.errors import BadValue, UnknownName
from secondlook.layers.residual import BasicBlock, Bottleneck

PLACEMENTS = ("start", "top", "mid", "end", "res", "final", "sum")
_OF_A_BASIC_BLOCK = ("start", "mid", "res", "final", "sum")


def check_placement(placement: str, *, bottleneck: bool) -> None:
    """Refuses a placement that a kind of block does not have.

    Raises:
        UnknownName: if there is no such placement; names the nearest.
        BadValue: for `top` or `end` in a basic block.
    """
    if placement not in PLACEMENTS:
        raise UnknownName("placement of a recursion", str(placement), PLACEMENTS)
    if not bottleneck and placement not in _OF_A_BASIC_BLOCK:
        rule = "a basic block of two convolutions has no such place"
        raise BadValue(placement, rule, f"Take {', '.join(_OF_A_BASIC_BLOCK)}, or a network of bottlenecks.")


def recursive_block(
    block: BasicBlock | Bottleneck,
    make: Callable[[int], nn.Module],
    placement: str,
    channels: tuple[int, int, int],
) -> nn.Module:
    """The block with a recursion in it, or before or after it; `block` itself is changed.

    Args:
        block: a residual block.
        make: makes the recursion for a number of channels: that at its place.
        placement: a name in `PLACEMENTS`.
        channels: of the block's input, inside it, and of its output.

    Raises:
        UnknownName: if there is no such placement; names the nearest.
        BadValue: for `top` or `end` in a basic block.
    """
    bottleneck = isinstance(block, Bottleneck)
    check_placement(placement, bottleneck=bottleneck)
    before, inside, after = channels
    if placement == "start":
        return nn.Sequential(OrderedDict(recursion=make(before), block=block))
    if placement == "final":
        return nn.Sequential(OrderedDict(block=block, recursion=make(after)))
    last = "act3" if bottleneck else "act2"
    if placement == "sum":
        activation = OrderedDict(recursion=make(after), act=block.get_submodule(last))
        block.set_submodule(last, nn.Sequential(activation))
        return block
    mid = "act2" if bottleneck else "act1"
    part, width = {
        "top": ("act1", inside),
        "mid": (mid, inside if bottleneck else after),
        "end": ("norm3", after),
        "res": ("shortcut", after),
    }[placement]
    behind = OrderedDict([(part.rstrip("123"), block.get_submodule(part)), ("recursion", make(width))])
    block.set_submodule(part, nn.Sequential(behind))
    return block
