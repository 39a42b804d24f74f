"""``%mlflow_autolog`` through the shell: what it says, and what a fit then leaves in the cell's run."""

from __future__ import annotations

import mlflow
import pytest
from mlflow import MlflowClient

from mlflow_magics.tracking.models.autologging import integrations, turn_off
from tests.rig.shells import run_cell

SETUP = """
import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression, Ridge
X, y = load_iris(return_X_y=True)
"""
LEAN = "--no-log-models --no-log-datasets"


@pytest.fixture
def shell(home):
    """That shell with data to fit, and autologging off before and after."""
    home.reset(new_session=True)
    assert home.run_cell(SETUP).success
    turn_off(())  # what another file of tests turned off by name, MLflow would pass over
    yield home
    turn_off(())
    while mlflow.active_run():
        mlflow.end_run()


def on():
    return {row.name for row in integrations() if row.on and row.installed}


def last_run():
    return MlflowClient().get_run(mlflow.last_active_run().info.run_id)


def runs_named(name):
    found = MlflowClient().get_experiment_by_name("home").experiment_id
    return MlflowClient().search_runs([found], f"attributes.run_name = '{name}'")


class TestOnAndOff:
    def test_alone_it_is_everything(self, shell, capsys):
        run_cell(shell, "%mlflow_autolog")
        assert on() >= {"sklearn", "xgboost"}
        assert "autolog · on for" in capsys.readouterr().out
        run_cell(shell, "%mlflow_autolog off")
        assert on() == set()

    @pytest.mark.parametrize("words", ["sklearn xgboost", "sklearn,xgboost", "scikit-learn xgboost"])
    def test_by_name_and_one_off(self, shell, words):
        run_cell(shell, f"%mlflow_autolog {words}")
        assert on() == {"sklearn", "xgboost"}
        run_cell(shell, "%mlflow_autolog sklearn off")
        assert on() == {"xgboost"}

    def test_all_but_one(self, shell):
        run_cell(shell, "%mlflow_autolog --exclude sklearn")
        assert "sklearn" not in on()
        assert "xgboost" in on()

    def test_status(self, shell, capsys):
        run_cell(shell, f"%mlflow_autolog sklearn {LEAN}")
        capsys.readouterr()
        run_cell(shell, "%mlflow_autolog status")
        shown = capsys.readouterr().out
        rows = {line.split()[0]: line for line in shown.splitlines() if line.strip()}
        assert "● on" in rows["sklearn"]
        assert "scikit-learn" in rows["sklearn"]
        assert "○ off" in rows["xgboost"]
        assert "not installed" in shown
        assert on() == {"sklearn"}

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ("sklern", "unknown flavor 'sklern'; did you mean sklearn"),
            ("sklearn xgbost", "did you mean xgboost?"),
            ("sklern off", "did you mean sklearn"),
            ("--exclude sklern", "did you mean sklearn"),
            ("--no-log-model-s", "did you mean --no-log-models?"),
            ("--extra-tags novalue", "name=value"),
            ("sttus", "status"),
        ],
    )
    def test_a_wrong_word_is_one_line_and_changes_nothing(self, shell, words, said):
        result = shell.run_cell(f"%mlflow_autolog {words}")
        assert type(result.error_in_exec).__name__ == "UsageError"
        assert said in str(result.error_in_exec)
        assert "\n" not in str(result.error_in_exec)
        assert on() == set()

    def test_an_option_that_a_flavor_does_not_take_is_said(self, shell, capsys):
        run_cell(shell, "%mlflow_autolog statsmodels sklearn --log-input-examples --no-log-models")
        shown = " ".join(capsys.readouterr().out.split())
        assert "sklearn" in on()
        # statsmodels is not installed here, or takes no input examples; either way it is said.
        assert "note statsmodels" in shown

    def test_nothing_is_printed_but_the_block(self, shell, capfd):
        run_cell(shell, f"%mlflow_autolog sklearn {LEAN}")
        run_cell(shell, "%%mlflow_run\nmodel = Ridge().fit(X, y)\n")
        shown = capfd.readouterr()
        assert shown.err == ""
        assert "View" not in shown.out
        assert "WARNING" not in shown.out


class TestInARunCell:
    def test_it_logs_into_the_cells_run_and_capture_adds_the_rest(self, shell, capsys):
        run_cell(shell, f"%mlflow_autolog sklearn {LEAN}")
        capsys.readouterr()
        run_cell(
            shell,
            "%%mlflow_run fitted\nC = 0.5\nrounds = 300\nmodel = LogisticRegression(C=C, max_iter=rounds).fit(X, y)\n"
            "accuracy = model.score(X, y)\n",
        )
        (found,) = runs_named("fitted")
        assert found.info.status == "FINISHED"
        # Autolog's, and what capture adds. C is logged by both, under one name and value: once.
        assert found.data.params.items() >= {"solver": "lbfgs", "max_iter": "300", "C": "0.5", "rounds": "300"}.items()
        assert found.data.metrics["accuracy"] == found.data.metrics["training_accuracy_score"]
        for name in found.data.metrics:
            assert len(MlflowClient().get_metric_history(found.info.run_id, name)) == 1
        shown = capsys.readouterr().out
        assert "(autolog, mlflow.log_*)" in shown
        assert "stays" not in shown
        assert "rounds" in shown

    def test_a_value_that_autolog_has_logged_otherwise_stays_and_is_said(self, shell, capsys):
        run_cell(shell, f"%mlflow_autolog sklearn {LEAN}")
        capsys.readouterr()
        run_cell(shell, "%%mlflow_run clash\nalpha = 2\nmodel = Ridge(alpha=alpha / 4).fit(X, y)\n")
        (found,) = runs_named("clash")
        assert found.data.params["alpha"] == "0.5"
        assert "alpha stays '0.5'" in capsys.readouterr().out

    def test_two_fits_in_one_cell(self, shell):
        run_cell(shell, f"%mlflow_autolog sklearn {LEAN}")
        run_cell(
            shell,
            "%%mlflow_run two\nfirst = LogisticRegression(max_iter=300).fit(X, y)\n"
            "second = Ridge(alpha=3.0).fit(X, y)\nbest = max(first.score(X, y), second.score(X, y))\n",
        )
        (found,) = runs_named("two")
        assert found.info.status == "FINISHED"
        # Both have a max_iter, and the first to say so stays; MLflow itself refuses the whole second batch.
        assert found.data.params["max_iter"] == "300"
        assert found.data.metrics.keys() >= {"training_accuracy_score", "training_mean_squared_error"}
        assert 0.9 < found.data.metrics["best"] <= 1
        assert mlflow.active_run() is None

    def test_two_fits_of_one_kind_do_not_stop_the_cell(self, shell):
        """The second one's params conflict with the first one's; MLflow itself lets the fit go on."""
        run_cell(shell, f"%mlflow_autolog sklearn {LEAN}")
        result = run_cell(
            shell,
            "%%mlflow_run same\nscores = {}\nfor a in (0.1, 1.0):\n"
            "    scores[a] = Ridge(alpha=a).fit(X, y).score(X, y)\nlen(scores)\n",
        )
        assert result.result == 2
        (found,) = runs_named("same")
        assert found.info.status == "FINISHED"
        assert found.data.params["alpha"] == "0.1"

    def test_its_model_is_in_the_cells_run(self, shell):
        run_cell(shell, "%mlflow_autolog sklearn --no-log-datasets")
        run_cell(shell, "%%mlflow_run modelled\nmodel = Ridge(alpha=0.5).fit(X, y)\n")
        (found,) = runs_named("modelled")
        loaded = mlflow.sklearn.load_model(f"runs:/{found.info.run_id}/model")
        assert loaded.alpha == 0.5

    def test_a_failing_fit_is_the_cells_failure(self, shell):
        run_cell(shell, f"%mlflow_autolog sklearn {LEAN}")
        result = shell.run_cell("%%mlflow_run failing\nRidge().fit(X, y[:3])\n")
        assert isinstance(result.error_in_exec, ValueError)
        (found,) = runs_named("failing")
        assert found.info.status == "FAILED"

    def test_outside_a_run_cell_it_opens_runs_of_its_own(self, shell):
        run_cell(shell, f"%mlflow_autolog sklearn {LEAN} --extra-tags who=auto")
        run_cell(shell, "Ridge(alpha=7.0).fit(X, y);")
        found = last_run()
        assert (found.info.status, found.data.params["alpha"], found.data.tags["who"]) == ("FINISHED", "7.0", "auto")
        assert mlflow.active_run() is None

    def test_in_a_run_that_spans_cells(self, shell):
        run_cell(shell, f"%mlflow_autolog sklearn {LEAN}")
        run_cell(shell, "%mlflow_start spanning")
        run_cell(shell, "Ridge(alpha=7.0).fit(X, y);")
        run_cell(shell, "%mlflow_end")
        (found,) = runs_named("spanning")
        assert found.data.params["alpha"] == "7.0"

    def test_off_within_the_cell(self, shell):
        run_cell(shell, f"%mlflow_autolog sklearn {LEAN}")
        run_cell(shell, "%%mlflow_run quiet\n%mlflow_autolog off\nmodel = Ridge(alpha=7.0).fit(X, y)\n")
        (found,) = runs_named("quiet")
        # Of autolog's there would be six more.
        assert found.data.params == {"alpha": "7.0"}

    def test_a_seeded_cell_computes_the_same(self, shell):
        cell = (
            "np.random.seed(7)\nnoise = np.random.rand()\nmodel = Ridge().fit(X, y)\ndraw = float(np.random.rand())\n"
        )
        run_cell(shell, cell)
        bare = shell.user_ns["draw"]
        run_cell(shell, f"%mlflow_autolog sklearn {LEAN}")
        run_cell(shell, f"%%mlflow_run seeded\n{cell}")
        assert shell.user_ns["draw"] == bare


def test_xgboost_has_a_point_for_each_round(shell):
    run_cell(shell, f"%mlflow_autolog xgboost {LEAN}")
    run_cell(
        shell,
        "%%mlflow_run boosted\nimport xgboost\nrounds = 4\ndata = xgboost.DMatrix(X, y)\n"
        "booster = xgboost.train({'max_depth': 2}, data, rounds, evals=[(data, 'train')], verbose_eval=False)\n",
    )
    (found,) = runs_named("boosted")
    points = MlflowClient().get_metric_history(found.info.run_id, "train-rmse")
    assert [point.step for point in points] == [0, 1, 2, 3]
    assert found.data.params["max_depth"] == "2"
    assert found.data.params["rounds"] == "4"
