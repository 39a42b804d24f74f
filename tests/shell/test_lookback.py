"""Looking back from the notebook: runs, the best, what changed, a model and a cell brought back, MLflow's pages."""

from __future__ import annotations

import datetime
import json
import os
import pickle
import re
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from pathlib import Path

import mlflow
import pandas
import pytest
from IPython.core.oinspect import getdoc

from mlflow_magics.capture.notebook import restoring
from mlflow_magics.shell import late, lookback, magics
from tests.rig.servers import MlflowServer
from tests.rig.shells import run_cell
from tests.rig.waiting import eventually

FIT = """%%mlflow_run {name} --metrics accuracy loss --model model
from sklearn.linear_model import LinearRegression
depth = {depth}
model = LinearRegression().fit([[0], [1]], [0, depth])
accuracy = {accuracy}
loss = {loss}
"""


@pytest.fixture(scope="module")
def looked(home):
    """Three runs of three cells, and two more of one."""
    for name, depth, accuracy, loss in (("shallow", 2, 0.7, 0.5), ("middle", 4, 0.9, 0.2), ("deep", 8, 0.8, 0.1)):
        assert home.run_cell(FIT.format(name=name, depth=depth, accuracy=accuracy, loss=loss)).success
    for rate in (0.1, 0.2):
        again = f"%%mlflow_run again --metrics score\nrate = {rate}\nscore = float(sum([rate, 1]))\n"
        assert home.run_cell(again, cell_id="the-cell").success
    return home


@pytest.fixture
def run(looked, capsys):
    """Run a cell that must work; return its value and what it showed, on one line."""

    def one(cell):
        capsys.readouterr()
        result = run_cell(looked, cell, store_history=False)
        return result.result, " ".join(capsys.readouterr().out.split())

    return one


@pytest.fixture
def refused(looked, capsys):
    """Run a cell that must end in one line; return the line."""

    def one(cell):
        capsys.readouterr()
        assert not looked.run_cell(cell).success
        shown = "".join(capsys.readouterr())
        assert "Traceback" not in shown
        (line,) = (line for line in shown.splitlines() if line.strip())
        return line

    return one


def _is_readable(path):
    try:
        return bool(path.read_bytes())
    except OSError:  # it has ended meanwhile
        return False


def names(table):
    return list(table.run_name)


class TestRuns:
    def test_a_table_and_a_data_frame(self, looked, run):
        table, shown = run("%mlflow_runs")
        assert isinstance(table, pandas.DataFrame)
        assert names(table) == ["again", "again", "deep", "middle", "shallow"]
        assert "5 runs of home, newest first" in shown
        assert {"run_id", "status", "start_time", "metrics.accuracy", "params.depth"} <= set(table.columns)
        _, silent = run("runs = %mlflow_runs")
        assert silent == ""
        assert type(looked.user_ns["runs"].head(1)) is pandas.DataFrame
        assert type(pickle.loads(pickle.dumps(table))) is pandas.DataFrame
        html = table._repr_html_()
        assert "<table" in html
        assert "shallow" in html
        assert html.count('white-space:nowrap"><bdi>✓ finished<') == 5

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("metrics.accuracy > 0.75", ["deep", "middle"]),
            ("metric.accuracy > 0.75 and param.depth = '4'", ["middle"]),
            ("\"metrics.accuracy > 0.75 and params.depth = '4'\"", ["middle"]),
            ("params.depth = '2'", ["shallow"]),
            ("tags.mlflow.runName = 'deep'", ["deep"]),
            ("attributes.run_name LIKE 'ag%' --top 1", ["again"]),
            ("--sort metrics.accuracy --top 2", ["middle", "deep"]),
            ("--sort loss --top 2", ["deep", "middle"]),
            ("--sort accuracy --reverse --top 1", ["shallow"]),
            ("--reverse --top 1", ["shallow"]),
            ("--sort oldest --top 1", ["shallow"]),
            ("metrics.accuracy > 7", []),
            ("'metrics.accuracy > 0.75'", ["deep", "middle"]),
            ("\"params.depth = '2'\"", ["shallow"]),
            ('params.depth = "$two"', ["shallow"]),
            ("params.depth = '{two}'", ["shallow"]),
            ("--sort attributes.start_time --reverse --top 1", ["shallow"]),
        ],
    )
    def test_filters_and_orders(self, looked, run, line, expected):
        looked.user_ns["two"] = 2
        table, _ = run(f"%mlflow_runs {line}")
        assert names(table) == expected

    def test_more_than_asked_for(self, run):
        _, shown = run("%mlflow_runs --top 2")
        assert "the first 2 runs" in shown
        assert "--top N" in shown

    def test_columns(self, run):
        _, shown = run("%mlflow_runs metrics.accuracy > 0 --columns loss params.depth")
        assert re.search(r"run when took loss depth id", shown)

    @pytest.mark.parametrize(
        ("line", "hint"),
        [
            ("accuracy > 0.5", "did you mean metrics.accuracy?"),
            ("acuracy > 0.5", "did you mean metrics.accuracy?"),
            ("metrics.acuracy > 0.5", "did you mean accuracy?"),
            ("params.dept = '1'", "did you mean depth?"),
            ("--sort acuracy", "did you mean accuracy?"),
            ("--columns acuracy", "did you mean accuracy"),
            ("metrics.accuracy >", "an example: metrics.accuracy > 0.9"),
            ("-e hom", "did you mean home?"),
            ("-e zzz", "this store has home, Default"),
            ("attributes.status = 'failed'", "MLflow's are FINISHED, FAILED"),
            ("--columns status", "name, state, start, duration and id are always shown"),
            ("--top 0", "--top takes a whole number"),
            ("--tpo 3", "did you mean"),
        ],
    )
    def test_mistakes(self, refused, line, hint):
        assert hint in refused(f"%mlflow_runs {line}")

    def test_the_names_of_mlflow(self, run):
        def written(column):
            return [None if pandas.isna(value) else str(value) for value in column]

        ours = run("%mlflow_runs")[0]
        theirs = mlflow.search_runs(experiment_names=["home"])
        assert set(ours.columns) == {*theirs.columns, "run_name"}
        for name in theirs.columns:
            assert written(ours[name]) == written(theirs[name]), name
        assert list(ours.start_time) == list(theirs.start_time)

    def test_what_was_changed_is_shown(self, run):
        table = run("%mlflow_runs")[0]
        table["mine"] = 1
        assert "mine" in repr(table)
        assert "mine" in table._repr_html_()
        del table["mine"]
        assert "5 runs of home" in repr(table)
        table.loc[0, "status"] = "ODD"
        assert "runs of home" not in repr(table)
        assert "ODD" in table._repr_html_()

    def test_an_experiment_without_runs(self, run):
        mlflow.create_experiment("barren")
        for line in ("", "--sort accuracy", "--columns lr", "accuracy > 1", "metrics.accuracy > 1"):
            assert "there are no runs in barren yet" in run(f"%mlflow_runs -e barren {line}")[1]

    def test_names_that_need_backticks(self, looked, refused, run):
        looked.run_cell("%%mlflow_run ticks\n%mlflow_log metric 'val/acc'=0.5\n")
        assert "metrics.val/acc has to stand in backticks: metrics.`val/acc`" in refused(
            "%mlflow_runs metrics.val/acc > 0"
        )
        assert names(run("%mlflow_runs metrics.`val/acc` > 0")[0]) == ["ticks"]

    def test_what_ipython_leaves_in_quotation_marks(self, run):
        assert "IPython leaves $two in '…' as it is: write \"$two\"" in run("%mlflow_runs params.depth = '$two'")[1]

    def test_by_duration_of_all(self, looked, run):
        client, experiment = mlflow.MlflowClient(), mlflow.create_experiment("lasting")
        for at, seconds in enumerate((9, 1, 5), 1):
            run_id = client.create_run(experiment, run_name=f"{seconds} s", start_time=at * 100_000).info.run_id
            client.set_terminated(run_id, end_time=at * 100_000 + seconds * 1000)
        table, shown = run("%mlflow_runs -e lasting --sort duration --reverse --top 1")
        assert names(table) == ["9 s"]
        assert "longest first" in shown
        assert names(run("%mlflow_runs -e lasting --sort duration")[0]) == ["1 s", "5 s", "9 s"]

    def test_only_as_many_pages_as_needed(self, looked, run, monkeypatch):
        from mlflow_magics.tracking.patches import store

        inner = store.current().store
        asked = []
        original = inner.search_runs
        monkeypatch.setattr(inner, "search_runs", lambda *args: asked.append(args) or original(*args), raising=False)
        run("%mlflow_runs")
        assert len(asked) == 1


class TestBest:
    @pytest.mark.parametrize(
        ("line", "expected"),
        [("accuracy", "middle"), ("accuracy --min", "shallow"), ("loss", "deep"), ("loss --max", "shallow")],
    )
    def test_which(self, run, line, expected):
        best, _ = run(f"%mlflow_best {line}")
        assert best.name == expected
        assert best.params["depth"]

    def test_its_guess_is_said(self, run):
        assert "by its name" in run("%mlflow_best loss")[1]
        assert "by its name" not in run("%mlflow_best loss --min")[1]

    def test_only_among(self, run):
        assert run("%mlflow_best accuracy --filter params.depth = '8'")[0].name == "deep"

    def test_unknown(self, refused):
        assert "did you mean accuracy?" in refused("%mlflow_best acuracy")
        assert "give one of them" in refused("%mlflow_best loss --min --max")

    def test_none_is_like_that(self, refused):
        assert "no run with 'accuracy' is like that" in refused("%mlflow_best accuracy --filter params.depth = '99'")

    def test_a_run_without_a_number_is_not_the_best(self, looked, run):
        assert looked.run_cell("%%mlflow_run nan --metrics odd\nodd = float('nan')\n").success
        assert looked.run_cell("%%mlflow_run number --metrics odd\nodd = 1.0\n").success
        assert run("%mlflow_best odd")[0].name == "number"


class TestDiff:
    def test_two_by_name(self, run):
        _, shown = run("%mlflow_diff shallow deep")
        assert "depth 2 → 8" in shown
        assert "accuracy 0.7 → 0.8 ▲ +0.1 (+14.3%)" in shown
        assert "loss 0.5 → 0.1 ▼ -0.4 (-80.0%)" in shown
        assert "-depth = 2" in shown
        assert "+depth = 8" in shown

    def test_the_last_two_of_the_last_cell(self, looked, run):
        again = "%%mlflow_run again --metrics score\nrate = {}\nscore = float(sum([rate, 1]))\n"
        for rate in (0.3, 0.4):
            looked.run_cell(again.format(rate), cell_id="the-cell")
        _, shown = run("%mlflow_diff")
        assert "rate 0.3 → 0.4" in shown

    def test_a_rerun_says_it_in_a_line(self, looked, run):
        again = "%%mlflow_run line --metrics score\nrate = {}\nscore = float(sum([rate, 1]))\n"
        looked.run_cell(again.format(0.5), cell_id="other-cell")
        capsys_shown = looked.run_cell(again.format(1.0), cell_id="other-cell")
        assert capsys_shown.success
        session = looked.magics_manager.registry["MlflowMagics"].session
        notes = session.last[1].notes
        assert "against the run before: rate 0.5 → 1.0; score +33.3%; %mlflow_diff shows all" in notes
        looked.run_cell(again.format(1.0), cell_id="other-cell")
        assert not any("against" in note for note in session.last[1].notes)
        looked.run_cell(again.format(1.0).replace("sum([rate, 1])", "sum([rate, 3])"), cell_id="other-cell")
        assert any("the same params; score +100.0%" in note for note in session.last[1].notes)

    def test_a_rerun_says_it_in_another_kernel_too(self, looked):
        again = "%%mlflow_run line --metrics score\nrate = {}\nscore = float(sum([rate, 1]))\n"
        session = looked.magics_manager.registry["MlflowMagics"].session
        for rate, seen in ((0.5, False), (1.0, True)):
            looked.run_cell(again.format(rate), cell_id="restarted-cell")
            assert any("rate 0.5 → 1.0; score +33.3%" in note for note in session.last[1].notes) == seen
            session.previous.clear()  # all that a kernel knows of it
        looked.run_cell(again.format(1.0), cell_id="restarted-cell")
        assert not any("against" in note for note in session.last[1].notes)

    def test_a_rerun_under_autolog_in_another_kernel(self, looked):
        fit = """%%mlflow_run line
from sklearn.linear_model import Ridge
mlflow.sklearn.autolog(log_models=False, silent=True)
alpha = {}
ridge = Ridge(alpha=alpha).fit([[0.0], [1.0], [2.0]], [0, 1, 3])
mlflow.sklearn.autolog(disable=True)
"""
        session = looked.magics_manager.registry["MlflowMagics"].session
        looked.user_ns["mlflow"] = mlflow
        for alpha in (0.5, 1.0):
            assert looked.run_cell(fit.format(alpha), cell_id="autologged-cell").success
            session.previous.clear()
        assert "against the run before: alpha 0.5 → 1.0; %mlflow_diff shows all" in session.last[1].notes

    def test_by_the_beginning_of_an_id(self, looked, run):
        table = run("%mlflow_runs --sort oldest --top 2")[0]
        first, second = (run_id[:12] for run_id in table.run_id)
        assert "shallow → middle" in run(f"%mlflow_diff {first} {second}")[1]

    def test_ids_with_dashes(self, looked, run):
        # As Azure ML makes them: a GUID, or a job's words.
        client = mlflow.MlflowClient()
        experiment = mlflow.create_experiment("dashes")
        for name, its in (("one", "0d1e2f3a-1111-2222-3333-444455556666"), ("two", "icy_street-9x1")):
            made = client.create_run(experiment, run_name=name).info.run_id
            run("%mlflow_sync")
            with sqlite3.connect("mlflow.db") as database:
                for table in ("runs", "tags"):
                    database.execute(f"UPDATE {table} SET run_uuid = ? WHERE run_uuid = ?", (its, made))
            database.close()
        assert "0d1e2f3a" in run("%mlflow_runs -e dashes")[1]
        for first in ("0d1e2f3a-1111-2222-3333-444455556666", "0d1e2f3a", "0d1e2f3a-11"):
            assert "one → two (0d1e2f3a → icy_stre)" in run(f"%mlflow_diff {first} icy_street-9x1 -e dashes")[1]

    def test_packages_that_moved(self, looked, run):
        from mlflow_magics.tracking.runs import run_tags

        table = run("%mlflow_runs --sort oldest --top 2")[0]
        assert "python=" in table["tags." + run_tags.PACKAGES][0]
        assert "sklearn=" in table["tags." + run_tags.PACKAGES][0]
        client = mlflow.MlflowClient()
        client.set_tag(table.run_id[0], run_tags.PACKAGES, "python=3.9.1 numpy=1.0")
        _, shown = run(f"%mlflow_diff {table.run_id[0]} {table.run_id[1]}")
        assert "python 3.9.1 →" in shown

    def test_a_run_against_itself(self, looked, refused, run):
        both = refused("%mlflow_diff again again")
        earlier = run("%mlflow_runs attributes.run_name = 'again' --top 2")[0].run_id[1]
        assert "(again); name one by the beginning of its id; others of that name: " in both
        assert earlier[:8] in both
        assert "again → again" in run(f"%mlflow_diff {earlier[:8]} again")[1]
        assert "%mlflow_runs shows the ids" in refused("%mlflow_diff deep deep")

    def test_in_another_kernel(self, looked, run, monkeypatch):
        again = "%%mlflow_run restarted --metrics score\nrate = {}\nscore = float(sum([rate, 1]))\n"
        for rate in (0.3, 0.4):
            looked.run_cell(again.format(rate), cell_id="its-cell")
        monkeypatch.setattr(looked.magics_manager.registry["MlflowMagics"].session, "last", None)
        assert "rate 0.3 → 0.4" in run("%mlflow_diff")[1]

    def test_mistakes(self, looked, refused):
        assert "did you mean shallow?" in refused("%mlflow_diff shalow deep")
        looked.run_cell("%%mlflow_run single\nx = 1\n", cell_id="once")
        assert "the cell of run 'single' was run once" in refused("%mlflow_diff")
        assert "two runs are compared" in refused("%mlflow_diff a b c")


class TestBack:
    def test_a_model(self, looked, run):
        _, shown = run("%mlflow_load middle --as champion")
        assert "champion = model model of run middle (sklearn)" in shown
        assert looked.user_ns["champion"].predict([[1]])[0] == pytest.approx(4)

    def test_a_model_by_the_best_run(self, looked, run):
        run("best = %mlflow_best loss")
        _, shown = run("%mlflow_load $best")
        assert "in place of what it was" in shown
        assert looked.user_ns["model"].predict([[1]])[0] == pytest.approx(8)

    def test_models_that_are_not_there(self, refused):
        assert "holds no model" in refused("%mlflow_load again")
        assert "unknown model 'modl'" in refused("%mlflow_load middle modl")
        assert "did you mean model?" in refused("%mlflow_load middle modl")
        for word in ("1x", "for"):
            assert "takes a variable's name" in refused(f"%mlflow_load middle --as {word}")

    def test_a_cell(self, looked, run):
        _, shown = run("%mlflow_restore middle")
        assert "the cell of run middle is below, ready to run" in shown
        (payload,) = looked.payload_manager.read_payload() or [looked.rl_next_input]
        looked.payload_manager.clear_payload()
        text = payload["text"] if isinstance(payload, dict) else payload
        assert text == FIT.format(name="middle", depth=4, accuracy=0.9, loss=0.2).rstrip("\n")

    def test_a_run_without_source(self, looked, refused):
        looked.run_cell("%%mlflow_run bare --no-source\nx = 1\n")
        assert "its source was not logged" in refused("%mlflow_restore bare")


@pytest.mark.parametrize(
    ("source", "params", "text", "changed"),
    [
        # What the cell assigns is as the run had it, whatever autolog or a later line made of the name.
        ("%%mlflow_run a\nlr = 0.1\n", {"lr": "0.5"}, "%%mlflow_run a\nlr = 0.1\n", ()),
        ("lr = 0.1\nlr += 1\n", {"lr": "1.1"}, "lr = 0.1\nlr += 1\n", ()),
        ("%%mlflow_run\ny = depth + 1\n", {"depth": "3"}, "%%mlflow_run\ndepth = 3\ny = depth + 1\n", ("depth",)),
        ("%%time\n%%mlflow_run\nd + e\n", {"d": "3"}, "%%time\n%%mlflow_run\nd = 3\nd + e\n", ("d",)),
        ("z = !ls\n%time x\nlen?\nd\n", {"d": "3"}, "d = 3\nz = !ls\n%time x\nlen?\nd\n", ("d",)),
        (
            "from __future__ import annotations\nd\n",
            {"d": "3"},
            "from __future__ import annotations\nd = 3\nd\n",
            ("d",),
        ),
        ("import d\ndef e(): d, e\n", {"d": "3", "e": "4"}, "import d\ndef e(): d, e\n", ()),
        (
            "f(text, zip)\n",
            {"text": "1.10", "zip": "007"},
            "text = '1.10'\nzip = '007'\nf(text, zip)\n",
            ("text", "zip"),
        ),
        ("f(far)\n", {"far": "inf"}, "far = float('inf')\nf(far)\n", ("far",)),
        (
            "f(config)\n",
            {"config.lr": "0.2", "config.opt.name": "adam", "x": "1"},
            "config = {'lr': 0.2, 'opt': {'name': 'adam'}}\nf(config)\n",
            ("config",),
        ),
        ("f(full)\n", {"full.lr": "0.2"}, "full = {**full, 'lr': 0.2}\nf(full)\n", ("full",)),
        ("f(thing.lr)\n", {"thing.lr": "0.2"}, "f(thing.lr)\n", ()),
        ("f(day)\n", {"day": "2024-01-02"}, "f(day)\n", ()),
        ("f(day)\n", {"day": "2024-01-03"}, "day = '2024-01-03'\nf(day)\n", ("day",)),
        ("lr = 0.1\n", {"lr": "0.1", "config.depth": "3"}, "lr = 0.1\n", ()),
        ("lr = = 1\n", {"lr": "2"}, "lr = = 1\n", ()),
    ],
)
def test_a_source_with_a_runs_params(source, params, text, changed):
    namespace = {"text": "1.2", "full": {"lr": 0.1, "data": [1]}, "thing": object(), "day": datetime.date(2024, 1, 2)}
    assert restoring.restored(source, params, namespace) == (text, changed)


def test_the_cells_of_a_job(looked, run):
    client = mlflow.MlflowClient()
    run_id = client.create_run(client.get_experiment_by_name("home").experiment_id, run_name="job").info.run_id
    for number in (9, 10, 2):
        client.log_text(run_id, f"x = {number}\n", f"cell_{number}.py")
    client.log_text(run_id, "no cell", "cells.py")
    _, shown = run("%mlflow_restore job")
    assert "the run is of 3 cells: this is the last" in shown
    (payload,) = looked.payload_manager.read_payload() or [looked.rl_next_input]
    looked.payload_manager.clear_payload()
    assert (payload["text"] if isinstance(payload, dict) else payload) == "x = 10"
    assert re.search(r"-x = 2.*-x = 9.*-x = 10", run("%mlflow_diff job shallow")[1])


def is_gone(port):
    """Whether no server answers on a port any more."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
    except OSError:
        return True
    return False


@pytest.mark.slow
class TestPages:
    def test_started_reused_stopped(self, looked, run):
        _, shown = run("%mlflow_ui")
        (port,) = re.findall(r"started on port (\d+)", shown)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
            assert answer.status == 200
        assert f"running on port {port}" in run("%mlflow_ui")[1]
        assert "stopped" in run("%mlflow_ui --stop")[1]
        # Its workers die a moment after it.
        eventually(lambda: is_gone(port), "the end of the server")
        assert "nothing was running" in run("%mlflow_ui --stop")[1]

    def test_it_ends_with_a_kernel_that_is_killed(self, tmp_path):
        program = """
import os, signal
from mlflow_magics.tracking.lookback import webui
port, _ = webui.serve("sqlite:///ui.db", "")
print(port, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, timeout=120
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        port = int(done.stdout)
        eventually(lambda: is_gone(port), "the end of the server of a kernel that is dead")

    def test_where_the_store_is_stands_on_no_command_line(self, tmp_path):
        # A database's address holds its password, and every user of a machine may read its command lines.
        from mlflow_magics.tracking.lookback import webui

        folder = tmp_path / "hunter2"
        folder.mkdir()
        port, _ = webui.serve(f"sqlite:///{folder}/ui.db", str(folder / "artifacts"))
        try:
            lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if _is_readable(path)]
            assert any(str(port).encode() in line for line in lines)
            assert not any(b"hunter2" in line and b"mlflow" in line for line in lines)
            experiment = mlflow.MlflowClient(f"http://127.0.0.1:{port}").get_experiment("0")
            assert experiment.artifact_location == f"{folder}/artifacts/0"
        finally:
            webui.stop()

    @pytest.mark.parametrize(
        ("hostname", "prefix", "found"),
        [
            ("127.0.0.1", "", ("/base/proxy/", False)),
            ("0.0.0.0", "", ("/base/proxy/", True)),
            (None, "", ("", False)),
            (None, "/user/me/", ("/user/me/proxy/", True)),
        ],
    )
    def test_through_jupyters_own_address(self, tmp_path, monkeypatch, hostname, prefix, found):
        # As a real Jupyter server writes it; jupyter-server-proxy is only looked for here, and not installed.
        from mlflow_magics.tracking.lookback import webui

        if hostname:
            (tmp_path / "jpserver-4242.json").write_text(json.dumps({"base_url": "/base/", "hostname": hostname}))
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
        monkeypatch.setenv("JPY_PARENT_PID", "4242")
        monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", prefix)
        with monkeypatch.context() as without:
            without.setattr(webui, "find_spec", lambda name: None)
            assert webui.through_jupyter() == ("", False)
        monkeypatch.setattr(webui, "find_spec", lambda name: object())
        assert webui.through_jupyter() == found
        allowed = webui._environment("sqlite:///x.db", "").get("MLFLOW_SERVER_ALLOWED_HOSTS")
        assert (allowed == "*") == found[1]

    @pytest.mark.parametrize("port", ["99999", "0", "-1"])
    def test_what_is_no_port(self, refused, port):
        assert "--port takes a number from 1 to 65535" in refused(f"%mlflow_ui --port {port}")

    def test_a_port_that_is_taken(self, refused):
        import socket

        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            assert "is taken; leave --port out" in refused(f"%mlflow_ui --port {taken.getsockname()[1]}")


class TestHelp:
    def test_every_magic_has_examples_first(self, looked):
        magics = looked.magics_manager.magics
        ours = [each for kind in ("line", "cell") for each in magics[kind].items() if each[0].startswith("mlflow_")]
        assert len(ours) > 10
        for name, magic in ours:
            text = getdoc(magic)
            assert f"%{name}" in text.partition("Examples")[2].partition("::")[0], name
            assert "::" not in text.partition("Examples")[0], name

    def test_the_names_that_stand_for_the_magics_are_all_of_them(self):
        assert set(late.TRACKING) == set(magics.MlflowMagics.magics["line"])
        assert set(late.LOOKBACK) == set(lookback.MlflowLookback.magics["line"])
        assert set(magics.MlflowMagics.magics["cell"]) == {"mlflow_run"}

    def test_all_and_one(self, run, refused):
        _, shown = run("%mlflow_help")
        assert shown.index("%mlflow_connect http://localhost:5000") < shown.index("%%mlflow_run forest")
        assert "%mlflow_diff baseline 3f2a" in shown
        assert "connect" not in run("%mlflow_help diff")[1]
        assert "did you mean diff?" in refused("%mlflow_help dif")


def test_nothing_is_asked_of_a_store_that_is_away(looked, run):
    # What this kernel opened is told from what it knows.
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    table, _ = run("%mlflow_runs --top 1")
    assert len(table) == 1


def test_what_the_store_does_not_know_yet(tracked, capsys):
    tracked.run_cell("%mlflow_connect local --offline")
    assert "no run of Default is known here" in repr(tracked.run_cell("%mlflow_runs").result)
    for name, accuracy in (("low", 0.5), ("high", 0.9), ("middle", 0.7)):
        assert tracked.run_cell(f"%%mlflow_run {name} --metrics accuracy\naccuracy = {accuracy}\n").success
    best = tracked.run_cell("%mlflow_best accuracy").result
    assert (best.name, best.run_id.startswith("offline-")) == ("high", True)
    assert tracked.run_cell("%mlflow_best accuracy --min").result.name == "low"
    table = tracked.run_cell("%mlflow_runs --sort accuracy --top 3").result
    assert names(table) == ["high", "middle", "low"]
    capsys.readouterr()
    assert tracked.run_cell("%mlflow_diff low high").success
    assert "accuracy  0.5 → 0.9" in capsys.readouterr().out
    short = best.run_id.removeprefix("offline-")[:8]
    assert short in repr(table)
    for line in ("%mlflow_restore high", "%mlflow_load high", "%mlflow_diff"):
        tracked.run_cell(line)
    assert "%mlflow_sync sends them" in " ".join("".join(capsys.readouterr()).split())
    # Looking has sent nothing.
    assert tracked.run_cell(f"%mlflow_diff low {short}").success
    assert list(tracked.run_cell("%mlflow_runs --top 3").result.run_id)[1] == best.run_id


def test_a_store_that_is_away(shell, tmp_path, capsys):
    with MlflowServer(tmp_path / "server") as server:
        shell.run_cell(f"%mlflow_connect {server.url} -e there")
        for name, accuracy in (("a", 0.5), ("b", 0.9)):
            assert shell.run_cell(f"%%mlflow_run {name} --metrics accuracy\naccuracy = {accuracy}\n").success
        assert "could not be asked" not in repr(shell.run_cell("%mlflow_runs").result)
        server.stop()
        assert "these are only the runs that this kernel opened" in " ".join(
            repr(shell.run_cell("%mlflow_runs").result).split()
        )
        best = shell.run_cell("%mlflow_best accuracy").result
        assert best.name == "b"
        assert "the store could not be asked" in " ".join(repr(best).split())
        capsys.readouterr()
        assert shell.run_cell("%mlflow_diff a b").success
        shown = " ".join(capsys.readouterr().out.split())
        assert "accuracy 0.5 → 0.9" in shown
        assert "the sources could not be compared" in shown
        assert "the same params and packages note" in shown
        for magic in ("load", "restore"):
            assert not shell.run_cell(f"%mlflow_{magic} a").success
            (line,) = "".join(capsys.readouterr()).strip().splitlines()
            assert "nothing listens there" in line
