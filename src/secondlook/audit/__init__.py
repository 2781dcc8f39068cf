"""One file = one signal: `find(videos, predictions, **options)` -> rows of candidates.

`find` is `align`, the file's `score(aligned, **options)` and `to_table`. The command line aligns once and asks `score`,
whose keywords are the options of `audit -O`; those named in `INPUTS` have a flag of their own.
"""

from secondlook.audit._align import Aligned, LeftOut, align
from secondlook.audit._confused import Confusion, all_confusions, confused_classes, confusions
from secondlook.audit._controls import CONTROL, Controls
from secondlook.audit._given import INPUTS, given_options, score_signals, takes
from secondlook.audit._inputs import compare_label_spaces, join_folds, name_models, read_video_rows
from secondlook.audit._mistakes import SELECT, Mistakes, mistakes
from secondlook.audit._rank import Ranking
from secondlook.audit._scored import Scored, about_candidates, to_table

__all__ = [
    "CONTROL",
    "INPUTS",
    "SELECT",
    "Aligned",
    "Confusion",
    "Controls",
    "LeftOut",
    "Mistakes",
    "Ranking",
    "Scored",
    "about_candidates",
    "align",
    "all_confusions",
    "compare_label_spaces",
    "confused_classes",
    "confusions",
    "given_options",
    "join_folds",
    "mistakes",
    "name_models",
    "read_video_rows",
    "score_signals",
    "takes",
    "to_table",
]
