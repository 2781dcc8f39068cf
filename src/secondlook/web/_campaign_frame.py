"""What every owner's page of a campaign shows around it: its name, its tabs, whether it pauses."""

from __future__ import annotations

from typing import Any

from secondlook.annotate.store import Store
from secondlook.web._campaign_urls import campaign_url

TABS = {
    "overview": "Overview",
    "people": "People",
    "results": "Results",
    "settings": "Settings",
    "trail": "What was done",
}


def frame(store: Store, tab: str) -> dict[str, Any]:
    """What `run_frame.html` needs; `base` is the address that most tabs stand below."""
    base = campaign_url("run", store.name)
    own = {"overview": base, "results": campaign_url("results", store.name)}
    tabs = [(name, words, own.get(name, f"{base}/{name}")) for name, words in TABS.items()]
    return {"campaign": store.name, "base": base, "tabs": tabs, "tab": tab, "paused": store.paused}
