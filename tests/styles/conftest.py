"""What all files of styles stand on: a store that is copied, as fresh as the one that `make_template` makes."""

from __future__ import annotations

import pytest


@pytest.fixture
def template(_store):
    return _store
