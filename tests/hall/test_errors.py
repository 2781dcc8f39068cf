"""Errors say the value, the rule, the cure and the nearest valid name, and belong to the families users expect."""

from __future__ import annotations

import pytest

from secondlook.errors import BadValue, MissingFile, SecondlookError, UnknownName, nearest


def test_a_bad_value_is_a_sentence_and_a_value_error():
    error = BadValue(7, "must be a multiple of 8", "Give --frames 8 or 16.")
    assert str(error) == "7: must be a multiple of 8. Give --frames 8 or 16."
    assert isinstance(error, ValueError)
    assert isinstance(error, SecondlookError)
    assert str(BadValue("x", "is odd")) == "'x': is odd."


def test_an_unknown_name_suggests_the_nearest():
    error = UnknownName("model", "tsn", ["tsm", "x3d", "slowfast"])
    assert str(error) == "model 'tsn' is not known. Did you mean 'tsm'?"
    assert isinstance(error, LookupError)


def test_an_unknown_name_lists_few_and_samples_many():
    assert "Known: a, b." in str(UnknownName("head", "zzz", ["b", "a"]))
    assert "Known: none." in str(UnknownName("head", "zzz", []))
    many = [f"class {i:03d}" for i in range(100)]
    text = str(UnknownName("label", "qqqqqq", many, "See the list."))
    assert "100 are known, such as class 000" in text
    assert text.endswith("See the list.")


def test_a_missing_file_is_a_file_not_found_error():
    error = MissingFile("a/b.csv", "Make it.")
    assert str(error) == "'a/b.csv' does not exist. Make it."
    assert isinstance(error, FileNotFoundError)


@pytest.mark.parametrize(("name", "expected"), [("TSM", ["tsm"]), ("slow fast", ["slowfast"]), ("quark", []), ("", [])])
def test_nearest_ignores_case_and_gives_nothing_far_off(name, expected):
    assert nearest(name, ["tsm", "slowfast", "videomae"]) == expected


def test_nearest_gives_the_name_as_it_is_written_and_the_best_first():
    assert nearest("conv_gr", ["Conv_GRU", "conv"]) == ["Conv_GRU", "conv"]
