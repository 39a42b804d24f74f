"""``%mlflow_log``: every form, what it refuses, and in which words."""

from __future__ import annotations

import json
import os
import sys

import mlflow
import pytest
from mlflow import MlflowClient

KINDS = ("param", "metric", "tag", "artifact", "figure", "table", "text", "model")


@pytest.fixture
def shell(home, tmp_path, monkeypatch):
    """That shell, emptied, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    home.reset(new_session=True)
    yield home
    while mlflow.active_run():
        assert home.run_cell("%mlflow_end").success
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture
def run(shell):
    """A run that is open, and how to look at it and into the files it holds."""
    return Open(shell)


class Open:
    def __init__(self, shell):
        self.shell = shell
        assert shell.run_cell("%mlflow_start open").success
        self.run_id = mlflow.active_run().info.run_id

    def log(self, words, *before):
        """Run the cells before, then ``%mlflow_log words``; it must work."""
        for source in before:
            assert self.shell.run_cell(source, store_history=True).success
        result = self.shell.run_cell(f"%mlflow_log {words}", store_history=True)
        assert result.success, result.error_in_exec

    def refused(self, words):
        """What a ``%mlflow_log`` that must not work says: one line, and nothing logged."""
        before = self.all_files(), self.data.params, self.data.metrics
        said = refusal(self.shell, f"%mlflow_log {words}")
        assert (self.all_files(), self.data.params, self.data.metrics) == before
        return said

    @property
    def data(self):
        return MlflowClient().get_run(self.run_id).data

    def points(self, name):
        return [(point.step, point.value) for point in MlflowClient().get_metric_history(self.run_id, name)]

    def files(self, path=None):
        return [file.path for file in MlflowClient().list_artifacts(self.run_id, path)]

    def all_files(self):
        return [path for top in self.files() for path in (top, *self.files(top))]

    def text(self, path):
        place = MlflowClient().download_artifacts(self.run_id, path)
        with open(place, encoding="utf-8") as file:
            return file.read()


def refusal(shell, source):
    result = shell.run_cell(source, store_history=True)
    assert type(result.error_in_exec).__name__ == "UsageError", result
    said = str(result.error_in_exec)
    assert "\n" not in said
    return said


class TestMetrics:
    def test_an_expression_at_a_step(self, run):
        run.log(
            "metric Accuracy=np.mean(y_hat == y_test) --step 3",
            "import numpy as np\ny_hat, y_test = np.array([1, 0, 1, 1]), np.array([1, 1, 1, 1])",
        )
        assert run.points("Accuracy") == [(3, 0.75)]

    def test_a_variable(self, run):
        run.log("metric accuracy", "accuracy = 0.5")
        assert run.points("accuracy") == [(0, 0.5)]

    def test_several(self, run):
        run.log("metric loss=1 / 4, acc=0.5 f1=max(0.1, 0.2) --step=2")
        assert [run.points(name) for name in ("loss", "acc", "f1")] == [[(2, 0.25)], [(2, 0.5)], [(2, 0.2)]]

    @pytest.mark.parametrize("step", ["epoch", "{epoch}", "$epoch", "{epoch + 0}", "=epoch"])
    def test_points_of_a_loop(self, run, step):
        run.shell.run_cell(f"for epoch in range(3):\n    %mlflow_log metric loss=4 / (epoch + 1) --step {step}\n")
        assert run.points("loss") == [(0, 4.0), (1, 2.0), (2, pytest.approx(4 / 3))]

    def test_a_step_of_numpy(self, run):
        run.log("metric a=1 --step at", "import numpy as np\nat = np.int64(7)")
        assert run.points("a") == [(7, 1.0)]

    @pytest.mark.parametrize(
        ("value", "stored"),
        [
            ("np.float32(0.5)", 0.5),
            ("np.array(2)", 2.0),
            ("Decimal('0.25')", 0.25),
            ("True", 1.0),
            ("float('nan')", None),
            ("-3", -3.0),
        ],
    )
    def test_numbers_of_any_library(self, run, value, stored):
        run.log(f"metric m={value}", "import numpy as np\nfrom decimal import Decimal")
        ((_, found),) = run.points("m")
        assert found == stored or (stored is None and found != found)

    def test_a_dict_of_numbers(self, run):
        run.log("metric scores", "scores = {'train': 0.9, 'test': 0.8}")
        assert run.data.metrics == {"scores.train": 0.9, "scores.test": 0.8}

    def test_a_name_with_blanks(self, run):
        run.log("metric 'test accuracy'=0.5")
        assert run.data.metrics == {"test accuracy": 0.5}

    @pytest.mark.parametrize(
        ("value", "was"),
        [
            ("'0.9'", "str '0.9'"),
            ("[0.1, 0.2]", "list"),
            ("None", "None"),
            ("print", "function"),
            ("np.arange(3)", "ndarray"),
        ],
    )
    def test_must_be_numeric_and_it_says_what_it_was(self, run, value, was):
        run.shell.run_cell("import numpy as np")
        said = run.refused(f"metric m={value}")
        assert "a metric must be numeric" in said
        assert was in said

    @pytest.mark.parametrize("step", ["x", "1.5", "-"])
    def test_a_bad_step(self, run, step):
        assert "--step takes a whole number" in run.refused(f"metric a=1 --step {step}")

    def test_a_step_without_its_number(self, run):
        assert "--step takes a whole number" in run.refused("metric a=1 --step")

    def test_another_option(self, run):
        assert "did you mean --step" in run.refused("metric a=1 --stp 3")


class TestParamsAndTags:
    def test_a_param(self, run):
        run.log("param regularization_rate=0.1")
        assert run.data.params == {"regularization_rate": "0.1"}

    def test_kinds_of_params(self, run):
        run.log(
            "param cfg layers=[64, 32] name='adam' path=Path('a') none=None", "from pathlib import Path\ncfg={'a': 1}"
        )
        assert run.data.params == {
            "cfg.a": "1",
            "layers": "[64, 32]",
            "name": "adam",
            "path": "a",
            "none": "None",
        }

    def test_one_that_conflicts_is_shown(self, run, capsys):
        run.log("param a=1")
        capsys.readouterr()
        run.log("param a=2 b=3")
        shown = capsys.readouterr().out
        assert run.data.params == {"a": "1", "b": "3"}
        assert "param a was refused" in shown
        assert "param a = 2" not in shown
        assert "param b = 3" in shown

    def test_what_a_param_cannot_hold(self, run):
        assert "m: not a value that a param can hold" in run.refused("param m=object()")

    def test_tags(self, run):
        run.log("tag stage=dev", "version = 7")
        run.log("tag release=version note='two words' f=f'{version + 1}'")
        tags = run.data.tags
        assert (tags["stage"], tags["release"], tags["note"], tags["f"]) == ("dev", "7", "two words", "8")

    @pytest.mark.parametrize(
        "words",
        [
            "param password",
            "param a=password",
            "param a={'b': password}",
            "param url=f'http://ada:{password}@host'",
            "password",
            "a=password",
            "tag token=abc123xyz",
            "tag a=password",
        ],
    )
    def test_secrets_are_not_logged(self, run, words):
        run.shell.run_cell("password = 'hunter2hunter2'")
        assert "secret" in run.refused(words)

    def test_a_fixed_name_is_shown(self, run, capsys):
        run.log("metric scores", "scores = {'p@1': 0.5}")
        assert run.data.metrics == {"scores.p_1": 0.5}
        assert "p_1" in capsys.readouterr().out


class TestFiles:
    def test_an_artifact(self, run, tmp_path):
        (tmp_path / "ROC-Curve.png").write_bytes(b"png")
        run.log("artifact ROC-Curve.png")
        assert run.files() == ["ROC-Curve.png"]

    def test_a_folder_a_pattern_and_a_name_with_blanks(self, run, tmp_path):
        (tmp_path / "out").mkdir()
        for name in ("out/a.txt", "one.csv", "two.csv", "my file.txt"):
            (tmp_path / name).write_text(name)
        run.log("artifact out *.csv 'my file.txt'")
        assert run.files() == ["my file.txt", "one.csv", "out", "two.csv"]
        assert run.files("out") == ["out/a.txt"]

    def test_one_that_is_missing(self, run):
        assert "nowhere.png: no such file or folder" in run.refused("artifact nowhere.png")

    @pytest.mark.parametrize(
        ("name", "why"), [("pipe", "is a FIFO"), ("/dev/null", "is a device"), ("loop", "symbolic links")]
    )
    def test_one_that_is_no_file_is_refused_with_its_own_reason(self, run, tmp_path, name, why):
        os.mkfifo(tmp_path / "pipe")
        os.symlink("loop", tmp_path / "loop")
        assert why in run.refused(f"artifact {name}")

    def test_one_that_is_missing_beside_one_that_is_there(self, run, tmp_path, capsys):
        (tmp_path / "here.txt").write_text("here")
        run.log("artifact here.txt nowhere.txt")
        assert run.files() == ["here.txt"]
        assert "nowhere.txt" in capsys.readouterr().out

    def test_a_figure(self, run):
        run.log("figure fig", "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()")
        run.log("figure curve=ax")
        assert run.files("figures") == ["figures/curve.png", "figures/fig.png"]

    def test_no_figure(self, run):
        assert "not a matplotlib, plotly or altair figure but" in run.refused("figure x=1")

    def test_a_table(self, run):
        run.log("table df", "import pandas as pd\ndf = pd.DataFrame({'a': [1, 2]})")
        run.log("table 'by hand'={'b': [3]}")
        assert json.loads(run.text("df.json")) == {"columns": ["a"], "data": [[1], [2]]}
        assert json.loads(run.text("by hand.json")) == {"columns": ["b"], "data": [[3]]}

    def test_no_table(self, run):
        assert "not a table" in run.refused("table t=3")

    def test_a_text(self, run):
        run.log("text report", "report = 'precision: é'")
        assert run.text("report.txt") == "precision: é"

    def test_a_text_keeps_its_secrets_here(self, run):
        run.log("text report", "password = 'hunter2hunter2'\nreport = f'used {password} to log in'")
        assert "hunter2" not in run.text("report.txt")


class TestModels:
    FIT = (
        "from sklearn.tree import DecisionTreeClassifier\n"
        "model = DecisionTreeClassifier(random_state=0).fit([[0], [1]], [0, 1])"
    )

    @pytest.mark.parametrize(
        ("words", "name"),
        [("model model diabetes", "diabetes"), ("model model", "model"), ("model tree=model", "tree")],
    )
    def test_the_flavor_is_found(self, run, capsys, words, name):
        """A tree too, which MLflow 3's own default refuses."""
        run.log(words, self.FIT)
        loaded = mlflow.sklearn.load_model(f"runs:/{run.run_id}/{name}")
        assert list(loaded.predict([[0], [1]])) == [0, 1]
        assert f"model {name} (sklearn)" in capsys.readouterr().out

    def test_no_model(self, run):
        said = run.refused("model x=3")
        assert "x" in said
        assert "int" in said


class TestInferred:
    """``%mlflow_log accuracy``: the role follows from how the variable came to be."""

    @pytest.mark.parametrize(
        ("cell", "name", "metric"),
        [
            ("epochs = 3", "epochs", False),
            ("lr = 0.5", "lr", False),
            ("accuracy = statistics.mean([0, 1])", "accuracy", True),
            ("hits = statistics.mode(data)", "hits", True),
            ("optimizer = 'adam'", "optimizer", False),
        ],
    )
    def test_numbers_and_words(self, run, cell, name, metric):
        run.log(name, "import statistics\ndata = [1, 2]", cell)
        assert ((name in run.data.metrics), (name in run.data.params)) == (metric, not metric)

    def test_with_an_expression(self, run):
        run.log("error=statistics.mean(data) / 4 --step 2", "import statistics\ndata = [1, 2]")
        assert run.points("error") == [(2, 0.375)]

    def test_configurations_and_results(self, run):
        run.log(
            "config, scores",
            "config = {'lr': 0.1, 'opt': 'adam'}\nimport statistics",
            "scores = {'a': statistics.mean([1, 2])}",
        )
        assert run.data.params == {"config.lr": "0.1", "config.opt": "adam"}
        assert run.data.metrics == {"scores.a": 1.5}

    def test_figures_tables_and_models(self, run):
        run.log("fig", "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()")
        run.log("df", "import pandas as pd\ndf = pd.DataFrame({'a': [1]})")
        assert run.files() == ["df.json", "figures"]
        run.log("model", TestModels.FIT)
        assert mlflow.sklearn.load_model(f"runs:/{run.run_id}/model") is not None

    def test_what_is_none_of_them(self, run):
        run.shell.run_cell("import math\nraw = b'123'")
        assert "math: a module" in run.refused("math")

    def test_in_a_run_cell(self, shell):
        shell.run_cell("%%mlflow_run\na = 1\n%mlflow_log metric late=a * 2 --step 4\n", store_history=True)
        found = mlflow.last_active_run()
        assert found.data.metrics == {"late": 2.0}
        assert found.data.params == {"a": "1"}


class TestMistakes:
    def test_no_run_is_open(self, shell):
        for words in ("metric a=1", "tag a=b", "artifact f.txt"):
            said = refusal(shell, f"%mlflow_log {words}")
            assert "no run is open" in said
            assert "%%mlflow_run" in said
            assert "%mlflow_start" in said

    def test_no_run_is_open_for_a_variable(self, shell):
        shell.run_cell("accuracy = 0.5")
        assert "no run is open" in refusal(shell, "%mlflow_log accuracy")

    def test_nothing(self, run):
        said = run.refused("")
        assert all(kind in said for kind in KINDS)

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_kind_without_a_thing(self, run, kind):
        assert f"%mlflow_log {kind} takes what to log" in run.refused(kind)

    @pytest.mark.parametrize("words", ["acuracy", "metric acuracy", "param x=acuracy", "metric x=acuracy * 2"])
    def test_an_unknown_variable(self, run, words):
        run.shell.run_cell("accuracy = 0.5")
        assert "did you mean accuracy?" in run.refused(words)

    def test_an_unknown_kind(self, run):
        assert "did you mean metric?" in run.refused("metrc")

    def test_an_expression_that_fails(self, run):
        assert "ZeroDivisionError" in run.refused("metric a=1 / 0")

    def test_no_expression(self, run):
        assert "not a Python expression" in run.refused("metric a=1 +")

    def test_a_dry_run_is_no_run_to_log_into(self, shell):
        said = refusal(shell, "%%mlflow_run --dry-run\n%mlflow_log metric a=1\n")
        assert "no run is open" in said
