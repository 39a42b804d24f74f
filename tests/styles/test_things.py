"""Styles of files, models, data and autologging: the store is as after the bare cell, but for what the design adds."""

from __future__ import annotations

import pytest

from .running import expect_same
from .things import THINGS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("style", THINGS, ids=lambda style: style.name)
def test_the_store_is_as_after_the_bare_cell(style, zygote, template, tmp_path):
    expect_same(style, tmp_path, template, zygote)
