"""The comparison sees what a style's test is for: each kind of difference is told on a line."""

from __future__ import annotations

from copy import deepcopy

import pytest

from .comparing import differences
from .reading import Run
from .style import style

ONE = style("one", "# %% run\nlr = 0.5\nmlflow.log_param('learning_rate', lr)\n")
SEVERAL = style("several", "# %% run\ntrain(1)\ntrain(2)\n", more=1)


def run(run_id, name, parent_id="", ours=False, status="FINISHED", **metrics):
    points = {key: list(enumerate(values)) for key, values in metrics.items()}
    facts = {f"metric {key}": " ".join(f"{step}={value!r}" for step, value in found) for key, found in points.items()}
    facts |= {f"latest {key}": repr(found[-1][1]) for key, found in points.items()}
    return Run(run_id, parent_id, name, status, "Default", ours, facts, points)


@pytest.fixture
def bare():
    one = run("1", "one", loss=[0.5, 0.25])
    one.facts["param learning_rate"] = "0.5"
    return [one]


@pytest.fixture
def tracked(bare):
    now = deepcopy(bare)
    now[0].run_id, now[0].ours = "a", True
    now[0].facts["artifact cell.py"] = "(there)"
    return now


def test_what_the_design_adds_is_no_difference(bare, tracked):
    tracked[0].facts["param depth"] = "3"
    assert differences(ONE, bare, tracked) == []


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("param params.learning_rate", "0.5", "beside his param learning_rate"),
        ("param lr", "0.5", "the value that he logged as learning_rate"),
        ("param Loss", "0.25", "beside his metric loss"),
        ("tag x", "y", "an addition that no design names"),
        ("artifact other.txt", "(there)", "an addition that no design names"),
    ],
)
def test_an_addition_beside_what_he_logged(key, value, why, bare, tracked):
    tracked[0].facts[key] = value
    assert differences(ONE, bare, tracked) == [f"run one: + {key}: {value} ({why})"]


def test_the_same_curve_under_another_key(bare, tracked):
    tracked[0] = run("a", "one", ours=True, loss=[0.5, 0.25], train_loss=[0.5, 0.25])
    tracked[0].facts["param learning_rate"] = "0.5"
    (line,) = differences(ONE, bare, tracked)
    assert line.endswith("(the values of his metric loss)")


def test_other_points_another_status_and_another_name(bare, tracked):
    tracked[0].facts["metric loss"] = "0=0.5 1=0.25 2=0.25"
    tracked[0].status, tracked[0].name = "FAILED", "two"
    assert differences(ONE, bare, tracked) == [
        "run one: named two, not one",
        "run one: FAILED, not FINISHED",
        "run one: metric loss: 0=0.5 1=0.25 2=0.25, not 0=0.5 1=0.25",
    ]


def test_several_runs_lie_below_the_cells(bare):
    bare = [run("1", "one", loss=[0.5]), run("2", "two", loss=[0.25])]
    below = [run("a", "one", "c", loss=[0.5]), run("b", "two", "c", loss=[0.25])]
    assert differences(SEVERAL, bare, [run("c", "", ours=True, best=[0.25]), *below]) == []
    assert differences(SEVERAL, bare, [run("c", "", ours=True, loss=[0.25]), *below]) == [
        "run #1 (the cell's): + metric loss: 0=0.25 (it is his, in his run)"
    ]
    beside = [run("a", "one", "c", loss=[0.5]), run("b", "two", loss=[0.25])]
    assert differences(SEVERAL, bare, [run("c", "", ours=True), *beside]) == [
        "run two: its parent is no run, not the cell's run"
    ]


def test_a_swallowed_run_and_a_stray_one(bare, tracked):
    two = [*bare, run("2", "two", loss=[1.0])]
    assert differences(ONE, two, tracked) == ["- run two is missing", "1 runs, not 2"]
    assert differences(ONE, bare, [*tracked, run("b", "stray")]) == ["2 runs, not 1", "+ run stray is nobody's"]
