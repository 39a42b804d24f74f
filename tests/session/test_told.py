"""What a cell tells without giving it a name: prints, last values, lists, dicts, its own functions; in a real shell."""

from __future__ import annotations

import csv
import subprocess
import sys
import types

import pytest
from mlflow import MlflowClient

from mlflow_magics.capture.following import following as following_room
from mlflow_magics.capture.following.hook import NAME
from tests.rig.runs import only_run

EARLIER = """
import math, logging
logger = logging.getLogger("told")
class Model:
    inertia_ = 3.5
    def fit(self, X, y=None, *, epochs=1): return self
    def predict(self, X): return X
    def score(self, X, y=None): return math.sqrt(0.25)
model, X, y = Model(), [[1.0]] * 20, [1] * 20
def score_of(x): return math.sqrt(x)
def evaluate(depth): return {"acc": math.sqrt(depth), "f1": math.sqrt(depth + 1)}
def train_model(depth, criterion, min_leaf): return {"acc": math.sqrt(depth)}
def fit_and_score(depth):
    acc = math.sqrt(depth)
    return acc
def fit_tree(depth):
    f1 = math.sqrt(depth)
    print(f1)
    return Model()
def train(lr, epochs=5):
    for epoch in range(epochs):
        loss = math.exp(-lr * epoch)
    return {"final_loss": loss}
def train_aloud(epochs):
    for epoch in range(epochs):
        print(f"epoch {epoch}: val_loss={math.exp(-epoch):.3f}")
class Trainer:
    def __init__(self, lr=0.1): self.lr, self.losses = lr, []
    def fit(self, epochs=3):
        for epoch in range(epochs):
            self.losses.append(math.exp(-self.lr * epoch))
            loss = self.losses[-1] / 2
        return self
def steps(n):
    for i in range(n):
        residual = math.exp(-i)
        yield residual
async def attend(n):
    for i in range(n):
        delay = math.exp(-i)
    return delay
def nested(n):
    def inner(k):
        for i in range(k):
            gap = math.exp(-i)
        return gap
    return inner(n)
class Callback:
    def on_epoch_end(self, epoch, logs): print("val accuracy:", math.sqrt(logs["acc"]))
class Library:
    @staticmethod
    def run(callback, n):
        for i in range(n): callback.on_epoch_end(i, {"acc": i})
def minimize(function, space): return min(space, key=lambda x: function({"x": x}))
def objective(params): return math.sqrt(params["x"])
def aloud(d):
    acc = math.sqrt(d)
    print("acc:", acc)
    return acc
def either(params):
    score = math.sqrt(params["x"])
    if params["x"] > 2:
        return score
    return score
def looped(n):
    for i in range(n):
        loss = math.exp(-i)
    return loss
"""

# What a careful person would have logged: metrics, and series with how many points. `-` before a name: must not.
CELLS = {
    "a labelled print": ("print('accuracy:', model.score(X, y))", "accuracy", ""),
    "um rótulo em português": ("print('Acurácia:', model.score(X, y))", "Acurácia", ""),
    "an f-string with two values": ("print(f'RMSE {score_of(4):.3f}  MAE {score_of(2):.2f}')", "RMSE MAE", ""),
    "percent": ("print('acc = %.3f, n = %d' % (model.score(X), len(X)))", "acc -n", ""),
    "format": ("print('precision: {:.2f} recall: {r}'.format(score_of(1), r=score_of(2)))", "precision recall", ""),
    "f-string with =": ("print(f'{model.score(X)=:.3f}')", "model.scoreX", ""),
    "added texts": ("print('score ' + str(round(model.score(X), 3)))", "score", ""),
    "logging": ("logger.info('val loss: %s', score_of(3))", "val_loss", ""),
    "rounding is not logged": ("print('acc:', round(math.sqrt(0.3), 1))", "acc=0.5477225575051661", ""),
    "a value with a name": ("acc = model.score(X)\nprint('accuracy:', acc)", "acc -accuracy", ""),
    "a value with a name, as a percentage": (
        "acc = model.score(X)\nprint(f'accuracy: {acc * 100:.1f}%')",
        "acc -accuracy",
        "",
    ),
    "an entry with a name": ("res = evaluate(2)\nprint('accuracy:', res['acc'])", "res.acc res.f1 -accuracy", ""),
    "no label, one value": ("print(model.score(X))", "score", ""),
    "no label, two values": ("print(model.score(X), score_of(2))", "-score -score_of", ""),
    "what it took": ("print('Training took', score_of(2), 'seconds')", "-Training_took", ""),
    "to a file": ("import io\nprint('accuracy:', score_of(2), file=io.StringIO())", "-accuracy", ""),
    "made of a variable, and the same": ("w = score_of(9)\nprint('best so far', min(w, 3.0))", "w -best_so_far", ""),
    "made of variables": ("a = score_of(9)\nb = score_of(4)\nprint('gap:', a - b)", "a b gap", ""),
    "below %%time": ("%%time\nprint('acc:', score_of(3))", "acc", ""),
    "a random game": ("import random\nacc = random.random()", "acc", ""),
    "text without numbers": ("print('done', 'and dusted')", "", ""),
    "a size": ("print('rows:', len(X), 'items:', len(X[0]))", "-rows -items", ""),
    "a setting": ("lr = 0.1\nprint('learning rate', lr)", "-learning_rate -lr", ""),
    "an earlier result": ("print('baseline', best)", "-baseline -best", ""),
    "mean and spread": ("s = [1.0]\nprint(f'CV {score_of(1):.2f} ± {score_of(2):.2f}')", "CV CV_std", ""),
    "an attribute that is a result": ("print('inertia', model.inertia_)", "inertia", ""),
    "two models, one label": ("print('acc:', score_of(1))\nprint('acc:', score_of(2))", "acc acc_2", ""),
    "printed in a loop": ("for i in range(3):\n    print('loss:', score_of(i))", "", "loss:3"),
    "the last value": ("model.score(X, y)", "score", ""),
    "the last value, rounded": ("round(model.score(X, y), 3)", "score", ""),
    "the last value, a dict": ("train_model(3, 'gini', min_leaf=5)", "acc", ""),
    "the last value of a function that names it": ("fit_and_score(3)", "acc", ""),
    "the last value, an attribute": ("model.inertia_", "inertia", ""),
    "the last value, a name": ("acc = score_of(2)\nacc", "acc", ""),
    "the last value, a size": ("len(X)", "-len", ""),
    "the last value, a model": ("model.fit(X, y)", "", ""),
    "the last value, text": ("'all good'", "", ""),
    "the last value, a prediction": ("model.predict(X)", "-predict", ""),
    "a dict each turn": ("for depth in (1, 2, 3): res = evaluate(depth)", "", "res.acc:3 res.f1:3"),
    "a dict beside its values": (
        "for depth in (1, 2, 3):\n    acc = score_of(depth); logs = {'acc': acc, 'error': 1 - acc}",
        "-logs.acc",
        "acc:3 logs.error:3",
    ),
    "lists in a dict": (
        "history = {'acc': [], 'f1': []}\nfor d in range(4):\n    res = evaluate(d)\n"
        "    history['acc'].append(res['acc']); history['f1'].append(res['f1'])\nbest_acc = max(history['acc'])",
        "best_acc -res.acc",
        "history.acc:4 history.f1:4",
    ),
    "a list": ("losses = []\nfor i in range(3): losses.append(score_of(i))", "-losses", "losses:3"),
    "a list of a variable": (
        "losses = []\nfor i in range(3):\n    loss = score_of(i)\n    losses.append(loss)",
        "-losses",
        "loss:3",
    ),
    "a list of turns": ("seen = []\nfor i in range(3): seen.append(i)", "-seen", ""),
    "a dict by names": (
        "results = {}\nfor name in ('a', 'b'): results[name] = score_of(len(name))",
        "results.a results.b",
        "",
    ),
    "a call that nobody keeps": ("for depth in (1, 2, 3): evaluate(depth)", "", "acc:3 f1:3"),
    "a call that nobody keeps, once": ("train_model(1, 'gini', 2)\nnone = None", "acc", ""),
    "a function that prints": ("fitted = fit_tree(3)", "f1", ""),
    "a function with a loop": ("result = train(lr=0.1)", "result.final_loss", "loss:5"),
    "a function that prints in its loop": ("train_aloud(4)", "", "val_loss:4"),
    "a method with a loop": ("t = Trainer().fit()", "", "loss:3 losses:3"),
    "a method of an object of an earlier cell": ("trainer.fit()", "", "loss:3 losses:3"),
    "printed and returned": ("for d in (1, 4, 9): aloud(d)", "", "acc:3"),
    "returned in two places": ("found = minimize(either, [1, 4, 9])", "found", "score:3"),
    "a loss of a loop, returned": ("[looped(n) for n in (2, 3)]", "", "loss:5"),
    "a generator": ("kept = list(steps(3))", "", "residual:3"),
    "an async function": ("last = await attend(3)", "last", "delay:3"),
    "a function in a function": ("gap = nested(3)", "gap", "inner.gap:3"),
    "a callback that a library calls": ("Library.run(Callback(), 3)", "", "val_accuracy:3"),
    "a search": ("found = minimize(objective, [1, 4, 9])", "found", "objective:3"),
    "a comprehension": ("accs = [fit_and_score(d) for d in (1, 2)]", "", "acc:2"),
    "a function defined in the cell": (
        "def fresh(n):\n    for i in range(n):\n        cost = math.exp(i)\nfresh(3)",
        "",
        "cost:3",
    ),
    "a name that cell and function share": (
        "for i in range(2):\n    loss = score_of(i)\nresult = train(0.1)",
        "result.final_loss",
        "loss:2 train.loss:5",
    ),
    "a function that is only mentioned": ("known = train", "", ""),
}


def plain(name):
    return name.replace(" ", "_").replace("(", "").replace(")", "")


@pytest.fixture
def told(shell):
    """Run a cell after the earlier ones, log nothing; give its outcome."""
    outcomes = []
    shell.magics_manager.registry["MlflowMagics"].cells.show = outcomes.append
    shell.run_cell(EARLIER)
    shell.run_cell("best = score_of(3)\ntrainer = Trainer()")

    def run(code, options=""):
        result = shell.run_cell(f"%%mlflow_run --dry-run {options}\n{code}")
        assert result.success, result.error_in_exec
        return outcomes[-1]

    return run


@pytest.mark.parametrize(("code", "metrics", "series"), CELLS.values(), ids=CELLS)
def test_cell(told, code, metrics, series):
    outcome = told(code)
    found = {plain(one.name): one.value for one in outcome.metrics}
    wanted, wrong = [], []
    for name in metrics.split():
        (wrong if name.startswith("-") else wanted).append(name.removeprefix("-"))
    assert {name.partition("=")[0] for name in wanted} == set(found)
    assert not set(wrong) & set(found)
    for name, _, value in (one.partition("=") for one in wanted):
        assert not value or found[name] == float(value)
    assert {f"{plain(one.name)}:{one.count}" for one in outcome.series} == set(series.split())


def test_each_says_why(told):
    why = {one.name: one.why for one in told("print('accuracy:', model.score(X))\nscore_of(2)").metrics}
    assert why == {"accuracy": "printed", "score_of": "the cell's last value"}
    assert [one.why for one in told("for d in (1, 2): evaluate(d)").series] == ["returned by evaluate"] * 2


def test_every_function_is_afterwards_as_it_was(told, shell):
    functions = {n: v for n, v in shell.user_ns.items() if type(v) is types.FunctionType}
    methods = {n: v for n, v in vars(shell.user_ns["Trainer"]).items() if type(v) is types.FunctionType}
    before = {name: one.__code__ for name, one in {**functions, **methods}.items()}
    told("result = train(0.1); t = Trainer().fit(); kept = list(steps(3)); x = minimize(objective, [1, 4])")
    assert {name: one.__code__ for name, one in {**functions, **methods}.items()} == before
    assert NAME not in "".join(str(code.co_names) for code in before.values())


def test_also_after_an_error(told, shell):
    shell.run_cell("def fails(n):\n    for i in range(n):\n        loss = 1 / (1 - i)\n    return loss")
    code = shell.user_ns["fails"].__code__
    shell.run_cell("%%mlflow_run --dry-run\nfails(3)")
    assert shell.user_ns["fails"].__code__ is code


def test_watch_reaches_a_function_of_an_earlier_cell(told):
    (series,) = told("fitted = fit_tree(3)", "--watch f1").series
    assert (series.name, series.count, series.why) == ("f1", 1, "--watch")


def test_skip_holds_for_what_is_told(told):
    assert not told("print('accuracy:', model.score(X))", "--skip accuracy").metrics
    assert not told("result = train(0.1)", "--skip loss").series
    assert not told("print('accuracy:', model.score(X))", "--no-capture").metrics


def test_a_function_that_is_called_too_often_gets_its_own_code_back(told, shell, monkeypatch):
    monkeypatch.setattr(following_room, "COST", 1.0)  # a point costs a second: no function can afford it
    shell.run_cell("def tiny(x):\n    for k in range(2):\n        s = math.sqrt(x)\n    return s")
    code = shell.user_ns["tiny"].__code__
    shell.run_cell("known = []")
    outcome = told("for q in range(3000):\n    tiny(q)\n    known.append(tiny.__code__)")
    assert shell.user_ns["known"][0] is not code
    assert shell.user_ns["known"][-1] is code
    assert [one.count for one in outcome.series] == [pytest.approx(following_room.BEGIN, abs=100)]
    assert any("called too often" in note for note in outcome.notes)


def test_a_function_that_is_pickled_meanwhile_runs_elsewhere(told, shell):
    told("import cloudpickle\npickled = [cloudpickle.dumps(one) for one in (train, train_aloud, objective)]")
    told("found = minimize(objective, [1, 4]); import cloudpickle; inside = cloudpickle.dumps(objective)")
    calls = ["f(0.1)", "f(2)", "f({'x': 4})", "f({'x': 4})"]
    for pickled, call in zip([*shell.user_ns["pickled"], shell.user_ns["inside"]], calls, strict=True):
        program = f"import pickle, math\nf = pickle.loads({pickled!r})\nf.__globals__['math'] = math\nprint({call})"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_workers_that_are_forked_meanwhile_leave_the_run_alone(told, shell):
    outcome = told(
        "import multiprocessing\nfork = multiprocessing.get_context('fork')\n"
        "workers = [fork.Process(target=train, args=(0.1,)) for _ in range(2)]\n"
        "for one in workers: one.start()\nfor one in workers: one.join()\n"
        "codes = {one.exitcode for one in workers}\nresult = train(0.1)"
    )
    assert shell.user_ns["codes"] == {0}
    assert [(one.name, one.count) for one in outcome.series] == [("loss", 5)]


GRIDS = {
    "a loop over settings": ("for depth in (1, 2, 3): res = evaluate(depth)", "depth", "res.acc res.f1", 2),
    "two loops": ("for a in (1, 2):\n    for b in [3, 4]:\n        acc = math.sqrt(a * b)", "a b", "acc", 3),
    "drawn settings": (
        "import random\nfor i in range(4):\n    width = random.randint(1, 9)\n    acc = Model().fit(width).score(X)",
        "width",
        "acc",
        0,
    ),
    "models": ("for m in (Model(), Trainer()): acc = score_of(3 if isinstance(m, Trainer) else 2)", "m", "acc", 1),
    "a search": ("found = minimize(objective, [9, 4, 1])", "params.x", "objective", 0),
    "a loss is better the less it is": ("for lr in (0.1, 0.2): loss = math.exp(-lr)", "lr", "loss", 1),
    "batches": ("for epoch in range(2):\n    for b in (1, 2): acc = math.sqrt(b)", None, "", 0),
    "epochs": ("for epoch in range(9): loss = math.exp(-epoch)", None, "", 0),
    "no results": ("for depth in (1, 2): print(depth)", None, "", 0),
    "more turns than rows": ("for depth in range(2, 3000): acc = math.sqrt(depth)", None, "", 0),
}


@pytest.mark.parametrize(("code", "settings", "results", "best"), GRIDS.values(), ids=GRIDS)
def test_what_is_tried_in_turns_is_a_table(told, code, settings, results, best):
    outcome = told(code)
    if settings is None:
        assert not outcome.calls
        return
    (table,) = outcome.calls
    assert (set(table.settings), set(table.results)) == (set(settings.split()), set(results.split()))
    assert table.best == best
    assert all(len(row) == len(table.settings) + len(table.results) for row in table.rows)


def test_a_secret_is_in_no_table(told):
    (table,) = told("for depth, api_key in ((1, 'sk-a1b2c3d4e5f6'), (2, 'x')): acc = math.sqrt(depth)").calls
    assert table.settings == ("depth",)


def test_a_cell_that_tells_nothing_says_so(told):
    assert told("model.score(X)\nnothing = X").notes == (
        "nothing to log: model.score(X) had no name; acc = … gives it one",
    )
    assert told("print('hello')").notes[0].startswith("nothing to log")
    assert not told("depth = 3").notes


def test_all_of_it_is_in_mlflow(tracked):
    tracked.run_cell(EARLIER)
    tracked.run_cell("%%mlflow_run\nfor depth in (1, 2, 3): res = evaluate(depth)\nprint('accuracy:', model.score(X))")
    run = only_run()
    assert run.data.metrics == {"res.acc": 3**0.5, "res.f1": 2.0, "accuracy": 0.5}
    client = MlflowClient()
    points = client.get_metric_history(run.info.run_id, "res.acc")
    assert [(one.step, one.value) for one in points] == [(0, 1.0), (1, 2**0.5), (2, 3**0.5)]
    with open(client.download_artifacts(run.info.run_id, "calls.csv"), encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["depth", "res.acc", "res.f1"]
    assert [row[0] for row in rows[1:]] == ["1", "2", "3"]
