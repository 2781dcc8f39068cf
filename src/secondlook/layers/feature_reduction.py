"""Feature reduction: a bottleneck unit whose output has fewer channels than its input.

Kalfaoglu, Kalkan, Alatan, ECCV Workshops 2020; `late-temporal-bert`, section 1.21. FRMB puts it in the place of a
backbone's last unit, FRAB after it.
"""

from __future__ import annotations

from torch import nn

from secondlook.errors import BadValue
from secondlook.layers.residual import Bottleneck, shortcut


def reduction_unit(channels_in: int, channels_out: int, groups: int = 1, *, flat: bool = False) -> Bottleneck:
    """1 x 1 x 1 to half of `channels_out`, 3 x 3 x 3, 1 x 1 x 1 to all of it, beside a 1 x 1 x 1 shortcut.

    Args:
        channels_in: C of the map.
        channels_out: C afterwards; even, and half of it a multiple of `groups`.
        groups: of the 3 x 3 x 3 convolution; 32 in a ResNeXt.
        flat: in 2D, for networks of frames.

    Raises:
        BadValue: if the channels cannot be halved or grouped.
    """
    inner = channels_out // 2
    if inner < 1 or channels_out % 2 or inner % groups:
        raise BadValue(channels_out, f"half of the reduced channels must be a multiple of {groups}", "Take 512.")
    conv = nn.Conv2d if flat else nn.Conv3d
    norm = nn.BatchNorm2d if flat else nn.BatchNorm3d
    convs = (
        conv(channels_in, inner, 1, bias=False),
        conv(inner, inner, 3, padding=1, groups=groups, bias=False),
        conv(inner, channels_out, 1, bias=False),
    )
    around = shortcut(conv, channels_in, channels_out, 1, norm)
    return Bottleneck(convs, inner, norm, around, channels_out)
