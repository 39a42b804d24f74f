"""Models are fitted, logged into a real SQLite store, loaded back and asked to predict."""

from __future__ import annotations

import logging
import os
import random
import threading
import warnings
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.tracking.fluent import _active_run_stack
from mlflow.utils.logging_utils import MLFLOW_LOGGING_STREAM, eprint
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mlflow_magics.tracking.calls.quiet import quiet
from mlflow_magics.tracking.models import models
from mlflow_magics.tracking.models.flavors import flavor_of, model_roots
from mlflow_magics.tracking.models.models import install_alias, log_model, remove_alias
from mlflow_magics.tracking.models.requirements import stated_requirements
from mlflow_magics.vocabulary.errors import NotLoggableError, TrackingError

X, Y = load_iris(return_X_y=True, as_frame=True)


def in_notebook(source, name):
    """Define something as a notebook cell would: its module is __main__, so it is pickled by value."""
    namespace = {"__name__": "__main__"}
    exec(source, namespace)
    return namespace[name]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One store for the module: making its tables costs more than all that is logged into it."""
    folder = tmp_path_factory.mktemp("store")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("models", artifact_location=str(folder / "artifacts")))
    yield folder
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(before)


@pytest.fixture
def run_id(store):
    """A run that is open but not active on this thread."""
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("models")
    return client.create_run(experiment.experiment_id).info.run_id


@pytest.fixture
def inferences(monkeypatch):
    """Counts the calls of MLflow's own inference, the child process that takes seconds. It still works."""
    calls = []
    infer = mlflow.models.infer_pip_requirements
    monkeypatch.setattr(
        mlflow.models, "infer_pip_requirements", lambda *args, **kwargs: calls.append(args) or infer(*args, **kwargs)
    )
    return calls


def requirements(uri):
    folder = mlflow.artifacts.download_artifacts(uri)
    return open(os.path.join(folder, "requirements.txt")).read().split()


def package_lines(lines):
    return [line.split("==")[0] for line in lines]


class TestScikitLearn:
    @pytest.mark.parametrize(
        "model",
        [
            LogisticRegression(max_iter=500),
            RandomForestClassifier(n_estimators=5, random_state=0),
            KNeighborsClassifier(3),
            make_pipeline(StandardScaler(), LogisticRegression()),
        ],
        ids=lambda model: type(model).__name__,
    )
    def test_logs_and_loads_back(self, run_id, inferences, model):
        model.fit(X, Y)
        logged = log_model(model, "iris", run_id=run_id)
        assert (logged.name, logged.flavor, logged.notes) == ("iris", "sklearn", ())
        assert np.array_equal(mlflow.pyfunc.load_model(logged.uri).predict(X), model.predict(X))
        assert not inferences
        stated = requirements(logged.uri)
        assert {"mlflow", "scikit-learn", "cloudpickle", "numpy", "pandas", "scipy"} <= set(package_lines(stated))
        assert all("==" in line for line in stated)

    def test_a_class_from_the_notebook_is_left_to_inference(self, run_id, inferences):
        source = (
            "from sklearn.linear_model import LogisticRegression\n"
            "class Mine(LogisticRegression):\n"
            "    def predict(self, X): return super().predict(X) + 1\n"
        )
        model = in_notebook(source, "Mine")(max_iter=500).fit(X, Y)
        logged = log_model(model, "mine", run_id=run_id)
        assert logged.flavor == "sklearn"
        assert len(inferences) == 1
        assert np.array_equal(mlflow.pyfunc.load_model(logged.uri).predict(X), model.predict(X))
        assert "scikit-learn" in package_lines(requirements(logged.uri))

    def test_parts_that_are_not_known_are_left_to_inference(self):
        class NoParams(LogisticRegression):
            def get_params(self, deep=True):
                raise RuntimeError

        stated = make_pipeline(FunctionTransformer(np.log1p), LogisticRegression())
        written = make_pipeline(FunctionTransformer(in_notebook("def f(x): return x", "f")), LogisticRegression())
        assert stated_requirements(stated, "sklearn", mlflow.sklearn)
        assert stated_requirements(written, "sklearn", mlflow.sklearn) is None
        assert stated_requirements(NoParams(), "sklearn", mlflow.sklearn) is None
        assert stated_requirements(object(), "transformers", mlflow.sklearn) is None

    def test_other_libraries_inside_a_pipeline_are_pinned(self, run_id, inferences):
        xgboost = pytest.importorskip("xgboost")
        model = make_pipeline(StandardScaler(), xgboost.XGBClassifier(n_estimators=3)).fit(X, Y)
        logged = log_model(model, "piped", run_id=run_id)
        assert logged.flavor == "sklearn"
        assert f"xgboost=={xgboost.__version__}" in requirements(logged.uri)
        assert not inferences


class TestXgboost:
    def test_estimator_and_booster(self, run_id, inferences):
        xgboost = pytest.importorskip("xgboost")
        model = xgboost.XGBClassifier(n_estimators=3).fit(X, Y)
        logged = log_model(model, "trees", run_id=run_id, signature_inputs=X)
        assert (logged.flavor, logged.notes) == ("xgboost", ())
        loaded = mlflow.pyfunc.load_model(logged.uri)
        assert np.array_equal(loaded.predict(X), model.predict(X))
        assert loaded.metadata.signature is not None

        booster = model.get_booster()
        logged = log_model(booster, "booster", run_id=run_id)
        assert logged.flavor == "xgboost"
        expected = booster.predict(xgboost.DMatrix(X))
        assert np.allclose(mlflow.pyfunc.load_model(logged.uri).predict(X), expected)
        assert f"xgboost=={xgboost.__version__}" in requirements(logged.uri)
        assert not inferences

    def test_its_data_is_not_a_model(self):
        xgboost = pytest.importorskip("xgboost")
        with pytest.raises(NotLoggableError, match="DMatrix belongs to xgboost but is not a model"):
            flavor_of(xgboost.DMatrix(X), "dtrain")


class TestPyfunc:
    def test_a_python_model(self, run_id):
        source = (
            "import mlflow\n"
            "class Doubler(mlflow.pyfunc.PythonModel):\n"
            "    def predict(self, context, model_input, params=None): return model_input * 2\n"
        )
        logged = log_model(in_notebook(source, "Doubler")(), "doubler", run_id=run_id, signature_inputs=X)
        assert logged.flavor == "pyfunc"
        assert mlflow.pyfunc.load_model(logged.uri).predict(X).equals(X * 2)

    def test_a_function(self, run_id):
        double = in_notebook("def double(model_input): return model_input * 2", "double")
        logged = log_model(double, "double", run_id=run_id)
        assert logged.flavor == "pyfunc"
        assert mlflow.pyfunc.load_model(logged.uri).predict(X).equals(X * 2)

    def test_a_function_of_two_arguments_is_refused(self):
        with pytest.raises(NotLoggableError, match=r"f: a function of 2 arguments.*def f\(model_input\)"):
            flavor_of(lambda a, b: a, "f")


class TestFlavorOf:
    @pytest.mark.parametrize(
        ("value", "said"),
        [
            (3, "int is of no flavor"),
            (pd.DataFrame({"a": [1]}), "DataFrame is of no flavor"),
            (load_iris(), "Bunch belongs to sklearn but is not a model"),
            (LogisticRegression, "the class LogisticRegression, not a model; log an instance"),
        ],
    )
    def test_says_what_it_was_and_the_fix(self, value, said):
        with pytest.raises(NotLoggableError, match=said) as caught:
            flavor_of(value, "thing")
        assert str(caught.value).startswith("thing: ")
        assert "\n" not in str(caught.value)

    def test_the_first_known_class_of_the_inheritance_decides(self):
        # LightGBM and PyTorch are not installed here: classes that only claim their modules stand in for theirs.
        booster = type(
            "LGBMClassifier", (ClassifierMixin, BaseEstimator), {"predict": len, "__module__": "lightgbm.sklearn"}
        )
        assert flavor_of(booster(), "m") == "lightgbm"
        module = type("Module", (), {"forward": len, "__module__": "torch.nn.modules.module"})
        net = type("Net", (module,), {"__module__": "__main__"})
        assert flavor_of(net(), "m") == "pytorch"
        tensor = type("Tensor", (), {"__module__": "torch"})
        with pytest.raises(NotLoggableError):
            flavor_of(tensor(), "m")

    def test_knows_every_flavor_with_a_module(self):
        known = set(model_roots().values())
        assert {"sklearn", "xgboost", "lightgbm", "catboost", "pytorch", "keras", "tensorflow", "statsmodels"} <= known
        assert {
            "prophet",
            "spacy",
            "transformers",
            "sentence_transformers",
            "onnx",
            "h2o",
            "spark",
            "langchain",
        } <= known
        assert "langgraph" not in known

    def test_asks_no_attribute_of_the_value(self):
        class Touchy:
            def __getattr__(self, name):
                raise AssertionError(f"asked for {name}")

        with pytest.raises(NotLoggableError):
            flavor_of(Touchy(), "touchy")


class TestTheRun:
    def test_logs_into_a_closed_run_while_another_is_active(self, store, run_id):
        client = mlflow.MlflowClient()
        client.set_terminated(run_id, "FINISHED")
        model = LogisticRegression(max_iter=500).fit(X, Y)
        with mlflow.start_run() as other:
            logged = log_model(model, "late", run_id=run_id)
            assert mlflow.active_run().info.run_id == other.info.run_id
        assert mlflow.models.get_model_info(logged.uri).run_id == run_id
        assert client.get_run(run_id).info.status == "FINISHED"
        assert client.get_run(other.info.run_id).info.status == "FINISHED"

    def test_no_run_is_left_active(self, run_id):
        log_model(LogisticRegression(max_iter=500).fit(X, Y), "m", run_id=run_id)
        assert mlflow.active_run() is None
        assert mlflow.MlflowClient().get_run(run_id).info.status == "RUNNING"

    def test_the_active_run_stays_the_same_object(self, store):
        with mlflow.start_run() as run:
            log_model(LogisticRegression(max_iter=500).fit(X, Y), "m", run_id=run.info.run_id)
            assert _active_run_stack.get() == [run]

    def test_works_in_a_thread_without_a_run(self, run_id):
        model = LogisticRegression(max_iter=500).fit(X, Y)
        logged = []
        thread = threading.Thread(target=lambda: logged.append(log_model(model, "m", run_id=run_id)))
        thread.start()
        thread.join()
        assert mlflow.models.get_model_info(logged[0].uri).run_id == run_id

    def test_a_failure_is_one_line_and_leaves_no_run_behind(self, run_id):
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
        model.lock = threading.Lock()
        with pytest.raises(
            TrackingError, match=r"^locked: MLflow could not log it as a sklearn model: TypeError"
        ) as caught:
            log_model(model, "locked", run_id=run_id)
        assert "\n" not in str(caught.value)
        assert mlflow.active_run() is None

    def test_an_unknown_run_is_a_tracking_error(self, store):
        with pytest.raises(TrackingError, match="m: "):
            log_model(LogisticRegression(max_iter=500).fit(X, Y), "m", run_id="0" * 32)


class TestSignature:
    @pytest.mark.parametrize("inputs", [X, X.to_numpy()], ids=["frame", "array"])
    def test_from_the_inputs(self, run_id, inputs):
        model = LogisticRegression(max_iter=500).fit(X.to_numpy(), Y)
        logged = log_model(model, "m", run_id=run_id, signature_inputs=inputs)
        signature = mlflow.models.get_model_info(logged.uri).signature
        assert len(signature.inputs.inputs) == (4 if inputs is X else 1)
        assert signature.outputs is not None
        assert not any("integer" in note for note in logged.notes)

    def test_sees_ten_rows_and_no_more(self, run_id):
        class Counting(LogisticRegression):
            def predict(self, rows):
                sizes.append(len(rows))
                return super().predict(rows)

        sizes = []
        model = Counting(max_iter=500).fit(X, Y)
        notes = []
        assert models._signature(model, "sklearn", X, notes) is not None
        assert (sizes, notes) == ([10], [])

    def test_a_failing_predict_is_a_note(self, run_id):
        model = LogisticRegression(max_iter=500).fit(X, Y)
        logged = log_model(model, "m", run_id=run_id, signature_inputs=X.iloc[:, :2])
        assert any("logged without a signature: ValueError" in note for note in logged.notes)
        assert mlflow.models.get_model_info(logged.uri).signature is None

    def test_no_example(self, run_id):
        model = LogisticRegression(max_iter=500).fit(X, Y)
        bare = log_model(model, "m", run_id=run_id, signature_inputs=X)
        assert mlflow.models.get_model_info(bare.uri).saved_input_example_info is None


class TestQuiet:
    def test_logging_says_nothing_and_leaves_no_trace(self, run_id, capfd):
        model = RandomForestClassifier(n_estimators=3, random_state=0).fit(X, Y)
        integers = pd.DataFrame({"a": [1, 2, 3], "b": [1, 0, 1]})
        second = LogisticRegression().fit(integers, [0, 1, 0])
        environment, handlers = dict(os.environ), list(logging.getLogger("mlflow").handlers)
        random.seed(1), np.random.seed(1)
        states = random.getstate(), np.random.get_state()[1].tolist()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            log_model(model, "m", run_id=run_id, signature_inputs=X)
            log_model(second, "n", run_id=run_id, signature_inputs=integers)
        assert capfd.readouterr() == ("", "")
        assert caught == []
        assert (random.getstate(), np.random.get_state()[1].tolist()) == states
        assert dict(os.environ) == environment
        assert logging.getLogger("mlflow").handlers == handlers
        assert "write" not in vars(MLFLOW_LOGGING_STREAM)

    def test_warnings_come_back_as_notes(self, capfd):
        with quiet() as said:
            logging.getLogger("mlflow.sklearn").warning("the %s is\nodd", "version")
            logging.getLogger("mlflow.sklearn").info("chatter")
            eprint("more chatter")
            warnings.warn("look out", stacklevel=1)
            warnings.warn("old", FutureWarning, stacklevel=1)
        assert said == ["the version is odd", "look out"]
        assert capfd.readouterr() == ("", "")

    def test_other_threads_are_heard(self, capfd):
        with quiet() as said:
            thread = threading.Thread(target=lambda: logging.getLogger("mlflow.other").warning("from elsewhere"))
            thread.start()
            thread.join()
        assert said == []
        assert "from elsewhere" in capfd.readouterr().err

    def test_nested_and_failing_blocks_end_quiet(self, capfd):
        with pytest.raises(KeyError), quiet(), quiet():
            raise KeyError
        eprint("audible")
        assert "audible" in capfd.readouterr().err


class TestNames:
    def test_a_refused_name_is_fixed_and_said(self, run_id):
        logged = log_model(LogisticRegression(max_iter=500).fit(X, Y), "v1.2/iris", run_id=run_id)
        assert logged.name == "v1_2_iris"
        assert "'v1.2/iris'" in logged.notes[0]


class TestAlias:
    @pytest.fixture(autouse=True)
    def alias(self, store):
        install_alias()
        yield
        remove_alias()
        assert not hasattr(mlflow, "log_model")

    def test_logs_as_tutorials_write_it(self, run_id, capfd):
        model = RandomForestClassifier(n_estimators=3).fit(X, Y)
        with mlflow.start_run() as run:
            info = mlflow.log_model(model, "diabetes")
        assert mlflow.models.get_model_info(info.model_uri).run_id == run.info.run_id
        assert np.array_equal(mlflow.pyfunc.load_model(info.model_uri).predict(X), model.predict(X))
        assert "caution" not in capfd.readouterr().err

    def test_takes_the_flavors_own_words(self, store):
        model = LogisticRegression(max_iter=500).fit(X, Y)
        with mlflow.start_run():
            info = mlflow.log_model(model, artifact_path="a/b", pip_requirements=["scikit-learn"], input_example=X[:2])
        assert "scikit-learn" in requirements(info.model_uri)
        assert info.signature is not None

    def test_starts_a_run_where_there_is_none(self, store):
        info = mlflow.log_model(LogisticRegression(max_iter=500).fit(X, Y), name="m")
        run = mlflow.active_run()
        mlflow.end_run()
        assert run.info.run_id == mlflow.models.get_model_info(info.model_uri).run_id

    def test_an_unknown_type_starts_no_run(self, store):
        with pytest.raises(NotLoggableError):
            mlflow.log_model(3, "three")
        assert mlflow.active_run() is None

    def test_installing_twice_is_harmless(self):
        alias = mlflow.log_model
        install_alias()
        assert mlflow.log_model is alias


def test_a_log_model_of_mlflows_own_is_left_alone(monkeypatch):
    # There is none in any MLflow yet; this is what it would look like.
    own = SimpleNamespace()
    monkeypatch.setattr(mlflow, "log_model", own, raising=False)
    install_alias()
    assert mlflow.log_model is own
    remove_alias()
    assert mlflow.log_model is own
