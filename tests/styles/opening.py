"""Styles of opening runs: at the top of the cell, in functions, in loops, nested, by a client."""

from .style import style

OPENING = [
    style(
        "with_at_top",
        """
import mlflow
# %% run
with mlflow.start_run(run_name="baseline"):
    lr = 0.1
    mlflow.log_param("learning_rate", lr)
    mlflow.log_metric("val_acc", 0.875)
""",
    ),
    style(
        "with_at_top_unnamed_import_inside",
        """
# %% run
import mlflow
with mlflow.start_run():
    mlflow.log_param("alpha", 0.5)
    for epoch in range(3):
        loss = 1 / (epoch + 2)
        mlflow.log_metric("loss", loss, step=epoch)
""",
    ),
    style(
        "start_and_end_at_top",
        """
import mlflow
# %% run
mlflow.start_run(run_name="pair")
mlflow.log_param("depth", 3)
rmse = 0.25
mlflow.log_metric("rmse", rmse)
mlflow.end_run()
""",
    ),
    style(
        "run_bound_to_a_name",
        """
import mlflow
# %% run
run = mlflow.start_run(run_name="bound", tags={"team": "a"}, description="first try")
print(run.info.run_id)
mlflow.log_metric("score", 0.625)
mlflow.end_run()
print(run.info.status)
""",
    ),
    style(
        "function_called_once",
        """
import mlflow
def train(lr):
    with mlflow.start_run(run_name=f"lr={lr}"):
        mlflow.log_param("lr", lr)
        accuracy = 1 - lr / 3
        mlflow.log_metric("accuracy", accuracy)
    return accuracy
# %% run
best = train(0.1)
""",
    ),
    style(
        "function_called_three_times",
        """
# %% run
import mlflow
def train(lr):
    with mlflow.start_run(run_name=f"lr={lr}"):
        mlflow.log_param("lr", lr)
        for step in range(3):
            loss = lr / (step + 1)
            mlflow.log_metric("loss", loss, step=step)
        mlflow.log_metric("accuracy", 1 - lr)
train(0.1)
train(0.2)
train(0.3)
""",
        more=1,
    ),
    style(
        "function_called_in_a_loop",
        """
import mlflow
def train(lr):
    with mlflow.start_run(run_name=f"lr={lr}"):
        mlflow.log_param("lr", lr)
        mlflow.log_metric("val_loss", lr * 2.5)
    return lr * 2.5
# %% run
results = {}
for lr in (0.1, 0.2, 0.3):
    results[lr] = train(lr)
best = min(results.values())
""",
        more=1,
    ),
    style(
        "function_called_in_a_comprehension",
        """
import mlflow
def train(depth):
    with mlflow.start_run(run_name=f"depth {depth}"):
        mlflow.log_params({"max_depth": depth})
        mlflow.log_metrics({"r2": depth / 7})
    return depth / 7
# %% run
scores = [train(depth) for depth in (2, 3, 4)]
""",
        more=1,
    ),
    style(
        "start_run_in_a_loop",
        """
import mlflow
# %% run
for alpha in [0.1, 0.5, 1.0]:
    with mlflow.start_run(run_name=f"alpha_{alpha}"):
        mlflow.log_param("alpha", alpha)
        mlflow.log_metric("rmse", alpha / 3)
""",
        more=1,
        keeps=("rmse",),
    ),
    style(
        "start_and_end_in_a_loop",
        """
import mlflow
# %% run
for n in (10, 20):
    mlflow.start_run()
    mlflow.set_tag("size", n)
    mlflow.log_metric("minutes", n / 3)
    mlflow.end_run()
""",
        more=1,
    ),
    style(
        "two_with_blocks",
        """
import mlflow
# %% run
with mlflow.start_run(run_name="ridge"):
    mlflow.log_param("kind", "ridge")
    mlflow.log_metric("mse", 0.375)
with mlflow.start_run(run_name="lasso"):
    mlflow.log_param("kind", "lasso")
    mlflow.log_metric("mse", 0.4375)
""",
        more=1,
    ),
    style(
        "parent_and_children_in_a_loop",
        """
import mlflow
# %% run
with mlflow.start_run(run_name="parent") as parent:
    mlflow.log_param("folds", 3)
    total = 0
    for fold in range(3):
        with mlflow.start_run(run_name=f"fold {fold}", nested=True):
            mlflow.log_metric("auc", 0.5 + fold / 8)
        total += 0.5 + fold / 8
    mlflow.log_metric("mean_auc", total / 3)
""",
    ),
    style(
        "parent_and_children_by_a_function",
        """
import mlflow
def child(lr):
    with mlflow.start_run(run_name=f"child {lr}", nested=True):
        mlflow.log_param("lr", lr)
        mlflow.log_metric("loss", lr / 3)
# %% run
with mlflow.start_run(run_name="parent"):
    for lr in (0.1, 0.2):
        child(lr)
    mlflow.log_metric("tried", 2)
""",
    ),
    style(
        "parent_and_children_all_in_a_function",
        """
import mlflow
def search(rates):
    with mlflow.start_run(run_name="search"):
        mlflow.log_param("count", len(rates))
        for lr in rates:
            with mlflow.start_run(run_name=f"trial {lr}", nested=True):
                mlflow.log_param("lr", lr)
                mlflow.log_metric("loss", lr / 3)
# %% run
search([0.1, 0.2])
""",
    ),
    style(
        "two_withs_nested_at_top",
        """
import mlflow
# %% run
with mlflow.start_run(run_name="outer") as parent:
    with mlflow.start_run(run_name="inner", nested=True) as child:
        mlflow.log_metric("inner_score", 0.25)
    mlflow.log_metric("outer_score", 0.75)
""",
    ),
    style(
        "grandchildren",
        """
import mlflow
# %% run
with mlflow.start_run(run_name="study"):
    for model in ("tree", "line"):
        with mlflow.start_run(run_name=model, nested=True):
            for fold in range(2):
                with mlflow.start_run(run_name=f"{model} {fold}", nested=True):
                    mlflow.log_metric("fold_mae", fold + 0.125)
            mlflow.log_metric("mae", 0.625)
""",
    ),
    style(
        "main_guard",
        """
# %% run
import mlflow

def main():
    with mlflow.start_run(run_name="script"):
        mlflow.log_param("epochs", 2)
        for epoch in range(2):
            mlflow.log_metric("train_loss", 1 / (epoch + 3), step=epoch)

if __name__ == "__main__":
    main()
""",
    ),
    style(
        "with_below_main_guard",
        """
# %% run
import mlflow
if __name__ == "__main__":
    alpha = 0.3
    with mlflow.start_run(run_name="guarded"):
        mlflow.log_param("alpha", alpha)
        mlflow.log_metric("rmse", alpha / 7)
""",
    ),
    style(
        "end_run_failed_in_except",
        """
import mlflow
# %% run
mlflow.start_run(run_name="careful")
try:
    mlflow.log_param("lr", 0.1)
    raise ValueError("diverged")
except ValueError as error:
    mlflow.set_tag("error", str(error))
    mlflow.end_run("FAILED")
""",
    ),
    style(
        "end_run_failed_in_a_function",
        """
import mlflow
def train(lr):
    mlflow.start_run(run_name=f"try {lr}")
    try:
        mlflow.log_param("lr", lr)
        if lr > 0.5:
            raise ValueError("diverged")
        mlflow.log_metric("loss", lr)
    except ValueError:
        mlflow.end_run("FAILED")
    else:
        mlflow.end_run()
# %% run
train(0.25)
train(0.75)
""",
        more=1,
    ),
    style(
        "exception_inside_a_with",
        """
import mlflow
# %% run
with mlflow.start_run(run_name="broken"):
    mlflow.log_param("lr", 0.1)
    mlflow.log_metric("loss", 0.5, step=0)
    raise RuntimeError("out of memory")
""",
        fails=True,
    ),
    style(
        "exception_in_the_second_of_three",
        """
import mlflow
def train(lr):
    with mlflow.start_run(run_name=f"lr {lr}"):
        mlflow.log_param("lr", lr)
        if lr == 0.2:
            raise RuntimeError("nan")
        mlflow.log_metric("loss", lr)
# %% run
for lr in (0.1, 0.2, 0.3):
    train(lr)
""",
        more=1,
        fails=True,
    ),
    style(
        "exception_caught_around_a_function",
        """
import mlflow
def train(lr):
    with mlflow.start_run(run_name=f"lr {lr}"):
        mlflow.log_param("lr", lr)
        raise RuntimeError("nan")
# %% run
try:
    train(0.2)
except RuntimeError:
    pass
""",
    ),
    style(
        "exception_between_start_and_end",
        """
import mlflow
# %% run
mlflow.start_run(run_name="unguarded")
mlflow.log_param("lr", 0.1)
1 / 0
mlflow.end_run()
""",
        ends="FAILED",
        fails=True,
    ),
    style(
        "method_of_a_class",
        """
import mlflow
class Trainer:
    def __init__(self, lr):
        self.lr = lr
    def fit(self):
        with mlflow.start_run(run_name="trainer") as self.run:
            mlflow.log_param("lr", self.lr)
            for epoch in range(3):
                self.step(epoch)
        return self
    def step(self, epoch):
        self.loss = self.lr / (epoch + 1)
        mlflow.log_metric("loss", self.loss, step=epoch)
# %% run
trainer = Trainer(0.3).fit()
""",
    ),
    style(
        "begin_and_finish_methods",
        """
import mlflow
class Tracker:
    def begin(self, name):
        self.run = mlflow.start_run(run_name=name)
    def log(self, **values):
        mlflow.log_metrics(values)
    def finish(self):
        mlflow.end_run()
# %% run
tracker = Tracker()
for name in ("one", "two"):
    tracker.begin(name)
    tracker.log(f1=0.25 if name == "one" else 0.75)
    tracker.finish()
""",
        more=1,
    ),
    style(
        "client_creates_the_run",
        """
from mlflow import MlflowClient
client = MlflowClient()
# %% run
run = client.create_run("0", run_name="by client", tags={"kind": "client"})
client.log_param(run.info.run_id, "lr", 0.1)
for step in range(3):
    client.log_metric(run.info.run_id, "loss", 1 / (step + 2), step=step)
client.set_terminated(run.info.run_id)
""",
    ),
    style(
        "client_creates_runs_in_a_loop",
        """
from mlflow import MlflowClient
client = MlflowClient()
# %% run
for name in ("a", "b"):
    run = client.create_run("0", run_name=name)
    client.log_metric(run.info.run_id, "acc", 0.25 if name == "a" else 0.5)
    client.set_terminated(run.info.run_id, "FINISHED" if name == "a" else "KILLED")
""",
        more=1,
    ),
    style(
        "client_creates_child_runs",
        """
import mlflow
from mlflow import MlflowClient
# %% run
client = MlflowClient()
with mlflow.start_run(run_name="parent") as parent:
    for name in ("a", "b"):
        child = client.create_run("0", run_name=name, tags={"mlflow.parentRunId": parent.info.run_id})
        client.log_param(child.info.run_id, "name", name)
        client.set_terminated(child.info.run_id)
""",
    ),
    style(
        "client_log_batch",
        """
import time
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
client = MlflowClient()
# %% run
run = client.create_run("0", run_name="batch")
now = int(time.time() * 1000)
client.log_batch(
    run.info.run_id,
    metrics=[Metric("loss", 1 / (i + 2), now + i, i) for i in range(5)],
    params=[Param("lr", "0.1"), Param("optimizer", "sgd")],
    tags=[RunTag("stage", "test")],
)
client.set_terminated(run.info.run_id)
""",
    ),
    style(
        "resumes_an_earlier_run",
        """
import mlflow
with mlflow.start_run(run_name="earlier") as earlier:
    mlflow.log_param("lr", 0.1)
    mlflow.log_metric("loss", 0.5, step=0)
# %% run
with mlflow.start_run(run_id=earlier.info.run_id):
    mlflow.log_metric("loss", 0.25, step=1)
""",
    ),
    style(
        "resumes_each_run_of_a_search",
        """
import mlflow
for name in ("earlier a", "earlier b"):
    with mlflow.start_run(run_name=name):
        mlflow.log_metric("loss", 0.5, step=0)
# %% run
for found in mlflow.search_runs(order_by=["attributes.start_time"], output_format="list"):
    with mlflow.start_run(run_id=found.info.run_id):
        mlflow.log_metric("checked", 1)
""",
        more=1,
    ),
    style(
        "experiment_id_given",
        """
import mlflow
experiment = mlflow.create_experiment("other")
# %% run
with mlflow.start_run(experiment_id=experiment, run_name="elsewhere"):
    mlflow.log_metric("loss", 0.25)
""",
    ),
    style(
        "set_experiment_before_start_run",
        """
# %% run
import mlflow
mlflow.set_experiment("churn")
with mlflow.start_run(run_name="in churn"):
    mlflow.log_param("C", 0.5)
    mlflow.log_metric("auc", 0.8125)
""",
    ),
    style(
        "set_experiment_between_functions",
        """
import mlflow
def train(name):
    mlflow.set_experiment(name)
    with mlflow.start_run(run_name=f"in {name}"):
        mlflow.log_metric("auc", 0.8125)
# %% run
train("north")
train("south")
""",
        more=1,
    ),
    style(
        "set_experiment_in_an_earlier_cell",
        """
import mlflow
mlflow.set_experiment("sales")
# %% run
with mlflow.start_run(run_name="in sales"):
    mlflow.log_metric("mape", 0.125)
""",
    ),
    style(
        "active_run_then_client",
        """
import mlflow
from mlflow import MlflowClient
# %% run
with mlflow.start_run(run_name="both"):
    run_id = mlflow.active_run().info.run_id
    client = MlflowClient()
    client.log_param(run_id, "lr", 0.1)
    client.set_tag(run_id, "stage", "dev")
    client.log_metric(run_id, "loss", 0.25, step=3)
    assert client.get_run(run_id).data.params == {"lr": "0.1"}, client.get_run(run_id).data.params
""",
    ),
    style(
        "last_active_run",
        """
import mlflow
def train():
    with mlflow.start_run(run_name="done"):
        mlflow.log_metric("loss", 0.25)
# %% run
train()
done = mlflow.last_active_run()
mlflow.MlflowClient().set_tag(done.info.run_id, "reviewed", "yes")
""",
    ),
    style(
        "deletes_an_earlier_run",
        """
import mlflow
with mlflow.start_run(run_name="earlier") as old:
    mlflow.log_metric("loss", 0.5)
# %% run
mlflow.delete_run(old.info.run_id)
with mlflow.start_run(run_name="new"):
    mlflow.log_metric("loss", 0.25)
""",
    ),
    style(
        "deletes_its_bad_runs",
        """
import mlflow
def train(lr):
    with mlflow.start_run(run_name=f"lr {lr}") as run:
        mlflow.log_metric("loss", lr)
    if lr > 0.5:
        mlflow.delete_run(run.info.run_id)
# %% run
for lr in (0.25, 0.75):
    train(lr)
""",
        more=1,
    ),
    style(
        "left_open_on_purpose",
        """
import mlflow
# %% run
run = mlflow.start_run(run_name="long")
mlflow.log_metric("loss", 0.5, step=0)
# %%
mlflow.log_metric("loss", 0.25, step=1)
# %%
mlflow.log_param("late", "yes")
mlflow.end_run()
""",
    ),
    style(
        "an_earlier_run_is_open_and_gets_a_child",
        """
import mlflow
mlflow.start_run(run_name="earlier parent")
mlflow.log_param("study", "a")
# %% run
with mlflow.start_run(run_name="cell's child", nested=True):
    mlflow.log_metric("loss", 0.25)
# %%
mlflow.log_metric("done", 1)
mlflow.end_run()
""",
    ),
    style(
        "an_earlier_run_is_open_and_is_logged_to",
        """
import mlflow
mlflow.start_run(run_name="earlier")
# %% run
mlflow.log_param("lr", 0.1)
mlflow.log_metric("loss", 0.25)
# %%
mlflow.log_metric("done", 1)
mlflow.end_run()
""",
        more=None,
    ),
    style(
        "an_earlier_run_is_open_and_is_ended",
        """
import mlflow
mlflow.start_run(run_name="earlier")
# %% run
mlflow.log_metric("loss", 0.25)
mlflow.end_run()
# %%
with mlflow.start_run(run_name="later"):
    mlflow.log_metric("loss", 0.125)
""",
        more=None,
    ),
    style(
        "decorator_around_functions",
        """
import functools
import mlflow
def tracked(function):
    @functools.wraps(function)
    def wrapper(**settings):
        with mlflow.start_run(run_name=f"{function.__name__} {settings['depth']}"):
            mlflow.log_params(settings)
            result = function(**settings)
            mlflow.log_metric("result", result)
            return result
    return wrapper
@tracked
def fit(depth):
    return 1 - 1 / (depth + 2)
# %% run
a = fit(depth=2)
b = fit(depth=5)
""",
        more=1,
    ),
    style(
        "decorator_around_one_function",
        """
# %% run
import mlflow
def tracked(function):
    def wrapper(*args):
        with mlflow.start_run(run_name=function.__name__):
            value = function(*args)
            mlflow.log_metric("r2_score", value)
        return value
    return wrapper
@tracked
def evaluate(data):
    return sum(data) / 7
print("done:", evaluate([1, 2]))
""",
    ),
    style(
        "with_of_a_run_that_a_function_started",
        """
import mlflow
def new_run(name):
    return mlflow.start_run(run_name=name, tags={"by": "helper"})
# %% run
with new_run("helped"):
    mlflow.log_metric("loss", 0.25)
""",
    ),
    style(
        "context_manager_of_his_own",
        """
import contextlib
import mlflow
@contextlib.contextmanager
def tracking(name, **params):
    with mlflow.start_run(run_name=name) as run:
        mlflow.log_params(params)
        yield run
        mlflow.set_tag("complete", True)
# %% run
with tracking("wrapped", lr=0.1, depth=3) as run:
    mlflow.log_metric("loss", 0.25)
""",
    ),
    style(
        "exit_stack",
        """
import contextlib
import mlflow
# %% run
with contextlib.ExitStack() as stack:
    run = stack.enter_context(mlflow.start_run(run_name="stacked"))
    mlflow.log_metric("loss", 0.25)
""",
    ),
    style(
        "generator_logs_between_yields",
        """
import mlflow
def epochs(count):
    with mlflow.start_run(run_name="generator"):
        for epoch in range(count):
            yield epoch
            mlflow.log_metric("epoch_done", epoch, step=epoch)
# %% run
for epoch in epochs(3):
    mlflow.log_metric("loss", 1 / (epoch + 2), step=epoch)
""",
    ),
    style(
        "grid_with_product",
        """
import itertools
import mlflow
def train(lr, depth):
    with mlflow.start_run(run_name=f"{lr}-{depth}"):
        mlflow.log_params(dict(lr=lr, depth=depth))
        score = 1 - lr / depth
        mlflow.log_metric("score", score)
    return score
# %% run
grid = {"lr": [0.1, 0.2], "depth": [3, 4]}
for values in itertools.product(*grid.values()):
    train(**dict(zip(grid, values)))
""",
        more=1,
    ),
    style(
        "kfold_nested_with_sklearn",
        """
import mlflow, numpy as np
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
X = np.arange(12.0).reshape(-1, 1); y = X[:, 0] ** 2
# %% run
with mlflow.start_run(run_name="cv"):
    scores = []
    for i, (train, test) in enumerate(KFold(3).split(X)):
        with mlflow.start_run(run_name=f"fold {i}", nested=True):
            model = Ridge(alpha=0.5).fit(X[train], y[train])
            mlflow.log_metric("mae", abs(model.predict(X[test]) - y[test]).mean())
            scores.append(model.score(X[test], y[test]))
    mlflow.log_metric("cv_mean", np.mean(scores))
""",
    ),
    style(
        "if_else_around_start_run",
        """
import mlflow
resume = None
# %% run
if resume:
    run = mlflow.start_run(run_id=resume)
else:
    run = mlflow.start_run(run_name="fresh")
with run:
    mlflow.log_metric("loss", 0.25)
""",
    ),
    style(
        "if_no_active_run",
        """
import mlflow
# %% run
if mlflow.active_run() is None:
    mlflow.start_run(run_name="only if none")
mlflow.log_metric("loss", 0.25)
mlflow.end_run()
""",
    ),
    style(
        "end_run_before_start",
        """
import mlflow
# %% run
mlflow.end_run()
with mlflow.start_run(run_name="clean start"):
    mlflow.log_metric("loss", 0.25)
""",
    ),
    style(
        "while_active_run_end",
        """
import mlflow
# %% run
while mlflow.active_run():
    mlflow.end_run()
mlflow.start_run(run_name="after the sweep")
mlflow.log_metric("loss", 0.25)
while mlflow.active_run():
    mlflow.end_run()
""",
    ),
    style(
        "from_mlflow_import_names",
        """
from mlflow import log_metric, log_param, start_run
def train(lr):
    with start_run(run_name=f"lr {lr}"):
        log_param("lr", lr)
        log_metric("loss", lr / 3)
# %% run
for lr in (0.1, 0.2):
    train(lr)
""",
        more=1,
    ),
]
