"""Which method has something to say about which network."""

from __future__ import annotations

from torch import nn

from secondlook import catalog
from secondlook.cards import ModelCard
from secondlook.errors import BadValue


def unsuitable(method: str, model: nn.Module, card: ModelCard) -> str:
    """Why a method says nothing about a network, in words; empty where it does.

    A method that does not fit every network has a function `unsuitable(model, card) -> str` in its file; it reads
    nothing but the network's structure, so that asking is cheap.

    Raises:
        UnknownName: if there is no such method.
    """
    plugin = catalog.find("explain", method)
    return str(plugin.unsuitable(model, card)) if hasattr(plugin, "unsuitable") else ""


def suitable(model: nn.Module, card: ModelCard) -> list[str]:
    """Every method that has something to say about a network, in alphabetical order."""
    return [method for method in catalog.names("explain") if not unsuitable(method, model, card)]


def must_suit(method: str, model: nn.Module, card: ModelCard) -> None:
    """Refuses a method that says nothing about this network.

    Raises:
        BadValue: with the reason, and the methods that do.
    """
    if reason := unsuitable(method, model, card):
        raise BadValue(f"{method} of {card.name}", reason, f"Methods that fit: {', '.join(suitable(model, card))}.")
