"""Tables of experiments: list them, show what was printed, run their rows and hold the two side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secondlook.cli._say import AsJson, finish, progress
from secondlook.errors import BadValue

if TYPE_CHECKING:
    from secondlook.study.plan import DataSet, Unit
    from secondlook.study.run import Outcome
    from secondlook.study.schema import Study

CHILD = "secondlook.cli._verbs_child"
app = typer.Typer(help="Run published tables of experiments, at their scale or at toy scale.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Run published tables of experiments, at their own scale or at toy scale.

    Example: `secondlook study run heads --tiny`
    """


@app.command("list")
def list_studies(as_json: AsJson = False) -> None:
    """List all studies: what they compare, where they are from, what they need.

    Example: `secondlook study list`
    """
    from secondlook.cli._table import say_table
    from secondlook.study import schema
    from secondlook.study.describe import facts

    found = [facts(schema.load(name)) for name in schema.names()]
    if not as_json:
        columns = ("study", "rows", "table", "at its scale needs", "here with --tiny", "title")
        cells = [
            (f["study"], f["rows"], f["table"], ", ".join(f["needs"]), "yes" if f["tiny_rows"] else "no", f["title"])
            for f in found
        ]
        say_table(f"{len(found)} studies", columns, cells, left=6)
    finish({"studies": found}, "Next: `secondlook study show NAME`, `secondlook study run NAME --tiny`", as_json)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Name of a study, or a YAML file.")],
    as_json: AsJson = False,
) -> None:
    """Show a study's table as it was printed, what is known to be wrong in it, and how its rows are run.

    Example: `secondlook study show heads`
    """
    from secondlook.cli._table import say_table
    from secondlook.study import schema
    from secondlook.study.describe import about, printed_table

    study = schema.load(name)
    columns, rows = printed_table(study)
    if not as_json:
        say_table(f"{study.title} ({study.source.document}, table {study.source.table}), as printed", columns, rows)
    finish(study.model_dump(), "\n".join(about(study)), as_json)


@app.command("run")
def run(
    name: Annotated[str, typer.Argument(help="Name of a study, or a YAML file.")],
    tiny: Annotated[bool, typer.Option("--tiny", help="The same rows at toy scale, for two cores.")] = False,
    videos: Annotated[Path | None, typer.Option(help="Run on this videos table, with splits train and test.")] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder with the study's dataset (by its name) and `weights/`.")
    ] = None,
    data: Annotated[
        list[str], typer.Option("--data", help="With --tiny: NAME=FOLDER of real clips, as egogestar=/data/ego.")
    ] = [],  # noqa: B006 (typer wants a list)
    splits: Annotated[str, typer.Option(help="Published splits to run, as fold0,fold1; the study's own.")] = "",
    seeds: Annotated[str, typer.Option(help="Seeds, as 0,1,2; with --tiny the study's own, else 0.")] = "",
    rows: Annotated[str, typer.Option(help="Only these rows, as lstm,bert, and what they need.")] = "",
    jobs: Annotated[int, typer.Option(min=1, help="Rows made at once.")] = 2,
    epochs: Annotated[int, typer.Option(min=0, help="Epochs of each training; 0: the study's own.")] = 0,
    scenes: Annotated[int, typer.Option(min=0, help="Scenes of drawn sets; 0: as many as they have.")] = 0,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder to write [studies/NAME]; drawn sets lie beside it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a study's rows through the verbs, and write what came out beside what was printed.

    Writes results.parquet and .csv, study.md, study.html and charts. A row that fails is a row with a reason. Stop it
    with ctrl-C; the same command goes on with it.

    Example: `secondlook study run heads --tiny --data egogestar=data/egogestar`
    """
    from secondlook.study import page, results, schema
    from secondlook.study.plan import plan
    from secondlook.study.run import DONE, FAILED

    study = schema.load(name)
    folder = output or Path("studies") / study.name
    folder.mkdir(parents=True, exist_ok=True)
    sets = _sets(study, folder, tiny, videos, data_root, data, _names(splits), scenes)
    units = plan(
        study, sets, _numbers(seeds) or (study.tiny.seeds if tiny else [0]), folder, tiny=tiny, only=_names(rows),
        epochs=epochs, root=data_root,
    )  # fmt: skip
    outcomes = _made(units, jobs, 1 if tiny or jobs > 1 else 0)
    parts = results.measure(units, outcomes)
    frame = results.table(study, units, outcomes, parts)
    files = [*results.write(frame, folder), *page.write(study, frame, parts, folder, tiny=tiny)]
    counts = {status: sum(o.status == status for o in outcomes.values()) for status in (DONE, FAILED, "skipped")}
    told = {"study": study.name, "folder": folder, **counts, "files": [str(path) for path in files]}
    words = [f"{study.name}: {counts[DONE]} of {len(units)} done, {counts[FAILED]} failed, {counts['skipped']} skipped"]
    words += [f"  {row}: {status}: {why}" for row, (status, why) in results.failures(units, outcomes).items()]
    finish(told, "\n".join([*words, f"Open {(folder / 'study.html').resolve()}"]), as_json, counts[FAILED])


def _made(units: list[Unit], jobs: int, threads: int) -> dict[Path, Outcome]:
    """Has the units made, with a bar and a line for each that failed."""
    from rich.console import Console

    from secondlook.study.run import FAILED, run_units

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with progress("rows", len(units)) as advance:

        def on_done(unit: Unit, outcome: Outcome, _: bool) -> None:
            advance()
            if outcome.status == FAILED:
                console.print(f"{unit.key}: {outcome.reason}", markup=False)

        try:
            return run_units(units, CHILD, jobs=jobs, threads=threads, on_done=on_done)
        except KeyboardInterrupt:
            console.print("What is done so far is kept; the same command goes on with it.")
            raise


def _sets(
    study: Study, folder: Path, tiny: bool, videos: Path | None, data_root: Path | None, data: list[str],
    splits: list[str], scenes: int,
) -> list[DataSet]:  # fmt: skip
    """The videos tables to run on, drawn and listed where need be."""
    from secondlook.study import data as make
    from secondlook.study.toy import TOYS

    given = make.given_folders(data)
    shared = folder.parent / "data"
    shared.mkdir(parents=True, exist_ok=True)
    if videos is not None:
        return [make.table_set(videos, shared)]
    if not tiny:
        if data_root is None:
            cure = "Give --data-root FOLDER, or --videos TABLE, or --tiny."
            raise BadValue(study.name, f"at its own scale needs {study.dataset}", cure)
        root, wanted = data_root / study.dataset, splits or study.splits
        return make.folder_set(study.dataset, root, make.reader_of(study.dataset), shared, wanted)
    found: list[DataSet] = []
    for name in [*study.tiny.data, *(n for n in given if n not in study.tiny.data)]:
        if name in TOYS:
            with progress(f"drawing {name}", None) as advance:
                found.append(make.drawn_set(name, shared, scenes=scenes, advance=advance))
        elif name in given:
            found += make.folder_set(name, given[name], "folder", shared, splits)
    return found


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _numbers(text: str) -> list[int]:
    try:
        found = [int(part) for part in _names(text)]
    except ValueError:
        raise BadValue(text, "seeds are whole numbers with commas between", "For example --seeds 0,1,2.") from None
    if any(seed < 0 for seed in found) or len(set(found)) != len(found):
        raise BadValue(text, "seeds are not negative, and each is given once", "For example --seeds 0,1,2.")
    return found
