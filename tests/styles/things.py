"""Styles of logging files, figures, models and datasets, and of autologging."""

from .style import style

_FIT = """
import mlflow
import numpy as np
from sklearn.linear_model import Ridge
X = np.arange(12.0).reshape(-1, 1)
y = X[:, 0] ** 2
"""

THINGS = [
    style(
        "log_figure",
        """
import mlflow
import matplotlib.pyplot as plt
# %% run
with mlflow.start_run(run_name="figure"):
    fig, ax = plt.subplots()
    ax.plot([1, 2, 4])
    mlflow.log_figure(fig, "plots/curve.png")
    plt.close(fig)
""",
    ),
    style(
        "savefig_and_log_artifact",
        """
import mlflow
import matplotlib.pyplot as plt
# %% run
with mlflow.start_run(run_name="savefig"):
    plt.plot([1, 2, 4])
    plt.savefig("curve.png")
    mlflow.log_artifact("curve.png")
""",
    ),
    style(
        "savefig_in_a_function",
        """
import mlflow
import matplotlib.pyplot as plt
def plot(values, path):
    fig, ax = plt.subplots()
    ax.plot(values)
    fig.savefig(path)
    mlflow.log_artifact(path, artifact_path="plots")
    return fig
# %% run
with mlflow.start_run(run_name="plotted"):
    fig = plot([1, 2, 4], "curve.png")
""",
    ),
    style(
        "log_dict_text_and_table",
        """
import mlflow
# %% run
with mlflow.start_run(run_name="texts"):
    mlflow.log_dict({"classes": ["a", "b"]}, "classes.json")
    mlflow.log_text("all went well", "report.txt")
    mlflow.log_table({"x": [1, 2], "y": ["a", "b"]}, "table.json")
""",
    ),
    style(
        "log_artifacts_of_a_folder",
        """
import mlflow, pathlib
# %% run
out = pathlib.Path("out"); (out / "deep").mkdir(parents=True)
(out / "a.txt").write_text("a"); (out / "deep" / "b.csv").write_text("x,y")
with mlflow.start_run(run_name="folder"):
    mlflow.log_artifacts("out", artifact_path="results")
    mlflow.log_artifact("out/a.txt")
""",
    ),
    style(
        "artifacts_of_several_runs",
        """
import mlflow, pathlib
def train(name):
    with mlflow.start_run(run_name=name):
        pathlib.Path("model.txt").write_text(name)
        mlflow.log_artifact("model.txt")
# %% run
train("one")
train("two")
""",
        more=1,
    ),
    style(
        "sklearn_log_model",
        _FIT
        + """
# %% run
with mlflow.start_run(run_name="model"):
    model = Ridge(alpha=0.5).fit(X, y)
    mlflow.log_param("alpha", 0.5)
    mlflow.log_metric("r2", model.score(X, y))
    mlflow.sklearn.log_model(model, "model", pip_requirements=["scikit-learn"])
""",
    ),
    style(
        "sklearn_log_model_in_a_function",
        _FIT
        + """
def train(alpha):
    with mlflow.start_run(run_name=f"alpha {alpha}"):
        model = Ridge(alpha=alpha).fit(X, y)
        mlflow.log_metric("r2", model.score(X, y))
        mlflow.sklearn.log_model(model, "model", pip_requirements=["scikit-learn"])
# %% run
train(0.5)
train(1.5)
""",
        more=1,
    ),
    style(
        "pyfunc_log_model",
        """
import mlflow
class Adder(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input
# %% run
with mlflow.start_run(run_name="pyfunc"):
    mlflow.pyfunc.log_model("adder", python_model=Adder(), pip_requirements=["mlflow"])
""",
    ),
    style(
        "sklearn_autolog_inside_a_with",
        _FIT
        + """
mlflow.sklearn.autolog(log_models=False)
# %% run
with mlflow.start_run(run_name="autologged"):
    model = Ridge(alpha=0.5).fit(X, y)
    score = model.score(X, y)
""",
    ),
    style(
        "autolog_with_own_metrics",
        _FIT
        + """
# %% run
mlflow.autolog(log_models=False, silent=True)
with mlflow.start_run(run_name="mixed"):
    model = Ridge(alpha=0.5).fit(X, y)
    mae = abs(model.predict(X) - y).mean()
    mlflow.log_metric("mae", mae)
mlflow.autolog(disable=True, silent=True)
""",
    ),
    style(
        "autolog_with_a_grid_search",
        _FIT
        + """
from sklearn.model_selection import GridSearchCV
mlflow.sklearn.autolog(log_models=False)
# %% run
with mlflow.start_run(run_name="search"):
    search = GridSearchCV(Ridge(), {"alpha": [0.5, 1.5]}, cv=2).fit(X, y)
""",
    ),
    style(
        "log_input_of_a_dataset",
        """
import mlflow
import pandas as pd
frame = pd.DataFrame({"x": [1.0, 2.0], "y": [3.0, 4.0]})
# %% run
with mlflow.start_run(run_name="data"):
    dataset = mlflow.data.from_pandas(frame, name="points", targets="y")
    mlflow.log_input(dataset, context="training")
    mlflow.log_metric("rows", len(frame))
""",
    ),
    style(
        "registers_nothing_but_saves",
        _FIT
        + """
# %% run
model = Ridge(alpha=0.5).fit(X, y)
mlflow.sklearn.save_model(model, "saved", pip_requirements=["scikit-learn"])
with mlflow.start_run(run_name="saved"):
    mlflow.log_artifacts("saved", artifact_path="model")
""",
    ),
]
