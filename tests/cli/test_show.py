"""`secondlook show models`: numbers, table, listing, and sentences for names that are not there."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from secondlook.cli import build_app, main
from secondlook.errors import BadValue, UnknownName


def show(*arguments: str):
    return CliRunner().invoke(build_app(), ["show", "models", *arguments])


def test_json_has_parameters_and_multiply_accumulates() -> None:
    result = show("r2plus1d:18", "--classes", "400", "--frames", "16", "--size", "112x112", "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told["parameters"] == 31_505_325
    assert round(told["macs"] / 1e9, 3) == 40.519
    assert told["input"] == [3, 16, 112, 112]
    assert told["clip"]["frames"] == 16
    assert told["failed_rows"] == 0


def test_the_clip_is_the_card_s_unless_told() -> None:
    told = json.loads(show("tsm:tiny", "--classes", "10", "--json").stdout)
    wide = json.loads(show("tsm:tiny", "--classes", "10", "--size", "64x128", "--json").stdout)
    longer = json.loads(show("tsm:tiny", "--frames", "24", "--classes", "10", "--json").stdout)
    channels, frames, height, width = told["input"]
    assert (channels, height, width) == (2, 64, 64)
    assert wide["input"] == [channels, frames, 64, 128]
    assert longer["input"] == [channels, 24, 64, 64]
    assert wide["macs"] == pytest.approx(2 * told["macs"], rel=1e-4)
    assert longer["parameters"] == told["parameters"]


@pytest.mark.spec("late-temporal-bert", "F97")
def test_table_lists_what_each_stage_gives() -> None:
    result = show("tsm:r50", "--classes", "51")
    assert result.exit_code == 0
    rows = {line.split("  ")[0]: line for line in result.stdout.splitlines()}
    for stage, output in {
        "input": "3 x 8 x 224 x 224",
        "stem": "64 x 8 x 56 x 56",
        "layer1": "256 x 8 x 56 x 56",
        "layer2": "512 x 8 x 28 x 28",
        "layer3": "1024 x 8 x 14 x 14",
        "layer4": "2048 x 8 x 7 x 7",
        "head.classifier": "51",
    }.items():
        assert output in rows[stage]
    assert "23,612,531" in rows["all"]


def test_without_a_name_it_lists_families_and_variants() -> None:
    told = json.loads(show("--json").stdout)
    assert {"tiny", "r18", "r50", "r18-online", "r50-online"} <= set(told["tsm"])
    assert {"10", "18", "34", "tiny"} <= set(told["resnet3d"]) & set(told["r2plus1d"])
    words = show().stdout
    assert "tsm:r50-online" in words
    assert "R(2+1)D" in words


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (("tms:r50",), UnknownName, "Did you mean 'tsm'"),
        (("tsm:r5",), UnknownName, "Did you mean 'tsm:r50'"),
        (("tsm",), UnknownName, "tsm:r18"),
        (("tsm:r50", "--size", "112"), BadValue, "height x width"),
        (("tsm:r50", "--size", "0x112"), BadValue, "height x width"),
        (("tsm:r50", "--head", "avrage"), UnknownName, "Did you mean 'average'"),
    ],
)
def test_wrong_names_are_sentences(arguments: tuple[str, ...], error: type[Exception], sentence: str) -> None:
    result = show(*arguments)
    assert isinstance(result.exception, error)
    assert sentence in str(result.exception)


def test_no_classes_is_wrong_use() -> None:
    assert show("tsm:r50", "--classes", "0").exit_code == 2


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("tms:r50", "model 'tms' is not known"), ("tsm:r5", "Did you mean 'tsm:r50'"), ("tsm", "tsm:r18")],
)
def test_main_says_it_on_stderr_and_exits_with_two(
    name: str, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["secondlook", "show", "models", name])
    with pytest.raises(SystemExit) as stopped:
        main()
    said = capsys.readouterr()
    assert stopped.value.code == 2
    assert sentence in said.err
    assert "Traceback" not in said.err
    assert not said.out
