"""OpenPose's cascade on given features: stages that refine part affinity fields, then stages of confidence maps.

Shapes: B pictures, F channels of the features, J joints, C limbs, `fields_BLHW` with L = 2 C, `maps_BJHW`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from secondlook.errors import BadValue


@dataclass(frozen=True)
class StageOutputs:
    """What every stage said; each is trained on the same target."""

    fields: tuple[Tensor, ...]
    """`fields_BLHW` of each affinity stage; the last one is the answer."""
    maps: tuple[Tensor, ...]
    """`maps_BJHW` of each confidence stage; the last one is the answer."""


def _stage(channels: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1), nn.PReLU(width),
        nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width),
        nn.Conv2d(width, outputs, 1),
    )  # fmt: skip


class PartAffinityStages(nn.Module):
    """`L1 = phi1(F)`, `Lt = phit(F, L(t-1))`, then `S1 = rho1(F, L)`, `St = rhot(F, L, S(t-1))` with the last L.

    Source: late-temporal-bert, B.4; [OpenPose]. Departs from the paper in small stages (two 3x3 convolutions and a
    1x1), and in leaving the features, there VGG-19's, to the caller.

    Args:
        channels: F.
        joints: J.
        limbs: C.
        field_stages: T_p.
        map_stages: T_c.
        width: channels inside a stage.

    Raises:
        BadValue: if there is no stage of either kind.
    """

    def __init__(
        self,
        channels: int,
        joints: int = 25,
        limbs: int = 26,
        *,
        field_stages: int = 3,
        map_stages: int = 2,
        width: int = 64,
    ) -> None:
        super().__init__()
        if min(field_stages, map_stages) < 1:
            raise BadValue((field_stages, map_stages), "there is at least one stage of fields and one of maps")
        fields = 2 * limbs
        self.field_stages = nn.ModuleList(
            _stage(channels + (fields if t else 0), width, fields) for t in range(field_stages)
        )
        self.map_stages = nn.ModuleList(
            _stage(channels + fields + (joints if t else 0), width, joints) for t in range(map_stages)
        )

    def forward(self, features_BFHW: Tensor) -> StageOutputs:
        """Fields and maps of every stage, at the size of the features."""
        fields: list[Tensor] = []
        for stage in self.field_stages:
            fields.append(stage(torch.cat([features_BFHW, *fields[-1:]], 1)))
        maps: list[Tensor] = []
        for stage in self.map_stages:
            maps.append(stage(torch.cat([features_BFHW, fields[-1], *maps[-1:]], 1)))
        return StageOutputs(tuple(fields), tuple(maps))


def stage_losses(outputs: StageOutputs, fields_BLHW: Tensor, maps_BJHW: Tensor) -> Tensor:
    """The loss of each stage, first those of fields: `sum_c sum_p |L_c(p) - L*_c(p)|^2`, mean over pictures.

    Their sum is what is trained on. Source: late-temporal-bert, B.5, squared as in the paper it cites.
    """

    def losses(said: Sequence[Tensor], target: Tensor) -> list[Tensor]:
        return [(one - target).square().sum((1, 2, 3)).mean() for one in said]

    return torch.stack([*losses(outputs.fields, fields_BLHW), *losses(outputs.maps, maps_BJHW)])
