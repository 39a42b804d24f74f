"""Datasets as inputs of a run: the digest sees what changes, and costs little."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from mlflow_magics.tracking.runs import datasets
from mlflow_magics.vocabulary.errors import NotLoggableError

LARGE = 50_000


def frame(rows=LARGE):
    generator = np.random.default_rng(0)
    made = pd.DataFrame(generator.normal(size=(rows, 3)), columns=["a", "b", "c"])
    made["text"] = "x"
    return made


def digest(value):
    return datasets.describe("d", value).digest


def test_the_same_data_has_the_same_digest_in_every_process():
    code = (
        "import numpy as np, pandas as pd; from mlflow_magics.tracking.runs import datasets;"
        "print(datasets.describe('d', pd.DataFrame({'a': np.arange(30_000), 'b': ['x'] * 30_000})).digest)"
    )
    once, again = (subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout for _ in "ab")
    assert len(once.strip()) == 8
    assert once == again


def changed(change):
    other = frame()
    change(other)
    return other


@pytest.mark.parametrize(
    "other",
    [
        lambda: frame(LARGE - 1),
        lambda: frame().rename(columns={"a": "z"}),
        lambda: frame()[["b", "a", "c", "text"]],
        lambda: frame().astype({"a": "float32"}),
        lambda: changed(lambda each: each.__setitem__("a", each["a"] + 1e-9)),
        lambda: changed(lambda each: each.iloc.__setitem__((12_345, 1), 7.0)),  # between the rows that are read
        lambda: changed(lambda each: each.iloc.__setitem__((0, 3), "y")),
        lambda: changed(lambda each: each.iloc.__setitem__((LARGE - 1, 3), "y")),
        lambda: frame().iloc[::-1].reset_index(drop=True),
    ],
)
def test_a_change_changes_it(other):
    assert digest(other()) != digest(frame())


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        (np.zeros((5, 2)), (5, 2)),
        (np.array(["a", "b"]), (2,)),
        (np.array([{"a": 1}, None], dtype=object), (2,)),
        (pd.Series([1, 2, 3], name="s"), (3,)),
        (pd.DataFrame({"a": [[1], [2, 3]]}), (2, 1)),
        ([1, 2, 3], (3,)),
        ([[1], [2, 3]], (2,)),
    ],
)
def test_kinds(value, shape):
    described = datasets.describe("d", value)
    assert described.shape == shape
    assert described.digest == digest(value)


def test_tensors():
    torch = pytest.importorskip("torch")
    assert datasets.describe("d", torch.zeros(3, 2)).shape == (3, 2)


@pytest.mark.parametrize("value", [3, "text", {"a": 1}, None, [], object(), b"x"])
def test_what_is_no_dataset(value):
    with pytest.raises(NotLoggableError, match="--data takes a DataFrame"):
        datasets.describe("d", value)


def test_where_memory_holds_it_makes_no_difference():
    numbers = np.random.default_rng(0).normal(size=(20_000, 5))  # floats, whose plain sum depends on the order
    table = pd.DataFrame(numbers)
    for one, other in (
        (numbers, np.asfortranarray(numbers)),
        (table, pd.DataFrame(np.asfortranarray(numbers))),
        (table, pd.DataFrame({at: numbers[:, at] for at in range(5)})),
        (numbers + 1j, np.asfortranarray(numbers + 1j)),
    ):
        assert datasets.describe("d", one).digest == datasets.describe("d", other).digest
    changed = numbers.copy()
    changed[4_321, 3] = np.nextafter(changed[4_321, 3], 1)
    assert 4_321 not in datasets.rows_of(20_000)
    assert datasets.describe("d", changed).digest != datasets.describe("d", numbers).digest
    assert datasets.describe("d", pd.DataFrame(changed)).digest != datasets.describe("d", table).digest


def test_only_some_rows_are_read():
    rows = datasets.rows_of(1_000_000)
    assert len(rows) == datasets.SAMPLE
    assert (rows[0], rows[-1]) == (0, 999_999)
    assert list(datasets.rows_of(3)) == [0, 1, 2]
    assert "from 10,000 of 50,000 rows and the columns' sums" in datasets.describe("d", frame()).words
    assert "rows" not in datasets.describe("d", frame(10)).words


def test_a_schema_is_bounded_too(monkeypatch):
    from mlflow.types import utils

    asked = []
    original = utils._infer_schema
    monkeypatch.setattr(utils, "_infer_schema", lambda sample: asked.append(len(sample)) or original(sample))
    texts = pd.DataFrame({"a": ["x"] * 50_000})
    assert '"string"' in datasets.describe("d", texts).schema
    assert '"string"' in datasets.describe("d", texts.head(5)).schema
    assert asked == [1_000, 5]


def test_a_run_is_given_it(tracked, capsys):
    import mlflow

    tracked.run_cell("import pandas as pd, numpy as np\nX = pd.DataFrame({'a': [1.0, 2.0]})\ny = np.zeros(2)")
    tracked.run_cell("%%mlflow_run --data X y=testing\nlr = 0.1\n")
    shown = " ".join(capsys.readouterr().out.split())
    assert "data X 2 x 1 (digest " in shown
    assert ", for testing" in shown
    (run,) = mlflow.MlflowClient().search_runs(["0"])
    found = {each.dataset.name: each for each in run.inputs.dataset_inputs}
    assert set(found) == {"X", "y"}
    assert found["X"].dataset.digest == digest(pd.DataFrame({"a": [1.0, 2.0]}))
    assert "mlflow_colspec" in found["X"].dataset.schema
    assert [tag.value for tag in found["y"].tags] == ["testing"]
    assert found["X"].dataset.source_type == "code"


def test_mistakes(tracked, capsys):
    tracked.run_cell("frame = [1, 2]")
    for word, hint in (("fram", "unknown variable 'fram'; did you mean frame?"), ("a.b", "--data takes a variable")):
        assert not tracked.run_cell(f"%%mlflow_run --data {word}\nran = 1\n").success
        shown = "".join(capsys.readouterr())
        assert hint in shown
        assert len(shown.strip().splitlines()) == 1
        assert "ran" not in tracked.user_ns
    tracked.run_cell("%%mlflow_run --data later number --model number\nnumber = 3\nif not number:\n    later = [1]\n")
    shown = " ".join(capsys.readouterr().out.split())
    assert "data later was not logged: the cell did not reach it" in shown
    assert "data number was not logged: not a dataset (int)" in shown
    assert "model number was not logged: int is of no flavor MLflow knows" in shown
