"""What the panel's Log tab offers: as what a run of the cell would log it."""

import pytest

from mlflow_magics.capture.notebook.listing import loggables

CELLS = [
    "import time\nlr = 0.1\nbegan = time.time()",
    "count = 0\nfor step in range(5):\n    count += 1\n    size = step * 2\n    loss = model.fit(step)",
]


class Model:
    def fit(self, step):
        return 1 / (step + 1)


@pytest.fixture(scope="module")
def offered():
    namespace = {"model": Model()}
    for cell in CELLS:
        exec(cell, namespace)
    names = [name for name in namespace if not name.startswith("_")]
    return {one.name: one for one in loggables(names, namespace, CELLS)}


@pytest.mark.parametrize(
    ("name", "role", "why"),
    [
        ("lr", "param", "an input"),
        ("loss", "metric", "computed"),
        ("step", "", "a loop variable"),
        ("count", "", "a counter"),
        ("size", "", "changes in the loop"),
        ("began", "", "a clock reading"),
    ],
)
def test_what_a_run_would_skip_is_taken_for_nothing(offered, name, role, why):
    assert (offered[name].role, offered[name].why) == (role, why)


def test_who_wants_it_all_the_same_can_have_it(offered):
    assert "metric" in offered["step"].roles
