"""Key points of every form, skeletons drawn on black, pose videos and their table, and an estimator made by hand."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from secondlook import tables
from secondlook.datasets._listing import row
from secondlook.errors import BadValue, MissingFile, UnknownName
from secondlook.video import decode, keypoints, pose_estimator, skeleton
from secondlook.video.pose_estimator import PoseEstimator
from secondlook.video.pose_store import PoseMaking, pose_file
from secondlook.video.prepare_table import prepare_table
from secondlook.video.skeleton import BODY_25, COCO_17, draw
from tests.video.fake_pose import ELBOW, MAPS, NECK, SHOULDER, somebody, write_network
from tests.video.test_frame_folder import write


def one(joints=25, at=(20.0, 10.0)) -> np.ndarray:
    """A person whose joints lie on a slanted line."""
    line = np.linspace(0, 20, joints)
    return np.stack([at[0] + line, at[1] + line, np.ones(joints)], -1).astype(np.float32)


@pytest.mark.spec("late-temporal-bert", "F13")
def test_a_skeleton_is_a_picture_of_the_frames_size():
    empty = draw(np.zeros((0, 25, 3), np.float32), BODY_25, 48, 64)
    assert empty.shape == (48, 64, 3)
    assert empty.dtype == np.uint8
    assert not empty.any()
    person = np.zeros((1, 25, 3), np.float32)
    person[0, 1], person[0, 8] = (30, 5, 0.9), (30, 40, 0.9)
    picture = draw(person, BODY_25, 48, 64)
    colour = skeleton.colours(26)[BODY_25.limbs.index((1, 8))]
    assert np.abs(picture[20, 30].astype(int) - colour).max() < 30
    assert not picture[:, :25].any()
    assert not picture[:, 36:].any()
    person[0, 8, 2] = 0.05  # not known: the limb is gone, the neck is a dot
    dot = draw(person, BODY_25, 48, 64)
    assert not dot[20].any()
    assert dot[5, 30].any()
    far = np.full((1, 25, 3), 1e9, np.float32)
    far[0, 3] = np.nan
    assert draw(far, BODY_25, 48, 64).shape == (48, 64, 3)
    with pytest.raises(BadValue, match="coco17"):
        draw(person, COCO_17, 48, 64)


def test_skeletons():
    for body, joints, limbs in ((BODY_25, 25, 26), (COCO_17, 17, 19)):
        assert (len(body.joints), len(set(body.limbs))) == (joints, limbs)
        assert {j for limb in body.limbs for j in limb} == set(range(joints))
        assert skeleton.with_joints(joints) is skeleton.find(body.name) is body
    with pytest.raises(UnknownName):
        skeleton.find("body26")
    with pytest.raises(BadValue):
        skeleton.with_joints(18)


def open_pose(folder, frames):
    folder.mkdir(parents=True)
    for t, people in enumerate(frames):
        data = {"people": [{"pose_keypoints_2d": p.ravel().tolist()} for p in people]}
        (folder / f"a_{t:012d}_keypoints.json").write_text(json.dumps(data))


def test_key_points_of_every_form(tmp_path):
    frames = [[one()], [], [one(at=(3, 4)), one(at=(6, 7))]]
    open_pose(tmp_path / "folder", frames)
    (tmp_path / "plain.json").write_text(json.dumps([[p.ravel().tolist() for p in f] for f in frames]))
    (tmp_path / "nested.json").write_text(
        json.dumps({"frames": [{"people": [{"keypoints": p.tolist()} for p in f]} for f in frames]})
    )
    columns = [
        (t, k, j, *map(float, joint))
        for t, f in enumerate(frames) for k, p in enumerate(f) for j, joint in enumerate(p)
    ]  # fmt: skip
    named = dict(zip(keypoints.COLUMNS, map(list, zip(*columns, strict=True)), strict=True))
    pq.write_table(pa.table(named), tmp_path / "table.parquet")
    for name in ("folder", "plain.json", "nested.json", "table.parquet"):
        found = keypoints.read(tmp_path / name)
        assert found.skeleton is BODY_25
        assert [len(f) for f in found.frames] == [1, 0, 2]
        np.testing.assert_allclose(found.frames[2][1], frames[2][1])
    coco = [{"image_id": t, "keypoints": one(17).ravel().tolist()} for t in (0, 2, 2)]
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    found = keypoints.read(tmp_path / "coco.json")
    assert found.skeleton is COCO_17
    assert [len(f) for f in found.frames] == [1, 0, 2]


@pytest.mark.parametrize(
    "text",
    ["no json", "3", '[{"people": 3}]', "[[[1, 2]]]", json.dumps([[one(18).ravel().tolist()]]),
     json.dumps([[one().ravel().tolist(), one(17).ravel().tolist()]]), '[{"image_id": -3, "keypoints": [1]}]',
     '[{"image_id": 99999999999, "keypoints": [1, 2, 3]}]'],
)  # fmt: skip
def test_what_is_no_key_points(tmp_path, text):
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(BadValue):
        keypoints.read(tmp_path / "bad.json")


def test_where_key_points_are_looked_for(tmp_path):
    for name in ("id1.json", "sub/b.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "sub" / "c.mp4").mkdir()
    assert keypoints.find(tmp_path, "id1", "x.mp4") == tmp_path / "id1.json"
    assert keypoints.find(tmp_path, "other", "sub/b.mp4") == tmp_path / "sub/b.parquet"
    assert keypoints.find(tmp_path, "other", "sub/c.mp4") == tmp_path / "sub/c.mp4"
    assert keypoints.find(tmp_path / "sub", "../id1", "no.mp4") is None


@pytest.fixture
def videos(draw_video, tmp_path):
    """Four videos: whole key points, some, none, and those of another form that are broken."""
    names = ("whole", "short", "none", "broken")
    for name in names:
        draw_video(tmp_path / "root" / f"{name}.mp4", frames=6, height=50 if name == "short" else 48)
    open_pose(tmp_path / "points" / "whole", [[one(at=(t, 5))] for t in range(6)])
    open_pose(tmp_path / "points" / "short", [[one()]] * 2)
    (tmp_path / "points" / "broken.json").write_text("{")
    rows = [row(n, f"{n}.mp4", i, "train") for i, n in enumerate(names)]
    tables.write(tables.VIDEOS, rows, tmp_path / "v.parquet", {"root": str(tmp_path / "root")})
    return tables.read(tables.VIDEOS, tmp_path / "v.parquet")


@pytest.mark.spec("late-temporal-bert", "F13")
def test_a_pose_table(videos, tmp_path):
    wish = PoseMaking(str(tmp_path / "points"))
    result = prepare_table(videos, tmp_path / "pose", wish, workers=2)
    new = tables.read(tables.VIDEOS, result["path"])
    rows = new.to_pylist()
    assert [r["status"] for r in rows] == ["ok", "partial", "missing", "unreadable"]
    assert "key points of 2 frames, the video has 6" in rows[1]["reason"]
    assert "no key points" in rows[2]["reason"]
    assert "broken.json" in rows[3]["reason"]
    assert [r["frames"] for r in rows] == [6, 6, None, None]
    about = tables.made(new)
    assert (about["modality"], about["shows"], about["command"]) == ("rgb", "pose", "pose")
    clip = decode.decode(tmp_path / "pose" / rows[0]["path"])
    assert clip.frames_THWC.shape == (6, 48, 64, 3)
    for t in (0, 5):
        drawn = draw(one(at=(t, 5))[None], BODY_25, 48, 64)
        assert np.abs(clip.frames_THWC[t].astype(int) - drawn).mean() < 6  # 4:2:0 blurs colours of thin lines
    black = decode.decode(tmp_path / "pose" / rows[1]["path"]).frames_THWC
    assert black[1].max() > 100
    assert black[3].max() < 8
    again = prepare_table(videos, tmp_path / "pose", wish)
    assert again["already_there"] == 2
    (tmp_path / "points" / "whole" / "a_000000000003_keypoints.json").write_text('{"people": []}')
    changed = prepare_table(videos, tmp_path / "pose", wish)
    assert changed["already_there"] == 1
    assert decode.decode(tmp_path / "pose" / rows[0]["path"]).frames_THWC[3].max() < 8


@pytest.mark.spec("late-temporal-bert", "F3")
def test_pose_pictures_of_a_folder_and_a_missing_one(tmp_path):
    for t in (1, 2, 3):
        write(tmp_path / "v" / f"img_{t:05d}.png", 9)
        write(tmp_path / "v" / f"pose_{t:05d}.png", 60 * t)
    wish = {"pictures": True}
    assert pose_file(tmp_path / "v", tmp_path / "p.mp4", **wish).frame_count == 3
    frames_THWC = decode.decode(tmp_path / "p.mp4").frames_THWC
    assert np.abs(frames_THWC[:, 5, 5, 0].astype(int) - [60, 120, 180]).max() <= 3
    (tmp_path / "v" / "pose_00002.png").unlink()
    clip = pose_file(tmp_path / "v", tmp_path / "p.mp4", **wish)
    assert (clip.status, clip.reason) == ("missing", "picture pose_00002.png is missing")
    assert pose_file(tmp_path / "p.mp4", tmp_path / "q.mp4", **wish).status == "no_frames"


def test_wrong_use(tmp_path):
    with pytest.raises(BadValue, match="exactly one source"):
        PoseMaking()
    with pytest.raises(BadValue, match="exactly one source"):
        PoseMaking(keypoints=str(tmp_path), pictures=True)
    with pytest.raises(MissingFile):
        PoseMaking(keypoints=str(tmp_path / "no"))
    with pytest.raises(MissingFile, match="none comes with secondlook"):
        PoseMaking(estimator=str(tmp_path / "no.onnx"))
    with pytest.raises(UnknownName):
        PoseMaking(pictures=True, skeleton="bodi25")
    with pytest.raises(BadValue, match="threshold"):
        PoseMaking(pictures=True, threshold=2)


@pytest.mark.parametrize("engine", ["onnxruntime", "opencv"])
def test_an_estimator_finds_the_people_its_network_shows(tmp_path, monkeypatch, engine):
    pytest.importorskip("onnx")
    if engine == "opencv":
        monkeypatch.setattr(pose_estimator, "_onnxruntime", lambda model: None)
    else:
        pytest.importorskip("onnxruntime")
    network = write_network(tmp_path / "pose.onnx")
    estimate = PoseEstimator(network, height=64)
    people_PJ3 = estimate(somebody())
    assert people_PJ3.shape == (1, 25, 3)
    assert set(np.flatnonzero(people_PJ3[0, :, 2])) == {NECK, SHOULDER, ELBOW}
    np.testing.assert_allclose(people_PJ3[0, [NECK, SHOULDER, ELBOW], 0], [11.5, 43.5, 83.5], atol=4.5)
    np.testing.assert_allclose(people_PJ3[0, [NECK, SHOULDER, ELBOW], 1], 27.5, atol=4.5)
    assert estimate(np.zeros((64, 96, 3), np.uint8)).shape == (0, 25, 3)
    assert PoseEstimator(network, height=64, min_joints=4)(somebody()).shape[0] == 0
    with pytest.raises(BadValue, match="coco17 gives 17 or 18 and 38 maps"):
        PoseEstimator(network, "coco17", height=64)(somebody())
    with pytest.raises(BadValue, match="gives 25 or 26 and 52"):
        PoseEstimator(write_network(tmp_path / "few.onnx", MAPS - 3), height=64)(somebody())
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    with pytest.raises(BadValue, match="no network"):
        PoseEstimator(tmp_path / "bad.onnx")
    with pytest.raises(MissingFile, match="none comes with secondlook"):
        PoseEstimator(tmp_path / "no.onnx")


def test_a_video_through_the_estimator(tmp_path):
    pytest.importorskip("onnx")
    from secondlook.video.encode import write_video

    network = write_network(tmp_path / "pose.onnx")
    write_video(tmp_path / "v.mp4", [somebody(top=t) for t in (8, 24, 40)], 12, crf=1)
    wish = {"estimator": str(network)}
    assert pose_file(tmp_path / "v.mp4", tmp_path / "p.mp4", **wish).frame_count == 3
    frames_THWC = decode.decode(tmp_path / "p.mp4").frames_THWC
    rows = [np.flatnonzero(f.max((1, 2)) > 60).mean() for f in frames_THWC]
    np.testing.assert_allclose(rows, [11.5, 27.5, 43.5], atol=3)
