"""Styles of threads, coroutines and processes: the store is as after the bare cell, but for what the design adds."""

from __future__ import annotations

import pytest

from .parallel import PARALLEL
from .running import expect_same

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("style", PARALLEL, ids=lambda style: style.name)
def test_the_store_is_as_after_the_bare_cell(style, zygote, template, tmp_path):
    expect_same(style, tmp_path, template, zygote)
