"""Each style leaves the same in the store bare and under ``%%mlflow_run``, but for the additions that the design names.

``python -m tests.styles NAME`` prints both stores of one style.
"""

from __future__ import annotations

import pytest

from ..rig.children import Zygote
from .running import compare, make_template, run_both
from .table import STYLES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def zygote():
    with Zygote() as zygote:
        yield zygote


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("template"))


@pytest.mark.parametrize("name", STYLES)
def test_the_store_is_as_after_the_bare_cell(name, zygote, template, tmp_path):
    bare, tracked = run_both(STYLES[name], tmp_path, template, zygote)
    assert bare.runs, f"the bare cell logs nothing:\n{bare.output}"
    errors = [cell.error for cell in bare.cells if not cell.ok]
    assert bool(errors) is STYLES[name].fails, f"the bare cell raises {errors}:\n{bare.output}"
    assert not bare.stuck, f"the bare cell does not end:\n{bare.output}"
    found = compare(STYLES[name], bare, tracked)
    if found:
        pytest.fail("\n".join([f"{name}: python -m tests.styles {name} shows both stores", *found]), pytrace=False)
