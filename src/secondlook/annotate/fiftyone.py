"""FiftyOne: a campaign's clips as samples with one `Classifications` field a person, and such samples read back.

Layout: `{"samples": [{"filepath", "_media_type": "video", "tags", "task", "options", "answer_<worker>": {"_cls":
"Classifications", "classifications": [{"_cls": "Classification", "label", "tags"}]}}]}`, the dictionaries of FiftyOne's
own `Sample.to_dict()`; `fiftyone.Sample.from_dict` reads them. `tags` of a classification hold `maybe`; those of the
field hold flags. Departs from FiftyOne's export in that the path of a clip is its address under its pseudonym.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from secondlook.annotate import exchange
from secondlook.annotate.rows import SEPARATOR, Imported, Row, take
from secondlook.annotate.store import Store
from secondlook.errors import BadValue

KIND = "a JSON file with a list `samples`"
_FIELD = "answer_"


def write(store: Store, folder: str | Path, media_url: str) -> list[Path]:
    """Writes `samples.json`, with the answers that are there.

    Args:
        store: the campaign.
        folder: where to write.
        media_url: address, or folder, under which `<pseudonym>.mp4` is found.
    """
    given, samples = exchange.answers(store), []
    for task in store.tasks():
        options = [store.labels.names[label] for label in task.options]
        sample: dict[str, Any] = {
            "filepath": exchange.address(media_url, task),
            "_media_type": "video",
            "tags": [],
            "task": task.media,
            "options": options,
        }
        for answer in given.get(task.task_id, []):
            listed = [
                {"_cls": "Classification", "label": text, "tags": tags}
                for texts, tags in ((answer.yes, ()), (answer.maybe, ("maybe",)))
                for text in texts
            ]
            field = {"_cls": "Classifications", "classifications": listed, "tags": list(answer.flags)}
            sample[f"{_FIELD}{answer.worker}"] = field
        samples.append(sample)
    path = Path(folder) / "samples.json"
    exchange.write_json(path, {"media_type": "video", "classes": list(store.labels.names), "samples": samples})
    return [path]


def read_answers(store: Store, path: str | Path, rejected: str | Path | None = None) -> Imported:
    """Stores the answers of samples; errors as in `label_studio.read_answers`."""
    path = Path(path)
    content = exchange.read_json(path, KIND)
    if not isinstance(content, Mapping) or "samples" not in content:
        raise BadValue(str(path), "holds no samples", f"Give {KIND}.")
    samples = list(exchange.objects(content["samples"], path, KIND))
    result = Imported(rows=sum(len(_fields(sample)) for _, sample in samples))
    aside = Path(rejected) if rejected else path.with_suffix(".rejected.csv")
    return take(store, _rows(samples), ("task", "worker", "labels"), aside, result)


def _fields(sample: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {k: v for k, v in sample.items() if k.startswith(_FIELD) and isinstance(v, Mapping)}


def _rows(samples: list[tuple[int, Mapping[str, Any]]]) -> Iterator[Row]:
    for number, sample in samples:
        video = str(sample.get("task") or Path(str(sample.get("filepath", ""))).stem)
        for name, field in _fields(sample).items():
            listed = [c for c in field.get("classifications") or () if isinstance(c, Mapping)]
            given = {
                "video_id": video,
                "worker": name.removeprefix(_FIELD),
                "labels": SEPARATOR.join(str(c.get("label", "")) for c in listed),
                "rating": SEPARATOR.join("maybe" if "maybe" in (c.get("tags") or ()) else "yes" for c in listed),
                **{flag: "1" for flag in exchange.FLAGS if flag in (field.get("tags") or ())},
            }
            yield Row(number, given, [video, given["worker"], given["labels"]])
