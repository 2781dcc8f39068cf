"""One video and a whole table explained, with real files and a random tiny network."""

import json
import shutil
import tracemalloc
import types

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from secondlook import catalog, tables
from secondlook.cards import HeatMap
from secondlook.errors import BadValue, UnknownName
from secondlook.explain import grad_cam
from secondlook.explain._clips import Wish, caption, check, explain_video, label_index, top, write
from secondlook.explain._entries import EXPLANATIONS, MEASURED, Writer
from secondlook.explain._table import choose_rows, explain_methods, explain_table, folder_name
from secondlook.labels import LabelSpace
from secondlook.predict.weights import LoadedModel, build_model, find_card, save_weights
from secondlook.video.overlay import Look

LABELS = LabelSpace.from_names(["Rolling left", "Rolling right", "3"])


@pytest.fixture
def loaded(tmp_path):
    card = find_card("tsm:tiny")
    model = build_model(card, 3, seed=0).eval()
    save_weights(model, tmp_path / "best.safetensors")
    return LoadedModel(model, card, LABELS, tmp_path / "best.safetensors")


@pytest.fixture
def videos(tmp_path, draw_video):
    """Five rows: two with truth, one without label, one that is no video, one that was set aside."""
    root = tmp_path / "data"
    for name in ("a", "b/b", "c"):
        draw_video(root / f"{name}.mp4", frames=12, height=48, width=64)
    (root / "bad.mp4").write_bytes(b"not a video at all")
    masks = np.zeros((12, 48, 64), np.uint8)
    masks[:, 24:30, :30] = 1
    np.savez_compressed(root / "truth.npz", masks_THW=masks)
    rows = [
        {"video_id": "a", "path": "a.mp4", "label": 1, "truth_path": "truth.npz", "action_start_s": 0.2,
         "action_end_s": 0.6},
        {"video_id": "b/b", "path": "b/b.mp4", "label": 0, "truth_path": "truth.npz"},
        {"video_id": "c", "path": "c.mp4", "label": tables.UNLABELLED, "truth_path": "../secret.npz"},
        {"video_id": "bad", "path": "bad.mp4", "label": 0},
        {"video_id": "away", "path": "a.mp4", "label": 0, "status": "excluded", "reason": "seen twice"},
    ]  # fmt: skip
    rows = [{"split": "test", "group": "", "status": "unchecked", "reason": "", **row} for row in rows]
    made = {"root": str(root), "label_space": LABELS.to_dict()}
    return tables.read(tables.VIDEOS, tables.write(tables.VIDEOS, rows, tmp_path / "videos.parquet", made))


def quick(**wishes):
    return Wish(video=False, columns=2, **wishes)


@pytest.mark.spec("label-reassessment", "X6")
def test_the_label_is_the_predicted_the_given_or_any(loaded, tmp_path, draw_video):
    path = draw_video(tmp_path / "clip.mp4")
    explained = explain_video(loaded, path, quick(), given=2)
    predicted = int(explained.logits_K.argmax())
    assert explained.heat.label == explained.heat.notes["predicted"] == predicted
    assert explain_video(loaded, path, quick(label="given"), given=2).heat.label == 2
    assert explain_video(loaded, path, quick(label="rolling RIGHT")).heat.label == 1
    assert explain_video(loaded, path, quick(label="0")).heat.label == 0
    with pytest.raises(BadValue, match="no given label"):
        explain_video(loaded, path, quick(label="given"))


def test_a_label_by_name_before_number():
    assert label_index("3", LABELS) == 2
    assert label_index("1", LABELS) == 1
    with pytest.raises(BadValue, match="from 0 to 2"):
        label_index("4", LABELS)
    with pytest.raises(UnknownName, match="'Rolling left'"):
        label_index("Roling left", LABELS)


def test_top_predictions_are_softmax():
    logits = np.array([1.0, 3.0, 2.0], np.float32)
    found = top(logits, LABELS, 2)
    assert [f["index"] for f in found] == [1, 2]
    expected = torch.from_numpy(logits).softmax(0)
    assert [f["confidence"] for f in found] == pytest.approx([float(expected[1]), float(expected[2])])


def test_heat_lies_on_the_frames_that_the_network_saw(loaded, tmp_path, draw_video):
    path = draw_video(tmp_path / "clip.mp4", frames=30, height=60, width=100)
    explained = explain_video(loaded, path, quick())
    assert explained.heat.heat_THW.shape == (12, 60, 100)
    assert explained.frames_THWC.shape[0] == 12
    levels = explained.frames_THWC[:, :10].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(levels, (10 + 10 * explained.heat.frame_index_T) % 240, atol=4)


def test_everything_that_was_wished_for_is_written(loaded, tmp_path, draw_video):
    path = draw_video(tmp_path / "clip.mp4")
    wish = Wish(
        gif=True, pictures=True, columns=3, layers=("layer1", "layer3.0.conv1"), options={"weights": "channel_time"}
    )
    explained = explain_video(loaded, path, wish)
    paths = write(explained, loaded, tmp_path / "out", wish, "clip.mp4")
    assert {k: p.name for k, p in paths.items()} == {
        "strip": "strip.png", "video": "overlay.mp4", "gif": "overlay.gif", "pictures": "frames",
        "layers": "layers.png", "heat": "heat.npz", "layers-gif": "layers.gif", "layers-heat": "layers",
        "layers-video": "layers.mp4",
    }  # fmt: skip
    assert all(p.exists() for p in paths.values())
    assert [h.module for h in explained.layers.values()] == ["layer1", "layer3.0.conv1"]
    assert {h.notes["weights"] for h in explained.layers.values()} == {"channel_time"}
    again = HeatMap.load(paths["heat"])
    np.testing.assert_array_equal(again.heat_THW, explained.heat.heat_THW)


def test_the_caption_says_what_was_explained_and_what_predicted(loaded, tmp_path, draw_video):
    path = draw_video(tmp_path / "clip.mp4")
    explained = explain_video(loaded, path, quick())
    name = LABELS.names[explained.heat.label]
    said = caption(explained, loaded, "clip.mp4")
    assert said.title.startswith(f"{name} · predicted, ")
    assert "clip.mp4 · tsm:tiny · grad_cam · one weight a channel · layer4 · 12 × 4 × 4" in said.subtitle
    other = (explained.heat.label + 1) % 3
    said = caption(explain_video(loaded, path, quick(label="given"), given=other), loaded, "clip.mp4")
    assert said.title.startswith(f"{LABELS.names[other]} (given label), ")
    assert f"predicted: {name}" in said.title


def test_bad_wishes_are_refused_before_anything_is_read(loaded):
    with pytest.raises(UnknownName, match="'layer4'"):
        check(loaded, quick(options={"layer": "layer5"}))
    with pytest.raises(UnknownName, match="'layer1'"):
        check(loaded, quick(layers=("layer11",)))
    with pytest.raises(UnknownName, match="'weights'"):
        check(loaded, quick(options={"weight": "channel"}))
    with pytest.raises(UnknownName, match="grad_cam"):
        check(loaded, quick(method="gradcam"))
    with pytest.raises(UnknownName, match="Rolling"):
        check(loaded, quick(label="Rolling lef"))


def test_a_table_with_every_kind_of_row(loaded, videos, tmp_path):
    steps = []
    wish = quick(label="given")
    result = explain_table(loaded, videos, wish, tmp_path / "out", run="a", advance=lambda: steps.append(1))
    assert len(steps) == 5
    entries = {e["video_id"]: e for e in result["explanations"]}
    assert {k: e["status"] for k, e in entries.items()} == {
        "a": "ok", "b/b": "ok", "c": "failed", "bad": "not_a_video", "away": "excluded",
    }  # fmt: skip
    assert "no given label" in entries["c"]["reason"]
    assert entries["bad"]["reason"]
    assert entries["away"]["reason"] == "seen twice"
    assert (entries["a"]["label"], entries["a"]["label_name"]) == (1, "Rolling right")
    for name in ("a", "b/b"):
        for path in entries[name]["paths"].values():
            assert (tmp_path / "out" / path).exists()
        assert entries[name]["measures"]["on_target_uniform"] == pytest.approx(6 * 30 / (48 * 64))
    assert entries["a"]["measures"]["in_action"] is not None
    assert entries["b/b"]["measures"]["in_action"] is None
    assert result["averages"]["on_target"]["clips"] == 2
    written = json.loads((tmp_path / "out" / "explanations.json").read_text())
    assert written == {**result, "explanations": list(result["explanations"])}
    assert len(result["explanations"]) == 5
    assert result["explanations"][0] == entries["a"]
    assert "NaN" not in (tmp_path / "out" / "explanations.json").read_text()


def test_masks_outside_the_root_are_not_read_and_the_explanation_stays(loaded, videos, tmp_path):
    result = explain_table(loaded, videos.slice(2, 1), quick(), tmp_path / "out")
    [entry] = result["explanations"]
    assert entry["status"] == "ok"
    assert entry["measures"] is None
    assert "leaves the videos' folder" in entry["reason"]


def test_a_second_run_makes_only_what_is_missing_or_was_made_otherwise(loaded, videos, tmp_path, monkeypatch):
    made = []
    from secondlook.explain import _table

    real = _table.explain_video
    monkeypatch.setattr(_table, "explain_video", lambda *a, **k: made.append(a[1].name) or real(*a, **k))
    some = videos.slice(0, 2)

    def whole(**wishes):
        result = explain_table(loaded, some, quick(**wishes), tmp_path / "out")
        return {**result, "explanations": list(result["explanations"])}

    first = whole()
    assert made == ["a.mp4", "b.mp4"]
    assert whole() == first
    assert made == ["a.mp4", "b.mp4"]
    (tmp_path / "out" / first["explanations"][1]["paths"]["heat"]).unlink()
    assert whole() == first
    assert made == ["a.mp4", "b.mp4", "b.mp4"]
    whole(look=Look("magma"))
    assert len(made) == 5
    loaded.model.head.classifier.bias.data += 1
    save_weights(loaded.model, loaded.weights)
    whole(look=Look("magma"))
    assert len(made) == 7
    (tmp_path / "out" / "a" / "about.json").write_text("[broken")
    whole(look=Look("magma"))
    assert len(made) == 8


def test_the_table_says_the_same_as_the_list(loaded, videos, tmp_path):
    result = explain_table(loaded, videos, quick(label="given"), tmp_path / "out", run="a")
    table = tables.read(EXPLANATIONS, tmp_path / "out" / "explanations.parquet")
    assert tables.label_space(table) == LABELS
    assert tables.made(table)["root"] == str(tmp_path / "data")
    for row, entry in zip(table.to_pylist(), result["explanations"], strict=True):
        for name in ("video_id", "method", "status", "reason", "path", "split", "run", "label"):
            assert row[name] == entry[name], name
        assert row["heat"] == entry["paths"].get("heat", "")
        assert row["peak_s"] == entry.get("peak_s")
        assert row["predicted"] == (entry["predicted"][0]["index"] if "predicted" in entry else tables.UNLABELLED)
        for name in MEASURED:
            assert row[name] == (entry["measures"] or {}).get(name)
    rows = {row["video_id"]: row for row in table.to_pylist()}
    assert (rows["a"]["action_start_s"], rows["a"]["action_end_s"]) == (0.2, 0.6)
    assert (rows["bad"]["path"], rows["bad"]["label"], rows["bad"]["heat"]) == ("bad.mp4", tables.UNLABELLED, "")
    plain = videos.drop_columns(["truth_path", "action_start_s", "action_end_s"])
    explain_table(loaded, plain, quick(), tmp_path / "plain")
    names = tables.read(EXPLANATIONS, tmp_path / "plain" / "explanations.parquet").column_names
    assert not {"on_target", "action_start_s"} & set(names)


def test_a_run_that_is_stopped_goes_on_and_ends_as_if_it_had_not_been(loaded, videos, tmp_path, monkeypatch):
    whole = explain_table(loaded, videos, quick(), tmp_path / "whole")
    made, steps = [], []
    from secondlook.explain import _table

    real = _table.explain_video
    monkeypatch.setattr(_table, "explain_video", lambda *a, **k: made.append(a[1].name) or real(*a, **k))

    def stop():
        steps.append(1)
        if len(steps) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explain_table(loaded, videos, quick(), tmp_path / "out", advance=stop)
    assert made == ["a.mp4", "b.mp4"]
    assert not list((tmp_path / "out").glob("explanations*"))
    again = explain_table(loaded, videos, quick(), tmp_path / "out")
    assert made == ["a.mp4", "b.mp4", "c.mp4", "bad.mp4"]
    assert list(again["explanations"]) == list(whole["explanations"])
    for path in (tmp_path / "whole").rglob("*.npz"):
        one, other = HeatMap.load(path), HeatMap.load(tmp_path / "out" / path.relative_to(tmp_path / "whole"))
        np.testing.assert_array_equal(one.heat_THW, other.heat_THW)
    tables_ = [pq.read_table(tmp_path / f / "explanations.parquet") for f in ("whole", "out")]
    assert tables_[0].equals(tables_[1], check_metadata=True)


def test_what_was_listed_stays_when_a_later_run_is_stopped(loaded, videos, tmp_path):
    explain_table(loaded, videos.slice(0, 1), quick(), tmp_path / "out")
    before = (tmp_path / "out" / "explanations.json").read_text()

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explain_table(loaded, videos, quick(), tmp_path / "out", advance=stop)
    assert (tmp_path / "out" / "explanations.json").read_text() == before
    assert not list((tmp_path / "out").glob("*.part"))


def test_memory_does_not_grow_with_the_entries(tmp_path):
    """Ten times the entries take no more than the batches that wait to be written, and 8-byte keys."""

    def peak(count):
        tracemalloc.start()
        with Writer(tmp_path / str(count), {}, measured=False) as writer:
            for i in range(count):
                writer.add(one_entry(i))
            entries = writer.finish({})
        assert sum(1 for _ in entries) == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(600)
    assert peak(6000) < peak(600) + 3 * 2**20  # kept in lists they would take 20 MiB


def one_entry(i):
    times = [round(0.1 * t, 4) for t in range(16)]
    predicted = [{"index": k, "name": f"class {k}", "confidence": 0.2} for k in range(5)]
    return {
        "video_id": f"video_{i}", "method": "grad_cam", "status": "ok", "reason": "", "path": f"{i}.mp4",
        "split": "test", "run": "a", "label": 0, "paths": {"heat": f"video_{i}/heat.npz"}, "measures": None,
        "predicted": predicted,
        "frame_time_s": times, "heat_share": times, "heat_area": times, "peak_s": 0.1, "no_heat": False,
        "module": "layer4", "given": 0,
    }  # fmt: skip


def test_several_methods_go_into_a_folder_each(loaded, videos, tmp_path, second):
    steps = []
    wishes = [quick(method=m) for m in ("grad_cam", second)]
    results = explain_methods(loaded, videos.slice(0, 2), wishes, tmp_path / "out", advance=lambda: steps.append(1))
    assert len(steps) == 4
    for wish in wishes:
        table = tables.read(EXPLANATIONS, tmp_path / "out" / wish.method / "explanations.parquet")
        assert table["method"].to_pylist() == [wish.method] * 2
        assert [e["method"] for e in results[wish.method]["explanations"]] == [wish.method] * 2
        assert (tmp_path / "out" / wish.method / "a" / "heat.npz").is_file()
    with pytest.raises(BadValue, match="once"):
        explain_methods(loaded, videos, [quick(), quick()], tmp_path / "twice")


@pytest.fixture
def second(monkeypatch):
    """A second method: Grad-CAM under another name."""
    real, twin = catalog.find, types.SimpleNamespace(explain=grad_cam.explain)
    monkeypatch.setattr(catalog, "find", lambda room, name: twin if name == "second" else real(room, name))
    return "second"


def test_a_method_that_does_not_suit_is_one_error_and_no_video_is_read(loaded, videos, tmp_path, monkeypatch, second):
    monkeypatch.setattr(grad_cam, "unsuitable", lambda *_: "there is no convolution to read", raising=False)
    with pytest.raises(BadValue, match=r"grad_cam of tsm:tiny.*no convolution"):
        explain_table(loaded, videos, quick(), tmp_path / "out")
    with pytest.raises(BadValue, match="no convolution"):
        explain_methods(loaded, videos, [quick(method=second), quick()], tmp_path / "out")
    with pytest.raises(UnknownName, match="'layer4'"):
        explain_methods(loaded, videos, [quick(method=second), quick(options={"layer": "layer5"})], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_labels_of_the_table_are_matched_by_name(loaded, videos, tmp_path):
    other = LabelSpace.from_names(["Rolling right", "Rolling left", "unheard of"])
    table = videos.slice(0, 1).replace_schema_metadata(
        {b"secondlook": json.dumps({**tables.made(videos), "label_space": other.to_dict()}).encode()}
    )
    [entry] = explain_table(loaded, table, quick(), tmp_path / "out")["explanations"]
    assert (entry["given"], entry["given_name"]) == (0, "Rolling left")


def test_rows_are_chosen_by_split_and_spread_by_limit(videos):
    assert choose_rows(videos).num_rows == choose_rows(videos, "test").num_rows == 5
    assert choose_rows(videos, "test", 2)["video_id"].to_pylist() == ["a", "c"]
    assert choose_rows(videos, "test", 99).num_rows == 5
    with pytest.raises(BadValue, match="Its splits: test"):
        choose_rows(videos, "val")
    with pytest.raises(BadValue, match="at least one"):
        choose_rows(videos, "test", 0)


def test_folder_names_are_safe_and_never_collide():
    assert folder_name("clip_0001.a") == "clip_0001.a"
    wild = ["a/b", "a_b", "a b", "../b", "..", "", "x" * 300, "x" * 301, "ü/é", "a:b"]
    names = [folder_name(w) for w in wild]
    assert len(set(names)) == len(wild)
    assert not any("/" in n or n.startswith(".") or len(n) > 100 for n in names)


def test_a_moved_root(loaded, videos, tmp_path):
    shutil.move(tmp_path / "data", tmp_path / "moved")
    result = explain_table(loaded, videos.slice(0, 1), quick(), tmp_path / "out", root=tmp_path / "moved")
    assert result["explanations"][0]["status"] == "ok"


@pytest.mark.real_data
def test_real_clips_are_explained(loaded, shared_data, tmp_path):
    for name in ("egogestar/videos/left/left_04.mp4", "clips/demo.mp4"):
        explained = explain_video(loaded, shared_data / name, Wish())
        paths = write(explained, loaded, tmp_path / "out", Wish(), name)
        assert explained.heat.heat_THW.max() == 1
        assert paths["video"].stat().st_size > 1000
