"""One file = one dataset's list of videos: `read(root, split)` gives a `Listing`, rows of the videos table.

A new dataset is one new file: it returns `_listing.Listing`, and `_listing.row` makes a row. What holds for every
dataset alike (sizes, refused paths, exclusions, checks, seeded splits, fingerprint) is done by `index_videos`.
"""

from secondlook.datasets._balance import Balance, balance
from secondlook.datasets._fingerprint import of_table as fingerprint_of
from secondlook.datasets._index import IndexResult, IndexSettings, index_videos
from secondlook.datasets._listing import Listing

__all__ = ["Balance", "IndexResult", "IndexSettings", "Listing", "balance", "fingerprint_of", "index_videos"]
