"""Figures that explain a network: parts of a clip, pyramids side by side, and what methods draw of their own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from secondlook import cli, tables
from secondlook.cards import HeatMap
from secondlook.explain._pyramid import Choice
from secondlook.explain._pyramid_files import level_heats
from secondlook.explain._pyramid_graph import Pyramid
from secondlook.explain.class_feature_pyramids import find
from secondlook.labels import LabelSpace
from secondlook.predict.weights import build_model, find_card, load_run, save_weights, with_clip, write_json
from secondlook.video.heat_cells import choose, heated, plain
from secondlook.video.transform import input_clip

NAMES = ["Rolling left", "Rolling right", "Covering"]
Say = Callable[..., str]


def a_run(folder: Path, model: str, names: list[str] = NAMES, seed: int = 1, **options: object) -> Path:
    """A run folder with random weights."""
    card = with_clip(find_card(model), frames=8, height=32, width=40)
    card = replace(card, options={**card.options, **options})
    folder.mkdir(parents=True)
    save_weights(build_model(card, len(names), seed=seed), folder / "best.safetensors")
    write_json(folder / "card.json", card.to_dict())
    write_json(folder / "labels.json", LabelSpace.from_names(names, "toy").to_dict())
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, draw_video: Callable[..., Path]) -> Path:
    return draw_video(tmp_path_factory.mktemp("videos") / "clip.mp4", frames=20, fps=10)


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_run(tmp_path_factory.mktemp("runs") / "plain", "resnet3d:tiny")


@pytest.fixture(scope="module")
def other_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same classes in another order, another network."""
    return a_run(tmp_path_factory.mktemp("runs") / "other", "i3d:tiny", ["unheard of", *NAMES[::-1]])


def told(*arguments: object) -> dict:
    said = CliRunner().invoke(cli.build_app(), [*map(str, arguments), "--json"], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    found: dict = json.loads(said.stdout)
    return found


@pytest.fixture
def sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """What the command line says of a mistake, with exit code 2."""

    def say(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["secondlook", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert left.value.code == 2
        said = capsys.readouterr().err
        assert "Traceback" not in said
        return " ".join(said.split())

    return say


def looks_drawn(path: str) -> None:
    with Image.open(path) as picture:
        assert np.asarray(picture.convert("L")).std() > 5


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "91")
def test_parts_of_a_clip_beside_the_whole(plain_run: Path, clip: Path, tmp_path: Path) -> None:
    found = told("figure", "segments", plain_run, clip, "-o", tmp_path / "a.png", "--parts", 5, "--given", "covering")
    looks_drawn(found["picture"])
    assert [(part["start_s"], part["end_s"]) for part in found["parts"]] == [
        *((pytest.approx(0.4 * n), pytest.approx(0.4 * n + 0.4)) for n in range(5)),
        (0.0, pytest.approx(2.0)),
    ]
    assert [part["whole"] for part in found["parts"]] == [False] * 5 + [True]
    loaded = load_run(plain_run)
    with torch.no_grad():
        share_K = loaded.model(input_clip(clip, loaded.card.clip).x_CTHW[None])[0].softmax(0)
    for guess in found["parts"][-1]["predicted"]:
        assert guess["confidence"] == pytest.approx(float(share_K[guess["index"]]), abs=1e-5)
        assert guess["name"] == NAMES[guess["index"]]
    assert len(told("figure", "segments", plain_run, clip, "-o", tmp_path / "a.svg", "--classes", 9)["parts"]) == 5


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "94")
def test_pyramids_of_two_networks_side_by_side(plain_run: Path, other_run: Path, clip: Path, tmp_path: Path) -> None:
    picture = tmp_path / "new" / "pyramids.png"
    thetas = {"plain": 0.6, "other": 0.66}
    found = told(
        "figure", "pyramids", plain_run, other_run, clip, "-o", picture, "--label", "COVERING",
        "--theta", "0.6,0.66", "--depth", 3, "--moments", 2,
    )  # fmt: skip
    assert found["label_name"] == "Covering"
    assert [(own["name"], own["theta"], own["label"]) for own in found["networks"]] == [
        ("plain", 0.6, 2),
        ("other", 0.66, 1),
    ]
    whole = np.asarray(Image.open(found["picture"]))
    for n, (run, own) in enumerate(zip((plain_run, other_run), found["networks"], strict=True)):
        loaded = load_run(run)
        seen = input_clip(clip, loaded.card.clip)
        made = find(loaded.model, loaded.card, seen.x_CTHW, own["label"], Choice(thetas[own["name"]], 3))
        heats = level_heats(made, seen)
        tubes = {level: heat for level, heat in enumerate(heats, 1) if heat is not None}
        assert {level["level"]: level["layer"] for level in own["levels"]} == {n: h.module for n, h in tubes.items()}
        assert list(tubes) == ([1, 3] if own["name"] == "other" else [1, 2, 3])  # its way has a shorter branch
        for level in own["levels"]:
            assert level["kernels"] == list(made.pyramid.layer(level["layer"]).kernels)
        # A cell of the picture holds the tube over the frame; the source is drawn in its own size.
        frames_THWC = _source(clip, seen)
        chosen = choose(frames_THWC, heats[0], 2)
        shown = plain(frames_THWC, heats[0], chosen, 110)
        height, x, y = shown.shape[1], 14 + 44 + 113 * (2 * n + 1), 14 + 46 + 40
        for level, heat in tubes.items():
            top = y + (height + 20) * level
            cell = whole[top : top + height, x : x + 110, :3]
            np.testing.assert_array_equal(cell, heated(shown, heat, chosen)[1])


def _source(path: Path, seen: object) -> np.ndarray:
    from secondlook.video.decode import decode

    return decode(path, None).frames_THWC[seen.clip.frame_index_T]  # type: ignore[attr-defined]


def test_runs_of_the_same_name_are_told_apart_and_the_first_one_says_which_class(
    plain_run: Path, clip: Path, tmp_path: Path
) -> None:
    twin = a_run(tmp_path / "later" / "plain", "resnet3d:tiny", NAMES[::-1], seed=4)
    found = told("figure", "pyramids", plain_run, twin, clip, "-o", tmp_path / "a.png", "--depth", 1)
    assert [own["name"] for own in found["networks"]] == [f"{plain_run.parent.name}/plain", "later/plain"]
    assert [len(own["levels"]) for own in found["networks"]] == [1, 1]
    first, second = found["networks"]
    assert found["label_name"] == first["predicted"] == NAMES[first["label"]] == NAMES[::-1][second["label"]]


def test_mistakes_are_sentences(
    plain_run: Path, other_run: Path, clip: Path, tmp_path: Path, sentence: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = ("-o", tmp_path / "a.png")
    segments, pyramids = ("figure", "segments"), ("figure", "pyramids")
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    for verb in (segments, pyramids):
        assert "does not exist" in sentence(*verb, plain_run, tmp_path / "gone.mp4", *out)
        assert "does not exist" in sentence(*verb, tmp_path / "no-run", clip, *out)
        assert "not_a_video" in sentence(*verb, plain_run, bad, *out)
        assert ".png" in sentence(*verb, plain_run, clip, "-o", tmp_path / "a.bmp")
    assert "a.png" in sentence(*pyramids, plain_run, clip, "-o", tmp_path / "a.svg")
    assert "1 to 12 parts" in sentence(*segments, plain_run, clip, *out, "--parts", 0)
    assert "'Covering'" in sentence(*segments, plain_run, clip, *out, "--given", "Coverin")
    assert "'Covering'" in sentence(*pyramids, plain_run, clip, *out, "--label", "Coverin")
    assert "from 0 to 2" in sentence(*pyramids, plain_run, clip, *out, "--label", 7)
    assert "unheard of" in sentence(*pyramids, other_run, plain_run, clip, *out, "--label", "unheard of")
    assert "0.731" in sentence(*pyramids, plain_run, clip, *out, "--theta", 0.9)
    assert "must be a number" in sentence(*pyramids, plain_run, clip, *out, "--theta", "high")
    assert "1 networks and 2 thetas" in sentence(*pyramids, plain_run, clip, *out, "--theta", "0.6,0.6")
    assert "at least 1" in sentence(*pyramids, plain_run, clip, *out, "--depth", 0)
    still = a_run(tmp_path / "still", "timesformer:tiny")
    assert "no convolution stages" in sentence(*pyramids, plain_run, still, clip, *out)
    assert not (tmp_path / "a.png").exists()


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "63")
def test_explain_writes_the_graph_of_a_pyramid(plain_run: Path, clip: Path, tmp_path: Path) -> None:
    found = told(
        "explain", plain_run, clip, "--method", "class_feature_pyramids", "--option", "theta=0.65",
        "--option", "depth=2", "--option", "mode=feature", "--option", "top=3", "--no-video", "-o", tmp_path / "out",
    )  # fmt: skip
    own = {f"pyramid{kind}" for kind in ("", "-json", "-dot", "-svg", "-layers", "-features")}
    assert set(found["paths"]) == {"strip", "heat"} | own
    assert {Path(path).name for path in found["paths"].values()} == {p.name for p in (tmp_path / "out").iterdir()}
    pyramid = Pyramid.from_dict(json.loads(Path(found["paths"]["pyramid-json"]).read_text()))
    assert pyramid == Pyramid.from_dict(HeatMap.load(found["paths"]["heat"]).notes["pyramid"])
    assert (pyramid.theta, pyramid.depth, pyramid.mode, pyramid.top) == (0.65, 2, "feature", 3)
    assert Path(found["paths"]["pyramid-dot"]).read_text() == pyramid.to_dot()
    assert found["label_name"] in Path(found["paths"]["pyramid-svg"]).read_text()
    for kind in ("pyramid", "pyramid-layers", "pyramid-features"):
        looks_drawn(found["paths"][kind])


@pytest.mark.spec("srtg-mtnet-classreg-visualisation", "89", "90", "93")
@pytest.mark.parametrize(
    ("model", "options", "method", "own"),
    [
        ("r3d:tiny", {"srtg": True}, "recursion_gates", {"matches"}),
        ("mtnet:tiny", {}, "selected_frames", {"scores"}),
        ("r3d:tiny", {"class_regularisation": True}, "early_predictions", {"tubes", "kernels"}),
    ],
)
def test_methods_draw_pictures_of_their_own(
    clip: Path, tmp_path: Path, model: str, options: dict, method: str, own: set[str]
) -> None:
    run = a_run(tmp_path / "run", model, **options)
    found = told("explain", run, clip, "--method", f"gradient,{method}", "--no-video", "-o", tmp_path / "out")
    assert own <= {kind.removesuffix(f"-{method}") for kind in found["paths"] if kind.endswith(f"-{method}")}
    assert not own & set(found["paths"])
    for kind in own:
        looks_drawn(found["paths"][f"{kind}-{method}"])


def test_tables_have_no_extras(plain_run: Path, clip: Path, tmp_path: Path) -> None:
    row = {"video_id": "a", "path": clip.name, "split": "test", "label": 0, "group": "", "status": "unchecked"}
    made = {"root": str(clip.parent), "label_space": LabelSpace.from_names(NAMES, "toy").to_dict()}
    videos = tables.write(tables.VIDEOS, [row | {"reason": ""}], tmp_path / "videos.parquet", made)
    found = told(
        "explain", plain_run, videos, "--method", "class_feature_pyramids", "--no-video", "-o", tmp_path / "out"
    )  # fmt: skip
    assert found["videos"] == 1
    assert sorted(p.name for p in (tmp_path / "out" / "a").iterdir()) == ["about.json", "heat.npz", "strip.png"]
