"""A run of secondlook, or a file that `secondlook weights convert` wrote."""

from __future__ import annotations

from secondlook.checkpoints._layout import CLASSIFIER, Layout

LAYOUT = Layout(
    about="a run of secondlook",
    rules=(),
    recognise=lambda shapes: f"{CLASSIFIER}weight" in shapes,
)
