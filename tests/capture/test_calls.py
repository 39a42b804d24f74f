"""The calls of a cell as the code shows them, and the parameters of what they call."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import pytest

from mlflow_magics.capture.code.calls import CallSite
from mlflow_magics.capture.code.dataflow import analyse
from mlflow_magics.capture.values.signatures import signature_of


def sites(code: str) -> dict[str, CallSite]:
    """The calls of a cell, by the name of what is called; of two the last."""
    return {getattr(one.code.func, "id", getattr(one.code.func, "attr", "")): one for one in analyse(code).calls}


@pytest.mark.parametrize(
    ("code", "variables"),
    [
        ("m = A(1).fit(B(2))", {"A": "m", "fit": "m", "B": "m"}),
        ("a, b = A(), B()", {"A": "a", "B": "b"}),
        ("m = A() if x else B()", {"A": "m", "B": "m"}),
        ("m = A()\nr = m.fit(B())", {"A": "m", "fit": "r", "B": "r"}),
        ("d['k'] = A()\nm.a = B()\nC()", {"A": "", "B": "", "C": ""}),
        ("for x in A():\n    y = B()", {"A": "", "B": "y"}),
    ],
)
def test_variables(code: str, variables: dict[str, str]) -> None:
    assert {name: one.variable for name, one in sites(code).items()} == variables


def test_where_they_stand() -> None:
    found = sites("a()\nfor i in b():\n    c(d())\n[e() for x in f()]\nwhile g():\n    pass\nwith h():\n    k()")
    assert {name for name, one in found.items() if one.in_loop} == {"c", "d", "e", "g"}
    assert found["d"].within == ("c",)
    assert {name: one.lineno for name, one in found.items()} == {
        "a": 1,
        "b": 2,
        "c": 3,
        "d": 3,
        "e": 4,
        "f": 4,
        "g": 5,
        "h": 7,
        "k": 8,
    }


def test_what_must_hold() -> None:
    found = sites(
        "if t:\n    a()\nelif u:\n    b()\nelse:\n    c()\ntry:\n    d()\nexcept E:\n    e()\n"
        "f(x) or g(y)\nh() if v else k()"
    )
    held = {name: [wanted for _, wanted in one.conditions] for name, one in found.items()}
    assert held == {
        "a": [True],
        "b": [False, True],
        "c": [False, False],
        "d": [],
        "e": [True],
        "f": [],
        "g": [True],
        "h": [True],
        "k": [False],
    }
    assert found["e"].conditions[0][0] is None


def test_only_the_cells_own() -> None:
    code = "@a(1)\ndef f(x=b()):\n    c()\nclass K:\n    d()\n    def g(self):\n        e()\n"
    code += "h = lambda: k()\nm(lambda: n())"
    assert set(sites(code)) == {"b", "m"}


def plain(a, b=1, *args, c, d=2, **more): ...


def only(a, /, b, *, c=3): ...


@functools.wraps(only)
def wrapped(*args, **kwargs): ...


class Made:
    def __init__(self, a, b=2): ...

    def fit(self, x, epochs=3): ...

    @classmethod
    def load(cls, name="n"): ...

    @staticmethod
    def at(place=1): ...


class Derived(Made): ...


@pytest.mark.parametrize(
    "made", [plain, only, wrapped, functools.lru_cache(only), Made, Derived, Made(1).fit, Made.load]
)
def test_signatures_are_those_of_inspect(made: Any) -> None:
    expected = inspect.signature(made).parameters.values()
    found = signature_of(made)
    assert found is not None
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    assert list(found.positional) == [one.name for one in expected if one.kind in by_position]
    assert found.defaults == {one.name: one.default for one in expected if one.default is not inspect.Parameter.empty}
    assert found.spread == next((one.name for one in expected if one.kind is inspect.Parameter.VAR_KEYWORD), "")


def test_signatures_of_methods_in_their_class() -> None:
    members = vars(Made)
    assert [signature_of(members[name], bound=True).positional for name in ("fit", "load", "at")] == [
        *(("x", "epochs"), ("name",), ("place",))
    ]


@pytest.mark.parametrize("made", [len, int, 3, "text", None, str.upper, object])
def test_what_is_not_written_in_python_has_none(made: Any) -> None:
    assert signature_of(made) is None
