"""Folders that hold RGB, flow in x and y, and pose side by side; what is missing is named."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from secondlook.errors import BadValue, MissingFile
from secondlook.video import decode, frame_folder
from secondlook.video.clip import Size
from secondlook.video.modalities import holds_flow, pictures_of
from secondlook.video.walk import Walk

VALUE = {"img": 10, "flow_x": 100, "flow_y": 150, "pose": 200}


def write(path, value, height=12, width=16):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width), value, np.uint8)).save(path)


@pytest.fixture
def mixed(tmp_path):
    """Four frames of every modality; a picture's grey says which it is."""
    for name, value in VALUE.items():
        for t in range(1, 5):
            write(tmp_path / "mixed" / f"{name}_{t:05d}.png", value + t)
    return tmp_path / "mixed"


@pytest.mark.spec("late-temporal-bert", "F3")
def test_each_modality_of_a_folder_is_read_alone(mixed):
    for kind, value in (("rgb", 10), ("pose", 200)):
        frames_THWC = frame_folder.read(mixed, kind)
        assert frames_THWC.shape == (4, 12, 16, 3)
        assert frames_THWC[:, 0, 0, 0].tolist() == [value + t for t in range(1, 5)]
    flow_THWC = frame_folder.read(mixed, "flow")
    assert flow_THWC[:, 0, 0].tolist() == [[100 + t, 150 + t, 128] for t in range(1, 5)]
    assert frame_folder.read(mixed, "flow", Size(short_side=6)).shape == (4, 6, 8, 3)
    clip = decode.decode(mixed)  # a plain reading is of the RGB frames
    assert clip.frames_THWC[:, 0, 0, 0].tolist() == [11, 12, 13, 14]
    shown = pictures_of(2, rgb=mixed, flow=mixed, pose=mixed)
    assert {name: picture[3, 3].tolist() for name, picture in shown.items()} == {
        "rgb": [13] * 3, "flow_x": [103] * 3, "flow_y": [153] * 3, "pose": [203] * 3,
    }  # fmt: skip


@pytest.mark.spec("late-temporal-bert", "F3")
@pytest.mark.parametrize(
    ("kind", "gone"),
    [("rgb", "img_00002.png"), ("flow", "flow_x_00003.png"), ("flow", "flow_y_00004.png"), ("pose", "pose_00003.png")],
)
def test_a_missing_frame_is_an_error_that_names_the_file(mixed, kind, gone):
    (mixed / gone).unlink()
    with pytest.raises(MissingFile, match=gone):
        frame_folder.read(mixed, kind)
    if kind == "rgb":
        assert (decode.probe(mixed).status, decode.probe(mixed).reason) == ("missing", f"picture {gone} is missing")
        with pytest.raises(BadValue, match=gone):
            Walk(mixed)
    else:
        assert decode.probe(mixed).status == "ok"


@pytest.mark.parametrize(("x", "y"), [("flow_x/0001.jpg", "flow_y/0001.jpg"), ("x/a_1.jpg", "y/a_1.jpg")])
def test_flow_in_folders_of_its_own(tmp_path, x, y):
    for t in (1, 2, 3):
        write(tmp_path / x.replace("1", str(t)), 90)
        write(tmp_path / y.replace("1", str(t)), 160)
    assert holds_flow(tmp_path)
    clip = decode.decode(tmp_path)
    assert (clip.status, clip.frame_count) == ("ok", 3)
    assert np.abs(clip.frames_THWC[1, 5, 5].astype(int) - [90, 160, 128]).max() <= 2  # jpg
    (tmp_path / y.replace("1", "2")).unlink()
    assert decode.probe(tmp_path).reason == f"picture {y.replace('1', '2')} is missing"


def test_flow_alone_is_read_as_flow_and_gaps_in_other_names_are_allowed(tmp_path):
    for t in (1, 2):
        write(tmp_path / "flow" / f"flow_x_{t}.jpg", 90)
        write(tmp_path / "flow" / f"flow_y_{t}.jpg", 160)
    assert holds_flow(tmp_path / "flow")
    with Walk(tmp_path / "flow") as walk:
        assert [s.frame_HWC[0, 0, 2] for s in walk.frames()] == [128, 128]
    for t in (0, 5, 10):
        write(tmp_path / "thin" / f"{t:03d}.jpg", 90)
    assert decode.probe(tmp_path / "thin").frame_count == 3
    assert not holds_flow(tmp_path / "thin")


def test_bad_folders(mixed, tmp_path):
    with pytest.raises(MissingFile):
        frame_folder.read(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadValue, match="without flow pictures"):
        frame_folder.read(tmp_path / "empty", "flow")
    write(mixed / "flow_y_00003.png", 1, height=8)
    with pytest.raises(BadValue, match=r"flow_x_00003\.png.*another size"):
        frame_folder.read(mixed, "flow")
    write(mixed / "img_00003.png", 1, height=8)
    with pytest.raises(BadValue, match=r"img_00003\.png.*another size"):
        frame_folder.read(mixed, "rgb")
    (mixed / "pose_00002.png").write_bytes(b"no picture")
    with pytest.raises(BadValue, match=r"pose_00002\.png.*cannot be read"):
        frame_folder.read(mixed, "pose")
    with pytest.raises(BadValue, match="no such rgb frame"):
        pictures_of(9, rgb=_good(tmp_path))
    with pytest.raises(BadValue, match="from 0"):
        pictures_of(-1, rgb=mixed)


def _good(folder):
    write(folder / "good" / "a.png", 3)
    return folder / "good"
