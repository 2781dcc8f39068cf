"""docs/open-questions.md is true: each default is the default, and each switch changes the network."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import torch
from torch import Tensor, nn

from secondlook import catalog
from secondlook.explain._options import options_of, value_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "open-questions.md"
_SWITCH = re.compile(r"`(?P<model>[\w:.]+)` option `(?P<option>\w+)`(?: with (?P<given>.+))?")


def rows() -> list[tuple[str, str, Any, list[Any], dict[str, Any]]]:
    """Model, option, default, other readings, and the options that are given beside."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        match = _SWITCH.fullmatch(cells[-1]) if len(cells) == 5 else None
        if match:
            given = dict(pair.split("=") for pair in re.findall(r"`([^`]+)`", match["given"] or ""))
            default, *others = [json.loads(value) for value in re.findall(r"`([^`]+)`", f"{cells[2]} {cells[3]}")]
            found.append(
                (match["model"], match["option"], default, others, {k: json.loads(v) for k, v in given.items()})
            )
    return found


def built(model: str, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    family, _, variant = model.partition(":")
    return catalog.find("models", family).build(variant, 3, frames=8, height=33, width=40, **options).eval()


def logits(network: nn.Module) -> Tensor:
    x_BCTHW = torch.randn(1, network.in_channels, 8, 33, 40, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return network(x_BCTHW)


def test_every_open_question_of_a_network_is_there() -> None:
    sections = {cell for row in PAGE.read_text().splitlines() for cell in re.findall(r"^\| ([\d., ]+) \|", row)}
    assert {number for cell in sections for number in cell.split(", ")} >= {
        "2.1",
        "2.3",
        "2.4",
        "2.7",
        "2.8",
        "2.9",
        "2.11",
    }
    assert len(rows()) >= 20


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "106")
@pytest.mark.parametrize(("model", "option", "default", "others", "given"), rows())
def test_the_default_is_the_default_and_the_switch_switches(
    model: str, option: str, default: Any, others: list[Any], given: dict[str, Any]
) -> None:
    left_out = built(model, **given)
    stated = built(model, **{**given, option: default})
    assert repr(left_out) == repr(stated)
    assert torch.equal(logits(left_out), logits(stated))
    assert others
    for other in others:
        switched = built(model, **{**given, option: other})
        assert repr(switched) != repr(stated) or not torch.equal(logits(switched), logits(stated))


def test_every_open_question_of_an_explanation_has_its_switch() -> None:
    rows = re.findall(r"^\| [^|]+ \|[^|]+\| `(\w+)=([^`]+)` \| (.+?) \| of `(\w+)` \|$", PAGE.read_text(), re.M)
    assert len(rows) >= 8
    for name, default, others, method in rows:
        option = options_of(method)[name]
        assert str(option.default) == default, (method, name)
        for other in re.findall(r"`([^`]+)`", others):
            assert value_of(option, other) != option.default, (method, name, other)


def test_every_open_question_of_a_merge_rule_has_its_switch() -> None:
    rows = re.findall(r"^\| [^|]+ \|[^|]+\| `(\w+)=([^`]+)` \| (.+?) \| rule `(\w+)` \|$", PAGE.read_text(), re.M)
    assert len(rows) >= 9
    for name, default, others, rule in rows:
        options = catalog.find("reassess", rule).Options
        assert getattr(options(), name) == default, (rule, name)
        allowed = set(get_args(get_type_hints(options)[name]))
        assert allowed == {default, *re.findall(r"`([^`]+)`", others)}, (rule, name)
