"""Label sets under every merge variant."""

from __future__ import annotations

import pytest

from secondlook import catalog
from secondlook.annotate.simulate import Crowd
from secondlook.errors import BadValue, UnknownName
from secondlook.reassess import approval_rules
from secondlook.reassess._drawn_answers import draw
from secondlook.reassess._sensitivity import VARIANTS, variants
from tests.reassess.campaigns import ask_about


@pytest.mark.spec("label-reassessment", "G12")
def test_every_rule_and_every_open_case_is_a_variant() -> None:
    tasks, truth = ask_about(120)
    answers, _ = draw(tasks, truth, crowd=Crowd(workers=15, spam=0.3, false_pick=0.1))
    found = variants(answers)
    assert list(found) == list(VARIANTS)
    assert {rule for rule, _ in VARIANTS.values()} == set(catalog.names("reassess"))
    tried = {option for rule, options in VARIANTS.values() if rule == "approval_rules" for option in options}
    assert tried == set(approval_rules.Options.__dataclass_fields__) - {"unjudged"}
    ids = found["approval_rules"].labels["video_id"]
    sizes = {name: sum(map(len, result.labels["labels"].to_pylist())) for name, result in found.items()}
    for name, result in found.items():
        assert result.labels["video_id"].equals(ids)
        assert result.settings["rule"] == VARIANTS[name][0]
        assert all(VARIANTS[name][1][k] == result.settings[k] for k in VARIANTS[name][1])
        assert all(result.labels["rule"].to_pylist()), "every set says which rule made it"
    assert sizes["widest"] == max(sizes.values())
    assert sizes["narrowest"] < sizes["approval_rules"] < sizes["widest"]
    assert len(set(sizes.values())) > 8, "the choices do make a difference"


@pytest.mark.spec("label-reassessment", "G3")
def test_the_open_cases_are_options_with_a_default_that_changes_what_they_decide() -> None:
    tasks, truth = ask_about(120)
    answers, _ = draw(tasks, truth, crowd=Crowd(workers=15, spam=0.3, false_pick=0.1))
    names = ["approval_rules", "partial=union", "partial=given", "two_disagree=union", "one_approved=union"]
    found = {name: result.labels.to_pylist() for name, result in variants(answers, names=names).items()}
    touched = {"partial": "R1-partial", "two_disagree": "none-2", "one_approved": "none-1"}
    for name in names[1:]:
        rows = zip(found["approval_rules"], found[name], strict=True)
        changed = {usual["rule"] for usual, row in rows if usual["labels"] != row["labels"]}
        assert changed == {touched[name.partition("=")[0]]}


def test_answers_nobody_judged() -> None:
    tasks, truth = ask_about(20)
    answers = draw(tasks, truth)[0].drop_columns("verdict")
    with pytest.raises(BadValue, match="no verdict"):
        variants(answers)
    assert len(variants(answers, "approve", ["majority", "approval_rules"])) == 2
    with pytest.raises(UnknownName, match="Did you mean 'majority'"):
        variants(answers, "approve", ["majorty"])
