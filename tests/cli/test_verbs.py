"""Every step of the work has its verb, and each verb says what it is for, with an example."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from secondlook import cli


def help_of(*words: str) -> str:
    said = CliRunner().invoke(cli.build_app(), [*words, "--help"], env={"COLUMNS": "200"})
    assert said.exit_code == 0, said.output
    return said.output


@pytest.mark.spec("late-temporal-bert", "F98")
@pytest.mark.parametrize(
    ("words", "mentioned"),
    [
        (("flow",), "--method"),
        (("pose",), "--keypoints"),
        (("train",), "--teacher"),
        (("evaluate",), "--top"),
        (("fuse",), "--method"),
        (("study", "run"), "--seeds"),
        (("show", "models"), "--views"),
        (("report",), "--output"),
        (("predict",), "--views"),
    ],
)
def test_steps_of_the_source_have_a_verb(words: tuple[str, ...], mentioned: str) -> None:
    text = help_of(*words)
    assert mentioned in text
    assert "Example" in text


def test_every_verb_is_in_the_order_of_the_help() -> None:
    verbs = {command.name for command in cli.build_app().registered_commands}
    verbs |= {group.name for group in cli.build_app().registered_groups}
    assert verbs == {name.replace("_", "-") for name in cli.ORDER}
