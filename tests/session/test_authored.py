"""What the author logs himself is in his run as the bare cell leaves it, and nothing of ours says it again."""

from __future__ import annotations

import re
import textwrap
from functools import partial
from pathlib import Path

import mlflow
import pytest

from tests.rig import stored

EARLIER = """
import math, mlflow, threading
from concurrent.futures import ThreadPoolExecutor
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

def report(loss, step):
    mlflow.log_metric("loss", loss, step=step)

def report_all(logs, step):
    mlflow.log_metrics(logs, step=step)

def deep(value, step):
    def inner(v):
        report(v, step)
    inner(value)

class History:
    def on_epoch_end(self, epoch, logs=None):
        for key, value in (logs or {}).items():
            mlflow.log_metric(key, value, step=epoch)

class Callback(History):
    pass

class Model:
    def fit(self, epochs, callbacks):
        for epoch in range(epochs):
            for each in callbacks:
                each.on_epoch_end(epoch, {"loss": value(epoch)})

def value(epoch):
    return math.sqrt(epoch + 2) / 7

def run_id():
    return (mlflow.active_run() or mlflow.start_run()).info.run_id
"""

# --- name of the style: keys of ours that may be there besides; then the cell.
STYLES = {
    name: (set(extra.split()), cell)
    for name, extra, cell in re.findall(
        r"^# --- (.*?):(.*)\n((?:(?!# --- ).*\n)+)",
        """
# --- a function of an earlier cell:
for epoch in range(5):
    loss = value(epoch)
    report(loss, epoch * 10)
# --- before the assignment is seen:
for epoch in range(5):
    report(value(epoch), epoch)
    loss = value(epoch)
# --- a dict with a step:
for epoch in range(5):
    loss, acc = value(epoch), 1 / (epoch + 1.5)
    logs = {"loss": loss, "acc": acc}
    mlflow.log_metrics(logs, step=epoch + 3)
# --- a dict by dict():
for epoch in range(5):
    loss = value(epoch)
    mlflow.log_metrics(dict(loss=loss))
# --- item by item:
for epoch in range(5):
    loss, acc = value(epoch), 1 / (epoch + 1.5)
    logs = {"loss": loss, "acc": acc}
    for k, v in logs.items():
        mlflow.log_metric(k, v, step=epoch)
# --- a name from a variable:
name = "loss"
for epoch in range(5):
    loss = value(epoch)
    mlflow.log_metric(name, loss, step=epoch)
# --- a name that is put together: val_loss_best
split = "val"
for epoch in range(5):
    val_loss = value(epoch)
    val_loss_best = min(val_loss, 0.25)
    mlflow.log_metric(f"{split}_loss", val_loss, step=epoch)
# --- without a step:
for epoch in range(5):
    loss = value(epoch)
    mlflow.log_metric("lo" + "ss", loss)
# --- every tenth epoch only:
for epoch in range(30):
    loss = value(epoch)
    if epoch % 10 == 9:
        report(loss, epoch)
# --- under another name:
for epoch in range(5):
    loss = value(epoch)
    report_all({"train/" + "cost": loss}, epoch)
# --- under another name, shown in the text:
for epoch in range(5):
    loss = value(epoch)
    mlflow.log_metric("train_loss", float(loss), step=epoch)
# --- under another name, every second epoch:
for epoch in range(9):
    loss = value(epoch)
    if epoch % 2:
        report_all({"cost": loss}, epoch)
# --- after the loop: total
history, total = [], 0.0
for epoch in range(5):
    loss = value(epoch)
    total += loss
    history.append(loss)
for epoch, each in enumerate(history):
    report(each, epoch)
# --- nested functions:
for epoch in range(5):
    loss = value(epoch)
    deep(loss, epoch)
# --- a callback class:
callback = Callback()
for epoch in range(5):
    loss = value(epoch)
    callback.on_epoch_end(epoch, {"loss": loss})
# --- a trainer with callbacks:
Model().fit(5, [Callback()])
loss = value(4)
# --- a client:
client = MlflowClient()
for epoch in range(5):
    loss = value(epoch)
    client.log_metric(run_id(), "loss", loss, step=epoch)
# --- a client's batch:
client = MlflowClient()
for epoch in range(5):
    loss = value(epoch)
    client.log_batch(run_id(), metrics=[Metric("loss", loss, 1000 + epoch, epoch)])
# --- threads:
client, run = MlflowClient(), run_id()
with ThreadPoolExecutor(2) as pool:
    for epoch in range(5):
        loss = value(epoch)
        pool.submit(client.log_metric, run, "loss", loss, step=epoch).result()
# --- not synchronous:
for epoch in range(5):
    loss = value(epoch)
    mlflow.log_metrics({"lo" "ss": loss}, step=epoch, synchronous=False)
# --- a lambda:
log = lambda key, v, step: mlflow.log_metric(key, v, step=step)
for epoch in range(5):
    loss = value(epoch)
    log("loss", loss, epoch)
# --- steps and batches: batch_loss
for epoch in range(3):
    running = 0.0
    for step in range(4):
        batch_loss = value(epoch * 4 + step)
        running += batch_loss
    running = running / 4
    report_all({"loss": running, "running": running}, epoch)
# --- a run of his own: other
with mlflow.start_run(run_name="mine"):
    for epoch in range(5):
        loss = value(epoch)
        other = loss * 2
        report(loss, epoch)
# --- a final result under its own name:
acc = value(1)
report_all({"acc": acc}, 0)
# --- results in a dict:
results = {"acc": value(1), "f1": value(2)}
report_all(results, 0)
# --- a final result spelled otherwise:
macro_f1 = value(1)
report_all({"Macro-F1": macro_f1}, 0)
# --- NaN and infinity:
for epoch, loss in enumerate([value(0), math.nan, math.inf, -math.inf]):
    cost = loss * 1.0
    report_all({"cost": cost}, epoch)
# --- a while loop and a walrus:
epoch = 0
while (loss := value(epoch)) < 0.35:
    report(loss, epoch)
    epoch += 1
""",
        re.MULTILINE,
    )
}


@pytest.fixture(scope="module")
def author(home):
    """A shell with functions that log, as an earlier cell defines them."""
    assert home.run_cell(EARLIER).success
    return home


def database(shell) -> Path:
    return Path(shell.user_ns["mlflow"].get_tracking_uri().removeprefix("sqlite:///"))


def history(shell, code, magic="", where=None):
    """Run a cell; return the points of each metric, its params, and the cell's outcome."""
    shown = []
    magics = shell.magics_manager.registry["MlflowMagics"]
    magics.cells.show = shown.append
    mlflow = shell.user_ns["mlflow"]
    assert shell.run_cell(magic + textwrap.dedent(code)).success
    while mlflow.active_run():
        mlflow.end_run()
    run_id = shown[0].run_id if shown else mlflow.last_active_run().info.run_id
    shell.run_cell("%mlflow_sync")
    where = where or database(shell)
    points = {
        name: [(step, value) for step, _, value in stored.points(where, run_id, name)]
        for name in stored.names(where, run_id)
    }
    return points, stored.params(where, run_id), shown[0] if shown else None


def same(one, other):
    return str(one) == str(other)  # a NaN is not equal to itself


@pytest.mark.parametrize("style", STYLES)
def test_a_curve_that_the_author_logs_is_stored_as_the_bare_cell_stores_it(author, style):
    extra, code = STYLES[style]
    bare, _, _ = history(author, code)
    points, _, outcome = history(author, code, "%%mlflow_run\n")
    assert bare
    assert same({key: points.get(key) for key in bare}, bare)
    assert set(points) == set(bare) | extra
    assert not {one.name for one in outcome.series} - extra


def test_a_series_that_nobody_else_logs_is_whole(author):
    points, _, outcome = history(
        author,
        "for epoch in range(40):\n    loss = value(epoch)\n    report_all({'epoch': epoch}, epoch)",
        "%%mlflow_run\n",
    )
    assert [step for step, _ in points["loss"]] == list(range(40))
    assert [one.name for one in outcome.series] == ["loss"]
    assert len(points["epoch"]) == 40


# --- name of the style: params of ours that may be there besides; then the cell.
PARAMS = {
    name: (set(extra.split()), cell)
    for name, extra, cell in re.findall(
        r"^# --- (.*?):(.*)\n((?:(?!# --- ).*\n)+)",
        """
# --- a dict as it is:
config = {"lr": 0.1, "depth": 3, "name": "adam"}
mlflow.log_params(config)
# --- item by item:
config = {"lr": 0.1, "depth": 3, "name": None, "fast": True}
for k, v in config.items():
    mlflow.log_param(k, v)
# --- an earlier function:
params = {"learning_rate": 1e-3}
log_settings(params)
# --- a part of a dict: config.seed
config = {"opt": {"lr": 0.1, "beta": 0.9}, "seed": 1}
mlflow.log_params(config["opt"])
# --- flattened by himself:
config = {"opt": {"lr": 0.1}}
log_settings({f"{a}/{b}": v for a, c in config.items() for b, v in c.items()})
# --- flattened with underscores:
config = {"opt": {"lr": 0.1}}
log_settings({f"{a}_{b}": v for a, c in config.items() for b, v in c.items()})
# --- another name, shown in the text:
lr = 0.1
mlflow.log_param("step size", lr)
# --- other names in a dict:
lr, n = 0.1, 3
mlflow.log_params({"rate": lr, "trees": str(n)})
# --- a client:
learning_rate = 0.1
MlflowClient().log_param(run_id(), "Learning-Rate", learning_rate)
# --- a batch:
learning_rate = 0.1
MlflowClient().log_batch(run_id(), params=[Param("learningRate", str(learning_rate))])
# --- arguments:
import argparse
args = argparse.Namespace(lr=0.1, epochs=3)
log_settings(vars(args))
# --- as a metric:
threshold = 0.5
mlflow.log_metric("thresh" + "old", threshold)
mlflow.log_param("a", 1)
# --- the same name with another value: seeds.n
seeds = {"n": 3}
log_settings({"n": 5})
""",
        re.MULTILINE,
    )
}


@pytest.mark.parametrize("style", PARAMS)
def test_a_param_that_the_author_logs_is_there_once(author, style):
    extra, code = PARAMS[style]
    code = "def log_settings(settings):\n    mlflow.log_params(settings)\n" + code
    _, bare, _ = history(author, code)
    points, params, outcome = history(author, code, "%%mlflow_run\n")
    assert bare
    assert {key: params.get(key) for key in bare} == bare
    assert set(params) == set(bare) | extra
    assert not set(params) & set(points)
    assert all(one.reason for one in outcome.skipped)


def test_what_is_left_out_is_said(author):
    _, _, outcome = history(
        author,
        "config = {'lr': 0.1}\nmlflow.log_params(config)\nreport(value(1), 0)\nloss = value(1)",
        "%%mlflow_run\n",
    )
    assert ("config.lr", "already logged as lr") in {(one.name, one.reason) for one in outcome.skipped}


def test_what_the_user_asks_for_is_not_left_out(author):
    code = "lr = 0.1\nfor epoch in range(4):\n    loss = value(epoch)\n    report_all({'cost': loss}, epoch)\n"
    points, params, _ = history(
        author, code + "mlflow.log_param('rate', lr)", "%%mlflow_run --watch loss --params lr\n"
    )
    assert (len(points["loss"]), len(points["cost"]), params["lr"]) == (4, 4, "0.1")


# -- points that wait ---------------------------------------------------------------------------------------------


def test_a_series_reaches_the_store_while_a_long_cell_goes_on(author, monkeypatch):
    from mlflow_magics.tracking.outbox.numbers import keptback

    monkeypatch.setattr(keptback, "SECONDS", 0.5)
    author.user_ns["stored_now"] = lambda: stored.points(database(author), mlflow_run_id(author), "loss")
    code = """
    import time
    seen = 0
    for epoch in range(400):
        loss = value(epoch)
        time.sleep(0.02)
        if len(stored_now()) > 3:
            seen = epoch
            break
    """
    points, _, _ = history(author, code, "%%mlflow_run --no-source\n")
    assert author.user_ns["seen"]
    assert [step for step, _ in points["loss"]] == list(range(author.user_ns["seen"] + 1))


def mlflow_run_id(shell):
    return shell.user_ns["mlflow"].active_run().info.run_id


def test_a_series_that_is_in_the_store_before_the_author_logs_it_goes_no_further_and_that_is_said(author, monkeypatch):
    from mlflow_magics.tracking.outbox.numbers import keptback

    monkeypatch.setattr(keptback, "SECONDS", 0.2)
    author.user_ns["late"] = partial(author.user_ns["mlflow"].log_metric)  # as a library's: not seen beforehand
    author.user_ns["stored_now"] = lambda: stored.points(database(author), mlflow_run_id(author), "loss")
    code = """
    import time
    seen = []
    for epoch in range(400):
        loss = value(epoch)
        if not seen:
            time.sleep(0.02)
            seen = stored_now()
        else:
            late("loss", 1.0 + loss, 1000 + epoch)
    """
    points, _, outcome = history(author, code, "%%mlflow_run --no-source\n")
    late = [step for step, _ in points["loss"] if step >= 1000]
    assert late
    assert late == list(range(late[0], 1400))
    assert max(step for step, _ in points["loss"] if step < 1000) <= late[0] - 1000
    assert any("loss: the cell began to log it itself" in note for note in outcome.notes)


def test_the_panel_draws_what_waits_and_then_only_what_the_author_logs(author):
    from mlflow_magics.tracking.lookback.curves.curves import LiveCurves
    from mlflow_magics.tracking.patches import store

    drawn = []
    live = LiveCurves(store.current())

    def look():
        live.refresh()
        drawn.append({curve.name: curve.count for curve in live.of(mlflow_run_id(author))})

    author.user_ns["look"] = look
    code = """
    import time
    for epoch in range(6):
        loss = value(epoch)
        if epoch == 3:
            look()
        if epoch > 3:
            report(loss, epoch)
    look()
    """
    history(author, code, "%%mlflow_run --no-source\n")
    assert drawn == [{"loss": 4}, {"loss": 2}]


# -- figures ------------------------------------------------------------------------------------------------------

DRAW = "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1, 3, 2]);\n"

FIGURES = {
    "log_figure": (DRAW + "mlflow.log_figure(fig, 'mine.png')", set()),
    "log_figure in a folder": (DRAW + "mlflow.log_figure(fig, 'plots/mine.png')", set()),
    "a function": ("def keep(f, name):\n    mlflow.log_figure(f, name)\n" + DRAW + "keep(fig, 'mine.png')", set()),
    "saved and logged": (DRAW + "fig.savefig('mine.png', dpi=150)\nmlflow.log_artifact('mine.png')", set()),
    "saved tightly by a function": (
        "def keep(f):\n    f.savefig('t.png', bbox_inches='tight')\n    mlflow.log_artifact('t.png')\n"
        + DRAW
        + "keep(fig)",
        set(),
    ),
    "pyplot's own": (DRAW + "path = 'own.svg'\nplt.savefig(path)\nmlflow.log_artifact(path)", set()),
    "closed": (DRAW + "mlflow.log_figure(fig, 'mine.png')\nplt.close(fig)", set()),
    "only one of two": (
        DRAW + "mlflow.log_figure(fig, 'mine.png')\nother, ax = plt.subplots()\nax.plot([9, 1])",
        {"figures/other.png"},
    ),
    "drawn on after it was logged": (
        DRAW + "keep = mlflow.log_figure\nkeep(fig, 'a.png')\nax.plot([5, 5])",
        {"figures/fig.png"},
    ),
    "another file": (DRAW + "mlflow.log_text('x', 'x.txt')\nfig.savefig('no.png')", {"figures/no.png"}),
}


def files_of(shell, outcome):
    def walk(path=None):
        for each in shell.user_ns["MlflowClient"]().list_artifacts(outcome.run_id, path):
            yield from walk(each.path) if each.is_dir else [each.path]

    return set(walk())


@pytest.mark.parametrize("style", FIGURES)
def test_a_figure_that_the_author_logs_is_there_once(author, style, request):
    code, extra = FIGURES[style]
    _, _, outcome = history(author, code, "%%mlflow_run\n")
    author.user_ns["plt"].close("all")
    assert {path for path in files_of(author, outcome) if path.startswith("figures/")} == extra
    assert bool(extra) or any((one.name, one.reason) == ("fig", "logged by the cell itself") for one in outcome.skipped)


# -- the block ----------------------------------------------------------------------------------------------------


def test_the_block_lists_the_files_that_the_cell_logs(author, tmp_path):
    (tmp_path / "file.csv").write_text("a")
    author.user_ns["place"] = str(tmp_path / "file.csv")
    _, _, outcome = history(
        author,
        "mlflow.log_text('x', 'notes.txt')\nmlflow.log_dict({'a': 1}, 'deep/a.json')\nmlflow.log_artifact(place)",
        "%%mlflow_run\n",
    )
    assert {"notes.txt", "deep/", "file.csv"} <= set(outcome.artifacts)


def test_the_block_lists_no_metric_that_was_refused(author):
    _, _, outcome = history(
        author,
        "from mlflow_magics.tracking.patches import store\nreal = store.current().store\nplain = real.log_batch\n"
        # A stand-in for a store that takes one metric less than MLflow's own checks let pass.
        "def log_batch(run_id, metrics, params, tags):\n"
        "    if any(one.key == 'poor' for one in metrics):\n"
        "        raise mlflow.exceptions.MlflowException('no', error_code=1000)\n"
        "    plain(run_id, metrics, params, tags)\n"
        "real.log_batch = log_batch\n"
        "mlflow.log_metric('poor', 1.0)\nmlflow.log_metric('good', 1.0)",
        "%%mlflow_run\n",
    )
    assert dict(outcome.auto_metrics) == {"good": 1.0}
    assert any("metric poor was refused" in note for note in outcome.notes)


MODEL = """
from sklearn.linear_model import LogisticRegression
import mlflow.sklearn
quick = dict(pip_requirements=["scikit-learn"], serialization_format="cloudpickle")
clf = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "log",
    [
        "mlflow.sklearn.log_model(clf, 'forest', **quick)",
        "def keep(m):\n    mlflow.sklearn.log_model(m, 'forest', **quick)\nkeep(clf)",
    ],
    ids=["shown", "in a function"],
)
def test_a_model_that_the_author_logs_is_listed_and_not_advised(author, log):
    _, _, outcome = history(author, MODEL + log, "%%mlflow_run\n")
    assert outcome.models == ("forest",)
    assert not [one for one in outcome.skipped if "--model" in one.option]
    _, _, outcome = history(author, MODEL, "%%mlflow_run\n")
    assert [one.option for one in outcome.skipped if one.name == "clf"] == ["--model clf"]


@pytest.mark.parametrize(
    "log",
    [
        "for k, v in config.items():\n    mlflow.log_param('cfg_' + k, v)",
        "mlflow.log_params({f'cfg.{k}': v for k, v in config.items()})",
    ],
)
def test_a_group_that_he_logs_under_another_prefix_is_there_once(home, log):
    assert home.run_cell(
        f"%%mlflow_run\nimport mlflow\nconfig = {{'lr': 0.5, 'bs': 8}}\nother = {{'lr': 0.5, 'n': 3}}\n{log}\n"
    ).success
    run = mlflow.last_active_run()
    assert {name for name in run.data.params if not name.startswith("cfg")} == {"other.lr", "other.n"}
