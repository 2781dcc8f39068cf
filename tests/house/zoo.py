"""The generated tables of `docs/zoo.md`: every variant of every family, and every printed figure beside ours.

Parameters are counted each time. Multiply-accumulates and shapes of a row whose parameters are as the page has them are
taken from the page, so that the test of the page stays quick; `make docs` counts everything afresh.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from pathlib import Path

from secondlook import catalog
from secondlook.cards import ModelCard
from secondlook.models._count import clip_shape, cost, on_meta, parameters
from secondlook.models._figures import Figure

PAGE = Path(__file__).resolve().parents[2] / "docs" / "zoo.md"
CLASSES = 400
Row = tuple[str, ...]
VARIANTS: Row = (
    "model", "parameters", "GMAC", "clip, C x T x H x W", "features, C x T x H x W", "order", "reference",
)  # fmt: skip
FIGURES: Row = (
    "model", "classes", "clip, C x T x H x W",
    "parameters", "published", "difference", "GMAC", "published", "difference", "source",
)  # fmt: skip
UNREACHED: Row = (*FIGURES, "why")


def families() -> Iterator[tuple[str, Mapping[str, ModelCard], tuple[Figure, ...]]]:
    """Every family: its name, cards and figures."""
    for family in catalog.names("models"):
        module = catalog.find("models", family)
        yield family, module.CARDS, tuple(getattr(module, "FIGURES", ()))


def card_of(family: str, figure: Figure) -> ModelCard:
    """The card of a figure's network: its variant's, with the figure's clip, head and options."""
    card: ModelCard = catalog.find("models", family).CARDS[figure.variant]
    frames, height, width = figure.input
    clip = replace(card.clip, frames=frames, height=height, width=width)
    return replace(card, clip=clip, head=figure.head or card.head, options={**card.options, **figure.options})


def as_printed(count: int, millions: str) -> set[str]:
    """A count in millions with as many digits as were printed, rounded or cut off."""
    digits = Decimal(1).scaleb(int(Decimal(millions).as_tuple().exponent))
    value = Decimal(count) / 1_000_000
    return {str(value.quantize(digits, how)) for how in (ROUND_DOWN, ROUND_HALF_UP, ROUND_HALF_EVEN)}


def variants(afresh: bool = False) -> str:
    """One row for every variant, on its own card's clip."""
    known = {} if afresh else _on_page("variants")
    rows = []
    for _, cards, _ in families():
        for card in cards.values():
            network = on_meta(card, CLASSES)
            name, count = f"`{card.name}`", f"{parameters(network):,}"
            old = known.get((name, count))
            if old is None:
                found = cost(network, card.explain, clip_shape(card))
                old = (name, count, _gmac(found.macs), _by(found.input), _by(found.features))
            rows.append((*old[:5], "blind" if card.order_blind else "", _cell(card.reference)))
    return _table(VARIANTS, rows)


def figures(afresh: bool = False) -> str:
    """One row for every printed figure that can be reached."""
    return _table(FIGURES, [row[:-1] for row in _compared(True, "figures", afresh)])


def unreached(afresh: bool = False) -> str:
    """The other figures, and why no network of ours has them."""
    return _table(UNREACHED, list(_compared(False, "unreached", afresh))) or "There is none."


def _compared(reproducible: bool, part: str, afresh: bool) -> Iterator[Row]:
    known = {} if afresh else _on_page(part)
    for family, _, published in families():
        for figure in published:
            if figure.reproducible != reproducible:
                continue
            card = card_of(family, figure)
            network = on_meta(card, figure.classes, in_channels=figure.in_channels)
            count = parameters(network)
            shape = (figure.in_channels, *figure.input)
            head = (_named(family, figure), str(figure.classes), _by(shape), f"{count:,}", *_parameters(figure, count))
            tail = (_cell(figure.source), _cell(figure.note))
            if figure.gmac is None:
                yield (*head, "", "", "", *tail)
                continue
            old = known.get(head)
            gmac = old[6] if old and old[6] else _gmac(cost(network, card.explain, shape).macs)
            difference = float(gmac) / figure.gmac - 1
            yield (*head, gmac, f"{figure.gmac:g}", f"{difference:+.2%}".replace("%", " %"), *tail)


def _parameters(figure: Figure, count: int) -> tuple[str, str]:
    """What was published, and how far ours is from it."""
    if figure.parameters is not None:
        return f"{figure.parameters:,}", f"{count - figure.parameters:+,}" if count != figure.parameters else "0"
    if figure.millions:
        same = figure.millions in as_printed(count, figure.millions)
        return f"{figure.millions} M", "0" if same else f"{count / 1e6 - float(figure.millions):+.3f} M"
    return "", ""


def _named(family: str, figure: Figure) -> str:
    options = ", ".join(f"{name}={value}" for name, value in figure.options.items() if name != "head_options")
    given = ", ".join(f"{name}={value}" for name, value in figure.options.get("head_options", {}).items())
    head = f" head {figure.head}" if figure.head else ""
    return f"`{family}:{figure.variant}`{head}" + "".join(f" ({text})" for text in (given, options) if text)


def _on_page(part: str) -> dict[Row, Row]:
    """The rows of a part of the page as it is, by what they are found again by."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    found = re.search(rf"<!-- {part} -->\n(.*?)\n<!-- end of {part} -->", text, re.DOTALL)
    lines = found[1].splitlines()[2:] if found else []
    rows = [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in lines]
    return {row[:2] if part == "variants" else row[:6]: row for row in rows}


def _table(heads: Row, rows: list[Row]) -> str:
    if not rows:
        return ""
    number = {"parameters", "published", "difference", "GMAC", "classes"}
    rule = "|".join("---:" if head in number else "---" for head in heads)
    return "\n".join(["| " + " | ".join(heads) + " |", f"|{rule}|", *("| " + " | ".join(r) + " |" for r in rows)])


def _gmac(macs: int) -> str:
    return f"{macs / 1e9:.3f}"


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")
