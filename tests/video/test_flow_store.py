"""Flow files: what is written comes out bit for bit, at every way of reading; times, resuming, bad sources, tables."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from secondlook import tables
from secondlook.cards import CHANNELS, ClipSpec
from secondlook.datasets._listing import row
from secondlook.errors import BadValue, UnknownName
from secondlook.labels import LabelSpace
from secondlook.predict.loader import ClipDataset, Key
from secondlook.predict.weights import NORMALISATION, find_card, with_clip
from secondlook.video import _read, _skip, decode, flow, transform
from secondlook.video.augment import Augment, augment
from secondlook.video.cache import FrameCache
from secondlook.video.clip import Size
from secondlook.video.flow_store import FlowMaking, StackedWriter, flow_file
from secondlook.video.guard import Guard
from secondlook.video.modalities import holds_flow, pictures_of
from secondlook.video.prepare import Preparation
from secondlook.video.prepare_table import prepare_table
from secondlook.video.walk import Walk
from tests.video.test_frame_folder import write

SPEC = ClipSpec(
    frames=4, height=20, width=24, short_side=32, modality="flow", mean=NORMALISATION["flow"][0],
    std=NORMALISATION["flow"][1],
)  # fmt: skip


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """A flow file of noise at an odd size, and what was written."""
    path = tmp_path_factory.mktemp("noise") / "noise.mp4"
    maps_THW2 = np.random.default_rng(0).integers(0, 256, (19, 33, 47, 2), dtype=np.uint8)
    with StackedWriter(path, 12.0, 'secondlook flow {"key": "a", "status": "ok", "reason": ""}') as writer:
        for t, map_HW2 in enumerate(maps_THW2):
            writer.write(map_HW2, t / 12)
    return path, maps_THW2


@pytest.fixture(scope="module")
def moving(draw_video, tmp_path_factory):
    """A video of a square that moves right by 2 pixels a frame."""
    return draw_video(tmp_path_factory.mktemp("moving") / "a.mp4", frames=12, options={"crf": "5"})


@pytest.mark.spec("late-temporal-bert", "F7")
def test_every_value_comes_out_as_it_went_in(noise):
    path, maps_THW2 = noise
    whole = decode.decode(path)
    assert (whole.status, whole.frame_count, whole.source_height, whole.source_width) == ("ok", 19, 33, 47)
    np.testing.assert_array_equal(whole.frames_THWC[..., :2], maps_THW2)
    assert (whole.frames_THWC[..., 2] == 128).all()
    np.testing.assert_allclose(whole.frame_time_s_T, np.arange(19) / 12, atol=1e-4)
    sparse = _skip.read(path, np.array([3, 11, 18]), Size(), 19)
    assert sparse is not None
    np.testing.assert_array_equal(sparse.frames_THWC[..., :2], maps_THW2[[3, 11, 18]])
    with Walk(path) as walk, Guard(60) as guard:
        np.testing.assert_array_equal([s.frame_HWC for s in walk.frames()], whole.frames_THWC)
        np.testing.assert_array_equal(guard.decode(path).frames_THWC, whole.frames_THWC)
    assert holds_flow(path)
    assert not _read.plays_in_browsers(path)


def test_x_and_y_are_resized_each_on_its_own(tmp_path):
    """A seam between x = 0 and y = 255 would show, were the stored picture resized as one."""
    path = tmp_path / "f.mp4"
    with StackedWriter(path, 12.0, "secondlook flow {}") as writer:
        writer.write(np.stack([np.zeros((40, 60), np.uint8), np.full((40, 60), 255, np.uint8)], -1), 0.0)
    small = decode.decode(path, size=Size(short_side=13)).frames_THWC
    assert small.shape == (1, 13, 20, 3)
    assert (small[..., 0] == 0).all()
    assert (small[..., 1] == 255).all()


@pytest.mark.parametrize("method", flow.methods())
def test_flow_of_a_video(moving, tmp_path, method):
    before = decode.decode(moving)
    facts = flow_file(moving, tmp_path / "f.mp4", method=method)
    after = decode.decode(tmp_path / "f.mp4")
    assert (facts.status, facts.reason) == ("ok", "")
    assert facts.frame_count == after.frame_count == before.frame_count == 12
    assert (after.source_height, after.source_width) == (48, 64)
    np.testing.assert_allclose(after.frame_time_s_T, before.frame_time_s_T, atol=2e-3)
    np.testing.assert_array_equal(after.frames_THWC[-1], after.frames_THWC[-2])  # the last pair is shown twice
    if method == "dis":
        gray = [np.ascontiguousarray(transform.luma(torch.tensor(f).permute(2, 0, 1)[None].float())[0].round().byte())
                for f in before.frames_THWC]  # fmt: skip
        by_hand = flow.encode(flow.estimator("dis")(gray[4], gray[5]))
        assert np.abs(after.frames_THWC[4, ..., :2].astype(int) - by_hand).max() <= 13  # 2 px; greys round otherwise
    pixels = flow.decode(after.frames_THWC[5, 24:30, 10:16, :2])
    assert 0.5 < pixels[..., 0].mean() < 3.5  # it moves right


def test_a_video_of_one_frame_is_still(draw_video, tmp_path):
    one = draw_video(tmp_path / "one.mp4", frames=1)
    assert flow_file(one, tmp_path / "f.mp4").frame_count == 1
    assert (decode.decode(tmp_path / "f.mp4").frames_THWC == flow.ZERO).all()


def test_work_that_is_done_is_not_done_again(moving, tmp_path):
    target, wish = tmp_path / "f.mp4", FlowMaking()
    first = flow_file(moving, target)
    before = target.stat().st_mtime_ns
    assert wish.is_made(moving, target, {})
    assert flow_file(moving, target).frame_count == first.frame_count
    assert target.stat().st_mtime_ns == before
    assert not FlowMaking("farneback").is_made(moving, target, {})
    assert flow_file(moving, target, short_side=24).source_height == 24
    assert not wish.is_made(moving, target, {})
    target.write_bytes(target.read_bytes()[:200])
    assert flow_file(moving, target).source_height == 48
    assert wish.is_made(moving, target, {})


def test_bad_sources_give_their_status_and_no_file(bad_files, tmp_path):
    for name, status in (("zero.mp4", "empty"), ("sound.mp4", "no_video_stream"), ("not_there.mp4", "missing")):
        assert flow_file(bad_files / name, tmp_path / "f.mp4").status == status
    assert list(tmp_path.iterdir()) == []
    cut = flow_file(bad_files / "cut.avi", tmp_path / "f.mp4")
    assert cut.status == "partial"
    assert flow_file(bad_files / "cut.avi", tmp_path / "f.mp4").reason == cut.reason != ""


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [({"method": "dsi"}, UnknownName), ({"short_side": 1}, BadValue), ({"bound": 0}, BadValue),
     ({"method": "pictures", "short_side": 8}, BadValue)],
)  # fmt: skip
def test_bad_settings(wrong, kind):
    with pytest.raises(kind):
        FlowMaking(**wrong)


@pytest.mark.spec("late-temporal-bert", "F3")
def test_pictures_of_flow_are_taken_as_they_are_and_a_missing_one_is_a_row(tmp_path):
    for video in ("a", "b"):
        for t in (1, 2, 3):
            for name, value in (("img", 9), ("flow_x", 70 + t), ("flow_y", 30 + t)):
                write(tmp_path / "root" / video / f"{name}_{t:05d}.png", value)
    (tmp_path / "root" / "b" / "flow_y_00002.png").unlink()
    rows = [row(v, v, 0) for v in "ab"]
    tables.write(tables.VIDEOS, rows, tmp_path / "v.parquet", {"root": str(tmp_path / "root")})
    table = tables.read(tables.VIDEOS, tmp_path / "v.parquet")
    result = prepare_table(table, tmp_path / "flow", FlowMaking("pictures"))
    new = tables.read(tables.VIDEOS, result["path"]).to_pylist()
    assert [r["status"] for r in new] == ["ok", "missing"]
    assert new[1]["reason"] == "picture flow_y_00002.png is missing"
    frames_THWC = decode.decode(tmp_path / "flow" / new[0]["path"]).frames_THWC
    assert frames_THWC[:, 4, 4].tolist() == [[70 + t, 30 + t, 128] for t in (1, 2, 3)]
    assert prepare_table(table, tmp_path / "flow", FlowMaking("pictures"))["already_there"] == 1


@pytest.fixture
def both(moving, bad_files, tmp_path):
    """A videos table and the flow table that is made of it."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.mp4").write_bytes(moving.read_bytes())
    (root / "zero.mp4").write_bytes(b"")
    rows = [row(n, f"{n}.mp4", i % 2, "train", "g") for i, n in enumerate(("a", "zero"))]
    made = {"root": str(root), "label_space": LabelSpace.from_names(["one", "two"]).to_dict()}
    tables.write(tables.VIDEOS, rows, tmp_path / "v.parquet", made)
    videos = tables.read(tables.VIDEOS, tmp_path / "v.parquet")
    result = prepare_table(videos, tmp_path / "flow", FlowMaking("dis", bound=10.0), workers=2)
    return videos, tables.read(tables.VIDEOS, result["path"])


def test_a_flow_table(both):
    videos, moved = both
    for column in ("video_id", "label", "split", "group"):
        assert moved[column].to_pylist() == videos[column].to_pylist()
    assert moved["status"].to_pylist() == ["ok", "empty"]
    assert moved["frames"].to_pylist() == [12, None]
    about = tables.made(moved)
    assert (about["modality"], about["flow_method"], about["flow_bound"]) == ("flow", "dis", 10.0)
    assert about["command"] == "flow"
    assert tables.label_space(moved).names == ("one", "two")
    for wish in (FlowMaking(), Preparation()):
        with pytest.raises(BadValue, match="is flow"):
            prepare_table(moved, "elsewhere", wish)


def test_a_table_is_read_with_a_recipe_of_its_own_modality_only(both, tmp_path):
    videos, moved = both
    rgb = with_clip(find_card("resnet3d:tiny"), modality="rgb").clip
    item = ClipDataset(moved, SPEC, train=False, timeout_s=None)[Key(0)]
    assert item.x_NCTHW.shape == (1, 2, 4, 20, 24)
    cached = ClipDataset(moved, SPEC, train=False, timeout_s=None, cache=FrameCache(tmp_path / "cache"))
    assert all(torch.equal(cached[Key(0)].x_NCTHW, item.x_NCTHW) for _ in range(2))
    assert ClipDataset(moved, SPEC, train=False, timeout_s=None)[Key(1)].facts.status == "empty"
    with pytest.raises(BadValue, match="secondlook flow"):
        ClipDataset(videos, SPEC, train=False)
    with pytest.raises(BadValue, match="holds, which is flow"):
        ClipDataset(moved, rgb, train=False)
    with pytest.raises(BadValue, match="no colour"):
        ClipDataset(moved, SPEC, train=True, augment=Augment(jitter=0.2))
    file = f"{tables.made(moved)['root']}/{moved['path'][0]}"
    assert transform.input_clip(file, SPEC).x_CTHW.shape == (2, 4, 20, 24)
    with pytest.raises(BadValue, match="holds flow"):
        transform.input_clip(file, rgb)
    source = f"{tables.made(videos)['root']}/a.mp4"
    with pytest.raises(BadValue, match="is no flow"):
        transform.input_clip(source, SPEC)
    shown = pictures_of(3, rgb=source, flow=file)
    assert {name: p.shape for name, p in shown.items()} == dict.fromkeys(("rgb", "flow_x", "flow_y"), (48, 64, 3))
    np.testing.assert_array_equal(shown["flow_x"][..., 0], decode.decode(file).frames_THWC[3, ..., 0])
    with pytest.raises(BadValue, match="holds no flow"):
        pictures_of(3, flow=source)


def test_no_motion_is_zero():
    assert CHANNELS["flow"] == 2
    still = np.full((4, 20, 24, 3), flow.ZERO, np.uint8)
    x_CTHW = transform.to_input(still, SPEC)
    assert x_CTHW.shape == (2, 4, 20, 24)
    assert x_CTHW.abs().max() < 1e-5


@pytest.mark.spec("late-temporal-bert", "F23")
def test_a_mirror_turns_the_motion_across_round():
    frames_THWC = np.random.default_rng(0).integers(0, 256, (4, 20, 24, 3), dtype=np.uint8)
    frames_TCHW = transform.to_tensor(frames_THWC)
    mirrored = transform.mirror(frames_TCHW, "flow")
    by_hand = frames_THWC[:, :, ::-1].copy()
    by_hand[..., 0] = 255 - by_hand[..., 0]
    np.testing.assert_array_equal(mirrored.permute(0, 2, 3, 1), by_hand)
    assert torch.equal(transform.mirror(mirrored, "flow"), frames_TCHW)
    assert torch.equal(transform.mirror(frames_TCHW, "rgb"), frames_TCHW.flip(-1))
    torch.testing.assert_close(transform.mirror(frames_TCHW / 255, "flow"), mirrored / 255)
    # The crops of testing and the flips of training are made by it.
    plain, turned = (transform.to_input(frames_THWC, SPEC, crop) for crop in ("center", "center_mirrored"))
    torch.testing.assert_close(turned[1], plain[1].flip(-1))
    torch.testing.assert_close(turned[0], -plain[0].flip(-1) - 1 / 255 / SPEC.std[0], atol=1e-5, rtol=1e-5)
    settings = Augment(crop="none", flip=1.0, directional=False)
    flipped, _ = augment(frames_THWC, 0, SPEC, settings, torch.Generator().manual_seed(0))
    torch.testing.assert_close(flipped, turned)


@pytest.mark.spec("late-temporal-bert", "F23")
def test_flow_of_a_mirrored_scene_is_the_mirrored_flow():
    from tests.video.moving import shifted

    first, second = shifted(3.0, -2.0)
    estimate = flow.estimator("tvl1")
    plain, turned = (flow.encode(estimate(*pair)) for pair in ((first, second), (first[:, ::-1], second[:, ::-1])))
    by_mirror = transform.mirror(torch.from_numpy(plain).permute(2, 0, 1)[None], "flow")[0].permute(1, 2, 0).numpy()
    assert np.abs(by_mirror.astype(int) - turned)[12:-12, 12:-12].mean() < 1.5  # of 255; the sign alone is 38


@pytest.mark.spec("late-temporal-bert", "F23")
@pytest.mark.parametrize("crop", ["none", "random", "multi_scale", "zoom"])
def test_all_frames_of_a_flow_clip_are_cropped_and_flipped_alike(crop):
    one_HWC = np.random.default_rng(0).integers(0, 256, (1, 32, 40, 3), dtype=np.uint8)
    settings = Augment(crop=crop, flip=0.5, directional=False)
    flips = 0
    for seed in range(20):
        frames_THWC = np.repeat(one_HWC, 4, 0)
        frames_THWC[..., 1] = 255 - frames_THWC[..., 0]
        x_CTHW, _ = augment(frames_THWC, 0, SPEC, settings, torch.Generator().manual_seed(seed))
        assert (x_CTHW == x_CTHW[:, :1]).all()
        # y was drawn as the negative of x, at every place; after a flip it is equal to it.
        apart = [(x_CTHW[1] + s * x_CTHW[0]).abs().mean() for s in (1, -1)]
        assert min(apart) < 0.15
        flips += int(apart[1] < apart[0])
    assert 3 <= flips <= 17


@pytest.mark.real_data
def test_a_finger_that_draws_to_the_left_moves_left(shared_data, tmp_path):
    means = {}
    for name in ("left", "right"):
        clip = sorted((shared_data / "egogestar" / "videos" / name).glob("*.mp4"))[0]
        flow_file(clip, tmp_path / f"{name}.mp4")
        x_THW = flow.decode(decode.decode(tmp_path / f"{name}.mp4").frames_THWC[..., 0])
        fast = np.abs(x_THW) > 1
        means[name] = x_THW[fast].mean()
    assert means["left"] < -0.3 < 0.3 < means["right"], means
