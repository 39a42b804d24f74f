"""Run cells against a real MLflow server: what arrives, at what price, and what happens when it goes away."""

from __future__ import annotations

import json
import time

import mlflow
import pytest
from mlflow import MlflowClient

from mlflow_magics.tracking.runs import settling
from tests.rig.runs import artifact, only_run, runs
from tests.rig.servers import CountingProxy, MlflowServer, _every_method, _forward
from tests.rig.waiting import eventually
from tests.session.test_authored import EARLIER, STYLES, history

pytestmark = pytest.mark.slow


@pytest.fixture
def at_server(shell, mlflow_server):
    """A shell connected to the server, each test to an experiment of its own."""

    def connect(experiment, uri=mlflow_server.url):
        result = shell.run_cell(f"%mlflow_connect {uri} -e {experiment}")
        assert result.success, result.error_in_exec
        return shell

    return connect


def ten_and_ten(turn=0):
    params = "\n".join(f"p{i} = {i + turn}" for i in range(10))
    metrics = "\n".join(f"m{i} = sum(data) / {i + 1}" for i in range(10))
    return f"{params}\n{metrics}\n"


def _partly(self):
    proxy = self.server.rig
    if proxy.failing and proxy.failing in self.path:
        self.body()
        self.send(500, [("Content-Type", "text/plain")], b"no space left")
    else:
        _forward(self)


class FailingProxy(CountingProxy):
    """Answers 500 to what has `failing` in its path."""

    handler = _every_method(_partly)
    failing = ""


@pytest.mark.parametrize(
    "style", ["a function of an earlier cell", "item by item", "under another name", "after the loop", "threads"]
)
def test_a_curve_that_the_author_logs_is_at_the_server_as_the_bare_cell_leaves_it(at_server, mlflow_server, style):
    extra, code = STYLES[style]
    shell = at_server(f"authored-{len(style)}")
    assert shell.run_cell(EARLIER).success
    where = mlflow_server.folder / "server.db"
    bare, _, _ = history(shell, code, where=where)
    points, _, _ = history(shell, code, "%%mlflow_run\n", where=where)
    assert bare
    assert {key: points.get(key) for key in bare} == bare
    assert set(points) == set(bare) | extra


class TestARun:
    def test_end_to_end(self, at_server, mlflow_server, folder, capsys):
        shell = at_server("whole")
        capsys.readouterr()
        result = shell.run_cell(
            "%%mlflow_run ridge --tags stage=dev --description 'a note'\nimport statistics\n"
            "alpha = 0.5\nscore = statistics.mean([1, 2])\nscore\n",
            store_history=True,
        )
        assert result.result == 1.5
        run = only_run("whole", mlflow_server.url)
        assert (run.info.run_name, run.info.status) == ("ridge", "FINISHED")
        assert run.data.params == {"alpha": "0.5"}
        assert run.data.metrics == {"score": 1.5}
        assert (run.data.tags["stage"], run.data.tags["mlflow.note.content"]) == ("dev", "a note")
        assert run.data.tags["mlflow.source.type"] == "NOTEBOOK"
        assert "alpha = 0.5" in artifact(run, "cell.py", mlflow_server.url)
        shown = " ".join(capsys.readouterr().out.split())
        assert f"{mlflow_server.url}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}" in shown

    def test_a_failure_and_a_child(self, at_server, mlflow_server, folder):
        shell = at_server("family")
        shell.run_cell("%mlflow_start outer")
        shell.run_cell("%%mlflow_run inner\n1 / 0\n")
        shell.run_cell("%mlflow_end")
        found = {run.info.run_name: run for run in runs("family", mlflow_server.url)}
        assert {name: run.info.status for name, run in found.items()} == {"outer": "FINISHED", "inner": "FAILED"}
        assert found["inner"].data.tags["mlflow.parentRunId"] == found["outer"].info.run_id
        assert "ZeroDivisionError" in artifact(found["inner"], "traceback.txt", mlflow_server.url)

    def test_a_param_the_server_refuses_takes_no_neighbour_with_it(self, at_server, mlflow_server, capsys):
        shell = at_server("refused")
        shell.run_cell("%%mlflow_run\nimport mlflow\nmlflow.log_param('lr', 1)\nlr = 0.5\nother = 2\n")
        assert only_run("refused", mlflow_server.url).data.params == {"lr": "1", "other": "2"}
        assert "stays '1'" in capsys.readouterr().out


class TestRequests:
    """At most five, and one for each artifact; the textbook cell makes 28."""

    def counted(self, shell, proxy, cell):
        proxy.requests.clear()
        result = shell.run_cell(cell, store_history=True)
        # On a busy machine the block does not wait for all of it.
        eventually(lambda: not settling.waiting().total, "what the cell logged is sent")
        return result, list(proxy.requests)

    def assert_cheap(self, requests, artifacts):
        """`artifacts` were uploaded, and at most five requests were made beside."""
        uploads = [path for method, path in requests if method == "PUT" and "mlflow-artifacts" in path]
        assert len(uploads) == artifacts, requests
        assert len(requests) <= 5 + artifacts, requests

    @pytest.mark.parametrize("line", ["", "named"], ids=["unnamed", "named"])
    def test_ten_params_and_ten_metrics(self, at_server, counting_proxy, mlflow_server, line):
        shell = at_server(f"counted-{line}", counting_proxy.url)
        shell.run_cell("data = [1.0] * 100")
        for turn in range(3):
            _, requests = self.counted(shell, counting_proxy, f"%%mlflow_run {line}\n{ten_and_ten(turn)}")
            self.assert_cheap(requests, artifacts=1)
        newest, *_ = found = runs(f"counted-{line}", mlflow_server.url)
        assert len(found) == 3
        assert newest.data.params == {f"p{i}": str(i + 2) for i in range(10)}
        assert newest.data.metrics == {f"m{i}": pytest.approx(100 / (i + 1)) for i in range(10)}

    def test_an_experiment_of_its_own_is_looked_up_once(self, at_server, counting_proxy):
        shell = at_server("counted-home", counting_proxy.url)
        shell.run_cell("data = [1.0] * 100")
        cell = f"%%mlflow_run -e counted-elsewhere\n{ten_and_ten()}"
        self.counted(shell, counting_proxy, cell)
        _, requests = self.counted(shell, counting_proxy, cell)
        self.assert_cheap(requests, artifacts=1)

    def test_one_that_fails_and_has_a_figure(self, at_server, counting_proxy):
        shell = at_server("counted-failing", counting_proxy.url)
        shell.run_cell("data = [1.0] * 100\nimport matplotlib.pyplot as plt")
        _, requests = self.counted(
            shell, counting_proxy, f"%%mlflow_run\n{ten_and_ten()}plt.plot(data);\nraise ValueError\n"
        )
        self.assert_cheap(requests, artifacts=3)

    def test_a_dry_run_makes_none(self, at_server, counting_proxy):
        shell = at_server("counted-dry", counting_proxy.url)
        result, requests = self.counted(shell, counting_proxy, "%%mlflow_run --dry-run\nlr = 0.1\nlr\n")
        assert (result.result, requests) == (0.1, [])

    def test_loading_and_a_syntax_error_make_none(self, at_server, counting_proxy):
        shell = at_server("counted-syntax", counting_proxy.url)
        _, requests = self.counted(shell, counting_proxy, "%%mlflow_run\na = = 1\n")
        assert requests == []

    def test_adopting_the_cells_run_asks_nothing_more(self, at_server, counting_proxy):
        """``with mlflow.start_run()`` and ``end_run`` cost nothing: the run is there, and no URL is printed."""
        shell = at_server("counted-adopted", counting_proxy.url)
        _, requests = self.counted(
            shell, counting_proxy, "%%mlflow_run\nimport mlflow\nwith mlflow.start_run():\n    lr = 0.1\n"
        )
        self.assert_cheap(requests, artifacts=1)


class TestAServerThatGoesAway:
    def test_while_the_cell_runs_and_comes_back(self, shell, tmp_path, capsys):
        with MlflowServer(tmp_path / "server") as server:
            assert shell.run_cell(f"%mlflow_connect {server.url} -e outage").success
            shell.push({"kill": server.stop})
            capsys.readouterr()
            began = time.monotonic()
            result = shell.run_cell("%%mlflow_run lost\nkill()\nlr = 0.1\nlr * 2\n")
            took = time.monotonic() - began
            shown = capsys.readouterr()
            assert result.success
            assert result.result == 0.2
            # MLflow's own default is 247 s; killing the server takes some of this too.
            assert took < 30
            assert "4 writes wait, and are sent when the store answers: nothing listens" in shown.out
            assert "Traceback" not in shown.out + shown.err
            assert mlflow.active_run() is None

            # Still gone when the next cell begins: its run is created later, and it says so.
            result = shell.run_cell("%%mlflow_run later\nlr = 0.2\nlr\n")
            shown = capsys.readouterr()
            assert result.result == 0.2
            assert "run      offline-" in shown.out
            assert "Traceback" not in shown.out + shown.err

            # And the cell's own error is the cell's, whatever becomes of its run.
            result = shell.run_cell("%%mlflow_run failing\n1 / 0\n")
            assert isinstance(result.error_in_exec, ZeroDivisionError)

            server.start()
            assert shell.run_cell("%mlflow_sync").success
            result = shell.run_cell("%%mlflow_run back\nlr = 0.3\nlr\n")
            assert result.result == 0.3
            found = {run.info.run_name: run for run in runs("outage", server.url)}
            assert {name: (run.info.status, run.data.params) for name, run in found.items()} == {
                "lost": ("FINISHED", {"lr": "0.1"}),
                "later": ("FINISHED", {"lr": "0.2"}),
                "failing": ("FAILED", {}),
                "back": ("FINISHED", {"lr": "0.3"}),
            }

    def test_a_server_that_fails_one_part_costs_that_part_alone(self, at_server, mlflow_server, capsys):
        with FailingProxy(mlflow_server.url) as proxy:
            shell = at_server("partly", proxy.url)
            proxy.failing = "/mlflow-artifacts/"
            capsys.readouterr()
            result = shell.run_cell("%%mlflow_run\nlr = 0.1\nlr\n")
            shown = " ".join(capsys.readouterr().out.split())
        assert result.result == 0.1
        run = only_run("partly", mlflow_server.url)
        assert (run.info.status, run.data.params) == ("FINISHED", {"lr": "0.1"})
        assert (
            "1 write waits, and is sent when the store answers: files (cell.py): it answers with an error (500)"
            in shown
        )


class TestSecrets:
    def test_credentials_in_the_uri_are_nowhere(self, at_server, mlflow_server, folder, capfd):
        address = mlflow_server.url.replace("http://", "http://ada:hunter2hunter2@")
        shell = at_server("masked", address)
        shell.push({"address": address})
        shell.run_cell("%mlflow_connect --check")
        shell.run_cell("%mlflow_start outer")
        shell.run_cell("%%mlflow_run inner\nimport mlflow\nlr = 0.1\nserver_uri = address\nmlflow.log_metric('a', 1)\n")
        shell.run_cell("%mlflow_status")
        shell.run_cell("%mlflow_log param where=address")
        shell.run_cell("%mlflow_log text address")
        shell.run_cell("%mlflow_end")
        shell.run_cell("with mlflow.start_run(run_name='plain'):\n    mlflow.log_metric('a', 1)\n")
        shell.run_cell("%%mlflow_run parent\nwith mlflow.start_run(nested=True):\n    mlflow.log_metric('a', 1)\n")
        shown = capfd.readouterr()
        assert "***" in shown.out
        assert "hunter2" not in shown.out + shown.err
        found = runs("masked", mlflow_server.url)
        assert len(found) == 5
        client = MlflowClient(mlflow_server.url)
        for run in found:
            assert "hunter2" not in json.dumps([run.data.params, run.data.tags, run.info.run_name])
            for file in client.list_artifacts(run.info.run_id):
                assert "hunter2" not in artifact(run, file.path, mlflow_server.url)

    def test_nor_where_the_server_is_gone(self, shell, tmp_path, capfd):
        with MlflowServer(tmp_path / "server") as server:
            address = server.url.replace("http://", "http://ada:hunter2hunter2@")
            shell.run_cell(f"%mlflow_connect {address} -e gone")
            shell.push({"kill": server.stop})
            shell.run_cell("%%mlflow_run lost\nkill()\nlr = 0.1\n")
            shell.run_cell("%%mlflow_run later\nlr = 0.1\n")
            shell.run_cell("%mlflow_connect --check")
            shell.run_cell(f"%mlflow_connect {address}")
        shown = capfd.readouterr()
        assert "writes wait" in shown.out
        assert "hunter2" not in shown.out.replace(f"%mlflow_connect {address}", "") + shown.err


def test_mlflow_prints_nothing(at_server, capfd):
    shell = at_server("quiet")
    capfd.readouterr()
    shell.run_cell(
        "%%mlflow_run\nimport mlflow\nwith mlflow.start_run():\n    mlflow.log_metric('a', 1)\n"
        "with mlflow.start_run(nested=True, run_name='inner'):\n    mlflow.log_metric('a', 1)\n"
    )
    shell.run_cell("mlflow.start_run()\nmlflow.end_run()\n")
    shown = capfd.readouterr()
    # One block, whose link is ours; nothing of MLflow's "🏃 View run" and "🧪 View experiment".
    assert "View" not in shown.out + shown.err
    assert shown.err == ""
    assert shown.out.count("/runs/") == 1
