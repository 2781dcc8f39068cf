"""Label texts as vectors: embed them, list near labels, draw and compare them, measure mistakes in words."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secondlook.cli._say import AsJson, Seed, finish
from secondlook.errors import BadValue, UnknownName

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from secondlook.labels import LabelSpace
    from secondlook.language.vectors import LabelVectors

app = typer.Typer(help=__doc__, no_args_is_help=True, rich_markup_mode="markdown")
METHODS = ("tfidf", "glove", "sentence", "array")

Vectors = Annotated[Path, typer.Argument(help="Label vectors, from `secondlook language embed`.")]


@app.command()
def embed(
    labels: Annotated[
        Path, typer.Argument(help="A videos table, a label set as JSON or CSV, or a folder of Something-Something.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Table to write.")],
    method: Annotated[str, typer.Option(help="tfidf, glove, sentence, or array (made elsewhere).")] = "tfidf",
    analyzer: Annotated[str, typer.Option(help="tfidf: of words, or pieces of words: word, char.")] = "char",
    file: Annotated[Path | None, typer.Option(help="glove: text file of word vectors; array: .npy or .npz.")] = None,
    model: Annotated[
        str, typer.Option(help="sentence: folder, name on the Hugging Face hub, or minilm [minilm where installed].")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Turn each label into a vector.

    Example: `secondlook language embed videos.parquet -o vectors.parquet --method glove --file glove.6B.300d.txt`
    """
    from secondlook import tables
    from secondlook.datasets import something_something
    from secondlook.language.vectors import write_vectors

    found = _embedded(_label_space(labels), method, analyzer, file, model)
    read = something_something.label_files(labels) if labels.is_dir() else (labels,)
    inputs = [path for path in (*read, file) if path is not None]
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
def nearest(
    vectors: Vectors,
    label: Annotated[str, typer.Argument(help="A label; case, brackets and commas do not matter.")],
    k: Annotated[int, typer.Option("-k", help="How many.")] = 10,
    as_json: AsJson = False,
) -> None:
    """List the labels nearest to one.

    Example: `secondlook language nearest vectors.parquet "Moving something up" -k 5`
    """
    from secondlook.language import neighbours
    from secondlook.language.vectors import read_vectors

    found = read_vectors(vectors)
    near = neighbours.nearest(found, label, k)
    labels = found.labels.labels
    rows = [{"label": labels[p.other].name, "group": labels[p.other].group, "cosine": p.cosine} for p in near]
    lines = [f"{row['cosine']:6.3f}  {row['label']}{'  · ' if row['group'] else ''}{row['group']}" for row in rows]
    asked = found.labels.names[near[0].one] if near else label
    finish({"label": asked, "nearest": rows}, "\n".join([f"Nearest to {asked}, by {found.method}:", *lines]), as_json)


@app.command()
def compare(
    first: Vectors,
    second: Annotated[Path, typer.Argument(help="Other vectors of the same labels.")],
    label: Annotated[
        list[str], typer.Option(help="Twice: a pair of labels; its ranks in both [the pairs that differ most].")
    ] = [],  # noqa: B006 (typer wants a list)
    k: Annotated[int, typer.Option("-k", help="Neighbours that count as near.")] = 5,
    top: Annotated[int, typer.Option(help="How many pairs.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Compare two embeddings: the rank of a label among another's neighbours, in each.

    Example: `secondlook language compare tfidf.parquet minilm.parquet`
    """
    from secondlook.language import neighbours
    from secondlook.language.vectors import read_vectors

    if len(label) not in (0, 2):
        raise BadValue(len(label), "labels make no pair", "Give --label twice, or not at all.")
    one, two = read_vectors(first), read_vectors(second)
    found = neighbours.compare(one, two, k)
    chosen = list(found.disagreements[:top])
    if label:
        i, j = (neighbours.find(one.labels, text) for text in label)
        if i == j:
            raise BadValue(label[0], "a label is no neighbour of itself", "Give two labels.")
        ranks = [neighbours.rank_matrix(v) for v in (one, two.of_labels(one.labels))]
        both = ((i, j), (j, i))
        chosen = [neighbours.Disagreement(a, b, int(ranks[0][a, b]), int(ranks[1][a, b])) for a, b in both]
    names = one.labels.names
    rows = [{"label": names[d.label], "other": names[d.other], "ranks": [d.first_rank, d.second_rank]} for d in chosen]
    lines = [
        f"{one.method} and {two.method}: rank correlation of all cosines {found.spearman:.3f}; of the {found.k} "
        f"nearest labels {found.shared:.0%} are shared (by chance {found.by_chance:.0%})."
    ]
    lines += [f"ranks {r['ranks'][0]:4d} and {r['ranks'][1]:4d}  {r['label']}  |  {r['other']}" for r in rows]
    facts = {"spearman": found.spearman, "k": found.k, "shared": found.shared, "by_chance": found.by_chance}
    finish({**facts, "pairs": rows}, "\n".join(lines), as_json)


@app.command()
def draw(
    vectors: Vectors,
    output: Annotated[Path, typer.Option("-o", "--output", help="Picture to write: .png, .svg or .pdf.")],
    kind: Annotated[str, typer.Option(help="scatter (t-SNE), or cosines (colour map).")] = "scatter",
    order: Annotated[str, typer.Option(help="cosines: labels by index, group or cluster.")] = "index",
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
        draw_cosines(found, output, order=order)
    finish({"path": output}, f"Picture: {output}", as_json)


@app.command()
def errors(
    vectors: Annotated[Path, typer.Option("--vectors", help="Label vectors, from `secondlook language embed`.")],
    predictions: Annotated[list[Path] | None, typer.Argument(help="Predictions tables, one a model.")] = None,
    confusion: Annotated[
        Path | None, typer.Option(help="A confusion matrix as .npy, given labels in rows: measured as a model.")
    ] = None,
    top: Annotated[int, typer.Option(help="Answers shown for a video.")] = 4,
    video: Annotated[
        list[str], typer.Option(help="Videos to show; again for more [three near misses of the first model].")
    ] = [],  # noqa: B006 (typer wants a list)
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Measure how near mistakes are to the given label, and show models' best answers side by side.

    Beside the mean cosine: the rank correlation, over pairs of labels, of their cosine and how often one is taken for
    the other; and what labels shuffled at random reach.

    Example: `secondlook language errors a.parquet b.parquet --vectors vectors.parquet`
    """
    from secondlook import tables
    from secondlook.language.confusions import confusion_likeness, confusion_of, read_confusion
    from secondlook.language.similarity import error_distance, near_misses, top_table
    from secondlook.language.vectors import read_vectors

    predictions = predictions or []
    if not predictions and confusion is None:
        raise BadValue("", "nothing to measure", "Give predictions tables, or --confusion FILE.npy.")
    read = {path.stem: tables.read(tables.PREDICTIONS, path) for path in predictions}
    if len(read) < len(predictions):
        raise BadValue(", ".join(map(str, predictions)), "two predictions tables have one name", "Rename one.")
    found = read_vectors(vectors)
    distance = {name: error_distance(table, found) for name, table in read.items()}
    chosen = video or (near_misses(next(iter(read.values())))[:3] if read else [])
    shown = top_table(read, chosen, top)
    confused: dict[str, NDArray[Any]] = {name: confusion_of(table, found) for name, table in read.items()}
    if confusion is not None:
        confused[confusion.stem] = read_confusion(confusion)
    alike = {n: confusion_likeness(found, c, seed=seed) for n, c in confused.items() if (c.sum(1) > 0).sum() > 2}
    lines = [
        f"{name}: {d.errors} mistakes in {d.videos} videos, mean cosine to the given label {d.mean_cosine:.3f} "
        f"(any other label: {d.chance_cosine:.3f})"
        for name, d in distance.items()
    ]
    lines += [
        f"{name}: cosine and confusion of {a.pairs} pairs of labels, rank correlation {a.spearman:.3f} "
        f"({a.spearman_of_confused:.3f} over the {a.confused_pairs} that are confused; shuffled labels: below "
        f"{a.shuffled:.3f} in 95 of 100, p {a.p:.3f}); most frequent mistake among the 5 nearest labels: "
        f"{a.first_mistake_near:.0%} of labels (by chance {a.near_by_chance:.0%})"
        for name, a in alike.items()
    ]
    lines += [f"{row['video_id']}  {row['given']}  {row['model']}: {' | '.join(row['answers'])}" for row in shown]
    result = {
        "distance": {n: asdict(d) for n, d in distance.items()},
        "confusion": {n: asdict(a) for n, a in alike.items()},
        "answers": shown,
    }
    finish(result, "\n".join(lines), as_json)


def _label_space(path: Path) -> LabelSpace:
    from secondlook import labels, tables

    if path.is_dir():
        from secondlook.datasets import something_something

        return something_something.labels_of(path)
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
        return sentence.embed(space, model)
    assert file is not None
    return glove.embed(space, file) if method == "glove" else read_array(file, space)
