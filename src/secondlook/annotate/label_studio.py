"""Label Studio: the tasks of a campaign with its labeling configuration, and what people answered there.

Reference: labelstud.io/guide/task_format (tasks, annotations, `completed_by`, `was_cancelled`, `lead_time`) and
labelstud.io/tags/choices (choices read from the task by `value="$options"`). Yes and Maybe are two lists of choices.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from secondlook.annotate import exchange
from secondlook.annotate.rows import SEPARATOR, Imported, Row, take
from secondlook.annotate.store import Store

KIND = "a JSON file exported from Label Studio (JSON, not JSON-MIN)"
_LISTS = {"labels": "Fits", "maybe": "Fits perhaps"}


def write(store: Store, folder: str | Path, media_url: str) -> list[Path]:
    """Writes `tasks.json`, with the answers that are there, and `config.xml`, to be pasted into the project's settings.

    Args:
        store: the campaign.
        folder: where to write.
        media_url: address under which annotators' browsers find `<pseudonym>.mp4`.
    """
    given, tasks = exchange.answers(store), []
    for task in store.tasks():
        data = {
            "video": exchange.address(media_url, task),
            "task": task.media,
            "options": [{"value": store.labels.names[label]} for label in task.options],
        }
        annotations = [
            {"completed_by": answer.worker, "was_cancelled": False, "result": _result(answer)}
            for answer in given.get(task.task_id, [])
        ]
        tasks.append({"id": task.task_id, "data": data, "annotations": annotations})
    folder = Path(folder)
    sheet, config = folder / "tasks.json", folder / "config.xml"
    exchange.write_json(sheet, tasks)
    lists = "\n".join(
        f'  <Header value="{words}" size="5"/>\n'
        f'  <Choices name="{name}" toName="video" choice="multiple" value="$options"/>'
        for name, words in _LISTS.items()
    )
    flags = "\n".join(
        f'    <Choice value="{html.escape(words)}" alias="{flag}"/>'
        for flag, words in zip(exchange.FLAGS, exchange.FLAG_WORDS, strict=True)
    )
    config.write_text(
        f'<View>\n  <Header value="{html.escape(store.settings.question)}"/>\n  <Video name="video" value="$video"/>\n'
        f'{lists}\n  <Choices name="flags" toName="video" choice="multiple">\n{flags}\n  </Choices>\n</View>\n',
        encoding="utf-8",
    )
    return [sheet, config]


def read_answers(store: Store, path: str | Path, rejected: str | Path | None = None) -> Imported:
    """Stores the answers of an export; an annotation that cannot be taken is named by task and kept aside.

    Raises:
        MissingFile: if there is no such file.
        BadValue: if it is not JSON, not UTF-8, or no list of tasks; nothing is stored then.
    """
    path = Path(path)
    tasks = list(exchange.objects(exchange.read_json(path, KIND), path, KIND))
    result = Imported(rows=sum(len(task.get("annotations") or ()) for _, task in tasks))
    aside = Path(rejected) if rejected else path.with_suffix(".rejected.csv")
    return take(store, _rows(tasks), ("task", "annotation", "worker", "labels"), aside, result)


def _result(answer: exchange.Given) -> list[dict[str, Any]]:
    chosen = {"labels": answer.yes, "maybe": answer.maybe, "flags": answer.flags}
    return [
        {"from_name": name, "to_name": "video", "type": "choices", "value": {"choices": list(texts)}}
        for name, texts in chosen.items()
        if texts
    ]


def _rows(tasks: list[tuple[int, Mapping[str, Any]]]) -> Iterator[Row]:
    words = dict(zip(exchange.FLAG_WORDS, exchange.FLAGS, strict=True))
    for number, task in tasks:
        data = task.get("data") or {}
        video = str(data.get("task") or data.get("video_id") or "")
        for annotation in task.get("annotations") or ():
            who = annotation.get("completed_by", "")
            worker = str(who.get("email") or who.get("id") or "") if isinstance(who, Mapping) else str(who)
            chosen: dict[str, list[str]] = {}
            for item in annotation.get("result") or ():
                found = (item.get("value") or {}).get("choices") or ()
                chosen.setdefault(str(item.get("from_name")), []).extend(str(text) for text in found)
            yes, maybe = chosen.get("labels", []), chosen.get("maybe", [])
            given = {
                "video_id": video,
                "worker": worker,
                "labels": SEPARATOR.join((*yes, *maybe)),
                "rating": SEPARATOR.join(("yes",) * len(yes) + ("maybe",) * len(maybe)),
                **{
                    words.get(text, text): "1"
                    for text in chosen.get("flags", ())
                    if words.get(text, text) in exchange.FLAGS
                },
                **_times(annotation),
            }
            skipped = ("was_cancelled", "was skipped in Label Studio") if annotation.get("was_cancelled") else None
            cells = [video, str(annotation.get("id", "")), worker, given["labels"]]
            yield Row(number, given, cells, skipped)


def _times(annotation: Mapping[str, Any]) -> dict[str, str]:
    try:
        submitted_s = datetime.fromisoformat(str(annotation["created_at"])).timestamp()
        return {"started_s": str(submitted_s - float(annotation["lead_time"])), "submitted_s": str(submitted_s)}
    except (KeyError, TypeError, ValueError):
        return {}
