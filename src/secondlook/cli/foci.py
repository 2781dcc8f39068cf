"""See where a network looks over many videos: clusters of heat maps, classes that look elsewhere, deciding frames."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from secondlook.cli._say import AsJson, Seed, finish, progress


def run(
    heat: Annotated[Path, typer.Argument(metavar="HEAT", help="Folder of `secondlook explain RUN videos.parquet`.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to write to; HEAT/foci when left out.")
    ] = None,
    by: Annotated[str, typer.Option(help="Cluster the clips of `all` classes together, or of each `class`.")] = "all",
    with_time: Annotated[bool, typer.Option("--with-time", help="Cluster by when they look, too.")] = False,
    metric: Annotated[str, typer.Option(help="Distance between heat maps: hellinger or euclidean.")] = "hellinger",
    clusters: Annotated[int, typer.Option(min=0, help="How many clusters; 0: by the largest eigengap.")] = 0,
    neighbours: Annotated[int, typer.Option(min=0, help="Of each clip in the graph; 0: by the number of clips.")] = 0,
    grid: Annotated[str, typer.Option(help="Parts of time, height and width that heat is put together in.")] = "4x8x8",
    examples: Annotated[int, typer.Option(min=1, help="Example clips of a cluster.")] = 6,
    root: Annotated[Path | None, typer.Option(help="The videos' folder, if it was moved.")] = None,
    pictures: Annotated[bool, typer.Option("--pictures/--no-pictures", help="Draw sheets and the chart.")] = True,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """See what a network looks at over a whole set of videos, and which habits are suspicious.

    Heat maps are clustered (spectral relevance analysis) and clusters ranked by a suspicion in 0 to 1: a small place,
    the same in all clips, that the class does not explain. Also: which classes look elsewhere than the others, and
    which part of the clip decides. Writes foci.json, a sheet a cluster, classes.png and deciding.png.

    Example: `secondlook foci runs/a/explain/videos -o foci`
    """
    from secondlook import tables
    from secondlook.errors import BadValue, MissingFile
    from secondlook.explain._entries import LIST, TABLE
    from secondlook.explain._foci import BY, find, gather, listed
    from secondlook.explain._foci import as_json as facts_of
    from secondlook.explain._foci_pictures import class_sheet, cluster_sheet, deciding_chart
    from secondlook.predict.weights import write_json

    if not heat.is_dir():
        raise MissingFile(heat, "Give the folder that `secondlook explain RUN videos.parquet` wrote.")
    parts = grid.lower().split("x")
    if len(parts) != 3 or not all(part.isdecimal() and int(part) for part in parts):
        raise BadValue(grid, "a grid is three numbers of at least 1", "Give 4x8x8, say.")
    if metric not in ("hellinger", "euclidean"):
        raise BadValue(metric, "metric must be hellinger or euclidean")
    if by not in BY:
        raise BadValue(by, f"clips are clustered by {' or by '.join(BY)}")
    t, h, w = (int(part) for part in parts)
    rows, how = listed(heat)
    folder = output or heat / "foci"
    with progress("reading heat maps", len(rows)) as advance:
        gathered = gather(heat, rows, how, (t, h, w), advance)
    found = find(
        gathered, by=by, space_only=not with_time, metric=metric,  # type: ignore[arg-type]  # checked above
        neighbours=neighbours, clusters=clusters, seed=seed,
    )  # fmt: skip
    settings = {"by": by, "with_time": with_time, "metric": metric, "clusters": clusters, "neighbours": neighbours}
    inputs = [path for path in (heat / TABLE, heat / LIST) if path.is_file()][:1]
    facts = facts_of(found, examples)
    facts["made"] = tables.provenance("foci", settings | {"grid": [t, h, w], "examples": examples}, inputs, seed)
    folder.mkdir(parents=True, exist_ok=True)
    wrote = [folder / "foci.json"]
    write_json(wrote[0], facts)
    if pictures:
        place = str(root or gathered.root)
        with progress("drawing", len(found.clusters) + 2) as advance:
            for old in folder.glob("cluster-*.png"):
                old.unlink()
            for number in range(len(found.clusters)):
                wrote.append(folder / f"cluster-{number + 1:02d}.png")
                cluster_sheet(found, number, place, examples).save(wrote[-1])
                advance()
            wrote.append(folder / "classes.png")
            class_sheet(found).save(wrote[-1])
            advance()
            wrote.append(deciding_chart(found, folder / "deciding.png"))
            advance()
    shown = {key: value for key, value in facts.items() if key not in ("eigenvalues", "made")}
    words = [f"{facts['clips']} clips, {facts['method']}", *_cluster_words(facts), *_class_words(facts)]
    words += _deciding_words(facts) + [f"left out: {len(facts['left_out'])} clips"] * bool(facts["left_out"])
    words += [f"  {row['video_id']}: {row['status']}: {row['reason']}" for row in facts["left_out"][:5]]
    words += ["wrote", *(f"  {path}" for path in wrote)]
    failed = sum(row["status"] != "no_heat" for row in facts["left_out"])
    finish({"folder": str(folder), **shown}, "\n".join(words), as_json, failed_rows=failed)


def _cluster_words(facts: dict[str, Any]) -> list[str]:
    if facts["clusters_status"] != "ok":
        return [f"clusters: {facts['clusters_status']}"]
    words = [f"{len(facts['clusters'])} clusters, the most suspicious first"]
    return words + [f"  {c['suspicion']:.2f}  {c['reason']}" for c in facts["clusters"][:5]]


def _class_words(facts: dict[str, Any]) -> list[str]:
    far = sorted((c for c in facts["classes"] if c["looks_elsewhere"]), key=lambda c: -c["distance"])
    if not far:
        return ["no class looks elsewhere than the others, beyond chance"]
    return ["classes that look elsewhere"] + [
        f"  {c['distance']:.2f}  {c['name']} (chance: up to {c['chance']:.2f})" for c in far[:5]
    ]


def _deciding_words(facts: dict[str, Any]) -> list[str]:
    whole = facts["deciding"][0]
    words = [f"half of the clips have their best frame before {whole['median_peak']:.0%} of the clip"]
    if whole["action_known"]:
        words.append(
            f"in {whole['outside']:.0%} of {whole['action_known']} clips the best frame is outside the action "
            f"(any frame: {whole['outside_by_chance']:.0%})"
        )
    return words
