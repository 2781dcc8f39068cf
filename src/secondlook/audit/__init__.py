"""One file = one signal: `find(videos, predictions, **options)` -> rows of candidates."""

from secondlook.audit._align import Aligned, LeftOut, align
from secondlook.audit._confused import Confusion, confused_classes, confusions
from secondlook.audit._inputs import compare_label_spaces, name_models, read_video_rows
from secondlook.audit._mistakes import SELECT, Mistakes, mistakes
from secondlook.audit._rank import Ranking

__all__ = [
    "SELECT",
    "Aligned",
    "Confusion",
    "LeftOut",
    "Mistakes",
    "Ranking",
    "align",
    "compare_label_spaces",
    "confused_classes",
    "confusions",
    "mistakes",
    "name_models",
    "read_video_rows",
]
