"""What `secondlook explain` does with one clip, with a table, with a second network, with a pair of classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondlook.cli._say import finish, progress
from secondlook.errors import BadValue

if TYPE_CHECKING:
    from secondlook.explain._clips import Wish
    from secondlook.labels import LabelSpace
    from secondlook.predict.weights import LoadedModel


@dataclass(frozen=True)
class Asked:
    """One call of the verb."""

    loaded: LoadedModel
    run_folder: Path
    what: Path
    wish: Wish
    folder: Path
    timeout_s: float
    as_json: bool
    split: str = "test"
    limit: int | None = None
    root: Path | None = None
    seed: int = 0


def split_names(text: str, labels: LabelSpace | None = None) -> tuple[str, ...]:
    """`a,b` as two names. A class name may hold commas itself: the longest stretch that is one is taken as one."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if labels is None:
        return tuple(parts)
    from secondlook.labels import normalise

    known = {normalise(name) for name in labels.names}
    names, n = [], 0
    while n < len(parts):
        ends = (e for e in range(len(parts), n, -1) if normalise(", ".join(parts[n:e])) in known)
        end = next(ends, n + 1)
        names.append(", ".join(parts[n:end]))
        n = end
    return tuple(names)


def one_clip(asked: Asked, against: Path | None, which: str) -> None:
    """Explains a video; with `against`, by a second network too."""
    from secondlook.explain._clips import check, entry, explain_video, write, write_grid
    from secondlook.explain._compare import by_another, model_panels
    from secondlook.predict.weights import load_run
    from secondlook.video.grid import Caption
    from secondlook.video.guard import Guard

    loaded, wish, path = asked.loaded, asked.wish, asked.what
    check(loaded, wish)
    other = load_run(against, which) if against else None  # type: ignore[arg-type]  # checked there
    with Guard(asked.timeout_s) as guard:
        explained = explain_video(loaded, path, wish, decode=guard.decode)
        panels = []
        if other is not None and against is not None:
            name = loaded.labels.names[explained.heat.label]
            second = explain_video(other, path, by_another(wish, name, loaded, other), decode=guard.decode)
            names = _names(asked.run_folder, against)
            panels = model_panels([(names[0], loaded, explained), (names[1], other, second)])
    paths = write(explained, loaded, asked.folder, wish, path.name)
    if panels:
        text = Caption(f"{loaded.labels.names[explained.heat.label]}: two networks", path.name)
        paths |= write_grid(panels, text, asked.folder, "models", wish)
    facts = entry(explained, loaded)
    lines = [f"{path.name}, {facts['model']}"]
    for rank, guess in enumerate(facts["predicted"], 1):
        mark = "  <- explained" if guess["index"] == facts["label"] else ""
        lines.append(f"  {rank}  {guess['confidence']:6.1%}  {guess['name']}{mark}")
    if all(guess["index"] != facts["label"] for guess in facts["predicted"]):
        lines.append(f"explained: {facts['label_name']}")
    found = (
        "no heat: nothing speaks for this class here" if facts["no_heat"] else f"most heat at {facts['peak_s']:.2f} s"
    )
    lines += [f"{facts['method']} at {facts['module']}; {found}" if facts["module"] else f"{facts['method']}; {found}"]
    lines += [f"left out: {line}" for line in facts["left_out"]]
    lines += _wrote(paths)
    finish({"video": str(path), **facts, "paths": paths}, "\n".join(lines), asked.as_json)


def pair(asked: Asked, classes: tuple[str, str]) -> None:
    """Sets two classes beside each other: on a clip, or on the clip of each that is most taken for the other."""
    from secondlook import tables
    from secondlook.explain._clips import write_grid
    from secondlook.explain._compare import explain_pair, most_confused, pair_panel
    from secondlook.explain._table import choose_rows
    from secondlook.predict.loader import root_of
    from secondlook.tables import UNLABELLED
    from secondlook.video.grid import Caption
    from secondlook.video.guard import Guard

    loaded, wish = asked.loaded, asked.wish
    with Guard(asked.timeout_s) as guard:
        if asked.what.suffix == ".parquet":
            videos = choose_rows(tables.read(tables.VIDEOS, asked.what), asked.split)
            place = root_of(videos, asked.root)
            rows = most_confused(loaded, videos, classes, place, guard.decode, asked.limit or 8)
            clips = [
                (row["video_id"], place / row["path"], loaded.labels.index_of(name))
                for row, name in zip(rows, classes, strict=True)
            ]
        else:
            clips = [(asked.what.name, asked.what, UNLABELLED)]
        panels = []
        for name, path, given in clips:
            explained = explain_pair(loaded, path, wish, classes, given, guard.decode)
            panels.append(pair_panel(explained, loaded, name))
    text = Caption(" or ".join(classes), f"{loaded.card.name} · {wish.method}")
    paths = write_grid(panels, text, asked.folder, "pair", wish)
    lines = [f"{classes[0]} or {classes[1]}, {loaded.card.name}, {wish.method}"]
    lines += [f"  {panel.title}" for panel in panels]
    facts = {"pair": list(classes), "videos": [name for name, _, _ in clips], "method": wish.method, "paths": paths}
    finish(facts, "\n".join(lines + _wrote(paths)), asked.as_json)


def whole_table(asked: Asked) -> None:
    """Explains the rows of a videos table; several methods one after the other."""
    from secondlook import tables
    from secondlook.explain._table import LIST, choose_rows, explain_methods, explain_table

    loaded, wish = asked.loaded, asked.wish
    videos = choose_rows(tables.read(tables.VIDEOS, asked.what), asked.split, asked.limit)
    wishes = [replace(wish, method=method, options=own, beside={}) for method, own in wish.methods.items()]
    settings = {**wish.to_dict(), "run": str(asked.run_folder), "split": asked.split, "limit": asked.limit}
    read = [asked.what, loaded.weights, asked.run_folder / "card.json"]
    with progress("explaining", videos.num_rows * len(wishes)) as advance:
        options: dict[str, Any] = {
            "run": asked.run_folder.resolve().name,
            "root": asked.root,
            "made": tables.provenance("explain", settings, read, asked.seed),
            "seed": asked.seed,
            "timeout_s": asked.timeout_s,
            "advance": advance,
        }
        if len(wishes) == 1:
            results = {wish.method: explain_table(loaded, videos, wish, asked.folder, **options)}
        else:
            results = explain_methods(loaded, videos, wishes, asked.folder, **options)
    lines, failed = [], 0
    for method, result in results.items():
        entries = result["explanations"]
        bad = [e for e in entries if e["status"] not in tables.USABLE]
        failed = max(failed, len(bad))
        lines += [f"explained {len(entries) - len(bad)} of {len(entries)} videos, {loaded.card.name}, {method}"]
        lines += [f"  {e['video_id']}: {e['status']}: {e['reason']}" for e in bad[:10]]
        lines += [f"  and {len(bad) - 10} more"] if len(bad) > 10 else []
        lines += _averages(result["averages"])
    folders = [asked.folder] if len(wishes) == 1 else [asked.folder / method for method in results]
    lines += [f"{'wrote' if n == 0 else '     '} {place / LIST}" for n, place in enumerate(folders)]
    lines += [f"      {folders[0]}/*/strip.png and what else is listed there"]
    averages = {method: result["averages"] for method, result in results.items()}
    shown = {
        "folder": str(asked.folder),
        "list": str(folders[0] / LIST),
        "videos": videos.num_rows,
        "averages": averages[wish.method],
    }
    shown |= {"methods": averages} if len(results) > 1 else {}
    finish(shown, "\n".join(lines), asked.as_json, failed_rows=failed)


def list_methods(run_folder: Path, loaded: LoadedModel, as_json: bool) -> None:
    """Says which methods fit a network, with their options, and why the others do not."""
    from secondlook.explain._compare import listed_methods

    found = listed_methods(loaded)
    fits = {name: facts for name, facts in found.items() if facts["fits"]}
    width = max(map(len, found), default=0)
    lines = [f"{len(fits)} methods fit {loaded.card.name} ({run_folder}):"]
    for name, facts in fits.items():
        lines.append(f"  {name:<{width}}  {facts['about']}")
        lines += [f"  {'':<{width}}  --option {words}" for words in facts["options"]]
    if len(fits) < len(found):
        lines.append("the others do not:")
        lines += [f"  {name:<{width}}  {facts['reason']}" for name, facts in found.items() if not facts["fits"]]
    finish({"model": loaded.card.name, "methods": found}, "\n".join(lines), as_json)


def complete_methods(incomplete: str) -> list[str]:
    """Names for the shell: the last one of a list with commas."""
    from secondlook import catalog

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in catalog.names("explain") if name.startswith(last)]


def one_table_only(what: Path, flag: str) -> None:
    """Refuses what is for single clips.

    Raises:
        BadValue: for a table.
    """
    if what.suffix == ".parquet":
        raise BadValue(str(what), f"{flag} is for one clip, not for a table", "Give the path of a video.")


def _names(one: Path, other: Path) -> tuple[str, str]:
    """Two run folders by name, with the folder around them where the names are the same."""
    a, b = one.resolve(), other.resolve()
    return (a.name, b.name) if a.name != b.name else (f"{a.parent.name}/{a.name}", f"{b.parent.name}/{b.name}")


def _wrote(paths: dict[str, Path]) -> list[str]:
    return ["wrote", *(f"  {path}{'/' if path.is_dir() else ''}" for path in paths.values())]


def _averages(averages: dict[str, Any]) -> list[str]:
    """Lines of a table: each measure beside what the two baselines get."""
    from secondlook.explain._ground_truth import BASELINES, MEASURES

    lines = []
    for name, meaning in MEASURES.items():
        if name in averages:
            own = averages[name]
            beside = [f"{averages[f'{name}_{b}']['mean']:.2f}" for b in BASELINES]
            interval = f"[{own['low']:.2f}, {own['high']:.2f}]"
            lines.append(f"  {name:<15} {own['mean']:.2f} {interval:<13} {beside[0]:>8} {beside[1]:>8}  {meaning}")
    head = f"  {'measure':<15} {'mean, 95 %':<18} {'uniform':>8} {'centre':>8}"
    return [head, *lines] if lines else []
