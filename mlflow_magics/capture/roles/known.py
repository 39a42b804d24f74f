"""Names the functions, methods and attributes that only read: their results are inputs if what they read is."""

from __future__ import annotations

import ast
import copy
import dataclasses
import datetime
import json
import math
import os
import pathlib
import time
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

# fmt: off
PURE: Final[frozenset[Any]] = frozenset({
    int, float, str, bool, round, abs, max, min, sum, len, tuple, list, dict, set, frozenset, sorted, pow, divmod,
    range, complex, bytes, repr, zip, enumerate, reversed, any, all,
    chr, ord, vars, bin, hex, oct, iter, filter, slice,
    copy.copy, copy.deepcopy, dataclasses.replace, dataclasses.asdict, dataclasses.astuple,
    math.ceil, math.floor, math.trunc,
    os.path.join, os.path.basename, os.path.dirname, os.path.splitext, os.path.split, os.path.normpath,
    os.path.abspath, os.path.expanduser,
})
"""Functions whose result follows from their arguments alone."""

FOLDS: Final[frozenset[Callable[..., Any]]] = frozenset({max, min, sum, sorted, any, all})
"""Of a single list that was filled elsewhere, these make a result."""

CLOCKS: Final[frozenset[Callable[..., Any]]] = frozenset({
    time.time, time.time_ns, time.perf_counter, time.perf_counter_ns, time.monotonic, time.monotonic_ns,
    time.process_time, time.process_time_ns, time.thread_time,
})
"""Functions that read a clock."""

READERS: Final[frozenset[Callable[..., Any]]] = frozenset({json.load, json.loads, ast.literal_eval, os.getenv})
"""Functions that read settings, whatever they read them from."""

FOREIGN_READERS: Final = frozenset({"yaml", "tomllib", "tomli", "toml", "omegaconf", "json5", "ruamel"})
"""Libraries whose ``load`` reads settings."""

READER_METHODS: Final = frozenset({"parse_args", "parse_known_args", "get_params", "model_dump", "parse_obj"})
"""Methods that give settings, whatever their object is."""

SETTING_ATTRIBUTES: Final = frozenset({"best_params", "best_params_"})
"""Attributes of searches (scikit-learn, Optuna) that hold settings."""

PROGRESS: Final = frozenset({"tqdm", "trange"})
"""Wrappers of an iterable that only show how far it is."""

PURE_METHODS: Final = frozenset({
    "upper", "lower", "strip", "lstrip", "rstrip", "split", "rsplit", "join", "format", "format_map", "replace",
    "title", "capitalize", "casefold", "swapcase", "zfill", "removeprefix", "removesuffix", "splitlines", "partition",
    "rpartition", "startswith", "endswith", "encode", "decode", "count", "index", "find", "isdigit", "get", "copy",
    "items", "keys", "values", "as_posix", "with_suffix", "with_name", "with_stem", "joinpath", "resolve", "absolute",
    "expanduser", "bit_length", "is_integer", "hex", "isoformat", "strftime", "total_seconds", "union", "intersection",
    "difference", "pop", "dict", "fromkeys", "fromisoformat", "strptime", "home", "cwd", "fromhex",
})
"""Methods of text, containers, paths and dates."""

PURE_ATTRIBUTES: Final = frozenset({
    "value", "name", "stem", "suffix", "suffixes", "parent", "parents", "parts", "anchor", "real", "imag", "numerator",
    "denominator", "year", "month", "day", "hour", "minute", "second", "days", "seconds",
})
"""Attributes of Enums, paths, numbers and dates."""

PLAIN_CLASSES: Final[frozenset[type]] = frozenset({
    str, dict, list, tuple, set, frozenset, bytes, int, float, complex, bool, range, Decimal, Fraction,
    pathlib.Path, pathlib.PurePath, datetime.datetime, datetime.date, datetime.time, datetime.timedelta,
})
"""Classes whose objects are plain values."""
# fmt: on
