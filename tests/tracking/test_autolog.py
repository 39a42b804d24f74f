"""Autologging is turned on and off in the real MLflow, and real models are fitted under it."""

from __future__ import annotations

import json
import logging
import random
import textwrap

import mlflow
import numpy as np
import pytest
from mlflow.utils.autologging_utils import AUTOLOGGING_INTEGRATIONS
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from mlflow_magics.tracking.models.autologging import AutologReport, integrations, turn_off, turn_on
from mlflow_magics.tracking.models.integrations import known_flavor
from mlflow_magics.vocabulary.errors import UnknownNameError
from tests.rig.children import prepare

X, Y = load_iris(return_X_y=True)
SLIM = {"log_models": False, "log_datasets": False}


@pytest.fixture(autouse=True)
def all_off():
    yield
    turn_off(())


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One store for the module: making its tables costs more than all that is logged into it."""
    folder = tmp_path_factory.mktemp("store")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("auto", artifact_location=str(folder / "artifacts")))
    yield folder
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(before)


def on():
    return {row.name for row in integrations() if row.on}


def logged_by(fit):
    """What a fit leaves in the run that is open."""
    with mlflow.start_run() as run:
        fit()
    return mlflow.MlflowClient().get_run(run.info.run_id)


def fit_sklearn():
    return LogisticRegression(max_iter=500).fit(X, Y)


@pytest.fixture
def in_fresh_kernel(zygote, tmp_path, state):
    """Run a script in its own process, where MLflow and no other library is imported yet; it prints JSON last."""

    def run(source):
        script = "from mlflow_magics.tracking.models.autologging import *\nimport json, sys\n" + textwrap.dedent(source)
        child = zygote.spawn(prepare(tmp_path / "child", [script], state))
        assert all(ran.ok for ran in child.wait()), child.output
        return json.loads(child.output.splitlines()[-1])

    return run


class TestIntegrations:
    def test_installed_first_with_the_facts(self):
        rows = integrations()
        installed = [bool(row.installed) for row in rows]
        assert installed == sorted(installed, reverse=True)
        (sklearn,) = [row for row in rows if row.name == "sklearn"]
        assert (sklearn.package, sklearn.on) == ("scikit-learn", False)
        assert sklearn.installed.startswith("1.")
        assert " - " in sklearn.versions
        assert "metrics" in sklearn.logs
        names = [row.name for row in rows]
        assert len(names) == len(set(names))
        assert {"xgboost", "lightgbm", "pytorch", "keras", "openai", "langchain", "pyspark.ml", "litellm"} <= set(names)
        assert {row.logs for row in rows if row.name in ("openai", "bedrock")} == {"traces"}

    def test_imports_no_library_and_no_flavor_module(self, in_fresh_kernel):
        loaded = in_fresh_kernel("""
            integrations()
            print(json.dumps([name for name in sys.modules if name.split(".")[0] in ("sklearn", "xgboost")
                              or name in ("mlflow.sklearn", "mlflow.xgboost", "mlflow.openai")]))
        """)
        assert loaded == []


class TestNames:
    @pytest.mark.parametrize(
        ("typed", "meant"),
        [
            ("sklearn", "sklearn"),
            ("scikit-learn", "sklearn"),
            ("SKLearn", "sklearn"),
            ("torch", "pytorch"),
            ("pytorch-lightning", "pytorch"),
            ("boto3", "bedrock"),
            ("langgraph", "langchain"),
        ],
    )
    def test_packages_and_other_spellings(self, typed, meant):
        assert known_flavor(typed) == meant

    @pytest.mark.parametrize("call", [lambda names: turn_on(names, {}), turn_off])
    def test_unknown_is_told_before_anything_changes(self, call):
        before = on()
        with pytest.raises(UnknownNameError, match="unknown flavor 'sklaern'; did you mean sklearn"):
            call(["xgboost", "sklaern"])
        assert on() == before

    def test_unknown_to_exclude(self):
        with pytest.raises(UnknownNameError, match="did you mean xgboost"):
            turn_on([], {"exclude_flavors": ["xgbost"]})
        assert on() == set()


class TestSklearn:
    def test_on_logs_into_the_open_run_and_off_no_more(self, store):
        report = turn_on(["scikit-learn"], SLIM)
        assert (report.turned_on, report.turned_off) == (("sklearn",), ())
        assert on() == {"sklearn"}
        data = logged_by(fit_sklearn).data
        assert data.params["max_iter"] == "500"
        assert data.metrics["training_accuracy_score"] > 0.9

        assert turn_off(["sklearn"]) == AutologReport(turned_off=("sklearn",))
        assert on() == set()
        assert logged_by(fit_sklearn).data.params == {}

    def test_logs_the_model_by_default(self, store):
        turn_on(["sklearn"], {})
        with mlflow.start_run() as run:
            model = fit_sklearn()
        uri = (
            mlflow.search_logged_models(output_format="list")[0].model_uri
            if hasattr(mlflow, "search_logged_models")
            else f"runs:/{run.info.run_id}/model"
        )
        assert np.array_equal(mlflow.pyfunc.load_model(uri).predict(X), model.predict(X))

    def test_extra_tags_and_exclusive(self, store):
        turn_on(["sklearn"], {**SLIM, "extra_tags": {"team": "blue"}, "exclusive": True})
        opened_by_the_user = logged_by(fit_sklearn)
        assert opened_by_the_user.data.params == {}
        fit_sklearn()
        (own,) = mlflow.MlflowClient().search_runs([opened_by_the_user.info.experiment_id], "tags.team = 'blue'")
        assert own.data.params["max_iter"] == "500"


class TestXgboost:
    def test_a_fit(self, store):
        xgboost = pytest.importorskip("xgboost")
        assert turn_on(["xgboost"], {"log_models": False, "log_datasets": False}).turned_on == ("xgboost",)
        data = logged_by(
            lambda: xgboost.XGBClassifier(n_estimators=4, max_depth=2).fit(X, Y, eval_set=[(X, Y)], verbose=False)
        ).data
        assert data.params["max_depth"] == "2"
        assert "validation_0-mlogloss" in data.metrics


class TestEverything:
    def test_on_and_off(self, store):
        report = turn_on([], SLIM)
        assert "sklearn" in report.turned_on
        assert set(report.turned_on) <= on()
        assert not any("successfully enabled" in note for note in report.notes)
        assert logged_by(fit_sklearn).data.metrics
        assert "sklearn" in turn_off([]).turned_off
        assert on() == set()
        assert logged_by(fit_sklearn).data.metrics == {}

    def test_exclude(self):
        report = turn_on([], {**SLIM, "exclude_flavors": ["scikit-learn"]})
        assert "sklearn" not in report.turned_on
        assert "sklearn" not in on()

    def test_on_again_after_off_by_name(self):
        turn_on(["sklearn"], {})
        turn_off(["sklearn"])
        assert "sklearn" in turn_on([], {}).turned_on

    def test_off_takes_what_was_turned_on_by_name(self):
        turn_on(["sklearn"], {})
        turn_off([])
        assert on() == set()

    def test_a_flavor_turned_on_by_name_keeps_its_options_and_that_is_said(self):
        turn_on(["sklearn"], {"log_models": False})
        report = turn_on([], {"log_models": True})
        assert AUTOLOGGING_INTEGRATIONS["sklearn"]["log_models"] is False
        assert "sklearn keeps the options it was turned on with" in report.notes

    def test_what_the_users_own_call_turned_off_stays_off_and_that_is_said(self):
        mlflow.sklearn.autolog(disable=True)
        report = turn_on([], {})
        assert "sklearn" not in report.turned_on
        assert any(note.startswith("sklearn stays off: mlflow.sklearn.autolog(disable=True)") for note in report.notes)
        excluded = turn_on([], {"exclude_flavors": ["sklearn"]})
        assert not any("sklearn stays off" in note for note in excluded.notes)


class TestBeforeTheImport:
    """``mlflow.autolog()`` waits for libraries to be imported; each case needs a kernel where they are not."""

    def test_everything_is_on_at_the_import(self, in_fresh_kernel):
        seen = in_fresh_kernel("""
            report = turn_on([], {"log_models": False})
            status = {row.name: row.on for row in integrations()}
            before = "sklearn" in sys.modules
            import sklearn
            from mlflow.utils.autologging_utils import autologging_is_disabled
            print(json.dumps([report.turned_on, status["sklearn"], before, autologging_is_disabled("sklearn")]))
        """)
        turned_on, status, before, disabled = seen
        assert "sklearn" in turned_on
        assert (status, before, disabled) == (True, False, False)

    @pytest.mark.parametrize(
        "off", ["turn_off([])", "turn_off(['sklearn'])", "turn_on([], {'exclude_flavors': ['sklearn']})"]
    )
    def test_off_keeps_it_off_at_the_import(self, off, in_fresh_kernel):
        status, disabled = in_fresh_kernel(f"""
            turn_on([], {{}})
            {off}
            status = [row.on for row in integrations() if row.name == "sklearn"]
            import sklearn
            from mlflow.utils.autologging_utils import autologging_is_disabled
            print(json.dumps([status, autologging_is_disabled("sklearn")]))
        """)
        assert (status, disabled) == ([False], True)

    def test_on_again_after_off(self, in_fresh_kernel):
        assert (
            in_fresh_kernel("""
            turn_on([], {}), turn_off(["sklearn"]), turn_on([], {}), turn_off([]), turn_on([], {})
            import sklearn
            from mlflow.utils.autologging_utils import autologging_is_disabled
            print(json.dumps(autologging_is_disabled("sklearn")))
        """)
            is False
        )


class TestNotes:
    def test_a_missing_package_is_said_with_the_command(self):
        (missing, *_) = [row for row in integrations() if not row.installed]
        report = turn_on([missing.name, "sklearn"], {})
        assert report.turned_on == ("sklearn",)
        assert any(f"pip install {missing.package}" in note and missing.name in note for note in report.notes)
        assert turn_off([missing.name]) == AutologReport()

    def test_an_option_that_a_flavor_does_not_take_is_said(self):
        report = turn_on(["sklearn"], {"log_models": False, "log_traces": False, "exclude_flavors": ["xgboost"]})
        assert report.turned_on == ("sklearn",)
        assert "sklearn takes no log_traces" in report.notes
        assert "exclude_flavors has no meaning beside named flavors" in report.notes
        assert AUTOLOGGING_INTEGRATIONS["sklearn"]["log_models"] is False

    def test_an_option_that_everything_does_not_take_is_said(self):
        report = turn_on([], {"max_tuning_runs": 3, "log_traces": False})
        assert "all flavors together take no max_tuning_runs; name one" in report.notes
        assert "sklearn takes no log_traces" in report.notes

    @pytest.mark.parametrize("flavors", [["sklearn"], []])
    def test_an_unsupported_version_stays_off_and_that_is_said(self, flavors, monkeypatch):
        # No such version is installed in every environment, so MLflow's own table is narrowed instead.
        from mlflow.ml_package_versions import _ML_PACKAGE_VERSIONS

        monkeypatch.setitem(_ML_PACKAGE_VERSIONS["sklearn"], "autologging", {"minimum": "0.1", "maximum": "0.2"})
        report = turn_on(flavors, {"disable_for_unsupported_versions": True})
        assert "sklearn" not in report.turned_on
        assert any("sklearn stays off: this MLflow supports scikit-learn 0.1 - 0.2" in note for note in report.notes)


class TestManners:
    @pytest.mark.parametrize("flavors", [["sklearn"], []])
    def test_nothing_is_printed_and_the_random_states_stay(self, flavors, capfd):
        random.seed(3)
        np.random.seed(3)
        states = random.getstate(), np.random.get_state()[1].tolist()
        level = logging.getLogger("mlflow").level
        turn_on(flavors, SLIM)
        turn_off(flavors)
        assert capfd.readouterr() == ("", "")
        assert (random.getstate(), np.random.get_state()[1].tolist()) == states
        assert logging.getLogger("mlflow").level == level
