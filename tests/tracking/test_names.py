"""Names that MLflow refuses become names that it takes; what it takes stays as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.utils import validation

from mlflow_magics.tracking.runs.names import fix_key, fix_metrics, fix_params, fix_run_name, fix_tags
from mlflow_magics.vocabulary.records import Metric, Param


def accepts(name):
    try:
        validation._validate_metric_name(name)
        validation._validate_param(name, "x")
        validation._validate_tag(name, "x")
    except MlflowException:
        return False
    return True


names = st.one_of(st.text(max_size=300), st.text(alphabet="ab./ _-@é\n", max_size=300))


@given(names)
def test_mlflow_takes_every_fixed_name(name):
    fixed = fix_key(name)
    assert accepts(fixed)
    assert fix_key(fixed) == fixed


@given(names.filter(lambda name: "\n" not in name and accepts(name)))
def test_a_name_that_mlflow_takes_is_not_touched(name):
    assert fix_key(name) == name


@pytest.mark.parametrize(
    ("name", "fixed"),
    [
        ("f1@k", "f1_k"),
        ("precision(macro)", "precision_macro_"),
        ("../up", "up"),
        ("/abs//path/./x", "abs/path/x"),
        ("", "_"),
        ("..", "_"),
        ("..hidden", "__hidden"),
        ("macro avg.f1-score", "macro avg.f1-score"),
    ],
)
def test_examples(name, fixed):
    assert fix_key(name) == fixed


@given(st.lists(names, unique=True, max_size=8))
def test_no_two_names_become_one(found):
    notes = []
    sent = fix_params([Param(name, str(i), "") for i, name in enumerate(found)], notes)
    assert list(sent.values()) == [str(i) for i in range(len(found))]
    assert all(map(accepts, sent))
    assert len(notes) == sum(name != key for name, key in zip(found, sent, strict=True))


def test_what_is_cut_and_what_is_infinite_is_said():
    notes = []
    assert fix_params([Param("p", "x" * 7000, "")], notes) == {"p": "x" * 6000}
    assert fix_metrics([Metric("m", float("-inf"), "")], notes) == {"m": float("-inf")}
    assert len(fix_tags({"t": "y" * 9000}, notes)["t"]) == validation.MAX_TAG_VAL_LENGTH
    assert [note.split()[1].rstrip(":") for note in notes] == ["p", "m", "t"]
    assert fix_run_name("  two\nlines ") == "two lines"
