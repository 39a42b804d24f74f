"""What all files of styles stand on: a zygote that imports once, and a store that is copied."""

from __future__ import annotations

import pytest

from ..rig.children import Zygote
from .running import make_template


@pytest.fixture(scope="module")
def zygote():
    with Zygote() as zygote:
        yield zygote


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("template"))
