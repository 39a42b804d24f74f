"""Tutorials, as people paste them: unchanged after connecting, and then without their log calls."""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
from dataclasses import dataclass

import mlflow
import pytest
from mlflow import MlflowClient
from sklearn.linear_model import LogisticRegression

from tests.rig.shells import cell

pytestmark = pytest.mark.slow


# -- three tutorials: the style is that of MLflow's quickstart, its ElasticNet example, and Azure ML's labs ----------

QUICKSTART_DATA = cell("""
    import mlflow
    from mlflow.models import infer_signature

    import pandas as pd
    from sklearn import datasets
    from sklearn.model_selection import train_test_split
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, precision_score, recall_score, f1_score

    # Load the Iris dataset
    X, y = datasets.load_iris(return_X_y=True)

    # Split the data into training and test sets
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
""")
QUICKSTART_TRAIN = cell("""
    # Define the model hyperparameters
    params = {"solver": "lbfgs", "max_iter": 1000, "random_state": 8888}

    # Train the model
    lr = LogisticRegression(**params)
    lr.fit(X_train, y_train)

    # Predict on the test set
    y_pred = lr.predict(X_test)

    # Calculate accuracy as a target loss metric
    accuracy = accuracy_score(y_test, y_pred)
    print(accuracy)
""")
QUICKSTART_LOG = cell("""
    mlflow.set_experiment("MLflow Quickstart")

    with mlflow.start_run():
        mlflow.log_params(params)
        mlflow.log_metric("accuracy", accuracy)
        mlflow.set_tag("Training Info", "Basic LR model for iris data")
        signature = infer_signature(X_train, lr.predict(X_train))
        model_info = mlflow.sklearn.log_model(
            sk_model=lr,
            artifact_path="iris_model",
            signature=signature,
            input_example=X_train[:2],
            pip_requirements=["scikit-learn"],
        )
""")
QUICKSTART = [QUICKSTART_DATA, QUICKSTART_TRAIN, QUICKSTART_LOG]

ELASTICNET_SETUP = cell("""
    import numpy as np
    import pandas as pd
    from sklearn.datasets import load_wine
    from sklearn.linear_model import ElasticNet
    from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
    from sklearn.model_selection import train_test_split

    import mlflow

    np.random.seed(40)
    wine = load_wine(as_frame=True)
    data = wine.data.assign(quality=wine.target)
    train, test = train_test_split(data)
    train_x, test_x = train.drop(["quality"], axis=1), test.drop(["quality"], axis=1)
    train_y, test_y = train[["quality"]], test[["quality"]]

    def eval_metrics(actual, pred):
        rmse = np.sqrt(mean_squared_error(actual, pred))
        mae = mean_absolute_error(actual, pred)
        r2 = r2_score(actual, pred)
        return rmse, mae, r2
""")
ELASTICNET_TRAIN = cell("""
    def train(alpha=0.5, l1_ratio=0.5):
        with mlflow.start_run():
            lr = ElasticNet(alpha=alpha, l1_ratio=l1_ratio, random_state=42)
            lr.fit(train_x, train_y)
            predicted_qualities = lr.predict(test_x)
            (rmse, mae, r2) = eval_metrics(test_y, predicted_qualities)

            print(f"Elasticnet model (alpha={alpha:f}, l1_ratio={l1_ratio:f}):")
            print(f"  RMSE: {rmse}")

            mlflow.log_param("alpha", alpha)
            mlflow.log_param("l1_ratio", l1_ratio)
            mlflow.log_metric("rmse", rmse)
            mlflow.log_metric("r2", r2)
            mlflow.log_metric("mae", mae)
""")
ELASTICNET = [ELASTICNET_SETUP, ELASTICNET_TRAIN, "train(0.5, 0.5)", "train(0.2, 0.2)", "train(0.1, 0.1)"]

AZURE_SETUP = cell("""
    import matplotlib.pyplot as plt
    import mlflow
    import numpy as np
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score, roc_curve
    from sklearn.model_selection import train_test_split

    X, y = load_breast_cancer(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.30, random_state=0)
""")
AZURE_TRAIN = cell("""
    mlflow.set_experiment(experiment_name="mslearn-train-diabetes")
    mlflow.start_run()
    reg = 0.1
    mlflow.log_param("regularization_rate", reg)
    mlflow.log_param("estimator", "LogisticRegression")

    model = LogisticRegression(C=1 / reg, solver="liblinear").fit(X_train, y_train)
    y_hat = model.predict(X_test)
    acc = np.average(y_hat == y_test)
    mlflow.log_metric("Accuracy", np.float64(acc))

    y_scores = model.predict_proba(X_test)
    auc = roc_auc_score(y_test, y_scores[:, 1])
    mlflow.log_metric("AUC", np.float64(auc))

    fpr, tpr, thresholds = roc_curve(y_test, y_scores[:, 1])
    fig = plt.figure(figsize=(6, 4))
    plt.plot([0, 1], [0, 1], "k--")
    plt.plot(fpr, tpr)
    plt.xlabel("False Positive Rate")
    plt.ylabel("True Positive Rate")
    plt.title("ROC Curve")
    plt.savefig("ROC-Curve.png")
    mlflow.log_artifact("ROC-Curve.png")
    mlflow.log_model(model, "m")
    mlflow.end_run()
""")
AZURE = [AZURE_SETUP, AZURE_TRAIN]

# What plain MLflow makes of the two things that it lacks.
PLAIN = {"mlflow.log_model(model, ": "mlflow.sklearn.log_model(model, artifact_path="}


# -- running them, with and without the extension -------------------------------------------------------------------


@dataclass
class Told:
    """All that a run says which does not change from one time to the next."""

    status: str
    params: dict[str, str]
    history: dict[str, list[tuple[int, float]]]
    tags: dict[str, str]
    artifacts: list[str]
    models: list[str]


@pytest.fixture
def places(folder, _store):
    """Two folders, each with a fresh store: one for plain MLflow, one for the extension."""
    for name in ("plain", "ours"):
        (folder / name).mkdir()
        shutil.copy(_store, folder / name / "mlflow.db")
        with sqlite3.connect(folder / name / "mlflow.db") as database:
            root = (folder / name / "mlartifacts" / "0").as_uri()
            database.execute("UPDATE experiments SET artifact_location = ?", (root,))
        database.close()
    return folder


def run_all(shell, cells):
    for source in cells:
        result = shell.run_cell(source, store_history=True)
        assert result.success, result.error_in_exec


@pytest.fixture
def plainly(bare_shell, places):
    """Run cells without the extension, and tell what their runs hold."""

    def run(cells):
        os.chdir(places / "plain")
        uri = f"sqlite:///{places}/plain/mlflow.db"
        mlflow.set_tracking_uri(uri)
        for old, new in PLAIN.items():
            cells = [source.replace(old, new) for source in cells]
        run_all(bare_shell, cells)
        told = tell(uri)
        bare_shell.reset(new_session=True)
        mlflow.set_tracking_uri(None)
        mlflow.tracking.fluent._active_experiment_id = None
        os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        return told

    return run


@pytest.fixture
def connected(bare_shell, places):
    """Run cells after loading and connecting, and tell what their runs hold."""

    def run(cells):
        os.chdir(places / "ours")
        run_all(bare_shell, ["%load_ext mlflow_magics", "%mlflow_connect", *cells])
        return tell(f"sqlite:///{places}/ours/mlflow.db")

    return run


def tell(uri):
    """Tell, by experiment, what the runs of a store hold, oldest first."""
    client = MlflowClient(uri)
    found = {}
    for experiment in client.search_experiments():
        runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
        if runs:
            found[experiment.name] = [tell_run(client, run) for run in runs]
    return found


def tell_run(client, run):
    run_id = run.info.run_id
    history = {key: [(p.step, p.value) for p in client.get_metric_history(run_id, key)] for key in run.data.metrics}
    artifacts = sorted(file.path for file in client.list_artifacts(run_id))
    return Told(
        run.info.status,
        run.data.params,
        history,
        {key: value for key, value in run.data.tags.items() if not key.startswith(("mlflow.", "mlflow_magics."))},
        [path for path in artifacts if path not in model_names(client, run)],
        model_names(client, run),
    )


def model_names(client, run):
    """Names of a run's models: MLflow 3 keeps them beside the run, MLflow 2 in a tag."""
    if hasattr(client, "search_logged_models"):
        models = client.search_logged_models(experiment_ids=[run.info.experiment_id])
        return sorted(model.name for model in models if model.source_run_id == run.info.run_id)
    import json

    logged = json.loads(run.data.tags.get("mlflow.log-model.history", "[]"))
    return sorted(model["artifact_path"] for model in logged)


def only(told, experiment):
    (run,) = told[experiment]
    return run


class TestUnchanged:
    """After ``%load_ext`` and ``%mlflow_connect`` a tutorial leaves what it leaves without them."""

    def test_the_quickstart(self, plainly, connected, bare_shell, capfd):
        plain = plainly(QUICKSTART)
        run = only(plain, "MLflow Quickstart")
        assert run.params == {"solver": "lbfgs", "max_iter": "1000", "random_state": "8888"}
        assert run.models == ["iris_model"]
        assert connected(QUICKSTART) == plain
        ours = bare_shell.user_ns["model_info"]
        assert ours.signature == bare_shell.user_ns["signature"]
        loaded = mlflow.sklearn.load_model(ours.model_uri)
        assert isinstance(loaded, LogisticRegression)

    def test_a_function_that_starts_runs(self, plainly, connected):
        plain = plainly(ELASTICNET)
        assert [run.params["alpha"] for run in plain["Default"]] == ["0.5", "0.2", "0.1"]
        assert connected(ELASTICNET) == plain

    def test_a_lab_of_azure_ml(self, plainly, connected):
        plain = plainly(AZURE)
        run = only(plain, "mslearn-train-diabetes")
        assert (run.status, run.artifacts, run.models) == ("FINISHED", ["ROC-Curve.png"], ["m"])
        assert connected(AZURE) == plain
        assert mlflow.active_run() is None

    def test_and_all_is_as_before_after_unloading(self, plainly, connected, bare_shell, places):
        functions = mlflow.start_run, mlflow.end_run, mlflow.tracking.fluent.start_run
        connected(ELASTICNET)
        run_all(bare_shell, ["%unload_ext mlflow_magics"])
        assert (mlflow.start_run, mlflow.end_run, mlflow.tracking.fluent.start_run) == functions
        assert not hasattr(mlflow, "log_model")
        assert only(plainly([*ELASTICNET[:2], "train(0.3, 0.3)"]), "Default").params["alpha"] == "0.3"


class TestUnchangedAsRuns:
    """The same cells with ``%%mlflow_run`` on top: the run that the tutorial opens is the cell's."""

    def test_the_quickstart(self, plainly, connected):
        plain = only(plainly(QUICKSTART), "MLflow Quickstart")
        told = connected([*QUICKSTART[:2], "%%mlflow_run -e 'MLflow Quickstart'\n" + QUICKSTART_LOG])
        run = only(told, "MLflow Quickstart")
        assert run.params.items() >= plain.params.items()
        assert run.history.items() >= plain.history.items()
        assert (run.status, run.tags, run.models) == (plain.status, plain.tags, plain.models)

    def test_a_function_that_starts_runs(self, plainly, connected):
        plain = plainly(ELASTICNET)["Default"]
        told = connected([*ELASTICNET[:2], *(f"%%mlflow_run\n{call}\n" for call in ELASTICNET[2:])])["Default"]
        assert [(run.params, run.history) for run in told] == [(run.params, run.history) for run in plain]

    def test_a_lab_of_azure_ml(self, plainly, connected):
        plain = only(plainly(AZURE), "mslearn-train-diabetes")
        # The lab names its experiment in the cell; so the run is opened there.
        told = connected([AZURE_SETUP, "%%mlflow_run\n" + AZURE_TRAIN])
        run = only(told, "mslearn-train-diabetes")
        assert run.params.items() >= plain.params.items()
        assert run.history.items() >= plain.history.items()
        assert set(run.artifacts) >= set(plain.artifacts)
        assert (run.status, run.models) == (plain.status, plain.models)

    def test_an_experiment_that_the_cell_computes_is_where_its_run_is(self, plainly, connected):
        plain = plainly(AZURE)
        train = AZURE_TRAIN.replace('"mslearn-train-diabetes"', '"-".join(["mslearn", "train", "diabetes"])')
        told = connected([AZURE_SETUP, "%%mlflow_run\n" + train, "%%mlflow_run\nlate = 1\n"])
        first, late = told["mslearn-train-diabetes"]
        assert first.models == ["m"]
        assert first.history.items() >= only(plain, "mslearn-train-diabetes").history.items()
        assert late.params == {"late": "1"}
        assert list(told) == ["mslearn-train-diabetes"]


class TestWithoutALogCall:
    """``%%mlflow_run`` and plain Python: the run holds what the tutorial logged by hand."""

    def test_the_quickstart(self, plainly, connected):
        plain = only(plainly(QUICKSTART), "MLflow Quickstart")
        line = '%%mlflow_run -e "MLflow Quickstart" --model lr=iris_model '
        line += '--tags "Training Info=Basic LR model for iris data"\n'
        run = only(connected([QUICKSTART_DATA, line + QUICKSTART_TRAIN]), "MLflow Quickstart")
        # The tutorial logs the dict's entries; captured they carry the dict's name.
        assert run.params == {f"params.{name}": value for name, value in plain.params.items()}
        assert run.history == plain.history
        assert (run.status, run.tags, run.models) == (plain.status, plain.tags, plain.models)

    def test_a_function_that_starts_runs(self, plainly, connected):
        plain = plainly(ELASTICNET)["Default"]
        cells = [
            cell(f"""
            %%mlflow_run
            alpha, l1_ratio = {pair}
            lr = ElasticNet(alpha=alpha, l1_ratio=l1_ratio, random_state=42)
            lr.fit(train_x, train_y)
            predicted_qualities = lr.predict(test_x)
            (rmse, mae, r2) = eval_metrics(test_y, predicted_qualities)
            """)
            for pair in ((0.5, 0.5), (0.2, 0.2), (0.1, 0.1))
        ]
        told = connected([ELASTICNET_SETUP, *cells])["Default"]
        # The tutorial leaves its seed out.
        logged = [({**run.params, "random_state": "42"}, run.history) for run in plain]
        assert [(run.params, run.history) for run in told] == logged

    def test_a_lab_of_azure_ml(self, plainly, connected):
        plain = only(plainly(AZURE), "mslearn-train-diabetes")
        body = "".join(line for line in AZURE_TRAIN.splitlines(keepends=True) if "mlflow." not in line)
        line = "%%mlflow_run -e mslearn-train-diabetes --artifacts ROC-Curve.png --model model=m\n"
        run = only(connected([AZURE_SETUP, line + body]), "mslearn-train-diabetes")
        assert run.params == {"reg": plain.params["regularization_rate"], "C": "10.0", "solver": "liblinear"}
        assert run.history == {"acc": plain.history["Accuracy"], "auc": plain.history["AUC"]}
        assert set(run.artifacts) == {"ROC-Curve.png", "cell.py", "figures"}
        assert (run.status, run.models) == (plain.status, plain.models)
        assert all(math.isfinite(value) for points in run.history.values() for _, value in points)
