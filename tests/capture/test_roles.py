"""Failed cells, stale values, figures, the role of one name, and values that bite."""

from __future__ import annotations

import gc
import time
import weakref
from typing import Any, NoReturn
from unittest.mock import MagicMock

import numpy as np
import pytest

from mlflow_magics.capture.code.dataflow import analyse
from mlflow_magics.capture.roles.roles import assign, role_of, snapshot
from mlflow_magics.vocabulary.records import Choices, Skipped

from .cells import capture, execute, fresh, metrics, params, skipped


class TestFailedCells:
    def test_what_was_reached_is_logged(self) -> None:
        captured = capture("lr = 0.1\nloss = 1.5 * len([lr])\n1 / 0\nacc = len([2])\nk = 3", fresh())
        assert params(captured) == {"lr": "0.1", "loss": "1.5"}
        assert not captured.metrics

    def test_values_of_an_earlier_execution_are_not(self) -> None:
        namespace = fresh("def f(): return 0.5")
        capture("acc = f()\nn = 3", namespace)
        assert not {"acc", "n"} & {*metrics(capture("1 / 0\nacc = f()\nn = 3", namespace))}
        assert not params(capture("1 / 0\nacc = f()\nn = 3", namespace))

    def test_a_loop_that_fails_keeps_its_last_value(self) -> None:
        namespace = fresh("def f(i): return 1 / (2 - i)")
        assert metrics(capture("for i in range(5):\n    loss = f(i)", namespace)) == {"loss": 1.0}

    def test_reads_after_the_failure_are_not_inputs(self) -> None:
        captured = capture("x = a\n1 / 0\ny = b", fresh("a, b = 1, 2"))
        assert params(captured) == {"x": "1", "a": "1"}


def test_a_conditional_metric_is_not_taken_from_an_earlier_execution() -> None:
    namespace = fresh("def f(): return 0.123\ngo = True")
    code = "if go:\n    acc = f() + 1\n"
    assert metrics(capture(code, namespace)) == {"acc": 1.123}
    namespace["go"] = False
    again = capture(code, namespace)
    assert not again.metrics
    assert skipped(again)["acc"] == "not assigned this time"


def test_unknown_names_become_a_note_and_cost_nothing() -> None:
    captured = capture("accuracy = len([1])", fresh(), Choices(metrics=("acuracy",)))
    assert params(captured) == {"accuracy": "1"}
    assert captured.notes == ("unknown variable 'acuracy'; did you mean accuracy?",)


def test_a_name_outside_the_cell_can_be_forced() -> None:
    namespace = fresh("cfg = {'lr': 0.1}\nthresholds = [0.1, 0.2]")
    captured = capture("x = 1", namespace, Choices(params=("cfg", "thresholds")))
    assert params(captured) == {"x": "1", "cfg.lr": "0.1", "thresholds": "[0.1, 0.2]"}


def test_skip_reaches_into_a_config() -> None:
    assert params(capture("cfg = {'a': 1, 'b': 2}", fresh(), Choices(skip=("cfg.a",)))) == {"cfg.b": "2"}


def test_ignored_names_are_never_considered() -> None:
    assert not params(capture("x = hidden", fresh("hidden = 1"), ignored={"hidden", "x"}))


class TestFigures:
    def test_matplotlib(self) -> None:
        figure = pytest.importorskip("matplotlib.figure")
        namespace = fresh() | {"Figure": figure.Figure}
        code = "fig = Figure()\nax = fig.subplots()\naxes = Figure().subplots(2, 2)\nonly = Figure().gca()"
        other = figure.Figure()
        captured = capture(code, namespace, shown=[other, other])
        assert [f.name for f in captured.figures] == ["fig", "axes", "only", "figure_1"]
        assert captured.figures[0].figure is namespace["fig"]
        assert captured.figures[1].figure is namespace["axes"][0, 0].figure
        assert {f.library for f in captured.figures} == {"matplotlib"}

    def test_a_shown_figure_with_a_name_is_logged_once(self) -> None:
        figure = pytest.importorskip("matplotlib.figure")
        namespace = fresh() | {"Figure": figure.Figure}
        flow = analyse("fig = Figure()")
        before = snapshot(flow, namespace)
        execute("fig = Figure()", namespace)
        captured = assign(flow, namespace, before, Choices(), shown=[namespace["fig"]])
        assert [f.name for f in captured.figures] == ["fig"]

    def test_plotly(self) -> None:
        pytest.importorskip("plotly")
        captured = capture("fig = go.Figure()", fresh("import plotly.graph_objects as go"))
        assert [(f.name, f.library) for f in captured.figures] == [("fig", "plotly")]

    def test_altair(self) -> None:
        pytest.importorskip("altair")
        captured = capture("chart = alt.Chart().mark_point()", fresh("import altair as alt"))
        assert [(f.name, f.library) for f in captured.figures] == [("chart", "altair")]


class TestRoleOf:
    NAMESPACE = fresh("import pandas as pd\nfrom sklearn.linear_model import Ridge\ndef f(): return 3")

    @pytest.mark.parametrize(
        ("value", "history", "role"),
        [
            (0.5, [], "metric"),
            (3, [], "param"),
            ("adam", [], "param"),
            (None, [], "param"),
            (True, ["x = f() > 1"], "param"),
            (0.5, ["x = 0.5"], "param"),
            (3, ["x = f()"], "metric"),
            (3, ["x = f()", "x = 3"], "param"),
            (3, ["x = 3", "x = f()", "y = x", "not python ("], "metric"),
            ({"a": 1.0}, [], "metrics"),
            ({"a": 1.0}, ["x = {'a': 1.0}"], "params"),
            ({"a": "b"}, [], "params"),
            (np.float64(0.5), [], "metric"),
        ],
    )
    def test_values(self, value: object, history: list[str], role: str) -> None:
        assert role_of("x", value, history, self.NAMESPACE | {"x": value}) == role

    def test_things(self) -> None:
        figure = pytest.importorskip("matplotlib.figure")
        space = self.NAMESPACE
        assert role_of("df", space["pd"].DataFrame(), [], space) == "table"
        assert role_of("m", space["Ridge"](), [], space) == "model"
        assert role_of("fig", figure.Figure(), [], space) == "figure"

    def test_what_cannot_or_must_not_be_logged(self) -> None:
        assert role_of("api_key", "x", [], {}) == Skipped("api_key", "a secret")
        assert role_of("f", len, [], {}) == Skipped("f", "a function")


class TouchedError(Exception):
    pass


class Bites:
    """Every way in which a value could notice that it is looked at."""

    def __getattribute__(self, name: str) -> NoReturn:
        raise TouchedError(name)

    def _no(self, *args: Any) -> NoReturn:
        raise TouchedError

    __float__ = __int__ = __index__ = __bool__ = __len__ = __iter__ = __str__ = __repr__ = __eq__ = __hash__ = _no  # type: ignore[assignment]
    __array__ = __getitem__ = __contains__ = __format__ = _no  # type: ignore[assignment]


class Liar:
    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise TouchedError


class BitingMeta(type):
    def __getattribute__(cls, name: str) -> NoReturn:
        raise TouchedError(name)


class FloatThatCounts(float):
    calls = 0

    def __float__(self) -> float:
        FloatThatCounts.calls += 1
        return 0.0

    __str__ = __repr__ = lambda self: "wrong"


class TestValuesThatBite:
    CODE = "x = make()\ny = x\nz = [x]\nw = {'a': x, 'n': 1}\nprint_ = x2\nfor i in [1]:\n    v = make()"

    @pytest.mark.parametrize("make", [Bites, Liar, MagicMock, lambda: BitingMeta("B", (), {})], ids=range(4))
    def test_are_not_touched(self, make: Any) -> None:
        mock = make()
        captured = capture(self.CODE, fresh() | {"make": make, "x2": mock})
        assert params(captured) == {"w.n": "1"}
        assert set(skipped(captured)) >= {"x", "y", "z", "v", "print_", "x2"}
        if make is MagicMock:
            assert not mock.mock_calls

    def test_a_float_is_read_as_a_float(self) -> None:
        namespace = fresh() | {"F": FloatThatCounts, "f": lambda: FloatThatCounts(0.5)}
        captured = capture("a = F(0.25)\nb = f()", namespace)
        assert params(captured) == {"a": "0.25"}
        assert metrics(captured) == {"b": 0.5}
        assert FloatThatCounts.calls == 0

    def test_recursion_ends(self) -> None:
        captured = capture("d = {'a': 1}\nd['d'] = d\nxs = [1]\nxs.append(xs)", fresh())
        assert params(captured) == {"d.a": "1"}

    def test_chains_of_thousands_of_statements_do_not_raise(self) -> None:
        captured = capture("x = 1\n" + "x = x + 1\n" * 3000 + "y = 2", fresh())
        assert params(captured)["y"] == "2"

    def test_big_integers(self) -> None:
        captured = capture("a = 10 ** 6000\nb = f()", fresh("def f(): return 10 ** 400"))
        assert skipped(captured)["a"] == "too long a number to write"
        assert skipped(captured)["b"] == "a number too large for a metric"

    def test_torch_is_recognised_by_its_classes(self) -> None:
        # torch is not installed here: a class of its name stands for its tensor.
        class Tensor:
            __module__ = "torch"
            shape = ()

            def item(self) -> float:
                return 0.5

        assert metrics(capture("loss = f(1)", fresh() | {"f": lambda _: Tensor()})) == {"loss": 0.5}


def test_nothing_big_is_kept_alive() -> None:
    namespace = fresh() | {"np": np, "big": np.zeros(3)}
    alive = weakref.ref(namespace["big"])
    before = snapshot(analyse("big = np.ones(2)\nx = big"), namespace)
    del namespace["big"]
    gc.collect()
    assert alive() is None
    assert before.before["big"].kind == "data"


def test_many_branches_are_weighed_in_no_time() -> None:
    """Each branch doubles the ways through the cell; the cost must not."""
    body = "".join(f"if f() > {i}:\n    if f() > 1:\n        cfg['k'] = {i}\n        x = x + {i}\n" for i in range(60))
    loop = "for i in range(2):\n" + "".join("    " + line + "\n" for line in body.splitlines())
    start = time.perf_counter()
    captured = capture("x = 1\ncfg = {'k': 0}\n" + body + loop, fresh("def f(): return 0.5"))
    assert time.perf_counter() - start < 2
    assert params(captured) == {"cfg.k": "0"}
    assert skipped(captured)["x"] == "a counter"


def test_a_copy_of_a_secret_is_a_secret():
    code = "a = password\nb = f'user:{password}'\nc = {'nested': password}\nlr = 0.1"
    namespace = {"password": "hunter2hunter2"}
    flow = analyse(code)
    before = snapshot(flow, namespace)
    exec(code, namespace)
    captured = assign(flow, namespace, before, Choices(params=("b",)), ignored={"__builtins__"})
    assert [(param.name, param.value) for param in captured.params] == [("lr", "0.1")]
    assert {"a", "b", "c.nested"} <= {one.name for one in captured.skipped if one.reason == "a secret"}
    assert "hunter2" not in repr(captured)


def test_a_value_from_a_secret_environment_variable_is_a_secret(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "0123456789abcdef")
    code = "value = 'prefix-0123456789abcdef'"
    namespace = {}
    flow = analyse(code)
    before = snapshot(flow, namespace)
    exec(code, namespace)
    assert assign(flow, namespace, before, Choices()).params == ()
