"""A cell's life on a real shell: it does what the bare cell does, and its run tells the truth."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import mlflow
import pytest
from mlflow import MlflowClient

from tests.rig.runs import artifact, artifacts, only_run, runs
from tests.rig.shells import cell


class TestOutcome:
    def test_a_cell_that_finishes(self, tracked):
        result = tracked.run_cell("%%mlflow_run first\nx = 0.5\ny = float(sum([x, 1]))\ny\n", store_history=True)
        assert result.success
        assert result.result == 1.5
        run = only_run()
        assert run.info.status == "FINISHED"
        assert run.info.run_name == "first"
        assert run.data.params == {"x": "0.5", "y": "1.5"}

    @pytest.mark.parametrize(
        "head",
        ["%%mlflow_run\n", "\n%%mlflow_run\n\n", "%%time\n%%mlflow_run\n", "%%mlflow_run\n%%time\n", "%mlflow_run\n"],
    )
    @pytest.mark.parametrize("line", ["score = float(1 / zero)", "score = float(\n    1 / zero\n)"])
    def test_what_a_failed_cell_did_not_make_is_not_its_own(self, tracked, head, line):
        # The cell was run before, and so its names are there.
        tracked.run_cell("score = 0.9\nlater = 3\nzero = 0")
        tracked.run_cell(f"{head}rate = 0.1\n{line}\nlater = 4\n")
        run = only_run()
        assert run.info.status == "FAILED"
        assert run.data.params.keys() - {"zero"} == {"rate"}
        assert run.data.metrics == {}

    def test_a_cell_that_fails(self, tracked):
        result = tracked.run_cell("%%mlflow_run\na = 1\n1 / 0\nb = 2\n")
        assert isinstance(result.error_in_exec, ZeroDivisionError)
        run = only_run()
        assert run.info.status == "FAILED"
        assert run.data.params == {"a": "1"}
        assert "traceback.txt" in artifacts(run)
        text = artifact(run, "traceback.txt")
        assert "ZeroDivisionError" in text
        assert "interactiveshell.py" not in text
        assert "line 3" in text

    def test_an_interrupt(self, tracked):
        result = tracked.run_cell("%%mlflow_run\na = 1\nraise KeyboardInterrupt\n")
        assert isinstance(result.error_in_exec, KeyboardInterrupt)
        assert only_run().info.status == "KILLED"

    def test_a_syntax_error_is_no_run(self, tracked):
        assert not tracked.run_cell("%%mlflow_run\na = = 1\n").success
        assert runs() == []

    def test_a_syntax_error_below_time_is_no_run(self, tracked):
        tracked.run_cell("%%mlflow_run\n%%time\na = = 1\n")
        assert runs() == []

    @pytest.mark.parametrize(("code", "status"), [("0", "FINISHED"), ("3", "FAILED")])
    def test_sys_exit(self, tracked, code, status):
        tracked.run_cell(f"%%mlflow_run\nimport sys\nsys.exit({code})\n")
        assert only_run().info.status == status

    def test_an_error_that_time_swallows_is_still_the_outcome(self, tracked):
        tracked.run_cell("%%mlflow_run\n%%time\n1 / 0\n")
        assert only_run().info.status == "FAILED"

    def test_an_old_error_is_not_this_cells(self, tracked):
        tracked.run_cell("1 / 0\n")
        tracked.run_cell("%%mlflow_run\na = 1\n")
        assert only_run().info.status == "FINISHED"


# The same programs bare and as runs. Values, printed text and tracebacks must not differ.
PROGRAMS = {
    "value": "x = 2\nx * 21",
    "no value": "x = 1;\nx;",
    "print": "print('hello')\n'last'",
    "await": "import asyncio\nawait asyncio.sleep(0)\n7",
    "await in loop": "import asyncio\nt = 0\nfor i in range(3):\n    await asyncio.sleep(0)\n    t += i\nt",
    "error": "def f():\n    return 1 / 0\n\nf()",
    "error in comprehension": "[1 / i for i in (1, 0)]",
    "magics": "%alias_magic t timeit\ny = %pwd\nlen(y) > 0",
    "shell": "out = !echo hi\nout[0]",
    "indented": "    z = 3\n    z",
    "blank lines": "\n\nq = 1\n\nq",
    "time": "%%time\nw = 4\nw",
    "capture": "%%capture c\nprint('in')",
    "decorator": "@(lambda f: f)\ndef g(): return 3\ng()",
    "global": "def h():\n    global gg\n    gg = 5\nh()\ngg",
    "future": "from __future__ import annotations\nx: Foo = 1\nx",
    "walrus": "(n := 10) + 1",
    "string with magic": "s = '''\n%%mlflow_run\n'''\ns",
    "unicode": "é = 1\né",
    "interrupt": "raise KeyboardInterrupt",
}


def observe(shell, source, capsys):
    shell.reset(new_session=True)
    capsys.readouterr()
    # The bare cell has a comment where the run has its magic, so that line numbers can be compared.
    result = shell.run_cell(source)
    printed = capsys.readouterr().out
    error = result.error_in_exec
    lines = []
    traceback = error.__traceback__ if error else None
    while traceback:
        if traceback.tb_frame.f_globals is shell.user_ns:
            lines.append((traceback.tb_lineno, traceback.tb_frame.f_code.co_name))
        traceback = traceback.tb_next
    return result.success, repr(result.result), type(error).__name__, str(error), lines, printed


def said(printed):
    """What was printed, without what differs by design: the magic's own line in a traceback, and how long it took."""
    return [line for line in printed.splitlines() if not line.startswith(("      1 ", "CPU times: ", "Wall time: "))]


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_run_cell_behaves_as_the_bare_cell(shell, capsys, program):
    # A comment stands where the run has its magic, so that line numbers can be compared; a cell magic must stand first.
    bare = observe(shell, program if program[:2] in ("%%", "  ") else "#\n" + program, capsys)
    run = observe(shell, "%%mlflow_run --dry-run\n" + program, capsys)
    assert run[:5] == bare[:5]
    assert said(run[5])[: len(said(bare[5]))] == said(bare[5])


class TestOtherMagics:
    def test_time_below(self, tracked):
        result = tracked.run_cell("%%mlflow_run\n%%time\na = 3\nb = float(len('abc') * a)\nb\n")
        assert result.result == 9.0
        assert only_run().data.params == {"a": "3", "b": "9.0"}

    def test_time_above(self, tracked):
        result = tracked.run_cell("%%time\n%%mlflow_run\na = 3\na\n")
        assert result.result == 3
        run = only_run()
        assert (run.info.status, run.data.params) == ("FINISHED", {"a": "3"})

    def test_capture_above(self, tracked):
        tracked.run_cell("%%capture out\n%%mlflow_run\na = 3\nprint('x')\n")
        run = only_run()
        assert (run.info.status, run.data.params) == ("FINISHED", {"a": "3"})
        assert "x" in tracked.user_ns["out"].stdout

    def test_capture_below(self, tracked):
        tracked.run_cell("%%mlflow_run\n%%capture out\na = 3\n")
        assert only_run().data.params == {"a": "3"}

    def test_a_cell_that_is_not_python(self, tracked):
        tracked.run_cell("%%mlflow_run\n%%writefile script.py\nlr = 1\n")
        run = only_run()
        assert (run.info.status, run.data.params) == ("FINISHED", {})
        assert os.path.exists("script.py")

    def test_run_cell_magic(self, tracked):
        tracked.run_cell_magic("mlflow_run", "called", "a = 3\n")
        assert only_run().data.params == {"a": "3"}
        with pytest.raises(ZeroDivisionError):
            tracked.run_cell_magic("mlflow_run", "called", "1 / 0\n")
        assert runs()[0].info.status == "FAILED"


class TestAsALine:
    def test_the_rest_of_the_cell_is_the_run(self, tracked):
        tracked.run_cell("before = 1\n%mlflow_run late\nlr = 0.1\n")
        run = only_run()
        assert run.info.run_name == "late"
        assert run.data.params == {"lr": "0.1"}

    def test_two_in_one_cell_are_two_runs(self, tracked):
        tracked.run_cell("%mlflow_run one\na = 1\n%mlflow_run two\nb = 2\n")
        assert {run.info.run_name: run.data.params for run in runs()} == {"one": {"a": "1"}, "two": {"b": "2"}}

    def test_in_a_loop_each_turn_is_a_run(self, tracked):
        tracked.run_cell("for lr in (0.1, 0.2):\n    %mlflow_run lr-{lr}\n    half = lr / 2\n")
        assert {run.info.run_name for run in runs()} == {"lr-0.1", "lr-0.2"}
        assert all(run.info.status == "FINISHED" for run in runs())


class TestMlflowInside:
    def test_start_run_adopts_the_cells_run(self, tracked):
        tracked.run_cell(
            cell("""
            %%mlflow_run
            import mlflow
            with mlflow.start_run(run_name="tutorial", tags={"a": "b"}) as active:
                mlflow.log_param("alpha", 0.5)
                mlflow.log_metric("rmse", 0.25)
            inner = active.info.run_id
            """)
        )
        run = only_run()
        assert run.info.run_id == tracked.user_ns["inner"]
        assert run.info.run_name == "tutorial"
        assert run.data.params["alpha"] == "0.5"
        assert run.data.metrics == {"rmse": 0.25}
        assert run.data.tags["a"] == "b"
        assert run.info.status == "FINISHED"
        assert mlflow.active_run() is None

    def test_an_error_inside_it_is_the_cells(self, tracked):
        tracked.run_cell("%%mlflow_run\nimport mlflow\nwith mlflow.start_run():\n    1 / 0\n")
        assert only_run().info.status == "FAILED"

    def test_start_and_end_without_with(self, tracked):
        tracked.run_cell(
            "%%mlflow_run\nimport mlflow\nmlflow.start_run()\nmlflow.log_metric('a', 1)\nmlflow.end_run()\n"
        )
        assert only_run().data.metrics == {"a": 1.0}
        assert mlflow.active_run() is None

    def test_runs_started_in_a_loop_are_children(self, tracked):
        tracked.run_cell(
            cell("""
            %%mlflow_run sweep
            import mlflow
            for alpha in (0.1, 0.2, 0.3):
                with mlflow.start_run(run_name=f"a{alpha}"):
                    mlflow.log_param("alpha", alpha)
            """)
        )
        parent = next(run for run in runs() if run.info.run_name == "sweep")
        children = [run for run in runs() if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
        assert sorted(run.data.params["alpha"] for run in children) == ["0.1", "0.2", "0.3"]
        assert "alpha" not in parent.data.params

    def test_a_nested_run_is_a_child_and_ends_with_the_cell(self, tracked):
        tracked.run_cell("%%mlflow_run outer\nimport mlflow\nmlflow.start_run(nested=True, run_name='inner')\n")
        inner = next(run for run in runs() if run.info.run_name == "inner")
        outer = next(run for run in runs() if run.info.run_name == "outer")
        assert inner.data.tags["mlflow.parentRunId"] == outer.info.run_id
        assert inner.info.status == "FINISHED"
        assert mlflow.active_run() is None

    def test_threads_log_into_the_cells_run(self, tracked):
        tracked.run_cell(
            cell("""
            %%mlflow_run
            import mlflow, threading
            from concurrent.futures import ThreadPoolExecutor
            def work(i):
                mlflow.log_metric(f"m{i}", i)
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(work, range(8)))
            """)
        )
        assert only_run().data.metrics == {f"m{i}": float(i) for i in range(8)}

    def test_a_pool_that_outlives_the_cell_logs_into_the_next_cells_run(self, tracked):
        tracked.run_cell(
            "import mlflow\nfrom concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(1)"
        )
        for number in (1, 2):
            tracked.run_cell(f"%%mlflow_run r{number}\npool.submit(mlflow.log_metric, 'm', {number}).result();\n")
        tracked.run_cell("pool.shutdown()")
        assert {run.info.run_name: run.data.metrics for run in runs()} == {"r1": {"m": 1.0}, "r2": {"m": 2.0}}

    def test_two_tasks_log_into_the_cells_run(self, tracked):
        tracked.run_cell(
            cell("""
            %%mlflow_run
            import asyncio, mlflow
            async def work(name):
                for step in range(3):
                    mlflow.log_metric(name, step, step=step)
                    await asyncio.sleep(0)
            await asyncio.gather(work("a"), work("b"));
            """)
        )
        assert only_run().data.metrics == {"a": 2.0, "b": 2.0}

    def test_child_processes_log_into_the_cells_run(self, tracked):
        code = "import mlflow; mlflow.log_metric('child', 1)"
        tracked.run_cell(
            f"%%mlflow_run\nimport subprocess, sys\nsubprocess.run([sys.executable, '-c', {code!r}], check=True)\n1/0\n"
        )
        run = only_run()
        assert run.data.metrics == {"child": 1.0}
        assert run.info.status == "FAILED"
        assert "MLFLOW_RUN_ID" not in os.environ

    def test_forked_processes_log_into_the_cells_run(self, tracked):
        tracked.run_cell(
            cell("""
            %%mlflow_run
            import mlflow, os
            _pid = os.fork()
            if _pid == 0:
                mlflow.log_metric("forked", 1)
                os._exit(0)
            os.waitpid(_pid, 0);
            """)
        )
        assert only_run().data.metrics == {"forked": 1.0}

    def test_a_run_left_open_before_is_said_and_kept(self, tracked, capsys):
        tracked.run_cell("import mlflow\nmine = mlflow.start_run(run_name='mine')")
        tracked.run_cell("%%mlflow_run\na = 1\n")
        assert "still open" in capsys.readouterr().out
        assert mlflow.active_run().info.run_name == "mine"
        tracked.run_cell("%%mlflow_run child --nested\nb = 1\n")
        child = next(run for run in runs() if run.info.run_name == "child")
        assert child.data.tags["mlflow.parentRunId"] == mlflow.active_run().info.run_id
        mlflow.end_run()


class TestSpanning:
    def test_a_run_that_spans_cells(self, tracked):
        tracked.run_cell("%mlflow_start whole")
        tracked.run_cell("import mlflow\nmlflow.log_metric('a', 1)")
        tracked.run_cell("%%mlflow_run part\nlr = 0.1\n")
        tracked.run_cell("%mlflow_end --status failed")
        whole = next(run for run in runs() if run.info.run_name == "whole")
        part = next(run for run in runs() if run.info.run_name == "part")
        assert part.data.tags["mlflow.parentRunId"] == whole.info.run_id
        assert whole.data.metrics == {"a": 1.0}
        assert whole.info.status == "FAILED"

    @pytest.mark.parametrize("before", ["1 / 0", "raise KeyboardInterrupt", "%%mlflow_run\n1 / 0"])
    def test_what_failed_before_the_last_cell_is_not_its_outcome(self, tracked, before):
        """IPython keeps the error that it showed last, for as long as no other comes."""
        tracked.run_cell(before)
        tracked.run_cell("%mlflow_start whole")
        tracked.run_cell("a = 1")
        tracked.run_cell("%unload_ext mlflow_magics")
        mlflow.set_tracking_uri(f"sqlite:///{os.getcwd()}/mlflow.db")
        assert {run.info.status for run in runs() if run.info.run_name == "whole"} == {"FINISHED"}

    def test_reloading_closes_it(self, tracked):
        tracked.run_cell("%mlflow_start whole")
        tracked.run_cell("%reload_ext mlflow_magics")
        mlflow.set_tracking_uri(f"sqlite:///{os.getcwd()}/mlflow.db")
        assert mlflow.active_run() is None
        assert only_run().info.status == "FINISHED"
        tracked.run_cell("%mlflow_connect local")
        tracked.run_cell("%%mlflow_run again\na = 1\n")
        assert len(runs()) == 2

    def test_end_without_start(self, tracked, capsys):
        tracked.run_cell("%mlflow_end")
        shown = capsys.readouterr()
        assert "open one with %mlflow_start" in shown.err + shown.out


class TestSetup:
    def test_loading_twice_registers_once(self, shell):
        import mlflow_magics
        from mlflow_magics.shell.cell.transformer import rewrite

        mlflow_magics.load_ipython_extension(shell)
        assert shell.input_transformers_cleanup.count(rewrite) == 1
        for event in ("pre_run_cell", "post_run_cell"):
            ours = [c for c in shell.events.callbacks[event] if type(c.__self__).__name__ == "CellRuns"]
            assert len(ours) == 1

    def test_unloading_leaves_nothing_behind(self, bare_shell):
        def state():
            return {
                "transformers": list(bare_shell.input_transformers_cleanup),
                "events": {name: list(callbacks) for name, callbacks in bare_shell.events.callbacks.items()},
                "magics": {kind: set(table) for kind, table in bare_shell.magics_manager.magics.items()},
                "registry": set(bare_shell.magics_manager.registry),
                "matchers": list(bare_shell.Completer.custom_matchers),
                "deferred": set(bare_shell.display_formatter.mimebundle_formatter.deferred_printers),
                "types": set(bare_shell.display_formatter.mimebundle_formatter.type_printers),
                "start_run": mlflow.start_run,
                "fluent": mlflow.tracking.fluent.start_run,
                "end_run": mlflow.end_run,
                "log_model": getattr(mlflow, "log_model", None),
                "uri": mlflow.get_tracking_uri(),
                "environment": {k: v for k, v in os.environ.items() if k.startswith("MLFLOW")},
                "names": set(bare_shell.user_ns),
            }

        bare_shell.run_cell("%load_ext IPython.extensions.storemagic")  # IPython registers %load_ext itself late
        before = state()
        bare_shell.run_cell("%load_ext mlflow_magics")
        bare_shell.run_cell("%mlflow_connect local")
        bare_shell.run_cell("%%mlflow_run\npass\n")
        bare_shell.run_cell("%unload_ext mlflow_magics")
        after = state()
        after["names"] -= {"_i", "_ii", "_iii"}
        before["names"] -= {"_i", "_ii", "_iii"}
        assert after == before

    def test_load_and_run_in_one_cell(self, bare_shell):
        result = bare_shell.run_cell("%load_ext mlflow_magics\n%mlflow_connect local\n%mlflow_run one\nlr = 0.5\n")
        assert result.success
        assert only_run().data.params == {"lr": "0.5"}
        assert only_run().info.status == "FINISHED"

    def test_no_connect_is_needed(self, shell, capsys):
        shell.run_cell("%%mlflow_run\nlr = 0.5\n")
        assert only_run().data.params == {"lr": "0.5"}
        assert "connected to" in capsys.readouterr().out

    def test_a_dead_server_does_not_stop_the_cell(self, shell, monkeypatch, capsys):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        result = shell.run_cell("%%mlflow_run\nlr = 0.5\nlr\n")
        assert result.result == 0.5
        assert "writes wait" in " ".join(capsys.readouterr().out.split())

    def test_seeded_cells_compute_what_they_would_have(self, tracked):
        source = (
            "import random, numpy as np\nrandom.seed(1); np.random.seed(1)\nfirst = random.random(), np.random.rand()\n"
        )
        tracked.run_cell(source)
        tracked.run_cell("second = random.random(), np.random.rand()")
        bare = tracked.user_ns["first"], tracked.user_ns["second"]
        tracked.run_cell("%%mlflow_run\n" + source)
        tracked.run_cell("%%mlflow_run\nsecond = random.random(), np.random.rand()")
        assert (tracked.user_ns["first"], tracked.user_ns["second"]) == bare

    def test_what_the_user_sets_later_counts(self, tracked, capsys):
        tracked.run_cell("import mlflow\nmlflow.set_experiment('mine')")
        tracked.run_cell("%%mlflow_run\nlr = 0.5\n")
        assert only_run("mine").data.params == {"lr": "0.5"}
        tracked.run_cell("mlflow.set_tracking_uri('sqlite:///other.db')")
        tracked.run_cell("%%mlflow_run\nlr = 0.25\n")
        assert "other.db" in capsys.readouterr().out
        assert only_run().data.params == {"lr": "0.25"}


class TestOptions:
    def test_names_may_stand_apart_or_together(self, tracked):
        tracked.run_cell("a = b = c = 1\nd = 2.0")
        tracked.run_cell("%%mlflow_run --params a,b --metrics d --skip e\ne = 5\n")
        run = only_run()
        assert (run.data.params, run.data.metrics) == ({"a": "1", "b": "1"}, {"d": 2.0})
        tracked.run_cell("%%mlflow_run --params a b c\npass\n")
        assert runs()[0].data.params == {"a": "1", "b": "1", "c": "1"}

    def test_the_rest(self, tracked):
        with open("plot.csv", "w", encoding="utf-8") as file:
            file.write("1,2")
        tracked.run_cell(
            '%%mlflow_run "my run" -e exp --tags stage=dev "note=two words" --description "a *note*"'
            " --artifacts plot.csv\na = 1\n",
            store_history=True,
        )
        run = only_run("exp")
        assert run.info.run_name == "my run"
        assert run.data.tags["stage"] == "dev"
        assert run.data.tags["note"] == "two words"
        assert run.data.tags["mlflow.note.content"] == "a *note*"
        assert run.data.tags["mlflow.source.type"] == "NOTEBOOK"
        assert run.data.tags["mlflow_magics.execution_count"].isdigit()
        assert artifacts(run) == ["cell.py", "plot.csv"]
        assert artifact(run, "cell.py").startswith('%%mlflow_run "my run" -e exp')

    def test_variables_expand_as_in_other_magics(self, tracked):
        tracked.run_cell("model = 'forest'\ndepth = 3")
        tracked.run_cell("%%mlflow_run $model-{depth}\na = 1\n")
        assert only_run().info.run_name == "forest-3"

    def test_what_was_logged_because_it_was_asked_for_is_not_skipped(self, tracked, capsys):
        tracked.run_cell("from sklearn.linear_model import Ridge\nimport numpy as np\nX = np.arange(8.0).reshape(4, 2)")
        capsys.readouterr()
        line = "%%mlflow_run --model model=ridge --data X"
        tracked.run_cell(f"{line}\nmodel = Ridge().fit(X, X[:, 0])\nother = Ridge().fit(X, X[:, 1])\n")
        shown = " ".join(capsys.readouterr().out.split())
        assert "models ridge" in shown
        assert "data X 4 x 2" in shown
        assert "skipped other (a model (Ridge); --model other), Ridge (a class)" in shown

    def test_what_could_not_be_logged_is_skipped(self, tracked, capsys):
        tracked.run_cell("import threading")
        tracked.run_cell("%%mlflow_run --data data\ndata = threading.Lock()\n")
        shown = " ".join(capsys.readouterr().out.split())
        assert "data data was not logged" in shown
        assert "skipped data (" in shown

    def test_no_source_no_capture(self, tracked):
        tracked.run_cell("%%mlflow_run --no-source --no-capture\na = 1\n")
        run = only_run()
        assert (run.data.params, artifacts(run)) == ({}, [])

    def test_dry_run(self, shell, capsys):
        shell.run_cell("%%mlflow_run --dry-run\nlr = 0.25\n")
        assert not os.path.exists("mlflow.db")
        assert "lr" in capsys.readouterr().out

    def test_go_on_with_a_run(self, tracked):
        tracked.run_cell("%%mlflow_run first\na = 1\n")
        run_id = only_run().info.run_id
        tracked.run_cell(f"%%mlflow_run --run-id {run_id}\nb = 2\nscore = float(len([b]))/2\n")
        run = only_run()
        assert run.data.params["a"] == "1"
        assert run.data.params["b"] == "2"
        assert run.info.run_name == "first"
        tracked.run_cell(f"%%mlflow_run --run-id {run_id}\na = 99\n")
        assert only_run().data.params["a"] == "1"

    def test_system_metrics(self, tracked, monkeypatch):
        monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
        monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING", "1")
        tracked.run_cell("import time")
        tracked.run_cell("%%mlflow_run --log-system-metrics\nfor _ in range(20):\n    time.sleep(0.1)\n")
        run = only_run()
        assert "system/cpu_utilization_percentage" in run.data.metrics
        assert run.info.status == "FINISHED"

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("--parms a", "did you mean --params?"),
            ("--metrics", "--metrics: expected at least one argument; %mlflow_run? shows examples"),
            ("my run", "quotation marks"),
            ("--tags novalue", "name=value"),
            ("--model modle", "modle"),
            ("--run-id deadbeef", "deadbeef"),
            ('"open', "open"),
        ],
    )
    def test_a_wrong_one_is_one_line_and_the_cell_does_not_run(self, tracked, capsys, line, said):
        capsys.readouterr()
        result = tracked.run_cell(f"%%mlflow_run {line}\nran = True\n")
        captured = capsys.readouterr()
        text = captured.err + captured.out
        assert type(result.error_in_exec).__name__ == "UsageError"
        assert said in str(result.error_in_exec)
        assert "Traceback" not in text
        assert "ran" not in tracked.user_ns
        assert "\n" not in str(result.error_in_exec)

    def test_a_magic_that_takes_no_name_says_what_it_takes(self, shell):
        result = shell.run_cell("%mlflow_panel x")
        assert str(result.error_in_exec) == "unknown argument x; it takes --compact"

    def test_tab_completes_options(self, tracked):
        from IPython.core.completer import provisionalcompleter

        with provisionalcompleter():
            found = {c.text for c in tracked.Completer.completions("%%mlflow_run --me", 17)}
        assert "--metrics" in found
        with provisionalcompleter():
            assert "--sort" in {c.text for c in tracked.Completer.completions("runs = %mlflow_runs --so", 24)}
        found = tracked.Completer.complete(line_buffer="%mlflow_connect --ch", cursor_pos=20)[1]
        assert any("--check" in text for text in found)

    def test_question_mark_shows_the_options(self, tracked, capsys):
        info = tracked.object_inspect("%%mlflow_run")
        assert "--log-system-metrics" in info["docstring"]


class TestRefusals:
    def test_names_are_fixed_and_the_fix_is_shown(self, tracked, capsys):
        tracked.run_cell("import statistics")
        tracked.run_cell("%%mlflow_run\nreport = {'p@1': statistics.mean([1, 2]), 'p#1': statistics.mean([3, 4])}\n")
        assert only_run().data.metrics == {"report.p_1": 1.5, "report.p_1_2": 3.5}
        assert only_run().data.params == {}
        assert "p_1" in capsys.readouterr().out

    def test_nan_and_inf(self, tracked, capsys):
        tracked.run_cell(
            "%%mlflow_run\na = float(sum([])) * float('nan')\nimport math\nb = math.exp(1) * math.inf\n"
            "c = math.sqrt(4) * float('nan')\n"
        )
        metrics = only_run().data.metrics
        assert metrics["b"] > 1e308
        assert metrics["c"] != metrics["c"]
        assert "1.797e+308" in capsys.readouterr().out

    def test_a_conflicting_param_takes_no_neighbour_with_it(self, tracked, capsys):
        tracked.run_cell("%%mlflow_run\nimport mlflow\nmlflow.log_param('lr', 1)\nlr = 0.5\nother = 2\n")
        assert only_run().data.params == {"lr": "1", "other": "2"}
        assert "stays '1'" in capsys.readouterr().out

    def test_long_values_are_cut_and_it_is_said(self, tracked, capsys):
        tracked.run_cell("%%mlflow_run\ntext = 'x' * 7000\n")
        assert len(only_run().data.params["text"]) == 6000
        assert "cut from 7000" in capsys.readouterr().out

    def test_secrets_stay_here(self, tracked, capsys):
        tracked.run_cell("%%mlflow_run --tags api_key=abc123xyz\npassword = 'hunter2hunter2'\nlr = 0.1\n")
        run = only_run()
        assert run.data.params == {"lr": "0.1"}
        everything = json.dumps([run.data.params, run.data.tags, artifact(run, "cell.py")])
        assert "hunter2" not in everything + capsys.readouterr().out
        assert "abc123xyz" not in everything


class TestFigures:
    def test_figures_made_by_the_cell_are_logged(self, tracked):
        tracked.run_cell("%%mlflow_run\nimport matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1, 2]);\n")
        assert [f.path for f in MlflowClient().list_artifacts(only_run().info.run_id, "figures")] == ["figures/fig.png"]

    def test_a_figure_without_a_name(self, tracked):
        tracked.run_cell("%%mlflow_run\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]);\n")
        files = [f.path for f in MlflowClient().list_artifacts(only_run().info.run_id, "figures")]
        assert files == ["figures/figure_1.png"]


class TestComparison:
    def test_the_change_against_the_previous_run_of_this_cell(self, tracked, capsys):
        tracked.run_cell("%%mlflow_run a\nscore = float(abs(hash(1))) + len([1])\n".replace("hash(1)", "1"))
        tracked.run_cell("import statistics")
        tracked.run_cell("%%mlflow_run b\nscore = statistics.mean([1, 2])\n")
        capsys.readouterr()
        tracked.run_cell("%%mlflow_run b\nscore = statistics.mean([1, 4])\n")
        out = capsys.readouterr().out
        assert "2.5" in out
        assert "▲" in out


def test_a_cell_through_ipython_itself(tmp_path):
    """The terminal's own front door: ``ipython -c``."""
    code = "%load_ext mlflow_magics\n%mlflow_connect local\n%mlflow_run cli\nlr = 0.5\n"
    env = {**os.environ, "IPYTHONDIR": str(tmp_path / "ipython")}
    out = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "-c", code],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
    )
    assert out.returncode == 0, out.stderr
    assert "cli" in out.stdout
    assert "FINISHED" in out.stdout.upper()


def test_a_run_is_closed_where_it_was_opened(tracked):
    here = mlflow.get_tracking_uri()
    tracked.run_cell("%%mlflow_run\nimport mlflow\nlr = 0.5\nmlflow.set_tracking_uri('sqlite:///other.db')\n")
    assert mlflow.get_tracking_uri() == "sqlite:///other.db"
    mlflow.set_tracking_uri(here)
    run = only_run()
    assert (run.info.status, run.data.params) == ("FINISHED", {"lr": "0.5"})


class TestJob:
    """A job has a run already, and says which by MLFLOW_RUN_ID: MLflow's own convention, and Azure ML's."""

    @pytest.fixture
    def job(self, tracked, monkeypatch):
        run = MlflowClient().create_run(mlflow.get_experiment_by_name("Default").experiment_id, run_name="the job")
        monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
        return run.info.run_id

    def test_cells_log_into_its_run_and_leave_it_open(self, tracked, job, capsys):
        tracked.run_cell("%%mlflow_run first\nlr = 0.1\n%mlflow_log metric loss=0.1\n", store_history=True)
        tracked.run_cell("%%mlflow_run\ndepth = 3\n%mlflow_log metric score=3\n", store_history=True)
        run = only_run()
        assert (run.info.run_id, run.info.status, run.info.run_name) == (job, "RUNNING", "the job")
        assert run.data.params == {"lr": "0.1", "depth": "3"}
        assert run.data.metrics == {"loss": 0.1, "score": 3.0}
        sources = {name: artifact(run, name) for name in artifacts(run) if name.startswith("cell_")}
        assert len(sources) == 2  # the second cell's beside the first's, not over it
        assert os.environ["MLFLOW_RUN_ID"] == job

    def test_its_cells_are_not_compared_with_each_other_and_the_status_names_it(self, tracked, job, capsys):
        tracked.run_cell("%%mlflow_run first\nbs = 2\n")
        tracked.run_cell("%%mlflow_run second\nq = 5\n")
        assert "against the run before" not in capsys.readouterr().out
        tracked.run_cell("%mlflow_status")
        assert f"the job's run, which the cells log into ({job})" in " ".join(capsys.readouterr().out.split())

    def test_a_cell_that_fails_does_not_close_it(self, tracked, job):
        tracked.run_cell("%%mlflow_run\nlr = 0.1\n1 / 0\n")
        client = MlflowClient(mlflow.get_tracking_uri())
        assert client.get_run(job).info.status == "RUNNING"
        tracked.run_line_magic("unload_ext", "mlflow_magics")
        assert client.get_run(job).info.status == "RUNNING"

    def test_a_spanning_run_is_the_jobs_too(self, tracked, job):
        tracked.run_cell("%mlflow_start")
        tracked.run_cell("%mlflow_log param depth=3")
        tracked.run_cell("%mlflow_end")
        run = only_run()
        assert (run.info.run_id, run.info.status, run.data.params) == (job, "RUNNING", {"depth": "3"})

    def test_nested_makes_a_child(self, tracked, job):
        tracked.run_cell("%%mlflow_run part --nested\nlr = 0.1\n")
        child = next(run for run in runs() if run.info.run_id != job)
        assert (child.info.run_name, child.info.status) == ("part", "FINISHED")
        assert child.data.tags["mlflow.parentRunId"] == job

    def test_a_run_that_is_not_there_is_one_line(self, tracked, monkeypatch, capsys):
        monkeypatch.setenv("MLFLOW_RUN_ID", "deadbeef")
        tracked.run_cell("%%mlflow_run\nlr = 0.1\n")
        shown = "".join(capsys.readouterr())
        assert "MLFLOW_RUN_ID" in shown
        assert "deadbeef" in shown
        assert "Traceback" not in shown
