"""Composites: which rule of relevance propagation serves which kind of layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from secondlook.errors import UnknownName
from secondlook.explain._lrp_rules import Rule


@dataclass(frozen=True)
class Composite:
    """A rule for dense layers, one for convolutions, and one for those that read the network's input."""

    dense: Rule
    conv: Rule
    first: Rule | None = None
    """None: as any other layer."""


_ZERO = Rule("epsilon")
_EPSILON = Rule("epsilon", epsilon=1e-6)
_GAMMA = Rule("gamma", gamma=0.25)
_PLUS = Rule("alpha-beta")
_ALPHA_BETA = Rule("alpha-beta", alpha=2.0, beta=1.0)

COMPOSITES: Mapping[str, Composite] = {
    "zero": Composite(_ZERO, _ZERO),
    "epsilon": Composite(_EPSILON, _EPSILON),
    "gamma": Composite(_GAMMA, _GAMMA),
    "z-plus": Composite(_PLUS, _PLUS),
    "alpha2-beta1": Composite(_ALPHA_BETA, _ALPHA_BETA),
    "epsilon-plus": Composite(_EPSILON, _PLUS),
    "epsilon-gamma": Composite(_EPSILON, _GAMMA),
    "epsilon-plus-flat": Composite(_EPSILON, _PLUS, Rule("flat")),
    "epsilon-plus-box": Composite(_EPSILON, _PLUS, Rule("z-B")),
    "epsilon-gamma-box": Composite(_EPSILON, _GAMMA, Rule("z-B")),
    "epsilon-alpha2-beta1": Composite(_EPSILON, _ALPHA_BETA),
    "epsilon-alpha2-beta1-flat": Composite(_EPSILON, _ALPHA_BETA, Rule("flat")),
    "epsilon-w-square": Composite(_EPSILON, _EPSILON, Rule("w-square")),
}
"""Name -> rules. Montavon et al. 2019, section 10.3; Kohlbrenner et al., "Towards Best Practice in Explaining Neural
Network Decisions with LRP", 2020."""


def composite_of(name: str, epsilon: float | None = None, gamma: float | None = None) -> Composite:
    """A composite by name, with other numbers where they are given.

    Raises:
        UnknownName: if there is none of this name.
    """
    if name not in COMPOSITES:
        raise UnknownName("composite", name, COMPOSITES)
    found = COMPOSITES[name]
    return Composite(*(None if r is None else _with(r, epsilon, gamma) for r in (found.dense, found.conv, found.first)))  # type: ignore[arg-type]


def _with(rule: Rule, epsilon: float | None, gamma: float | None) -> Rule:
    if rule.kind == "epsilon" and rule.epsilon and epsilon is not None:
        return replace(rule, epsilon=epsilon)
    if rule.kind == "gamma" and gamma is not None:
        return replace(rule, gamma=gamma)
    return rule
