"""Options of methods, as words become values."""

import pytest

from secondlook.errors import BadValue, UnknownName
from secondlook.explain._options import Option, given_options, options_of, value_of


def test_options_are_read_from_the_signature():
    found = options_of("grad_cam")
    assert set(found) == {"layer", "pathway", "weights"}
    assert found["weights"].choices == ("channel", "channel_time")
    assert found["weights"].words() == "weights=channel (channel, channel_time)"


def test_a_value_is_of_the_type_of_its_default():
    assert value_of(Option("n", 3), "12") == 12
    assert value_of(Option("x", 0.5), "1e-3") == pytest.approx(0.001)
    assert value_of(Option("on", True), "No") is False
    assert value_of(Option("on", False), "true") is True
    assert value_of(Option("name", ""), " layer4 ") == "layer4"
    assert value_of(Option("kind", "a", ("a", "b")), "b") == "b"
    for option, text, must in (
        (Option("n", 3), "1.5", "n must be a whole number"),
        (Option("x", 0.5), "much", "x must be a number"),
        (Option("on", True), "maybe", "on must be true or false"),
        (Option("kind", "a", ("a", "b")), "c", "kind must be one of a, b"),
    ):
        with pytest.raises(BadValue, match=must):
            value_of(option, text)


def test_each_method_gets_what_it_knows():
    found = given_options(["grad_cam", "gradient"], ["weights=channel_time", "channels=sum"])
    assert found == {"grad_cam": {"weights": "channel_time"}, "gradient": {"channels": "sum"}}
    with pytest.raises(UnknownName, match=r"grad_cam, gradient.*'channels'"):
        given_options(["grad_cam", "gradient"], ["chanels=sum"])
    for wrong in (["weights"], ["=1"], ["layer=a", "layer=b"]):
        with pytest.raises(BadValue):
            given_options(["grad_cam"], wrong)
    with pytest.raises(UnknownName, match="'grad_cam'"):
        given_options(["gradcam"], [])
