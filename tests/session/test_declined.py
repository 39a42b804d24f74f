"""Values that are neither params nor metrics, through a real shell and store: what only the notebook's past tells."""

from __future__ import annotations

import mlflow
import pytest
from mlflow import MlflowClient

BEGIN = """
import numpy as np
from math import pi
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import f1_score
from sklearn.tree import DecisionTreeClassifier
rng = np.random.default_rng(0)
X, y = load_breast_cancer(return_X_y=True)
"""


def last_run():
    return mlflow.search_runs(search_all_experiments=True, output_format="list", order_by=["start_time DESC"])[0]


def test_a_random_search(tracked):
    tracked.run_cell(BEGIN)
    tracked.run_cell(
        "%%mlflow_run\nfor _ in range(5):\n    min_decrease = 10 ** rng.uniform(-4, -1)\n"
        "    depth = int(rng.integers(2, 8))\n"
        "    clf = DecisionTreeClassifier(max_depth=depth, min_impurity_decrease=min_decrease).fit(X[:400], y[:400])\n"
        "    acc = clf.score(X[400:], y[400:])\n"
    )
    run = last_run()
    assert set(run.data.metrics) == {"acc"}
    assert len(MlflowClient().get_metric_history(run.info.run_id, "acc")) == 5
    assert not {"depth", "min_decrease"} & set(run.data.params)


@pytest.mark.parametrize("kept", [True, False])
def test_a_constant_of_an_earlier_cell(tracked, kept):
    tracked.run_cell(BEGIN, store_history=kept)
    cell = "%%mlflow_run\nradius = 2.0\narea = pi * radius**2\nn_features = X.shape[1]\n"
    tracked.run_cell(cell, store_history=kept)
    run = last_run()
    assert set(run.data.params) == {"radius", "area"}
    assert run.data.metrics == {}


def test_a_baseline_of_an_earlier_cell(tracked):
    tracked.run_cell(BEGIN, store_history=True)
    tracked.run_cell("tol = 0.5\nbaseline_f1 = f1_score(y, y[::-1])", store_history=True)
    tracked.run_cell(
        "%%mlflow_run\nnew_f1 = f1_score(y, y)\nprint(f'F1 {new_f1:.3f} (baseline {baseline_f1:.3f})')\n"
        "if new_f1 - baseline_f1 > tol:\n    verdict = 'better'\n",
        store_history=True,
    )
    run = last_run()
    assert set(run.data.metrics) == {"new_f1"}
    assert "baseline_f1" not in run.data.params
    assert run.data.params["tol"] == "0.5"
