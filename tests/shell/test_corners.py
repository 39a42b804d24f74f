"""What cells do when they misbehave: the run ends, tells the truth, and the next cell begins afresh."""

from __future__ import annotations

import contextlib
import io
import sys

import nbformat
import pytest
from mlflow import MlflowClient


def found():
    """Status, params and parent's name of every run, by name."""
    runs = MlflowClient().search_runs(["0"])
    names = {run.info.run_id: run.info.run_name for run in runs}
    return {
        run.info.run_name: (run.info.status, run.data.params, names.get(run.data.tags.get("mlflow.parentRunId"), ""))
        for run in runs
    }


def write_notebook(path, *cells):
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)


class TestRunOfAFile:
    """``%run`` of a notebook or .ipy file runs its cells silently: no result, and only half of the events."""

    def test_each_cell_of_a_notebook_is_a_run_of_its_own(self, tracked):
        write_notebook("n.ipynb", "%%mlflow_run one\na = 1\n", "between = 2\n", "%%mlflow_run two\nb = 2\n")
        assert tracked.run_cell("%run n.ipynb").success
        assert found() == {"one": ("FINISHED", {"a": "1"}, ""), "two": ("FINISHED", {"b": "2"}, "")}

    def test_inside_a_run_they_are_its_children(self, tracked):
        write_notebook("n.ipynb", "%%mlflow_run one\na = 1\n")
        assert tracked.run_cell("%%mlflow_run outer\n%run n.ipynb\nk = 3\n").success
        assert found() == {"one": ("FINISHED", {"a": "1"}, "outer"), "outer": ("FINISHED", {"k": "3"}, "")}

    def test_one_that_fails(self, tracked):
        write_notebook("n.ipynb", "%%mlflow_run one\na = 1\n1 / 0\n")
        tracked.run_cell("%%mlflow_run outer\n%run n.ipynb\nk = 3\n")
        assert {name: status for name, (status, _, _) in found().items()} == {"one": "FAILED", "outer": "FAILED"}

    def test_an_ipy_file(self, tracked):
        with open("s.ipy", "w", encoding="utf-8") as file:
            file.write("before = 1\n%mlflow_run one\na = 1\n")
        tracked.run_cell("%run s.ipy")
        assert found() == {"one": ("FINISHED", {"a": "1"}, "")}

    def test_a_silent_cell_ends_its_run(self, tracked):
        tracked.run_cell("%mlflow_run one\na = 1\n", silent=True)
        assert found() == {"one": ("FINISHED", {"a": "1"}, "")}


HOSTILE = {
    "an Exception": "class E(Exception):\n    def __str__(self): raise RuntimeError('s')\nraise E()\n",
    "an interrupt": "class E(Exception):\n    def __str__(self): raise KeyboardInterrupt\nraise E()\n",
    "no text": "class E(Exception):\n    def __str__(self): return None\nraise E()\n",
    "a BaseException": "class E(BaseException): pass\nraise E()\n",
    "GeneratorExit": "raise GeneratorExit\n",
    "SystemExit": "raise SystemExit('bye')\n",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_an_error_that_cannot_be_shown_ends_the_run(tracked, body):
    # IPython itself fails over some of these, and then tells of the cell's end with another info than of its beginning.
    with contextlib.suppress(RuntimeError, KeyboardInterrupt, TypeError):
        tracked.run_cell("%%mlflow_run bad\n" + body, store_history=True)
    tracked.run_cell("%%mlflow_run next\nx = 1\n", store_history=True)
    runs = found()
    assert runs["bad"][0] in {"FAILED", "KILLED"}
    assert runs["next"] == ("FINISHED", {"x": "1"}, "")


def test_a_closed_standard_output_costs_the_block_only(tracked, monkeypatch):
    errors = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "__stderr__", errors)
        patch.setattr(sys, "stdout", io.StringIO())
        result = tracked.run_cell("%%mlflow_run one\nimport sys\nsys.stdout.close()\nx = 1\n")
    assert result.success
    assert "cannot be shown" in errors.getvalue()
    assert found() == {"one": ("FINISHED", {"x": "1"}, "")}


def test_a_nested_cell_may_have_the_same_text(tracked):
    """Cells are told apart by their info, and only where IPython made a new one by their text."""
    tracked.run_cell("%%mlflow_run one\nn = n - 1 if 'n' in globals() else 1\nif n: get_ipython().run_cell(In[-1])\n")
    assert {name: status for name, (status, _, _) in found().items()} == {"one": "FINISHED"}


def test_numpys_odd_scalars_cost_nobody_else_a_name(shell, capsys):
    result = shell.run_cell(
        "%%mlflow_run --dry-run\nimport numpy as np\nd = np.timedelta64(2, 's')\ng = np.timedelta64(3)\n"
        "e = np.datetime64('2020-01-01') - np.datetime64('2019-12-31')\nlr = 0.5\n"
    )
    assert result.success
    out = capsys.readouterr().out
    assert "Error in callback" not in out
    assert "0.5" in out
