"""`secondlook report`: writes the page and says so."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from secondlook.cli import build_app
from tests.report.conftest import campaign  # noqa: F401 - a fixture


def test_report_verb(campaign):  # noqa: F811
    done = CliRunner().invoke(build_app(), ["report", str(campaign), "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["bytes"] == (campaign / "report.html").stat().st_size
    assert "accuracy" in said["sections"]
