"""Label texts as vectors: embed them, list near pairs, draw them, and measure a model's mistakes in words."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secondlook.cli._say import AsJson, Seed, finish
from secondlook.errors import BadValue, UnknownName

if TYPE_CHECKING:
    from secondlook.labels import LabelSpace
    from secondlook.language.vectors import LabelVectors

app = typer.Typer(help=__doc__, no_args_is_help=True, rich_markup_mode="markdown")
METHODS = ("tfidf", "glove", "sentence", "array")

Vectors = Annotated[Path, typer.Argument(help="Label vectors, from `secondlook language embed`.")]


@app.command()
def embed(
    labels: Annotated[Path, typer.Argument(help="A videos table, or a label set as JSON or CSV.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Table to write.")],
    method: Annotated[str, typer.Option(help="tfidf, glove, sentence, or array (made elsewhere).")] = "tfidf",
    analyzer: Annotated[str, typer.Option(help="tfidf: of words, or pieces of words: word, char.")] = "char",
    file: Annotated[Path | None, typer.Option(help="glove: text file of word vectors; array: .npy or .npz.")] = None,
    model: Annotated[str, typer.Option(help="sentence: folder, or name on the Hugging Face hub.")] = "",
    as_json: AsJson = False,
) -> None:
    """Turn each label into a vector.

    Example: `secondlook language embed videos.parquet -o vectors.parquet --method glove --file glove.6B.300d.txt`
    """
    from secondlook import tables
    from secondlook.language.vectors import write_vectors

    found = _embedded(_label_space(labels), method, analyzer, file, model)
    inputs = [path for path in (labels, file) if path is not None]
    settings = {"method": method, "analyzer": analyzer, "model": model}
    write_vectors(found, output, tables.provenance("language embed", settings, inputs))
    words = sorted({word for label in found.unknown.values() for word in label})
    lines = [f"{len(found.labels)} labels, {found.dimensions} dimensions, by {found.method}."]
    if words:
        lines.append(f"{len(words)} words without a vector, in {len(found.unknown)} labels: {', '.join(words)}.")
    lines.append(f"Table: {output}")
    result = {"path": output, "labels": len(found.labels), "dimensions": found.dimensions, "unknown": found.unknown}
    finish(result, "\n".join(lines), as_json)


@app.command()
def pairs(
    vectors: Vectors,
    choice: Annotated[str, typer.Option("--pairs", help="all, within or cross (of coarse groups).")] = "all",
    top: Annotated[int, typer.Option(help="How many.")] = 10,
    least: Annotated[bool, typer.Option("--least", help="The least similar first.")] = False,
    other: Annotated[
        Path | None, typer.Option("--with", help="Other vectors: the rank of each pair in them, too.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the most similar pairs of labels.

    With `--with`, each pair has the place of the second label among the neighbours of the first, in both tables.

    Example: `secondlook language pairs vectors.parquet --top 20`
    """
    from secondlook.language.similarity import neighbour_rank, ranked_pairs
    from secondlook.language.vectors import read_vectors

    found = read_vectors(vectors)
    second = None if other is None else read_vectors(other).of_labels(found.labels)
    rows, lines = [], []
    names = found.labels.names
    for one, two, cosine in ranked_pairs(found, choice, least=least)[:top]:  # type: ignore[arg-type]
        ranks = [neighbour_rank(v, one, two) for v in (found, second) if v is not None]
        rows.append({"one": names[one], "other": names[two], "cosine": cosine, "ranks": ranks})
        more = f"  ranks {ranks[0]} and {ranks[1]}" if len(ranks) > 1 else ""
        lines.append(f"{cosine:6.3f}  {names[one]}  |  {names[two]}{more}")
    finish({"pairs": rows}, "\n".join(lines) or "no such pair", as_json)


@app.command()
def draw(
    vectors: Vectors,
    output: Annotated[Path, typer.Option("-o", "--output", help="Picture to write: .png, .svg or .pdf.")],
    kind: Annotated[str, typer.Option(help="scatter (t-SNE), or cosines (colour map).")] = "scatter",
    by_group: Annotated[bool, typer.Option("--by-group", help="cosines: coarse groups side by side.")] = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Draw the labels: near ones near each other, or the cosine of each pair.

    Example: `secondlook language draw vectors.parquet -o labels.png --kind cosines`
    """
    from secondlook.language.draw import draw_cosines, draw_scatter
    from secondlook.language.vectors import read_vectors

    if kind not in ("scatter", "cosines"):
        raise UnknownName("kind of picture", kind, ("scatter", "cosines"))
    found = read_vectors(vectors)
    if kind == "scatter":
        draw_scatter(found, output, seed=seed)
    else:
        draw_cosines(found, output, by_group=by_group)
    finish({"path": output}, f"Picture: {output}", as_json)


@app.command()
def errors(
    predictions: Annotated[list[Path], typer.Argument(help="Predictions tables, one a model.")],
    vectors: Annotated[Path, typer.Option("--vectors", help="Label vectors, from `secondlook language embed`.")],
    top: Annotated[int, typer.Option(help="Answers shown for a video.")] = 4,
    video: Annotated[
        list[str], typer.Option(help="Videos to show; again for more [three near misses of the first model].")
    ] = [],  # noqa: B006 (typer wants a list)
    as_json: AsJson = False,
) -> None:
    """Measure how near mistakes are to the given label, and show models' best answers side by side.

    Example: `secondlook language errors a.parquet b.parquet --vectors vectors.parquet`
    """
    from secondlook import tables
    from secondlook.language.similarity import error_distance, near_misses, top_table
    from secondlook.language.vectors import read_vectors

    read = {path.stem: tables.read(tables.PREDICTIONS, path) for path in predictions}
    if len(read) < len(predictions):
        raise BadValue(", ".join(map(str, predictions)), "two predictions tables have one name", "Rename one.")
    found = read_vectors(vectors)
    distance = {name: error_distance(table, found) for name, table in read.items()}
    chosen = video or near_misses(next(iter(read.values())))[:3]
    shown = top_table(read, chosen, top)
    lines = [
        f"{name}: {d.errors} mistakes in {d.videos} videos, mean cosine to the given label {d.mean_cosine:.3f} "
        f"(any other label: {d.chance_cosine:.3f})"
        for name, d in distance.items()
    ]
    lines += [f"{row['video_id']}  {row['given']}  {row['model']}: {' | '.join(row['answers'])}" for row in shown]
    finish({"distance": {n: asdict(d) for n, d in distance.items()}, "answers": shown}, "\n".join(lines), as_json)


def _label_space(path: Path) -> LabelSpace:
    from secondlook import labels, tables

    return tables.label_space(tables.read(tables.VIDEOS, path)) if path.suffix == ".parquet" else labels.load(path)


def _embedded(space: LabelSpace, method: str, analyzer: str, file: Path | None, model: str) -> LabelVectors:
    from secondlook.language import glove, sentence, tfidf
    from secondlook.language.vectors import read_array

    if method not in METHODS:
        raise UnknownName("method", method, METHODS)
    if method in ("glove", "array") and file is None:
        raise BadValue(method, "needs a file of vectors", "Give --file.")
    if method == "tfidf":
        return tfidf.embed(space, analyzer=analyzer)
    if method == "sentence":
        return sentence.embed(space, model or sentence.DEFAULT)
    assert file is not None
    return glove.embed(space, file) if method == "glove" else read_array(file, space)
