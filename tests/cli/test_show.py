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


def test_json_has_memory_tokens_limits_and_explain_points() -> None:
    told = json.loads(show("r2plus1d:18", "--clip", "16x112x112", "--json").stdout)
    assert (told["trainable"], told["frozen"]) == (31_505_325, 0)
    assert told["tokens"] == [2, 7, 7]
    assert told["features"] == [512, 2, 7, 7]
    assert told["memory"]["training_bytes"] > 3 * told["memory"]["inference_bytes"] > 0
    assert told["limits"]["min_frames"] == 1
    assert told["explain"]["classifier"] == "head.classifier"
    assert [s["module"] for s in told["explain"]["stages"]] == [s["module"] for s in told["stages"][:-1]]
    assert told["head"] == "average"


def test_clip_is_frames_and_size_in_one() -> None:
    clip = json.loads(show("tsm:tiny", "--clip", "6x48x64", "--json").stdout)
    apart = json.loads(show("tsm:tiny", "--frames", "6", "--size", "48x64", "--json").stdout)
    assert clip == apart
    assert clip["input"] == [2, 6, 48, 64]


def test_options_of_family_and_head() -> None:
    """A frozen backbone's parameters are counted apart; the head's options reach it."""
    frozen = json.loads(show("resnet_transformer:tiny", "--option", "freeze_backbone=true", "--json").stdout)
    free = json.loads(show("resnet_transformer:tiny", "--json").stdout)
    assert frozen["trainable"] + frozen["frozen"] == free["trainable"] == frozen["parameters"]
    assert frozen["frozen"] > 0
    assert frozen["memory"]["training_bytes"] < free["memory"]["training_bytes"]
    deeper = json.loads(show("resnet3d:tiny", "--head", "transformer", "--head-option", "layers=3", "--json").stdout)
    assert deeper["head"] == "transformer"
    assert deeper["parameters"] > free["parameters"]


def test_words_name_memory_tokens_and_layouts() -> None:
    words = show("tsm:tiny", "--classes", "5").stdout
    assert "(BT)CHW" in words
    assert "MiB of activations a clip in training" in words
    assert "12 x 4 x 4 = 192 places" in words
    assert "any number of frames, any size" in words


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
        (("tsm:r50", "--clip", "16x112"), BadValue, "frames x height x width"),
        (("tsm:r50", "--clip", "16x112x112", "--frames", "8"), BadValue, "Give either"),
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


@pytest.mark.spec("late-temporal-bert", "F89")
@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "78")
def test_a_video_costs_its_views() -> None:
    clip = ("tsm:tiny", "--classes", "5", "--clip", "8x32x32")
    told = json.loads(show(*clip, "--views", "10x3", "--json").stdout)
    video = told["video"]
    assert (video["clips"], video["crops"], video["views"]) == (10, 3, 30)
    assert video["macs_per_view"] == told["macs"]
    assert video["macs"] == 30 * told["macs"]
    assert video["operations"] > told["macs"]
    assert video["executions"][0]["activation_bytes"] == 30 * told["memory"]["inference_bytes"]
    words = show(*clip, "--views", "1x3", "--video-frames", "32").stdout
    assert "4 clips x 3 crops x" in words
    assert all(name in words for name in ("parallel", "mixed", "sequential"))
    assert isinstance(show(*clip, "--views", "10").exception, BadValue)


@pytest.mark.spec("late-temporal-bert", "F89")
def test_a_stride_makes_a_clip_cover_more_of_the_video() -> None:
    clip = ("resnet3d:tiny", "--clip", "8x32x32", "--json", "--video-frames", "64", "--stride")
    assert [json.loads(show(*clip, stride).stdout)["video"]["clips"] for stride in ("1", "2", "8")] == [8, 4, 1]


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "78")
def test_latency_is_measured() -> None:
    arguments = ("tsm:tiny", "--classes", "5", "--clip", "8x32x32", "--latency", "--batch", "2", "--device", "cpu")
    told = json.loads(show(*arguments, "--json").stdout)["latency"]
    assert (told["batch"], told["device"]) == (2, "cpu")
    assert min(told["forward_ms"], told["backward_ms"], told["inference_ms"]) > 0
    assert "ms backward" in show(*arguments).stdout
