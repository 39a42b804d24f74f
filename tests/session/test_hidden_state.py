"""The notebook's old sin: what a run read, which cells made it, and whether they still read so."""

from __future__ import annotations

import json
import os
import time

import mlflow
import pytest

from mlflow_magics.capture.notebook import provenance

pytestmark = pytest.mark.usefixtures("tracked")


def reads():
    client = mlflow.MlflowClient()
    newest = client.search_runs(["0"], order_by=["attributes.start_time DESC"], max_results=1)[0]
    return newest.data.tags.get("mlflow_magics.reads", "")


def test_what_was_read_and_who_made_it(tracked, run):
    run("import math\nfrom statistics import mean\nbase = 3")
    first = tracked.execution_count - 1
    run("def scaled(x):\n    return x * factor\nfactor = 2\nunused = 1")
    run("%%mlflow_run\nlr = 0.1\nscore = scaled(base) + math.pi + mean([lr])")
    assert reads() == f"scaled: [{first + 1}], base: [{first}], factor: [{first + 1}]"


def test_what_was_made_under_time(tracked, run):
    first = tracked.execution_count
    run("%time a = 3")
    run("%%time\nb = 4")
    run("%%capture out\nc = 5")
    run("%%mlflow_run\nscore = sum([a, b, c])")
    assert reads() == f"a: [{first}], b: [{first + 1}], c: [{first + 2}]"


def test_what_nobody_in_sight_has_made(tracked, run):
    run("exec('made = 1')")
    run("%%mlflow_run\nscore = made + 1")
    assert reads() == "made: ?"


def test_a_run_that_reads_nothing_has_no_tag(run):
    run("%%mlflow_run\nlr = 0.1")
    assert reads() == ""


def test_a_cell_that_was_run_again_with_another_source(run):
    run("data = [1, 2]", cell_id="a")
    assert "otherwise" not in run("%%mlflow_run\nscore = sum(data)", cell_id="r")
    run("other = [1, 2]", cell_id="a")
    shown = run("%%mlflow_run\nscore = sum(data)", cell_id="r")
    assert "data comes from [" in shown
    assert "reads otherwise now: run it again" in shown
    run("data = [1, 2]", cell_id="b")
    assert "otherwise" not in run("%%mlflow_run\nscore = sum(data)", cell_id="r")


def test_a_cell_that_was_edited_and_not_run(tracked, run, tmp_path, monkeypatch):
    notebook = tmp_path / "edited.ipynb"
    monkeypatch.setenv("JPY_SESSION_NAME", str(notebook))

    def save(source, later):
        cells = [{"id": "a", "cell_type": "code", "source": source}] if source else [{"id": "z", "source": []}]
        notebook.write_text(json.dumps({"cells": cells}))
        os.utime(notebook, (time.time() + later, time.time() + later))

    run("data = [1, 2]", cell_id="a")
    for source, later, warned in (
        (["data = [1, 2]"], 5, False),
        (["data = [1, 2, 3]"], 5, True),
        (["data = [1, 2, 3]"], -60, False),  # saved before the cell was run
        ([], 5, True),  # deleted
    ):
        save(source, later)
        assert ("otherwise" in run("%%mlflow_run\nscore = sum(data)", cell_id="r")) == warned, source
    notebook.write_text("{")
    assert "otherwise" not in run("%%mlflow_run\nscore = sum(data)", cell_id="r")


def test_many_names_are_cut():
    text = provenance.tag([f"name{i}" for i in range(200)], {"name1": 3})
    assert text.startswith("name0: ?, name1: [3], ")
    assert text.endswith(", …")
    assert len(text) <= 500


def test_the_last_cell_that_bound_a_name():
    history = ["", "a = 1", "b = 2\na += 1", "for a in x: pass", "a.b = 3", "a = = 1"]
    assert provenance.origins(["a", "b", "c"], history) == {"a": 3, "b": 2}
