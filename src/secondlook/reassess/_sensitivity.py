"""Label sets under every merge rule and variant, so that it can be seen how much a result hangs on the rule.

label-reassessment §1.9 leaves much of the merging open ("agree", three answers of which two agree, two that do not
agree, one approved answer); §6.3 asks for the scores under each reading in one table. `VARIANTS` names the readings:
every single departure from the defaults of `approval_rules`, its two ends, and each rule of this room.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from secondlook import catalog
from secondlook.errors import UnknownName
from secondlook.reassess._sets import Reassessed

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "approval_rules": ("approval_rules", {}),
    "agreement=identical": ("approval_rules", {"agreement": "identical"}),
    "r1_mode=common": ("approval_rules", {"r1_mode": "common"}),
    "r1_mode=union": ("approval_rules", {"r1_mode": "union"}),
    "partial=union": ("approval_rules", {"partial": "union"}),
    "partial=given": ("approval_rules", {"partial": "given"}),
    "two_disagree=union": ("approval_rules", {"two_disagree": "union"}),
    "one_approved=union": ("approval_rules", {"one_approved": "union"}),
    "given=drop-if-unvoted": ("approval_rules", {"given": "drop-if-unvoted"}),
    "given=vote": ("approval_rules", {"given": "vote"}),
    "failed=drop": ("approval_rules", {"failed": "drop"}),
    "rounds=pool": ("approval_rules", {"rounds": "pool"}),
    "maybe=ignore": ("approval_rules", {"maybe": "ignore"}),
    "narrowest": ("approval_rules", {"agreement": "identical", "r1_mode": "common", "partial": "given"}),
    "widest": (
        "approval_rules",
        {"r1_mode": "union", "partial": "union", "two_disagree": "union", "one_approved": "union", "rounds": "pool"},
    ),
    "majority": ("majority", {}),
    "majority given=keep": ("majority", {"given": "keep"}),
    "worker_weighted": ("worker_weighted", {}),
    "dawid_skene": ("dawid_skene", {}),
    "dawid_skene given=keep": ("dawid_skene", {"given": "keep"}),
    "glad": ("glad", {}),
    "mace": ("mace", {}),
}
"""Name -> rule and options. The first is the reference: the rule of the source with its default options."""


def variants(
    answers: pa.Table | pd.DataFrame,
    unjudged: Literal["refuse", "approve", "reject"] = "refuse",
    names: Iterable[str] | None = None,
) -> dict[str, Reassessed]:
    """The label sets of each variant, in the order of `VARIANTS`; all hold the same videos.

    Args:
        answers: as for `approval_rules.fit`.
        unjudged: what `approval_rules` does with an answer that has no verdict; the other rules need none.
        names: these variants only.

    Raises:
        UnknownName: if a name is no variant.
        BadValue: if an answer has no verdict and `unjudged` is "refuse".
    """
    wanted = list(VARIANTS) if names is None else list(names)
    for name in wanted:
        if name not in VARIANTS:
            raise UnknownName("variant", name, VARIANTS)
    found = {}
    for name in [n for n in VARIANTS if n in wanted]:
        rule, options = VARIANTS[name]
        judged = {"unjudged": unjudged} if rule == "approval_rules" else {}
        found[name] = catalog.find("reassess", rule).fit(answers, **options, **judged)
    return found
