"""What the code of a cell says, without its values."""

from __future__ import annotations

import pytest

from mlflow_magics.capture.code.dataflow import analyse


def test_names_come_in_the_order_of_their_first_mention() -> None:
    assert analyse("acc = model.score(X)\nlr = 1\nacc = lr").names == ("acc", "model", "X", "lr")


def test_lines_are_those_of_the_cell() -> None:
    flow = analyse("\n\nlr = 0.1\nfor i in xs:\n    loss = f(lr)\n")
    assert [(b.lineno, b.in_loop, b.conditional, b.kind) for b in flow.bindings["lr"]] == [(3, False, False, "assign")]
    assert [(b.lineno, b.in_loop, b.conditional, b.kind) for b in flow.bindings["loss"]] == [(4, True, True, "assign")]
    assert flow.bindings["i"][0].kind == "loop"
    assert flow.reads == {"xs": 4, "f": 4}


@pytest.mark.parametrize(
    ("code", "reads"),
    [
        ("x = a + b", {"a", "b"}),
        ("a = 1\nx = a", set()),
        ("x = x + 1", {"x"}),
        ("x += 1", {"x"}),
        ("if c:\n    x = 1\ny = x", {"c", "x"}),
        ("if c:\n    x = 1\nelse:\n    x = 2\ny = x", {"c"}),
        ("for i in xs:\n    t = t + i", {"xs", "t"}),
        ("def f(a, b=k):\n    return a + b + z\nz = 1", {"k"}),
        ("def f():\n    return g()\ndef g():\n    return outside", {"outside"}),
        ("class A(Base):\n    lr = rate\n    def m(self):\n        return self.lr + other", {"Base", "rate", "other"}),
        ("class A:\n    hidden = 1\n    def m(self):\n        return hidden", {"hidden"}),
        ("[v + k for v in xs if v > low]", {"k", "xs", "low"}),
        ("f = lambda a: a * k", {"k"}),
        ("x: float = r", {"float", "r"}),
        ("d['k'] = v", {"v"}),
        ("d[i] = v\nprint(d)", {"v", "i", "d", "print"}),
        ("try:\n    x = f()\nexcept E as e:\n    print(e)", {"f", "E", "print"}),
        ("with open(p) as fh, lock:\n    fh.read()", {"open", "p", "lock"}),
        ("match s:\n    case A(x=1) if g:\n        pass", {"s", "A", "g"}),
        ("import a.b as c, d.e\nfrom f import g as h\nc, d, h", set()),
        ("del a[i]", {"a", "i"}),
        ("x = f'{a!r:>{w}}'", {"a", "w"}),
        ("raise E(m) from c", {"E", "m", "c"}),
        ("get_ipython().run_line_magic('time', 'x = f(a)')", {"f", "a"}),
        ("get_ipython().run_cell_magic('time', '', 'x = f(a)\\ny = x')", {"f", "a"}),
        ("def f():\n    global n\n    n = m", {"m"}),
        ("x = (y := a) + y", {"a"}),
        ("async with s as t:\n    await t.go()", {"s"}),
    ],
)
def test_what_is_read_from_outside(code: str, reads: set[str]) -> None:
    assert set(analyse(code).reads) == reads


def test_the_code_of_a_time_magic_binds_in_the_cell() -> None:
    assert set(analyse("get_ipython().run_line_magic('time', 'x = f()')").bindings) == {"x"}


def test_a_syntax_error_is_passed_on() -> None:
    with pytest.raises(SyntaxError):
        analyse("x = ")


def test_top_level_await_and_empty_cells() -> None:
    assert analyse("").names == ()
    assert set(analyse("x = await f()").reads) == {"f"}
    assert set(analyse("async for a in b:\n    pass").bindings) == {"a"}


@pytest.mark.parametrize(
    ("code", "inputs"),
    [
        ("model.fit(X, y)", {"model": ("X", "y")}),
        ("model = LogisticRegression().fit(X_train, y_train)", {"model": ("X_train", "y_train")}),
        ("m.fit(X=data, y=target)", {"m": ("data", "target")}),
        ("p = m.predict(X_test)", {"m": ("X_test", "")}),
        ("m.fit(A, b)\nm.predict(C)", {"m": ("A", "b")}),
        ("labels = km.fit_predict(X)", {"km": ("X", "")}),
        ("m.fit(X[:10], y)", {}),
        ("for m in ms:\n    m.fit(X, y)", {"m": ("X", "y")}),
        ("print(X, y)", {}),
    ],
)
def test_model_inputs(code: str, inputs: dict[str, tuple[str, str]]) -> None:
    assert analyse(code).model_inputs == inputs


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("with mlflow.start_run():\n    pass", True),
        ("if __name__ == '__main__':\n    with mlflow.start_run() as run:\n        pass", True),
        (
            "with mlflow.start_run():\n    for x in xs:\n        with mlflow.start_run(nested=True):\n            pass",
            True,
        ),
        ("mlflow.start_run()\nfor x in xs:\n    f(x)", True),
        ("x = 1", False),
        ("for lr in lrs:\n    with mlflow.start_run():\n        pass", False),
        ("while go:\n    start_run()", False),
        ("[mlflow.start_run() for _ in xs]", False),
        ("def f():\n    with mlflow.start_run():\n        pass", False),
        ("with mlflow.start_run():\n    pass\nwith mlflow.start_run():\n    pass", False),
    ],
)
def test_one_run_started_by_the_cell_itself(code: str, expected: bool) -> None:
    assert analyse(code).starts_one_run is expected


@pytest.mark.parametrize(
    "code",
    ["x = " + " + ".join(["1"] * 700), "x = [" + ", ".join(["1"] * 20000) + "]", "x = 1\n" + "x = x + 1\n" * 2000],
    ids=["long sum", "long list", "long chain"],
)
def test_long_code_is_read(code: str) -> None:
    assert analyse(code).names == ("x",)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("mlflow.set_experiment('x')", "x"),
        ("e = mlflow.set_experiment(experiment_name='x')", "x"),
        ("set_experiment('x')", "x"),
        ("mlflow.set_experiment(name)", ""),
        ("def f():\n    mlflow.set_experiment('x')", ""),
        ("'set_experiment'", ""),
    ],
)
def test_the_experiment_that_the_cell_sets_itself(code, name):
    assert analyse(code).sets_experiment == name
