"""Nothing of an object is touched beyond its name and its exact type, whatever it is and wherever it is met."""

from __future__ import annotations

import contextlib
import sys

import pytest
from mlflow import MlflowClient

from tests import zoo


def ended():
    """The run that began last."""
    return MlflowClient().search_runs(["0"], max_results=1)[0]


def files(run):
    return {one.path for one in MlflowClient().list_artifacts(run.info.run_id)}


@pytest.fixture(autouse=True)
def _modules():
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("tests_zoo"):
            del sys.modules[name]


@pytest.mark.parametrize("what", zoo.MAKERS)
def test_a_value_is_not_woken_up(tracked, capsys, what):
    tracked.user_ns["thing"] = zoo.MAKERS[what]()
    tracked.user_ns["base"] = 1
    tracked.user_ns["_make"] = zoo.MAKERS[what]
    zoo.calls.clear()
    result = tracked.run_cell(
        "%%mlflow_run one\nlr = 0.5\nread = thing, base\nmade = _make()\nheld = [made]\n"
        "for turn in range(3):\n    made = thing\nread = thing\n"
    )
    assert result.success
    assert zoo.calls == []
    run = ended()
    assert run.info.status == "FINISHED"
    assert run.data.params["lr"] == "0.5"
    assert "mlflow_magics.packages" in run.data.tags
    assert "mlflow_magics.reads" in run.data.tags
    assert files(run) == {"cell.py"}
    out = capsys.readouterr()
    assert "0.5" in out.out
    assert "cannot be shown" not in out.err
    assert "please report" not in out.out
    tracked.run_cell("%mlflow_log thing")
    assert zoo.calls == []


KEYS = {
    "a number": "7",
    "a tuple": "(1, 2)",
    "a text of a class of its own": "Key('k')",
    "a lone surrogate": "'\\ud800'",
    "a NUL": "'a\\0b'",
    "nothing": "''",
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_a_namespace_may_hold_any_key(tracked, capsys, key):
    tracked.run_cell(
        "from tests import zoo\nKey = type('Key', (str,), zoo.namespace('__hash__', '__eq__'))\n"
        f"globals()[{key}] = 'a secret of some kind'; zoo.calls.clear()"
    )
    assert tracked.run_cell(f"%%mlflow_run one\nlr = 0.5\nglobals()[{key}] = 1\n").success
    assert zoo.calls == []
    run = ended()
    assert (run.info.status, run.data.params["lr"]) == ("FINISHED", "0.5")
    assert files(run) == {"cell.py"}
    assert "0.5" in capsys.readouterr().out
    tracked.run_cell("%%mlflow_run two --params lrr\nlr = 0.5\n")  # "did you mean" looks through all names
    assert "did you mean" in capsys.readouterr().out
    tracked.run_cell(f"del globals()[{key}]")


RAISED = {
    "notes that raise": "class E(Exception):\n    __notes__ = property(zoo.loud('notes'))\nraise E('no')",
    "notes that are none": "e = ValueError('no'); e.__notes__ = 7; raise e",
    "a text that raises": "class E(Exception):\n    def __str__(self): raise RuntimeError('s')\nraise E('no')",
    "a repr that raises": "class E(Exception):\n    def __repr__(self): raise RuntimeError('s')\nraise E('no')",
    "an argument that raises": "raise ValueError(zoo.MAKERS['an object']())",
    "arguments behind a property": "class E(Exception):\n    args = property(zoo.loud('args'))\nraise E('no')",
    "a cause that raises": "class E(Exception):\n    __cause__ = property(zoo.loud('cause'))\nraise E('no')",
    "a context that raises": "class E(Exception):\n    __context__ = property(zoo.loud('context'))\nraise E('no')",
    "a traceback that raises": "class E(Exception):\n    __traceback__ = property(zoo.loud('frames'))\nraise E('no')",
    "a class that raises": "class E(Exception):\n    __class__ = property(zoo.loud('class'))\nraise E('no')",
    "a loop of causes": "e = ValueError('no'); e.__cause__ = KeyError('k'); e.__cause__.__cause__ = e; raise e",
    "a name of a class of its own": "E = type('E', (Exception,), {}); E.__module__ = 7; raise E('no')",
    "a syntax error with odd fields": "raise SyntaxError('no', ('f', zoo.Loud, 'x', None))",
}


@pytest.mark.parametrize("body", RAISED.values(), ids=RAISED)
def test_an_exception_costs_the_run_nothing(tracked, capsys, body):
    tracked.run_cell("from tests import zoo")
    # IPython itself fails over some of these.
    with contextlib.suppress(Exception):
        tracked.run_cell("%%mlflow_run bad\nlr = 0.5\n" + body, store_history=True)
    run = ended()
    assert run.info.status == "FAILED"
    assert run.data.params["lr"] == "0.5"
    assert files(run) == {"cell.py", "traceback.txt"}
    out = capsys.readouterr()
    assert "bad" in out.out
    assert "files" in out.out
    assert "block cannot be shown" not in out.err
    tracked.run_cell("%%mlflow_run next\nx = 1\n", store_history=True)
    assert ended().info.status == "FINISHED"


def test_an_exit_code_is_not_asked_whether_it_is_true(tracked):
    tracked.run_cell("from tests import zoo; zoo.calls.clear()")
    tracked.run_cell("%%mlflow_run bad\nlr = 0.5\nraise SystemExit(zoo.MAKERS['an object']())")
    assert "__bool__" not in zoo.calls
    assert ended().info.status == "FAILED"
    tracked.run_cell("%%mlflow_run good\nraise SystemExit(0)")
    assert ended().info.status == "FINISHED"


class TestOutcome:
    """A run's status is its own cell's outcome, whatever cells ran inside it."""

    FAILING = "get_ipython().run_cell('1 / 0')"

    @pytest.mark.parametrize("options", ["", ", silent=True", ", store_history=True"])
    def test_a_cell_inside_that_fails(self, tracked, options):
        assert tracked.run_cell(f"%%mlflow_run one\nget_ipython().run_cell('1 / 0'{options})\nlr = 0.5\n").success
        run = ended()
        assert (run.info.status, run.data.params["lr"]) == ("FINISHED", "0.5")

    def test_one_inside_that_ends_well(self, tracked):
        tracked.run_cell("%%mlflow_run one\nget_ipython().run_cell('2')\n1 / 0\n")
        assert ended().info.status == "FAILED"

    def test_a_run_inside_that_fails(self, tracked):
        tracked.run_cell("%%mlflow_run outer\nget_ipython().run_cell('%%mlflow_run inner\\n1 / 0')\n")
        found = {run.info.run_name: run.info.status for run in MlflowClient().search_runs(["0"])}
        assert found == {"inner": "FAILED", "outer": "FINISHED"}

    @pytest.mark.parametrize("body", ["%run bad.py\n{}", "{}\n%run bad.py\n", "%run bad.py\n{0}\n{0}"])
    def test_a_failure_of_its_own_beside_it(self, tracked, body):
        with open("bad.py", "w", encoding="utf-8") as file:
            file.write("1 / 0\n")
        tracked.run_cell("%%mlflow_run one\n" + body.format(self.FAILING))
        assert ended().info.status == "FAILED"
