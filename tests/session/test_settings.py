"""Settings in calls through a real shell and a real store: options, the author's own keys, autologging, restoring."""

from __future__ import annotations

import textwrap

import pytest
from mlflow import MlflowClient

from mlflow_magics.capture.notebook.restoring import restored
from mlflow_magics.tracking.models.autologging import turn_off

SETUP = """
import mlflow
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Lasso, Ridge
X, y = load_breast_cancer(return_X_y=True)
def train(lr, epochs=5): return {"final_loss": lr * 2}
def connect(api_key, retries=3): return 0.5
"""
FOREST = """
clf = RandomForestClassifier(n_estimators=20, max_depth=3, random_state=0).fit(X[:400], y[:400])
print("accuracy:", clf.score(X[400:], y[400:]))
"""


@pytest.fixture
def shell(tracked):
    assert tracked.run_cell(SETUP).success
    turn_off(())
    yield tracked
    turn_off(())


def run(shell, code, options=""):
    result = shell.run_cell(f"%%mlflow_run {options}\n" + textwrap.dedent(code).strip("\n") + "\n", store_history=True)
    assert result.success, result.error_in_exec


def params():
    client = MlflowClient()
    (newest, *_) = client.search_runs(["0"], order_by=["attributes.start_time DESC"])
    return newest.data.params


def test_a_forest(shell, capsys):
    run(shell, FOREST)
    assert params() == {"n_estimators": "20", "max_depth": "3", "random_state": "0"}
    assert "argument of RandomForestClassifier" in " ".join(capsys.readouterr().out.split())


def test_a_function_of_the_notebook(shell, capsys):
    run(shell, "result = train(lr=0.1)")
    assert params() == {"lr": "0.1", "epochs": "5"}
    assert "default of train" in " ".join(capsys.readouterr().out.split())


class TestOptions:
    def test_skip(self, shell):
        run(shell, FOREST, "--skip max_depth random_state")
        assert params() == {"n_estimators": "20"}

    def test_skip_of_two_that_disagree(self, shell):
        run(shell, "a = Ridge(alpha=1.0)\nb = Lasso(alpha=0.1, max_iter=50)", "--skip ridge.alpha")
        assert params() == {"lasso.alpha": "0.1", "max_iter": "50"}

    def test_params(self, shell, capsys):
        run(shell, "clf = RandomForestClassifier(n_estimators=20, n_jobs=1)", "--params n_jobs n_estimators")
        assert params() == {"n_estimators": "20", "n_jobs": "1"}
        assert "note" not in capsys.readouterr().out

    def test_no_capture(self, shell):
        run(shell, FOREST, "--no-capture")
        assert params() == {}

    def test_dry_run(self, shell, capsys):
        capsys.readouterr()
        run(shell, FOREST, "--dry-run")
        shown = " ".join(capsys.readouterr().out.split())
        assert "n_estimators" in shown
        assert "argument of RandomForestClassifier" in shown
        assert MlflowClient().search_runs(["0"]) == []


def test_a_secret_stays_in_the_kernel(shell, capsys):
    secret = "sk-live-" + "4f9a8b7c6d5e4f3a2b1c"
    run(shell, f"r = connect(api_key='{secret}')\nt = connect('{secret}', retries=2)")
    assert secret not in repr(params())
    assert not any("api_key" in name for name in params())
    assert secret not in capsys.readouterr().out


def test_a_failed_cell_has_the_settings_that_it_reached(shell):
    result = shell.run_cell(
        "%%mlflow_run\na = Ridge(alpha=2.0)\nwith open('/dev/null'):\n    b = Lasso(max_iter=7)\n    1 / 0\n"
        "    c = Lasso(tol=0.5)\nd = Ridge(solver='svd')\n"
    )
    assert isinstance(result.error_in_exec, ZeroDivisionError)
    assert params() == {"alpha": "2.0", "max_iter": "7"}


class TestBesideTheAuthor:
    def test_his_key_and_value(self, shell, capsys):
        run(shell, "mlflow.log_param('n_estimators', 20)\nclf = RandomForestClassifier(n_estimators=20)")
        assert params() == {"n_estimators": "20"}
        assert "note" not in capsys.readouterr().out

    def test_his_value_under_another_spelling(self, shell):
        run(shell, "mlflow.log_params({'Max-Depth': 3})\nclf = RandomForestClassifier(max_depth=3)")
        assert params() == {"Max-Depth": "3"}

    def test_the_same_number_in_another_text(self, shell, capsys):
        run(shell, "mlflow.log_param('alpha', 1)\nmodel = Ridge(alpha=1.0)")
        assert params() == {"alpha": "1"}
        assert "stays" not in capsys.readouterr().out

    def test_two_that_disagree_beside_his_own(self, shell):
        run(shell, "mlflow.log_param('alpha', 1.0)\na = Ridge(alpha=1.0)\nb = Lasso(alpha=0.1)")
        assert params() == {"alpha": "1.0", "lasso.alpha": "0.1"}


class TestBesideAutologging:
    LEAN = "%mlflow_autolog sklearn --no-log-models --no-log-datasets"

    def test_one_model(self, shell, capsys):
        shell.run_cell(self.LEAN)
        capsys.readouterr()
        run(shell, FOREST)
        found = params()
        assert (
            found.items() >= {"n_estimators": "20", "max_depth": "3", "random_state": "0", "bootstrap": "True"}.items()
        )
        shown = capsys.readouterr().out
        assert "stays" not in shown
        assert "refused" not in shown

    def test_values_that_have_more_than_one_text(self, shell, capsys):
        shell.run_cell(self.LEAN)
        capsys.readouterr()
        code = "clf = RandomForestClassifier(10, max_features=1/3, class_weight=None, ccp_alpha=1e-05)"
        run(shell, f"{code}.fit(X, y)")
        assert params().items() >= {"n_estimators": "10", "ccp_alpha": "1e-05", "class_weight": "None"}.items()
        shown = capsys.readouterr().out
        assert "stays" not in shown
        assert "refused" not in shown

    def test_two_models_that_disagree(self, shell, capsys):
        shell.run_cell(self.LEAN)
        capsys.readouterr()
        run(shell, "a = Ridge(alpha=2.0).fit(X, y)\nb = Lasso(alpha=0.5).fit(X, y)")
        found = params()
        assert found["alpha"] == "2.0"
        assert found["lasso.alpha"] == "0.5"
        assert "ridge.alpha" not in found
        # What is refused is autolog's own second batch.
        assert "lasso.alpha was refused" not in " ".join(capsys.readouterr().out.split())


def test_restored_cells_hold_no_dict_in_place_of_a_function(shell):
    run(shell, "raso = train(lr=0.1)\ntrain(lr=0.2, epochs=2)\ntrain(0.3, 2)")
    found = params()
    assert {"train_1.lr", "train_2.lr", "train_3.lr"} <= found.keys()
    kept = {name.replace("_1", ""): value for name, value in found.items()}
    assert restored("r = train(lr=0.1)\n", kept, {}) == ("r = train(lr=0.1)\n", ())
