"""Configurations as dotted scalars."""

from __future__ import annotations

import argparse
import enum
import types
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from mlflow_magics.capture.values.flatten import dotted, flatten
from mlflow_magics.capture.values.writing import number_of


def flat(value: object) -> dict[str, Any]:
    return {dotted("c", leaf.path): leaf.value for leaf in flatten(value).leaves}


@dataclass
class Inner:
    n: int = 3


@dataclass
class Outer:
    lr: float = 0.1
    inner: Inner = field(default_factory=Inner)
    _hidden: int = 1


@dataclass(frozen=True, slots=True)
class Slotted:
    lr: float = 0.1


class Holder:
    lr = 0.1
    deep = {"n": 3}
    _hidden = 1


class Opt(enum.Enum):
    ADAM = "adam"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": 1, "b": {"c": "x"}}, {"c.a": 1, "c.b.c": "x"}),
        (Outer(), {"c.lr": 0.1, "c.inner.n": 3}),
        (Slotted(), {"c.lr": 0.1}),
        (argparse.Namespace(lr=0.1, opt={"n": None}), {"c.lr": 0.1, "c.opt.n": None}),
        (types.SimpleNamespace(lr=0.1), {"c.lr": 0.1}),
        (Holder, {"c.lr": 0.1, "c.deep.n": 3}),
        ({"layers": [{"units": 3}, {"units": 4}]}, {"c.layers.0.units": 3, "c.layers.1.units": 4}),
        ({"sizes": (1, 2), "opt": Opt.ADAM}, {"c.sizes": (1, 2), "c.opt": Opt.ADAM}),
        ({"data": np.zeros(3), "f": len, "many": list(range(100))}, {}),
        ({0: 1.0, 1: 2.0}, {"c.0": 1.0, "c.1": 2.0}),
        ({("a", "b"): 1}, {}),
        (3, {}),
    ],
)
def test_kinds(value: object, expected: dict[str, Any]) -> None:
    assert flat(value) == expected


def test_pydantic() -> None:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("M", lr=(float, 0.1), key=(pydantic.SecretStr, pydantic.SecretStr("geheim")))
    assert flat(model()) == {"c.lr": 0.1}


def test_omegaconf_is_recognised_by_its_classes() -> None:
    # OmegaConf is not installed here: classes of its names and with its fields stand for it.
    node = type("Node", (), {"__module__": "omegaconf.base"})
    value_node = type("ValueNode", (node,), {"__module__": "omegaconf.base"})
    dict_config = type("DictConfig", (node,), {"__module__": "omegaconf.dictconfig"})

    def wrap(value: object) -> object:
        one = (dict_config if isinstance(value, dict) else value_node)()
        if isinstance(value, dict):
            one.__dict__["_content"] = {k: wrap(v) for k, v in value.items()}
        else:
            one.__dict__["_val"] = value
        return one

    assert flat(wrap({"lr": 0.1, "opt": {"name": "adam"}})) == {"c.lr": 0.1, "c.opt.name": "adam"}


def test_cycles_end() -> None:
    config: dict[str, Any] = {"lr": 0.1}
    config["self"] = config
    config["list"] = [config]
    assert flat(config) == {"c.lr": 0.1}


def test_depth_and_count_are_bounded() -> None:
    deep: dict[str, Any] = {"n": 1}
    for _ in range(1000):
        deep = {"d": deep}
    assert flat(deep) == {}
    wide = flatten({str(i): i for i in range(600)})
    assert len(wide.leaves) == 500
    assert wide.cut
    assert not flatten({str(i): i for i in range(500)}).cut


def test_a_masked_number_stands_for_no_value() -> None:
    numpy = pytest.importorskip("numpy")
    assert number_of(numpy.ma.masked) is None
    assert number_of(numpy.ma.array([1.5, 2.5])[1]) == 2.5
