"""Temporal mask: the frames whose freezing, or playing backwards, takes the class away.

    m = argmin over m in [0, 1]^T of  s(clip perturbed by m) + area_weight mean(m) + smooth_weight mean |m_t - m_t-1|^3

where `s` is the class score and `effect` says what is done where `m` is 1 (Mänttäri, Broomé, Folkesson, Kjellström
2020, "Interpreting Video Features", section on temporal masks):

* `freeze`: the frame before stays, `x'_t = (1 - m_t) x_t + m_t x'_(t-1)`: motion goes, and what is new in these frames;
* `reverse`: every run of frames with `m >= 0.1` plays backwards, `x'_(a+i) = (1 - m) x_(a+i) + m x_(b-i)` for frames
  a .. b: what is seen stays, its order goes.

The heat of a frame is `m_t` times the logit lost when what was found is done wholly (note `drop`): frames with `m >=
1/2` frozen, or the runs reversed. A network whose logit does not fall (one that does not see order, for `reverse`) has
no heat. Within a run that is reversed, frames whose place is of no matter have a low `m`.

Departs from the paper: `s` is the logit in units of the largest drop met among the starts, instead of the probability,
and penalties are means, so that one setting serves every network and length; the search starts from the best run of a
ladder (runs of a few lengths, by half their length apart) instead of the smallest centred run that takes 90% of the
score, as a run at the edge is then found too; few steps, and the best mask met on the way is kept. The change channel
of `luma_difference` is computed again from the perturbed brightness; flow that is frozen is no motion, and flow played
backwards is turned round.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from secondlook.cards import ClipSpec, HeatMap, ModelCard
from secondlook.errors import BadValue
from secondlook.explain._blocks import NO_MOTION
from secondlook.explain._captum import asked
from secondlook.explain._hooks import logits_of
from secondlook.explain._mask_search import search
from secondlook.explain._methods import must_suit
from secondlook.explain._project import heat_map
from secondlook.video.transform import InputClip

Effect = Literal["freeze", "reverse"]
IN_RUN = 0.1
"""Frames at or above this mask value belong to a run that is played backwards (the authors' threshold)."""
NOTHING = 1e-6
"""Drops below this share of the logit's size are rounding."""


def unsuitable(model: nn.Module, card: ModelCard) -> str:
    """Why a temporal mask says nothing about a network: it sees one frame."""
    return "" if card.clip.frames > 1 else "it sees one frame, so there is no order and no motion to take away"


def explain(
    model: nn.Module,
    card: ModelCard,
    clip: InputClip,
    label: int,
    *,
    effect: str = "freeze",
    steps: int = 6,
    area_weight: float = 0.3,
    smooth_weight: float = 0.2,
    at_once: int = 8,
) -> HeatMap:
    """The temporal mask of one clip for one class.

    Args:
        model: network, `x_BCTHW` -> `logits_BK`.
        card: its card.
        clip: what the network gets, and where it came from in the video.
        label: class index to explain.
        effect: `freeze` or `reverse`.
        steps: of the search (the authors take 300).
        area_weight: what a wholly perturbed clip costs, in units of the score.
        smooth_weight: how much differences between neighbouring frames cost.
        at_once: starts in one pass.

    Returns:
        Heat T x 1 x 1 (>= 0), in the source video's frames. Notes: `temporal` (True), the options; `mask` (m);
        `frames` (sampled frames with `m >= 1/2`, counted from 0), `drop` (logit lost when what was found is wholly
        frozen or reversed, below 0 where it rose), `area` (mean of `m`); those of the prediction.

    Raises:
        BadValue: if the network sees one frame, an option is out of range, or the label is not a class of it.
    """
    must_suit("temporal_mask", model, card)
    if effect not in get_args(Effect):
        raise BadValue(effect, f"effect must be one of {', '.join(get_args(Effect))}")
    if area_weight < 0 or smooth_weight < 0 or at_once < 1:
        rule = "weights of penalties must be at least 0, at_once at least 1"
        raise BadValue((area_weight, smooth_weight, at_once), rule)
    hard = 0.5 if effect == "freeze" else IN_RUN
    with asked(model, clip, label) as question:
        x_BCTHW, whole = question.x_BCTHW, float(question.logits_BK[0, label])

        def logit(mask_MT: Tensor) -> Tensor:
            return logits_of(model, perturb(x_BCTHW, mask_MT, effect, card.clip))[:, label]

        runs_MT = ladder(x_BCTHW.shape[2], shortest=1 if effect == "freeze" else 2).to(x_BCTHW)
        with torch.no_grad():
            drop_M = whole - torch.cat([logit(part_MT) for part_MT in torch.split(runs_MT, at_once)])
        largest = float(drop_M.max())
        if largest <= NOTHING * max(abs(whole), 1.0):  # nothing to be found
            mask_T, drop = torch.zeros_like(runs_MT[0]), largest
        else:

            def loss(mask_MT: Tensor, _progress: float) -> tuple[Tensor, Tensor]:
                penalty_M = penalties(mask_MT, area_weight, smooth_weight)
                total_M = (logit(mask_MT) - whole) / largest + penalty_M
                return total_M, total_M

            start = (penalties(runs_MT, area_weight, smooth_weight) - drop_M / largest).argmin()
            mask_T = search(runs_MT[start][None], loss, steps)[0]
            with torch.no_grad():
                drop = whole - float(logit((mask_T >= hard).to(mask_T)[None])[0])
    heat_T = mask_T.float().cpu().numpy() * (drop if drop > NOTHING * max(abs(whole), 1.0) else 0.0)
    notes: dict[str, Any] = {"temporal": True, "effect": effect, "steps": steps, "area_weight": area_weight}
    notes |= {"smooth_weight": smooth_weight, "mask": mask_T.tolist(), "area": float(mask_T.mean())}
    notes |= {"frames": (mask_T >= 0.5).nonzero()[:, 0].tolist(), "drop": drop, **question.notes()}
    return heat_map(heat_T[:, None, None], clip, method="temporal_mask", label=label, **notes)


def penalties(mask_MT: Tensor, area_weight: float, smooth_weight: float) -> Tensor:
    """What a mask costs, however little it takes from the class, one number a mask."""
    return area_weight * mask_MT.mean(dim=1) + smooth_weight * mask_MT.diff(dim=1).abs().pow(3).mean(dim=1)


def ladder(frames: int, shortest: int) -> Tensor:
    """Hard masks of runs an eighth, a quarter, half and all of the clip long, half their length apart, `mask_MT`."""
    lengths = sorted({max(shortest, frames // part) for part in (8, 4, 2, 1)})
    starts = [(length, min(a, frames - length)) for length in lengths for a in range(0, frames, max(1, length // 2))]
    t = torch.arange(frames)
    return torch.stack([(t >= a) & (t < a + length) for length, a in dict.fromkeys(starts)])


def perturb(x_BCTHW: Tensor, mask_MT: Tensor, effect: str, spec: ClipSpec) -> Tensor:
    """Clips with their frames frozen or played backwards, where and as far as masks say.

    Args:
        x_BCTHW: one clip (B = 1).
        mask_MT: masks in [0, 1].
        effect: `freeze` or `reverse`.
        spec: the recipe; its modality says what a frozen or reversed frame looks like.

    Returns:
        `x_MCTHW`; a mask of 0 gives the clip.
    """
    far_M1T11 = mask_MT[:, None, :, None, None]
    if spec.modality == "flow":
        pairs = zip(spec.mean, spec.std, strict=True)
        still_C = torch.tensor([(NO_MOTION - mean) / std for mean, std in pairs]).to(x_BCTHW)
        still_C111 = still_C[:, None, None, None]
        if effect == "freeze":
            return (1 - far_M1T11) * x_BCTHW + far_M1T11 * still_C111
        turned_MCTHW = 2 * still_C111 - mirrored(x_BCTHW, mask_MT)
        far_M1T11 = far_M1T11 * (far_M1T11 >= IN_RUN)
        return (1 - far_M1T11) * x_BCTHW + far_M1T11 * turned_MCTHW
    if effect == "freeze":
        moved_MCTHW = torch.einsum("mts,cshw->mcthw", held(mask_MT), x_BCTHW[0])
    else:
        moved_MCTHW = (1 - far_M1T11) * x_BCTHW + far_M1T11 * mirrored(x_BCTHW, mask_MT)
    if spec.modality != "luma_difference":
        return moved_MCTHW
    added_MTHW = (moved_MCTHW[:, 0] - x_BCTHW[:, 0]) * spec.std[0]  # brightness gained; its change over time is added
    change_MTHW = torch.cat([torch.zeros_like(added_MTHW[:, :1]), added_MTHW.diff(dim=1)], dim=1)
    return torch.stack([moved_MCTHW[:, 0], x_BCTHW[:, 1] + change_MTHW / spec.std[1]], dim=1)


def held(mask_MT: Tensor) -> Tensor:
    """How much of frame s is in frozen frame t, `weight_MTS`: `x'_t = (1 - m_t) x_t + m_t x'_(t-1)` written out.

    The weight is `(1 - m_s) m_(s+1) ... m_t` for `s <= t`. The first frame has none before it and stays.
    """
    frames = mask_MT.shape[1]
    place = torch.arange(frames, device=mask_MT.device)
    held_MT = torch.where(place == 0, 0.0, mask_MT)
    later_ST = place[None] > place[:, None]
    factors_MST = torch.where(later_ST, held_MT[:, None], 1.0)
    weight_MST = (1 - held_MT)[:, :, None] * factors_MST.cumprod(dim=2)
    return (weight_MST * (later_ST | torch.eye(frames, dtype=torch.bool, device=mask_MT.device))).transpose(1, 2)


def mirrored(x_BCTHW: Tensor, mask_MT: Tensor) -> Tensor:
    """The clip with every run of frames whose mask is at least `IN_RUN` played backwards, `x_MCTHW`."""
    frames = mask_MT.shape[1]
    place = torch.arange(frames, device=mask_MT.device)
    outside_MT = mask_MT < IN_RUN
    first_MT = torch.where(outside_MT, place + 1, 0).cummax(dim=1).values
    last_MT = torch.where(outside_MT, place - 1, frames - 1).flip(1).cummin(dim=1).values.flip(1)
    source_MT = torch.where(outside_MT, place, first_MT + last_MT - place)
    return x_BCTHW[0][:, source_MT].transpose(0, 1)
