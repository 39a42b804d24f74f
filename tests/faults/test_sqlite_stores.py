"""A store that is a file: many open it at once, and it is deleted, locked, damaged or replaced under a kernel."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import time
from contextlib import closing

import pytest

from mlflow_magics.tracking.connecting import recovery
from mlflow_magics.tracking.failures import kinds
from tests.rig import stored

pytestmark = pytest.mark.slow

LONG = 300.0


class _Heard(logging.Handler):
    def __init__(self):
        super().__init__(logging.DEBUG)
        self.said = []

    def emit(self, record):
        self.said.append(self.format(record))


@pytest.fixture
def heard():
    """All that is logged, also by loggers that keep it to themselves."""
    handler = _Heard()
    loggers = [logging.getLogger(name) for name in (None, "mlflow", "sqlalchemy.engine", "sqlalchemy.pool")]
    for logger in loggers:
        logger.addHandler(handler)
    yield handler.said
    for logger in loggers:
        logger.removeHandler(handler)


def _is_clean(shown):
    return not any(word in shown for word in ("Traceback", "SQL:", "SELECT", "INSERT", "sqlalche", "sqlite3."))


@pytest.fixture
def cell(tracked, capfd, heard):
    """Run a cell that must end well, and show nothing of the database's insides; return what it shows, on one line."""

    def run(code):
        capfd.readouterr()
        assert tracked.run_cell(code).success
        shown = capfd.readouterr()
        assert _is_clean(shown.out + shown.err + "".join(heard)), shown.out + shown.err + "".join(heard)
        return " ".join(shown.out.split())

    return run


class TestManyAtOnce:
    def test_processes_that_open_a_new_store_at_once_all_get_it(self, start, tmp_path):
        (tmp_path / "shared").mkdir()
        database = tmp_path / "shared" / "mlflow.db"
        cells = [f"%mlflow_connect sqlite:///{database} -e crowd", "%%mlflow_run\na = 1\n"]
        children = [start(["%load_ext mlflow_magics", *cells]) for _ in range(3)]
        for child in children:
            assert all(ran.ok for ran in child.wait(LONG)), child.output
            assert _is_clean(child.output)
        assert [run.status for run in stored.runs(database, "crowd")] == ["FINISHED"] * 3
        assert sorted(os.listdir(tmp_path / "shared")) == ["mlartifacts", "mlflow.db"]

    def test_a_process_that_is_not_ours_may_be_among_them(self, start, tmp_path):
        (tmp_path / "shared").mkdir()
        database = tmp_path / "shared" / "mlflow.db"
        plain = f"import mlflow\nmlflow.set_tracking_uri('sqlite:///{database}')\nmlflow.search_experiments()"
        others = [start([plain]) for _ in range(2)]
        ours = start(
            ["%load_ext mlflow_magics", f"%mlflow_connect sqlite:///{database} -e ours", "%%mlflow_run\na = 1"]
        )
        assert all(ran.ok for ran in ours.wait(LONG)), ours.output
        for other in others:
            other.wait(LONG)
        assert [run.status for run in stored.runs(database, "ours")] == ["FINISHED"]


class TestAFileThatIsDeleted:
    def test_cells_end_well_and_connect_makes_it_anew_with_what_waited(self, cell, tracked, folder):
        cell("%mlflow_connect local -e iris")
        cell("%%mlflow_run before\na = 1\n")
        os.unlink(folder / "mlflow.db")
        shown = cell("%%mlflow_run after\nb = 2\n")
        assert "mlflow.db was deleted; %mlflow_connect makes it anew" in shown
        assert not (folder / "mlflow.db").exists()  # nor is an empty one left, by reading
        assert "was deleted" in cell("%mlflow_sync")
        shown = cell("%mlflow_connect")
        assert "mlflow.db was deleted: it was made anew, without the runs that it held" in shown
        assert "experiment iris" in shown
        recovered = time.monotonic() + LONG
        while not stored.runs(folder / "mlflow.db", "iris") and time.monotonic() < recovered:
            time.sleep(0.2)
        while stored.runs(folder / "mlflow.db", "iris")[0].status == "RUNNING" and time.monotonic() < recovered:
            time.sleep(0.2)
        (run,) = stored.runs(folder / "mlflow.db", "iris")
        assert (run.name, run.status) == ("after", "FINISHED")
        assert stored.params(folder / "mlflow.db", run.run_id) == {"b": "2"}

    def test_what_waits_of_a_run_that_the_old_file_held_makes_it_again(self, cell, folder):
        shutil.copy(folder / "mlflow.db", folder / "fresh.db")
        cell("%mlflow_connect local -e iris --offline")
        cell("import mlflow")
        cell("%mlflow_start long")
        cell("%mlflow_sync")
        os.unlink(folder / "mlflow.db")
        cell("mlflow.log_metric('loss', 0.5)")
        cell("%mlflow_end")
        (folder / "fresh.db").rename(folder / "mlflow.db")
        shown = cell("%mlflow_connect sqlite:///mlflow.db -e iris")
        assert "mlflow.db is another file than before" in shown
        database, until = folder / "mlflow.db", time.monotonic() + LONG
        while not any(run.status == "FINISHED" for run in stored.runs(database, "iris")) and time.monotonic() < until:
            time.sleep(0.2)
        (run,) = stored.runs(database, "iris")
        assert (run.name, run.status) == ("long", "FINISHED")
        assert [value for *_, value in stored.points(database, run.run_id, "loss")] == [0.5]

    def test_a_dead_kernels_store_is_not_made_in_a_folder_that_somebody_deleted(self, tracked, folder, state):
        (folder / "gone").mkdir()
        shutil.copy(folder / "mlflow.db", folder / "gone" / "mlflow.db")
        assert tracked.run_cell("%mlflow_connect gone/ --offline").success
        tracked.run_cell("%%mlflow_run\na = 1\n")
        tracked.run_cell("%unload_ext mlflow_magics")
        shutil.rmtree(folder / "gone")
        (said,) = recovery.recover()
        assert "whose file was deleted; %mlflow_connect" in said
        assert not (folder / "gone").exists()


class TestAFileThatCannotBeUsed:
    def damage(self, kind, database):
        """Damage a store under the kernel; return what hints it."""
        kept = database.with_suffix(".kept")
        if kind == "folder":
            database.rename(kept)
            database.mkdir()
            return lambda: (database.rmdir(), kept.rename(database))
        if kind == "not a database":
            whole = database.read_bytes()
            with database.open("r+b") as file:
                file.write(b"no database" * 1000)

            def hint():
                with database.open("r+b") as file:
                    file.write(whole)

            return hint
        other = sqlite3.connect(database, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        return other.close

    @pytest.mark.parametrize(
        ("kind", "said"),
        [
            ("folder", "mlflow.db was replaced by a folder"),
            ("not a database", "its file is no SQLite database any more"),
            ("locked", ""),
        ],
    )
    def test_cells_end_well_and_what_was_logged_arrives_when_it_is_fixed(self, cell, folder, kind, said):
        cell("%%mlflow_run before\na = 1\n")
        hint = self.damage(kind, folder / "mlflow.db")
        try:
            shown = cell("%%mlflow_run after\nb = 2\n")
            assert "sent when the store answers" in shown
            assert said in shown
        finally:
            hint()
        until = time.monotonic() + LONG
        while "nothing was waiting" not in cell("%mlflow_sync") and time.monotonic() < until:
            time.sleep(1)
        time.sleep(1)  # for what was still under way when the cell gave up waiting for it
        (run,) = [run for run in stored.runs(folder / "mlflow.db", "Default") if run.name == "after"]
        assert run.status == "FINISHED"
        assert stored.params(folder / "mlflow.db", run.run_id) == {"b": "2"}

    def test_one_that_a_newer_mlflow_made_is_refused_and_left_alone(self, tracked, folder, heard):
        with closing(sqlite3.connect(folder / "mlflow.db")) as database:
            database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
            database.execute("DROP TABLE trace_info")
            database.commit()
            before = database.execute("SELECT name FROM sqlite_master").fetchall()
        said = str(tracked.run_cell("%mlflow_connect sqlite:///mlflow.db").error_in_exec)
        assert "made by a newer MLflow: pip install --upgrade mlflow" in said
        assert _is_clean(said + "".join(heard))
        with closing(sqlite3.connect(folder / "mlflow.db")) as database:
            assert database.execute("SELECT name FROM sqlite_master").fetchall() == before


def test_what_sqlite_says_of_its_whole_file_is_waited_for_and_never_a_refusal(tmp_path):
    import sqlalchemy

    (tmp_path / "no.db").write_bytes(b"no database" * 1000)
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/full.db")
    with engine.connect() as full:
        full.execute(sqlalchemy.text("CREATE TABLE t (x TEXT)"))
        full.execute(sqlalchemy.text("PRAGMA max_page_count = 3"))
        with pytest.raises(sqlalchemy.exc.OperationalError) as is_full:
            full.execute(sqlalchemy.text("INSERT INTO t VALUES (:x)"), {"x": "x" * 50_000})
    with engine.connect() as read_only:
        read_only.execute(sqlalchemy.text("PRAGMA query_only = 1"))
        with pytest.raises(sqlalchemy.exc.OperationalError) as is_read_only:
            read_only.execute(sqlalchemy.text("DELETE FROM t"))
    other = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/no.db").connect()
    with pytest.raises(sqlalchemy.exc.DatabaseError) as is_none:
        other.execute(sqlalchemy.text("SELECT * FROM t"))
    other.close()
    from mlflow.exceptions import BAD_REQUEST, MlflowException

    for error, said in (
        (is_full.value, "the disk is full"),
        (is_read_only.value, "its file may not be written to"),
        (is_none.value, "its file is no SQLite database any more"),
    ):
        raised = MlflowException(error, BAD_REQUEST)
        assert kinds.failure_kind(raised) == "unavailable"
        assert kinds.unavailable(raised, None).passing
        assert kinds.explain(raised) == said
