"""Foci that clips share: the most suspicious clusters of heat maps, classes that look elsewhere, deciding frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from secondlook.report import media

MOST_CLUSTERS = 3
"""Clusters shown of each set of explanations, the most suspicious first."""


def section(found: Sequence[Mapping[str, Any]], step: Callable[[int], None]) -> list[dict[str, Any]]:
    """One entry for each `foci.json`, with its pictures.

    Args:
        found: contents of each `foci.json`, with `base`.
        step: called with 1 after each picture.
    """
    entries = []
    for one in found:
        base = Path(one["base"])
        clusters = [
            {
                "reason": cluster["reason"],
                "size": cluster["size"],
                "suspicion": f"{cluster['suspicion']:.2f}",
                "picture": _picture(base / f"cluster-{number:02d}.png", step),
            }
            for number, cluster in enumerate(one["clusters"][:MOST_CLUSTERS], 1)
        ]
        elsewhere = [c["name"] for c in one["classes"] if c["looks_elsewhere"]]
        entries.append(
            {
                "name": " / ".join(base.parts[-2:]),
                "method": str(one["method"]).replace("_", " "),
                "clips": one["clips"],
                "status": "" if one["clusters_status"] == "ok" else one["clusters_status"],
                "clusters": clusters,
                "count": len(one["clusters"]),
                "elsewhere": elsewhere,
                "classes": _picture(base / "classes.png", step),
                "deciding": _picture(base / "deciding.png", step),
            }
        )
    return entries


def _picture(path: Path, step: Callable[[int], None]) -> Markup:
    if not path.is_file():
        return Markup("")
    step(1)
    return Markup(media.picture(path))  # noqa: S704
