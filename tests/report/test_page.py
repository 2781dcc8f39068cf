"""The page: one file, no network, nothing typed by a person runs, and it says whose mistakes the mistakes are."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from secondlook import tables
from secondlook.errors import BadValue, MissingFile
from secondlook.report import _labels_section as reviewed
from secondlook.report import page
from secondlook.report.collect import gather


class Tags(HTMLParser):
    """Every start tag with its attributes, and that each element that must be closed is closed in order."""

    VOID = frozenset(["meta", "link", "img", "br", "hr", "input", "source", "path", "use", "rect"])

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.fixture
def html(campaign) -> str:
    page.write(campaign, campaign / "report.html")
    return (campaign / "report.html").read_text("utf-8")


def test_every_section_is_there(campaign):
    sections = page.write(campaign, campaign / "report.html")
    assert sections == [
        "accuracy", "real", "labels", "explanations", "confusion", "source-tables", "training", "data", "made"
    ]  # fmt: skip


def test_page_is_well_formed_and_asks_the_network_for_nothing(html):
    tags = Tags()
    tags.feed(html)
    assert not tags.open
    for tag, attributes in tags.seen:
        for name in ("src", "href", "xlink:href", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), f"<{tag} {name}={value[:60]}>"
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)


def test_names_and_reasons_never_run(html):
    assert "<script>alert" not in html
    assert "<b>& co</b>" not in html
    assert "Tilting &lt;b&gt;&amp; co&lt;/b&gt;" in html


def test_ids_are_unique(html):
    tags = Tags()
    tags.feed(html)
    ids = [a["id"] for _, a in tags.seen if "id" in a]
    assert len(ids) == len(set(ids))


def test_clips_are_embedded_as_h264(html):
    assert html.count('src="data:video/mp4;base64,') == 4


def test_page_says_how_it_was_made_and_what_failed(html):
    assert "f00d" in html
    assert "no video format is recognised" in html


def test_verdicts(campaign):
    """Clip 0: both hold. Clip 3: people chose only the prediction. Clip 4: people agree with the given label."""
    entries = {e["video_id"]: e for e in reviewed.mistakes(gather(campaign))}
    found = {name: e["verdict"] for name, e in entries.items()}
    assert found == {
        "clip00": reviewed.BOTH, "clip03": reviewed.LABEL, "clip04": reviewed.MODEL, "clip05": reviewed.OPEN,
    }  # fmt: skip


def test_sentence_counts_whose_mistakes(campaign):
    """Model a: wrong on clips 0, 3, 4, all asked; its prediction holds in 0 and 3."""
    entries = reviewed.mistakes(gather(campaign))
    text = " ".join(reviewed.sentences(entries, ["a", "b"]))
    assert "a: of 3 mistakes, people say the prediction holds in 2 (67%)" in text
    assert "b: of 1 mistakes, people say the prediction holds in 1 (100%)" in text


def test_clips_shown_alternate_between_verdicts(campaign):
    entries = reviewed.mistakes(gather(campaign))
    assert [e["verdict"] for e in reviewed.shown(entries, 3)] == [reviewed.LABEL, reviewed.BOTH, reviewed.MODEL]


def test_media_never_leave_the_root(campaign):
    found = gather(campaign)
    entry = {"video_id": "clip00", "path": "../../etc/passwd"}
    assert reviewed.media_path(entry, found) is None


def test_predictions_alone_make_a_page(campaign, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    (campaign / "a.parquet").rename(alone / "a.parquet")
    assert page.write(alone, alone / "r.html") == ["made"]


def test_a_folder_with_nothing_is_a_sentence(tmp_path):
    with pytest.raises(BadValue, match="nothing to report on"):
        page.write(tmp_path, tmp_path / "r.html")
    with pytest.raises(MissingFile):
        page.write(tmp_path / "no", tmp_path / "r.html")


def test_foreign_parquet_and_broken_files_are_passed_over(campaign):
    (campaign / "broken.parquet").write_bytes(b"not parquet")
    assert set(gather(campaign).predictions) == {"a", "b"}


def test_top1_is_the_softmax_of_the_best(campaign):
    import math

    found = reviewed.top1(tables.read(tables.PREDICTIONS, campaign / "a.parquet"))
    assert found["clip01"][0] == 1
    assert found["clip01"][1] == pytest.approx(math.exp(2) / (math.exp(2) + math.exp(1) + 2))


def test_same_inputs_give_the_same_page(campaign):
    pages = []
    for name in ("one.html", "two.html"):
        page.write(campaign, campaign / name)
        pages.append((campaign / name).read_bytes())
    assert pages[0] == pages[1]
