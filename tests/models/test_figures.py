"""Every figure that a family lists is what our counter counts: parameters to the printed digit, GMAC within 0.5 %."""

from __future__ import annotations

import pytest

from secondlook import catalog
from secondlook.models._count import cost, on_meta, parameters
from secondlook.models._figures import Figure
from tests.house.zoo import as_printed, card_of

FIGURES: list[tuple[str, Figure]] = [
    (family, figure)
    for family in catalog.names("models")
    for figure in getattr(catalog.find("models", family), "FIGURES", ())
]


def title(case: tuple[str, Figure]) -> str:
    """Names the row: `tsm:r50-400-3x8x224x224`, and what is out of the common."""
    family, f = case
    extra = [f.head, *(f"{k}={v}" for k, v in f.options.items() if isinstance(v, str | int | float))]
    parts = [f"{family}:{f.variant}", str(f.classes), "x".join(map(str, (f.in_channels, *f.input)))]
    return "-".join([*parts, *(e for e in extra if e)])


HELD = [case for case in FIGURES if case[1].reproducible]


@pytest.mark.parametrize(("family", "figure"), HELD, ids=[title(case) for case in HELD])
def test_figure(family: str, figure: Figure) -> None:
    card = card_of(family, figure)
    network = on_meta(card, figure.classes, in_channels=figure.in_channels)
    ours = parameters(network)
    if figure.parameters is not None:
        assert ours == figure.parameters, figure.source
    if figure.millions:
        assert figure.millions in as_printed(ours, figure.millions), f"{ours:,}: {figure.source}"
    if figure.gmac is not None:
        shape = (figure.in_channels, *figure.input)
        assert cost(network, card.explain, shape).macs / 1e9 == pytest.approx(figure.gmac, rel=0.005), figure.source


def test_figures_say_what_they_must() -> None:
    """Each has a number and a source, names a variant that is there; one that cannot be reached says why."""
    for family, figure in FIGURES:
        assert figure.variant in catalog.find("models", family).CARDS, (family, figure.variant)
        assert figure.source
        assert figure.parameters or figure.millions or figure.gmac, (family, figure)
        assert figure.reproducible or figure.note, (family, figure)


@pytest.mark.parametrize(
    ("count", "millions", "agrees"),
    [
        (24_327_632, "24.328", True),
        (24_327_632, "24.327", True),
        (24_327_632, "24.3", True),
        (24_327_632, "24.4", False),
        (24_327_632, "24", True),
        (23_500_000, "24", True),
        (3_794_322, "3.79", True),
        (3_794_322, "3.80", False),
    ],
)
def test_printed_digits(count: int, millions: str, agrees: bool) -> None:
    assert (millions in as_printed(count, millions)) == agrees
