"""Styles of runs that are opened in many ways: the store is as after the bare cell, but for what the design adds."""

from __future__ import annotations

import pytest

from .opening import OPENING
from .running import expect_same

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("style", OPENING, ids=lambda style: style.name)
def test_the_store_is_as_after_the_bare_cell(style, zygote, template, tmp_path):
    expect_same(style, tmp_path, template, zygote)
