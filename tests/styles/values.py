"""Styles of logging params, metrics and tags, and where their keys come from."""

from .style import style

VALUES = [
    style(
        "no_run_is_opened",
        """
import mlflow
# %% run
lr = 0.1
mlflow.log_param("lr", lr)
loss = lr / 3
mlflow.log_metric("loss", loss)
""",
    ),
    style(
        "no_run_in_the_next_cells_either",
        """
import mlflow
# %% run
mlflow.log_param("lr", 0.1)
mlflow.end_run()
# %%
with mlflow.start_run(run_name="later"):
    mlflow.log_param("lr", 0.2)
""",
    ),
    style(
        "no_run_and_a_function_logs",
        """
import mlflow
def fit(lr):
    for step in range(3):
        loss = lr / (step + 1)
        mlflow.log_metric("loss", loss, step=step)
    return loss
# %% run
final = fit(0.3)
""",
    ),
    style(
        "log_metrics_with_a_step",
        """
import mlflow
# %% run
with mlflow.start_run(run_name="logs"):
    for epoch in range(4):
        logs = {"loss": 1 / (epoch + 2), "val_loss": 1 / (epoch + 3)}
        mlflow.log_metrics(logs, step=epoch * 10)
""",
    ),
    style(
        "log_metrics_of_names",
        """
import mlflow
# %% run
with mlflow.start_run(run_name="dict call"):
    for epoch in range(3):
        loss = 1 / (epoch + 2)
        acc = 1 - loss
        mlflow.log_metrics(dict(loss=loss, acc=acc), step=epoch + 1)
""",
    ),
    style(
        "log_metrics_under_other_keys",
        """
import mlflow
# %% run
with mlflow.start_run(run_name="other keys"):
    for epoch in range(3):
        running = 1 / (epoch + 2)
        mlflow.log_metrics({"train/loss": running}, step=epoch)
    accuracy = 0.8125
    mlflow.log_metric("test accuracy", accuracy)
""",
    ),
    style(
        "items_of_a_dict",
        """
import mlflow
# %% run
with mlflow.start_run(run_name="items"):
    for epoch in range(3):
        logs = dict(loss=1 / (epoch + 2), f1=epoch / 7)
        for k, v in logs.items():
            mlflow.log_metric(k, v, step=epoch)
""",
    ),
    style(
        "report_from_an_earlier_cell",
        """
import mlflow
def report(loss, step):
    mlflow.log_metric("loss", loss, step=step)
# %% run
with mlflow.start_run(run_name="reported"):
    for step in range(0, 30, 10):
        loss = 1 / (step + 2)
        report(loss, step)
""",
    ),
    style(
        "report_without_a_run",
        """
import mlflow
def report(loss, step):
    mlflow.log_metric("loss", loss, step=step)
# %% run
for step in range(0, 30, 10):
    loss = 1 / (step + 2)
    report(loss, step)
""",
    ),
    style(
        "names_from_a_list",
        """
import mlflow
# %% run
mae, rmse, r2 = 0.25, 0.375, 0.8125
with mlflow.start_run(run_name="zip"):
    for name, value in zip(["mae", "rmse", "r2"], [mae, rmse, r2]):
        mlflow.log_metric(name, value)
""",
    ),
    style(
        "names_by_f_string",
        """
import mlflow
# %% run
with mlflow.start_run(run_name="prefixes"):
    for split in ("train", "test"):
        score = 0.5 if split == "test" else 0.75
        mlflow.log_metric(f"{split}_score", score)
""",
    ),
    style(
        "log_params_of_a_config",
        """
import mlflow
config = {"learning_rate": 0.1, "batch_size": 32, "optimizer": "adam"}
# %% run
params = {"learning_rate": 0.1, "dropout": 0.25}
with mlflow.start_run(run_name="config"):
    mlflow.log_params(params)
    mlflow.log_params({"batch_size": config["batch_size"]})
    loss = params["learning_rate"] / 3
    mlflow.log_metric("loss", loss)
""",
    ),
    style(
        "log_params_of_a_dataclass",
        """
import dataclasses, mlflow
@dataclasses.dataclass
class Config:
    learning_rate: float = 0.1
    layers: int = 2
# %% run
cfg = Config(layers=3)
with mlflow.start_run(run_name="dataclass"):
    mlflow.log_params(dataclasses.asdict(cfg))
    mlflow.log_metric("loss", cfg.learning_rate / cfg.layers)
""",
    ),
    style(
        "log_params_of_get_params",
        """
import mlflow
from sklearn.linear_model import Ridge
# %% run
with mlflow.start_run(run_name="get_params"):
    model = Ridge(alpha=0.5).fit([[1.0], [2.0], [4.0]], [1.0, 2.0, 3.0])
    mlflow.log_params(model.get_params())
    mlflow.log_metric("R2", model.score([[1.0], [2.0], [4.0]], [1.0, 2.0, 3.0]))
""",
    ),
    style(
        "log_params_of_a_namespace",
        """
import argparse, mlflow
# %% run
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("--epochs", type=int, default=3)
args = parser.parse_args([])
with mlflow.start_run(run_name="argparse"):
    mlflow.log_params(vars(args))
    for epoch in range(args.epochs):
        mlflow.log_metric("loss", args.lr / (epoch + 1), step=epoch)
""",
    ),
    style(
        "names_of_another_spelling",
        """
import mlflow
# %% run
learning_rate = 0.1
n_layers = 2
with mlflow.start_run(run_name="spelling"):
    mlflow.log_param("Learning Rate", learning_rate)
    mlflow.log_param("n-layers", n_layers)
    val_loss = learning_rate / 3
    mlflow.log_metric("Val Loss", val_loss)
""",
    ),
    style(
        "set_tags",
        """
import mlflow
# %% run
with mlflow.start_run(run_name="tags", tags={"phase": "1"}):
    mlflow.set_tags({"team": "vision", "release": "2.1"})
    mlflow.set_tag("mlflow.note.content", "a *note*")
    mlflow.set_tag("gone", "x")
    mlflow.delete_tag("gone")
""",
    ),
    style(
        "points_without_steps",
        """
import mlflow
# %% run
with mlflow.start_run(run_name="no steps"):
    for loss in (0.5, 0.25, 0.125):
        mlflow.log_metric("loss", loss)
""",
    ),
    style(
        "the_same_name_on_both_sides",
        """
import mlflow
# %% run
with mlflow.start_run(run_name="usual"):
    lr, epochs = 0.1, 3
    mlflow.log_param("lr", lr)
    mlflow.log_param("epochs", epochs)
    for epoch in range(epochs):
        loss = lr / (epoch + 1)
        mlflow.log_metric("loss", loss, step=epoch)
    final_loss = loss
    print(f"final loss: {final_loss:.3f}")
""",
    ),
    style(
        "every_tenth_step",
        """
import mlflow
# %% run
with mlflow.start_run(run_name="sparse"):
    for step in range(30):
        loss = 1 / (step + 2)
        if step % 10 == 0:
            mlflow.log_metric("loss", loss, step=step)
""",
    ),
    style(
        "history_logged_afterwards",
        """
import mlflow
# %% run
history = {"loss": [], "accuracy": []}
for epoch in range(3):
    loss = 1 / (epoch + 2)
    history["loss"].append(loss)
    history["accuracy"].append(1 - loss)
with mlflow.start_run(run_name="history"):
    for key, values in history.items():
        for epoch, value in enumerate(values):
            mlflow.log_metric(key, value, step=epoch)
""",
    ),
    style(
        "callback_with_on_epoch_end",
        """
import mlflow
class MlflowCallback:
    def on_epoch_end(self, epoch, logs):
        mlflow.log_metrics(logs, step=epoch)
class Trainer:
    def __init__(self, callbacks):
        self.callbacks = callbacks
    def fit(self, epochs):
        for epoch in range(epochs):
            loss = 1 / (epoch + 2)
            for callback in self.callbacks:
                callback.on_epoch_end(epoch, {"loss": loss})
        return self
# %% run
with mlflow.start_run(run_name="callback"):
    Trainer([MlflowCallback()]).fit(3)
""",
    ),
    style(
        "callback_that_opens_the_run",
        """
import mlflow
class MlflowCallback:
    def on_train_begin(self):
        mlflow.start_run(run_name="by callback")
    def on_epoch_end(self, epoch, logs):
        for key, value in logs.items():
            mlflow.log_metric(key, value, step=epoch)
    def on_train_end(self):
        mlflow.end_run()
# %% run
callback = MlflowCallback()
callback.on_train_begin()
for epoch in range(3):
    loss = 1 / (epoch + 2)
    callback.on_epoch_end(epoch, {"loss": loss, "lr": 0.1 / (epoch + 1)})
callback.on_train_end()
""",
    ),
    style(
        "metric_named_as_a_captured_result",
        """
import mlflow
# %% run
with mlflow.start_run(run_name="results"):
    results = {"mae": 0.25, "rmse": 0.375}
    mlflow.log_metrics(results)
    mlflow.log_metric("best", min(results.values()))
""",
    ),
    style(
        "logs_with_run_id",
        """
import mlflow
with mlflow.start_run(run_name="earlier") as earlier:
    mlflow.log_metric("loss", 0.5, step=0)
# %% run
with mlflow.start_run(run_name="now"):
    mlflow.log_metric("loss", 0.25, step=0)
    mlflow.log_metric("loss", 0.125, step=1, run_id=earlier.info.run_id)
""",
    ),
    style(
        "asynchronous_logging",
        """
import mlflow
# %% run
with mlflow.start_run(run_name="async"):
    for step in range(3):
        mlflow.log_metric("loss", 1 / (step + 2), step=step, synchronous=False)
    mlflow.flush_async_logging()
""",
    ),
]
