"""Tells calls that draw at random, count, or find a place, and attributes that are sizes, from code and namespace."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any, Final

from ..code.symbols import Attribute, Call, Local, Node
from ..values.inspection import MISSING, fields_of, is_a, marks, module_of
from .resolving import callable_name, resolve

DRAWERS: Final = frozenset(
    {("numpy", "Generator"), ("numpy", "RandomState"), ("random", "Random"), ("random", "SystemRandom")}
)
"""Classes whose methods draw at random."""

DRAWER_MAKERS: Final = frozenset({"default_rng", "RandomState", "Random", "SystemRandom", "check_random_state"})

NO_DRAWS: Final = frozenset({"shuffle", "permutation", "permuted", "seed", "spawn", "getstate", "setstate", "bytes"})
"""Methods of theirs that give nothing to be logged."""

TORCH_DRAWS: Final = frozenset({"rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial"})

SUGGESTIONS: Final = frozenset(
    {
        *("suggest_float", "suggest_int", "suggest_categorical", "suggest_uniform", "suggest_loguniform"),
        *("suggest_discrete_uniform",),
    }
)
"""Methods of Optuna's trials: settings, wherever they go."""

DRAWN_GRIDS: Final = frozenset({"ParameterSampler"})
"""Classes whose items are settings that were drawn."""

SEARCHES: Final = frozenset({("hyperopt", "fmin"), ("hyperopt", "space_eval")})
"""Functions, by library and name, that answer with the settings they found."""

PLACES: Final = frozenset(
    {
        *("argmax", "argmin", "nanargmax", "nanargmin", "idxmax", "idxmin", "argsort", "searchsorted", "argwhere"),
        *("argpartition", "arg_max", "arg_min", "arg_sort", "get_loc", "argrelmax", "argrelmin"),
        "unravel_index",
    }
)
"""Functions and methods whose result is a place in the data."""

COUNTS: Final = frozenset({"nunique", "n_unique", "size", "dim", "get_n_splits"})
"""Methods whose result is a size."""

COUNT_FUNCTIONS: Final = frozenset({"shape", "size", "ndim"})
"""Functions of numpy and torch whose result is a size."""

SIZES: Final = frozenset(
    {
        *("shape", "size", "ndim", "n_features_in_", "n_classes_", "n_outputs_", "num_rows", "num_columns"),
        *("num_nodes", "num_edges", "num_features", "num_node_features", "num_classes", "vocab_size", "n_vocab"),
    }
)
"""Attributes that are sizes."""

MATH: Final = frozenset(
    {
        *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "cbrt", "power", "pow", "square"),
        *("round", "around", "round_", "rint", "floor", "ceil", "trunc", "abs", "absolute", "fabs", "clip"),
    }
)
"""Functions of ``math`` and numpy that leave a drawn number a drawn number, and a size a size."""

KEEPING: Final = frozenset({"item", "astype", "tolist", "round", "numpy", "cpu", "detach", "squeeze"})
"""Methods that give the same number in another form."""


def draws(func: Node, namespace: Mapping[str, object]) -> bool:
    """Tell whether it draws: ``rng.uniform``, ``random.choice``, ``stats.loguniform(…).rvs``."""
    made = resolve(func, namespace)
    if is_a(made, types.MethodType, types.BuiltinFunctionType):
        owner = object.__getattribute__(made, "__self__")
        if _is_drawer(owner):
            return callable_name(made) not in NO_DRAWS if is_a(made, types.BuiltinFunctionType) else True
    if not isinstance(func, Attribute) or func.attr in NO_DRAWS:
        return False
    if func.attr in SUGGESTIONS or func.attr == "rvs" or _is_drawer(resolve(func.base, namespace)):
        return True
    if _made_a_drawer(func.base):
        return True
    return func.attr in TORCH_DRAWS and _library(func, namespace) == "torch"


def suggests(node: Node) -> bool:
    """Tell whether a value is asked of an Optuna trial."""
    return isinstance(node, Call) and isinstance(node.func, Attribute) and node.func.attr in SUGGESTIONS


def _is_drawer(value: object) -> bool:
    return value is not MISSING and any(mark in DRAWERS for mark in marks(value))


def _made_a_drawer(node: Node) -> bool:
    """``np.random.default_rng(0)``, also under a name that is gone by the end of the cell."""
    while isinstance(node, Local):
        node = node.value
    if not isinstance(node, Call):
        return False
    name = node.func.attr if isinstance(node.func, Attribute) else getattr(node.func, "name", "")
    return name in DRAWER_MAKERS


def finds_a_place(func: Node) -> bool:
    """Tell whether a call of `func` gives an index: ``scores.argmax``, ``np.argsort``."""
    name = func.attr if isinstance(func, Attribute) else getattr(func, "name", "")
    return name in PLACES


def counts(func: Node, namespace: Mapping[str, object]) -> bool:
    """Tell whether it gives a size: ``df.a.nunique``, ``np.shape``. Not ``len``, whose argument counts."""
    if not isinstance(func, Attribute):
        return False
    return func.attr in COUNTS or (func.attr in COUNT_FUNCTIONS and _library(func, namespace) in {"numpy", "torch"})


def is_arithmetic(func: Node, namespace: Mapping[str, object]) -> bool:
    """Tell whether `func` is a function of ``math`` or numpy that only reckons with its arguments."""
    if isinstance(func, Attribute):
        return func.attr in MATH and _library(func, namespace) in {"math", "numpy"}
    made = resolve(func, namespace)
    return is_a(made, types.BuiltinFunctionType) and module_of(made) == "math" and callable_name(made) in MATH


def _library(func: Attribute, namespace: Mapping[str, object]) -> str:
    """Name the library of a module that an attribute is asked of; empty where it is no module."""
    owner = resolve(func.base, namespace)
    if not is_a(owner, types.ModuleType):
        return ""
    name = fields_of(owner).get("__name__")
    return name.partition(".")[0] if type(name) is str else ""


def is_search(made: Any) -> bool:
    """Tell whether a function is hyperopt's ``fmin`` or its like, by module and name."""
    if not is_a(made, types.FunctionType):
        return False
    return (module_of(made).partition(".")[0], callable_name(made)) in SEARCHES


def holds_settings(node: Attribute, namespace: Mapping[str, object]) -> bool:
    """Tell whether ``trial.params`` and ``study.best_trial.params`` are asked for."""
    if node.attr not in {"params", "config"}:
        return False
    base = node.base
    while isinstance(base, Local):
        if any(root in {"optuna", "ray"} for root, _ in marks(namespace.get(base.name))):
            return True
        base = base.value
    if isinstance(base, Attribute):
        return base.attr in {"best_trial", "best_result"}
    held = resolve(base, namespace)
    return held is not MISSING and any(root in {"optuna", "ray"} for root, _ in marks(held))
