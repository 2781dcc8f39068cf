"""Drawn data: labels, their rules and pairs, and the true set of every clip."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from secondlook.datasets import drawn
from secondlook.datasets._drawn_clip import CLIPS_PER_SCENE, DrawnSettings, drawn_clip, scene_of
from secondlook.datasets._drawn_plan import Body
from secondlook.datasets._drawn_templates import TEMPLATES, plan
from secondlook.datasets._drawn_truth import RULES, Facts, holding
from secondlook.errors import BadValue, UnknownName

ROUNDS = 20


@pytest.fixture(scope="module")
def clips():
    """Plans of twenty rounds over the templates; planning is cheap, nothing is painted."""
    settings = DrawnSettings(clips=ROUNDS * len(drawn.LABELS), seed=5)
    scenes = [scene_of(settings, n * CLIPS_PER_SCENE) for n in range(8)]
    return [drawn_clip(settings, n, scenes[n // CLIPS_PER_SCENE % 8]) for n in range(settings.clips)]


def test_there_are_enough_labels_and_each_has_a_rule_and_a_template():
    names = drawn.LABELS.names
    assert len(names) >= 24
    assert len(drawn.LABELS.groups) >= 8
    assert drawn.LABELS.directional
    assert set(names) == set(RULES) == set(TEMPLATES)
    pairs = (
        drawn.REVERSAL_PAIRS + drawn.SPEED_PAIRS + drawn.APPEARANCE_PAIRS + drawn.VIEWPOINT_PAIRS + drawn.FORCE_PAIRS
    )
    assert {name for pair in pairs for name in pair} | set(drawn.PARENTS) | set(drawn.PARENTS.values()) <= set(names)


def test_facts_by_hand():
    """Sets that a reader can check without the rules."""
    cases = {
        Facts(held=True, rise=0.4): {"Moving something up"},
        Facts(held=True, rise=0.1): set(),
        Facts(rise=0.4): set(),
        Facts(held=True, rise=-0.3, right=0.35): {"Moving something down", "Moving something from left to right"},
        Facts(held=True, closer=0.3): {"Moving something and something closer to each other"},
        Facts(pushed=0.4, right=-0.4): {"Pushing something", "Moving something from right to left"},
        Facts(pushed=0.1, right=0.1): {"Pushing something", "Pushing something so that it slightly moves"},
        Facts(pushed=0.0, touched=False): {"Pretending to push something"},
        Facts(pushed=0.3, fell=True, right=0.3): {
            "Pushing something",
            "Pushing something so that it falls off the table",
        },
        Facts(dropped=True): {"Dropping something"},
        Facts(dropped=True, landed="into"): {"Dropping something", "Dropping something into something"},
        Facts(dropped=True, landed="behind", level_view=True): {
            "Dropping something",
            "Dropping something into something",
            "Dropping something behind something",
        },
        Facts(dropped=True, landed="onto", level_view=True): {
            "Dropping something",
            "Dropping something onto something",
        },
        Facts(beside=-1.1, nearer=0.0): {"Putting something next to something"},
        Facts(beside=0.1, nearer=0.15): {"Putting something in front of something"},
        Facts(beside=0.7, nearer=0.08): {
            "Putting something next to something",
            "Putting something in front of something",
        },
        Facts(squeezed=0.06): {"Squeezing something", "Pretending to squeeze something"},
        Facts(squeezed=0.3): {"Squeezing something"},
        Facts(squeezed=0.0, touched=False): {"Pretending to squeeze something"},
        Facts(thrown="up"): {"Throwing something", "Throwing something up and letting it fall"},
        Facts(roll=0.6, pushed=0.45): {"Rolling something slowly", "Pushing something"},
        Facts(spin=2.0): {"Rotating something quickly"},
        Facts(covers=-1, put_onto=-1): {"Uncovering something"},
    }
    for facts, expected in cases.items():
        assert set(holding(facts)) == expected, facts


def test_a_parent_holds_where_its_child_holds(clips):
    for clip in clips:
        for child, parent in drawn.PARENTS.items():
            assert child not in clip.true or parent in clip.true


def test_the_given_label_is_of_the_true_set_unless_it_is_wrong_on_purpose(clips):
    for clip in clips:
        assert clip.template in clip.true
        assert (clip.given in clip.true) is not clip.wrong
    assert sum(clip.wrong for clip in clips) == pytest.approx(0.05 * len(clips), abs=2)
    wrong = {clip.given for clip in clips if clip.wrong}
    assert len(wrong) > 10, "wrong labels are drawn from all labels that do not hold"


def test_several_labels_hold_often_but_not_always(clips):
    sizes = np.array([len(clip.true) for clip in clips])
    assert 0.40 <= (sizes > 1).mean() <= 0.57
    assert 1.4 <= sizes.mean() <= 1.8
    assert sizes.max() <= 5
    right = [clip for clip in clips if not clip.wrong]
    other = np.mean([clip.given != clip.template for clip in right])
    assert 0.08 <= other <= 0.2, "mostly the template's own label is given, sometimes another that holds"


@pytest.mark.parametrize("pair", drawn.VIEWPOINT_PAIRS + drawn.FORCE_PAIRS, ids=lambda pair: pair[0])
def test_both_labels_of_an_ambiguous_pair_hold_for_some_clips_and_one_alone_for_others(clips, pair):
    held = Counter(frozenset(pair) & set(clip.true) for clip in clips if clip.template in pair)
    assert held[frozenset(pair)] >= 4
    assert held[frozenset(pair[:1])] >= 4
    assert held[frozenset(pair[1:])] >= 4


def test_templates_take_turns_and_scenes_are_shared(clips):
    count = len(drawn.LABELS)
    for start in range(0, len(clips), count):
        assert {clip.template for clip in clips[start : start + count]} == set(drawn.LABELS.names)
    groups = Counter(clip.group for clip in clips)
    assert set(groups.values()) == {CLIPS_PER_SCENE}


def test_a_clip_depends_on_seed_and_number_but_not_on_how_many_there_are():
    few, many, other = DrawnSettings(clips=1), DrawnSettings(clips=900), DrawnSettings(clips=900, seed=1)
    scene = scene_of(few, 7)
    one, same = drawn_clip(few, 7, scene), drawn_clip(many, 7, scene_of(many, 7))
    assert one.row(few) == same.row(many)
    np.testing.assert_array_equal(one.plan.light_T, same.plan.light_T)
    assert not np.array_equal(one.plan.light_T, drawn_clip(other, 7, scene).plan.light_T)


@pytest.mark.parametrize("frames", [12, 24, 61])
@pytest.mark.parametrize("label", drawn.LABELS.names)
def test_things_stand_still_before_and_after_the_action(label, frames):
    scene = scene_of(DrawnSettings(), 0)
    planned = plan(label, scene, np.random.default_rng(frames), frames)
    assert 1 <= planned.first < planned.last <= frames - 2
    tracks = [planned.camera_T2] if "camera" in label and "Turning" in label else []
    for layer in planned.layers:
        if isinstance(layer, Body):
            tracks += [layer.at_T2, layer.angle_T[:, None], layer.stretch_T2]
        else:
            tracks += [layer.hand.at_T2, layer.hand.angle_T[:, None], layer.hand.curl_T[:, None]]
    shake = 0.05 if "Turning" in label else 1e-6
    moved = np.concatenate([np.diff(track, axis=0) for track in tracks], axis=1)
    assert np.abs(moved[: planned.first]).max(initial=0) <= shake
    assert np.abs(moved[planned.last :]).max(initial=0) <= shake
    assert np.abs(moved[planned.first : planned.last]).sum(axis=0).max() > 0.05


def test_how_long_a_motion_takes_varies_within_a_class_but_not_in_speed_pairs(clips):
    shares: dict[str, list[float]] = {}
    for clip in clips:
        shares.setdefault(clip.template, []).append((clip.plan.last - clip.plan.first) / clip.plan.frames)
    assert max(shares["Moving something up"]) / min(shares["Moving something up"]) > 1.4
    assert max(shares["Rolling something quickly"]) < min(shares["Rolling something slowly"]) / 2


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"clips": 0}, "at least 1"),
        ({"seed": -1}, "negative"),
        ({"wrong_labels": 5}, "5 % is 0.05"),
        ({"cue_share": -0.1}, "cue_share is a share"),
        ({"size": 33}, "even"),
        ({"frames": 4}, "12 to 240"),
        ({"fps": 0}, "frame rate"),
    ],
)
def test_bad_settings_say_what_to_do(wrong, says):
    with pytest.raises(BadValue, match=says):
        DrawnSettings(**wrong)


def test_the_label_of_a_cue_is_looked_up():
    assert DrawnSettings(cue="moving [something] up").cue == "Moving something up"
    with pytest.raises(UnknownName, match="Did you mean 'Moving something up'"):
        DrawnSettings(cue="Moving somthing up")


def test_cues_come_with_their_label_and_seldom_elsewhere():
    settings = DrawnSettings(cue="Moving something up", wrong_labels=0, cue_share=0.9, cue_elsewhere=0.05)
    scene = scene_of(settings, 0)
    clips = [drawn_clip(settings, n, scene) for n in range(20 * len(drawn.LABELS))]
    own = [clip.cue for clip in clips if clip.given == settings.cue]
    others = [clip.cue for clip in clips if clip.given != settings.cue]
    assert np.mean(own) > 0.75
    assert 0 < np.mean(others) < 0.1
    bare = replace(settings, cue="")
    assert not any(drawn_clip(bare, n, scene).cue for n in range(50))
