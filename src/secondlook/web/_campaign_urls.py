"""Addresses of a campaign's pages."""

from __future__ import annotations

from urllib.parse import quote


def campaign_url(place: str, campaign: str) -> str:
    """Where a campaign stands below a page such as `review`: its name may hold any character but a slash."""
    return f"/{place}/{quote(campaign, safe='')}"
