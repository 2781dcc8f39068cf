"""CVAT: a campaign as labels, a list of clips, and one XML file of tags a person; and such XML files read back.

Reference: docs.cvat.ai, "CVAT for images 1.1" (`<image name="..."><tag label="..."/></image>`), in which a clip is one
image named `<pseudonym>.mp4`; an export of a video task (`<meta><task><name>`) is read as well, where the tags of all
its frames count for the clip. CVAT knows no Maybe: it is written as attribute `rating` of a tag. Flags are labels that
start with `flag:`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from secondlook.annotate import exchange
from secondlook.annotate.rows import SEPARATOR, Imported, Row, take
from secondlook.annotate.store import Store
from secondlook.errors import BadValue

KIND = "an XML file exported from CVAT (CVAT for images 1.1 or CVAT for video 1.1)"
_FLAG = "flag:"
_PEOPLE = (".//assignee/username", ".//owner/username", ".//assignee", ".//owner")


def write(store: Store, folder: str | Path, media_url: str) -> list[Path]:
    """Writes `labels.json` (CVAT's label constructor, "Raw"), `clips.json` (name and address), and `answers/*.xml`.

    Args:
        store: the campaign.
        folder: where to write.
        media_url: address under which `<pseudonym>.mp4` is found.
    """
    folder, tasks, given = Path(folder), store.tasks(), exchange.answers(store)
    rating = {"name": "rating", "input_type": "select", "mutable": False, "values": ["yes", "maybe"]}
    labels = [{"name": name, "type": "tag", "attributes": [rating]} for name in store.labels.names]
    labels += [{"name": _FLAG + flag, "type": "tag", "attributes": []} for flag in exchange.FLAGS]
    exchange.write_json(folder / "labels.json", labels)
    clips = [
        {
            "name": f"{task.media}.mp4",
            "url": exchange.address(media_url, task),
            "options": [store.labels.names[label] for label in task.options],
        }
        for task in tasks
    ]
    exchange.write_json(folder / "clips.json", clips)
    paths = [folder / "labels.json", folder / "clips.json"]
    people: dict[tuple[str, int], ElementTree.Element] = {}
    for task in tasks:
        for answer in given.get(task.task_id, []):
            root = people.setdefault((answer.worker, answer.round), _document(answer.worker))
            image = ElementTree.SubElement(root, "image", id=str(task.task_id), name=f"{task.media}.mp4")
            for texts, word in ((answer.yes, "yes"), (answer.maybe, "maybe")):
                for text in texts:
                    tag = ElementTree.SubElement(image, "tag", label=text, source="manual")
                    ElementTree.SubElement(tag, "attribute", name="rating").text = word
            for flag in answer.flags:
                ElementTree.SubElement(image, "tag", label=_FLAG + flag, source="manual")
    for (worker, number), root in people.items():
        path = folder / "answers" / f"{worker}-round{number}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
        paths.append(path)
    return paths


def read_answers(store: Store, path: str | Path, rejected: str | Path | None = None) -> Imported:
    """Stores the answers of one person's XML file; errors as in `label_studio.read_answers`."""
    path = Path(path)
    text = exchange.read_text(path, KIND)
    if re.search(r"<!DOCTYPE|<!ENTITY", text, re.IGNORECASE):
        raise BadValue(str(path), "has a document type, which exports of CVAT do not have", f"Give {KIND}.")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - entities were refused
    except ElementTree.ParseError as error:
        raise BadValue(str(path), f"is not XML ({error})", f"Give {KIND}.") from None
    if root.tag != "annotations":
        raise BadValue(str(path), f"holds <{root.tag}>, not <annotations>", f"Give {KIND}.")
    worker = next((found.strip() for where in _PEOPLE if (found := root.findtext(where)) and found.strip()), "")
    rows = list(_rows(root, worker))
    aside = Path(rejected) if rejected else path.with_suffix(".rejected.csv")
    return take(store, rows, ("clip", "worker", "labels"), aside, Imported(rows=len(rows)))


def _document(worker: str) -> ElementTree.Element:
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    ElementTree.SubElement(ElementTree.SubElement(task, "assignee"), "username").text = worker
    return root


def _rows(root: ElementTree.Element, worker: str) -> Iterator[Row]:
    of_task = root.findtext(".//meta/task/name") or root.findtext(".//meta/job/name") or ""
    clips: dict[str, dict[str, str]] = {}
    for image in root.iter("image"):
        name = image.get("name", "")
        clip = Path(of_task if of_task and not name.endswith(".mp4") else name).stem
        chosen = clips.setdefault(clip, {})
        for tag in image.iter("tag"):
            rating = next((a.text for a in tag.iter("attribute") if a.get("name") == "rating"), "") or "yes"
            chosen.setdefault(tag.get("label", ""), rating)
    for number, (clip, chosen) in enumerate(clips.items(), start=1):
        labels = {text: rating for text, rating in chosen.items() if not text.startswith(_FLAG)}
        given = {
            "video_id": clip,
            "worker": worker,
            "labels": SEPARATOR.join(labels),
            "rating": SEPARATOR.join(labels.values()),
            **{flag: "1" for flag in exchange.FLAGS if _FLAG + flag in chosen},
        }
        untouched = None if chosen else ("tag", f"{clip!r} has no tag: it was not answered")
        yield Row(number, given, [clip, worker, given["labels"]], untouched)
