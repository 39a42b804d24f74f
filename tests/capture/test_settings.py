"""Settings that a cell gives in calls, to models, to functions of its own, to language models."""

from __future__ import annotations

import ast
import inspect
from typing import Any, ClassVar, NoReturn
from unittest.mock import MagicMock, call

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_magics.capture.code.constants import UNKNOWN, worked_out
from mlflow_magics.capture.code.dataflow import analyse
from mlflow_magics.capture.roles.deciding import Cell as Judged
from mlflow_magics.capture.roles.origins import Weigher
from mlflow_magics.capture.roles.roles import snapshot
from mlflow_magics.capture.roles.settings import find
from mlflow_magics.vocabulary.records import Choices

from .cells import capture, execute, fresh, metrics, params, skipped
from .settings_cells import EARLIER, LIBRARIES, LIBRARIES_EARLIER, MODELS, OWN, REQUESTS, Cell


@pytest.mark.parametrize("cell", [*MODELS, *OWN, *REQUESTS], ids=lambda cell: cell.about)
def test_cell(cell: Cell) -> None:
    check(cell, EARLIER)


@pytest.mark.parametrize("cell", LIBRARIES, ids=lambda cell: cell.about)
def test_library(cell: Cell) -> None:
    """Neither torch nor keras nor transformers is installed here: classes of their names and modules stand in."""
    check(cell, EARLIER + LIBRARIES_EARLIER)


def check(cell: Cell, earlier: str) -> None:
    captured = capture(cell.code, fresh(earlier + "\n" + cell.earlier))
    found = params(captured)
    assert {name: "*" if cell.P.get(name) == "*" else value for name, value in found.items()} == cell.P
    if cell.M is not None:
        assert set(metrics(captured)) == set(cell.M)
    assert not (found.keys() | metrics(captured).keys()) & set(cell.N)
    assert not captured.notes


def test_there_are_enough_cells() -> None:
    assert len([*MODELS, *OWN, *REQUESTS, *LIBRARIES]) >= 60


class TestOptions:
    CODE = "a = Ridge(alpha=1.0, copy_X=True)\nb = Lasso(alpha=0.1, max_iter=7)"

    def asked(self, **choices: tuple[str, ...]) -> dict[str, str]:
        return params(capture(self.CODE, fresh(EARLIER), Choices(**choices)))

    def test_skip_of_a_parameter(self) -> None:
        assert self.asked(skip=("alpha",)) == {"max_iter": "7"}

    def test_skip_of_a_class(self) -> None:
        assert self.asked(skip=("lasso",)) == {"ridge.alpha": "1.0", "max_iter": "7"}

    def test_params_that_are_left_out_else(self) -> None:
        found = {"ridge.alpha": "1.0", "lasso.alpha": "0.1", "max_iter": "7"}
        assert self.asked(params=("copy_X",)) == found | {"copy_X": "True"}
        assert self.asked(params=("ridge.alpha", "max_iter")) == found

    def test_a_name_that_is_nowhere_is_said(self) -> None:
        captured = capture(self.CODE, fresh(EARLIER), Choices(params=("alpa",)))
        assert any("alpa" in note for note in captured.notes)


def test_reasons() -> None:
    captured = capture("m = SVC(C=2.0).fit(X, y)\nr = train(0.1)\nt = Trainer(lr=0.1).fit(X, epochs=4)", fresh(EARLIER))
    assert {one.name: one.why for one in captured.params} == {
        "C": "argument of SVC",
        "lr": "argument of train",
        "train.epochs": "default of train",
        "momentum": "default of Trainer",
        "fit.epochs": "argument of fit",
    }


class TestSecrets:
    TEXT = "sk-live-" + "4f9a8b7c6d5e4f3a2b1c"

    @pytest.mark.parametrize(
        "code",
        [
            "r = run(api_key='{}')",
            "r = run('{}', lr=0.1)",
            "r = run(token='{}')",
            "r = run(config={{'api_key': '{}'}})",
            "r = run(**{{'password': '{}'}})",
            "r = run(model='{}')",
            "secret_key = '{}'\nr = run(model=secret_key + 'x')",
            "secret_key = '{}'\nr = run(model=(secret_key, 1))",
            "r = client.responses.create(model='m', input='{}', user='{}')",
        ],
    )
    def test_stay_in_the_kernel(self, code: str) -> None:
        setup = EARLIER + "\ndef run(api_key='', lr=0.5, model='m', **more): return 0.5"
        captured = capture(code.format(self.TEXT, self.TEXT), fresh(setup))
        assert self.TEXT not in repr(captured)

    def test_are_said(self) -> None:
        captured = capture(f"r = train(api_key='{self.TEXT}')", fresh("def train(api_key): return 0.5"))
        assert skipped(captured)["api_key"] == "a secret"

    def test_a_default_is_none_either(self) -> None:
        captured = capture("r = train(0.1)", fresh(f"def train(lr, api_key='{self.TEXT}'): return 0.5"))
        assert params(captured) == {"lr": "0.1"}
        assert self.TEXT not in repr(captured)


class TestFailedCells:
    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            ("a = Ridge(alpha=1.0)\n1 / 0\nb = Lasso(alpha=2.0)", {"alpha": "1.0"}),
            ("r = train(lr=0.1, epochs=1 / 0)", {"lr": "0.1"}),
            ("a = Ridge(alpha=1.0)\n1 / 0\na = Ridge(alpha=2.0)", {"alpha": "1.0"}),
            ("for i in (1, 0):\n    1 / i\n    m = Ridge(alpha=2.0)", {"alpha": "2.0"}),
        ],
    )
    def test_only_what_was_reached(self, code: str, expected: dict[str, str]) -> None:
        assert params(capture(code, fresh(EARLIER))) == expected


class Bites:
    """An object that notices every look at it."""

    def __getattribute__(self, name: str) -> NoReturn:
        raise AssertionError(name)

    def __call__(self, *args: Any, **kwargs: Any) -> float:
        return 0.5


class BitingMeta(type):
    def __getattribute__(cls, name: str) -> NoReturn:
        raise AssertionError(name)


@pytest.mark.parametrize("make", [Bites, MagicMock, lambda: BitingMeta("fit", (), {})], ids=range(3))
def test_no_code_of_the_users_is_run(make: Any) -> None:
    made = make()
    code = "try:\n    r = made(made, lr=0.1, depth=n, rate=-n)\nexcept TypeError:\n    pass\nk = 3"
    captured = capture(code, fresh() | {"made": made, "n": 1})
    assert params(captured) == {"k": "3", "n": "1"}
    if make is MagicMock:
        assert made.mock_calls == [call(made, lr=0.1, depth=1, rate=-1)]


def test_names_that_a_cell_does_not_use_cost_nothing() -> None:
    """The namespace is asked for the names of the calls, and for no others."""

    class Asked(dict[str, Any]):
        asked: ClassVar[set[str]] = set()

        def get(self, key: str, default: Any = None) -> Any:
            self.asked.add(key)
            return super().get(key, default)

        def __getitem__(self, key: str) -> Any:
            self.asked.add(key)
            return super().__getitem__(key)

        def __iter__(self) -> NoReturn:
            raise AssertionError

    code = "m = SVC(C=2 * k, kernel='rbf')"
    namespace = fresh(EARLIER) | {"k": 2} | {f"v{number}": number for number in range(1000)}
    flow = analyse(code)
    before = snapshot(flow, namespace)
    execute(code, namespace)
    seen = Asked(namespace)
    cell = Judged(flow, seen, before.before, Weigher(flow, seen, before.before), frozenset(), [])
    assert {one.name: one.text for one in find(cell, None, ()).settings} == {"C": "4", "kernel": "rbf"}
    assert Asked.asked <= {"SVC", "k", "m", "__name__", ""}


LITERALS = st.one_of(
    st.integers(-(10**6), 10**6),
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(float),
    st.booleans(),
    st.sampled_from(["adam", "rbf", "l2", "gini", None]),
)
GIVEN = st.dictionaries(st.sampled_from(["alpha", "beta", "depth", "rate", "kernel"]), LITERALS, max_size=5)


@given(GIVEN, st.integers(0, 5), GIVEN)
def test_a_call_is_read_as_python_reads_it(given_: dict[str, Any], split: int, defaults: dict[str, Any]) -> None:
    """What `inspect.signature` binds is what is logged, in whatever way the arguments are given."""
    parameters = [*(name for name in given_ if name not in defaults), *defaults]
    head = ", ".join(f"{name}={defaults[name]!r}" if name in defaults else name for name in parameters)
    namespace = fresh(f"def train({head}): return object()")
    ordered = [name for name in parameters if name in given_]
    by_position = []
    for name in parameters[:split]:  # only the first parameters can be given by position, without a gap
        if name not in given_:
            break
        by_position.append(name)
    args = [repr(given_[name]) for name in by_position]
    args += [f"{name}={given_[name]!r}" for name in ordered if name not in by_position]
    found = params(capture(f"r = train({', '.join(args)})", namespace))
    bound = inspect.signature(namespace["train"]).bind(
        *(given_[name] for name in by_position), **{name: given_[name] for name in ordered if name not in by_position}
    )
    bound.apply_defaults()
    expected = {name: str(value) for name, value in bound.arguments.items() if name in given_ or value is not None}
    assert found == expected


NUMBERS = st.one_of(st.integers(-20, 20), st.floats(-100, 100, allow_nan=False).map(lambda v: round(v, 3)))
EXPRESSIONS = st.recursive(
    st.one_of(NUMBERS.map(lambda v: f"({v!r})"), st.sampled_from(["a", "b"])),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%", "**"]), inner).map(
            lambda p: f"({' '.join(p)})"
        ),
        inner.map(lambda one: f"(-{one})"),
        inner.map(lambda one: f"abs({one})"),
        st.tuples(inner, inner, inner).map(lambda p: f"({p[0]} if {p[1]} > 0 else {p[2]})"),
        st.tuples(inner, inner).map(lambda p: f"max({p[0]}, {p[1]})"),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS, NUMBERS, NUMBERS)
def test_what_is_worked_out_is_what_python_works_out(code: str, a: float, b: float) -> None:
    known = {"a": a, "b": b, "abs": abs, "max": max}
    value = worked_out(ast.parse(code, mode="eval").body, lambda expr: known.get(getattr(expr, "id", ""), UNKNOWN))
    try:
        expected = eval(code, known)
    except (ArithmeticError, ValueError):
        assert value is UNKNOWN
        return
    assert value is UNKNOWN or (value == expected and type(value) is type(expected))
    big = isinstance(expected, complex) or abs(expected) > 1e6 or "**" in code
    assert value is not UNKNOWN or big


@given(
    st.permutations(["a = Ridge(alpha=1.0)", "b = Lasso(alpha=0.5)", "c = SVC(C=3)", "d = KMeans(4)", "evaluate(3)"])
)
def test_the_order_of_calls_does_not_matter(lines: list[str]) -> None:
    found = params(capture("\n".join(lines), fresh(EARLIER)))
    assert found == {"ridge.alpha": "1.0", "lasso.alpha": "0.5", "C": "3", "n_clusters": "4", "depth": "3"}
