"""The state of a process that every cell shares, as texts that two processes can be compared by.

Imports the standard library alone, and reads other libraries' settings only where they are loaded: to look must
change nothing.
"""

from __future__ import annotations

import builtins
import decimal
import gc
import hashlib
import json
import locale
import logging
import mimetypes
import multiprocessing
import os
import random
import signal
import socket
import sys
import threading
import time
import warnings
from pathlib import Path

_SYS = ("excepthook", "unraisablehook", "displayhook", "breakpointhook", "stdin", "stdout", "stderr", "meta_path")
_SYS += ("path_hooks", "dont_write_bytecode", "pycache_prefix", "flags", "warnoptions", "argv")


def take() -> dict[str, str]:
    """Read all of it; a text for each place."""
    found: dict[str, object] = {
        "warnings.filters": [_filter(each) for each in warnings.filters],
        "warnings.showwarning": _name(warnings.showwarning),
        "warnings.formatwarning": _name(warnings.formatwarning),
        "logging": [logging.root.level, list(map(_name, logging.root.handlers)), logging.root.manager.disable],
        "logging.classes": [
            logging.getLoggerClass().__name__,
            _name(logging.getLogRecordFactory()),
            logging.raiseExceptions,
        ],
        "logging.py.warnings": [_name(one) for one in logging.getLogger("py.warnings").handlers],
        "signals": {one.name: _name(signal.getsignal(one)) for one in signal.valid_signals() if hasattr(one, "name")},
        "timers": [signal.getitimer(each) for each in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)],
        "sys.path": sys.path,
        "sys.tracing": [_name(sys.gettrace()), _name(sys.getprofile()), *map(_name, sys.get_asyncgen_hooks())],
        "sys.limits": [sys.getrecursionlimit(), sys.getswitchinterval(), sys.get_int_max_str_digits()],
        "threading": [_name(threading.excepthook), threading.stack_size(), *map(_name, _thread_hooks())],
        "random": _digest(random.getstate()),
        "locale": {each: locale.setlocale(getattr(locale, each)) for each in dir(locale) if each.startswith("LC_")},
        "timezone": [time.tzname, time.timezone],
        "environment": dict(sorted(os.environ.items())),
        "folder": os.getcwd(),
        "umask": _umask(),
        "builtins": sorted(vars(builtins)),
        "builtins.values": {name: _name(vars(builtins)[name]) for name in ("__import__", "open", "print", "input")},
        "multiprocessing": [multiprocessing.get_start_method(allow_none=True)],
        "gc": [gc.isenabled(), gc.get_threshold(), list(map(_name, gc.callbacks)), gc.get_debug()],
        "gc.frozen": gc.get_freeze_count() > 0,
        "socket": [socket.getdefaulttimeout(), _name(socket.socket), _name(socket.getaddrinfo)],
        "decimal": str(decimal.getcontext()),
        "json": [_name(json.JSONEncoder.default)],
        "mimetypes": mimetypes.inited,
    }
    found |= {f"sys.{name}": _name(getattr(sys, name)) for name in _SYS}
    return {name: json.dumps(value, default=repr) for name, value in (found | _libraries()).items()}


def _libraries() -> dict[str, object]:
    """Read the settings of libraries that are loaded, and completely so."""
    found: dict[str, object] = {}
    if (numpy := sys.modules.get("numpy")) is not None:
        found["numpy.random"] = _digest(numpy.random.get_state())
        found["numpy.errstate"] = [numpy.geterr(), _name(numpy.geterrcall())]
        found["numpy.printoptions"] = numpy.get_printoptions()
    if (pandas := sys.modules.get("pandas")) is not None:
        import pandas._config.config as config  # not its public way: that one warns of what is deprecated

        found["pandas.options"] = _digest(repr(sorted((k, repr(v)) for k, v in _flat(config._global_config).items())))
        found["pandas.plotting"] = pandas.options.plotting.backend
    if (matplotlib := sys.modules.get("matplotlib")) is not None:
        found["matplotlib.rcParams"] = {k: repr(matplotlib.rcParams._get(k)) for k in matplotlib.rcParams}
    if "matplotlib.pyplot" in sys.modules:
        found["figures"] = sys.modules["matplotlib.pyplot"].get_fignums()
    if (sklearn := sys.modules.get("sklearn")) is not None:
        found["sklearn"] = sklearn.get_config()
    return found


def _flat(options: dict, above: str = "") -> dict[str, object]:
    found = {}
    for name, value in options.items():
        found |= _flat(value, f"{above}{name}.") if isinstance(value, dict) else {above + name: value}
    return found


def _filter(each: tuple) -> list[object]:
    action, message, category, module, line = each
    texts = [part if isinstance(part, str) or part is None else part.pattern for part in (message, module)]
    return [action, texts[0], f"{category.__module__}.{category.__name__}", texts[1], line]


def _name(value: object) -> str:
    """Say which object it is, the same in every process."""
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return str([_name(each) for each in value])
    found = getattr(value, "__qualname__", None)
    if found is None or not isinstance(found, str):
        cls = type(value)
        plain = isinstance(value, (str, int, float, type(None), tuple))
        return repr(value) if plain else f"<{cls.__module__}.{cls.__qualname__}>"
    return f"{getattr(value, '__module__', '')}.{found}"


def _thread_hooks() -> list[object]:
    return [getattr(threading, "_trace_hook", None), getattr(threading, "_profile_hook", None)]


def _umask() -> int:
    """Read it from the kernel's page about the process: os.umask would have to change it."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1], 8) for line in lines if line.startswith("Umask"))
    except OSError:
        return -1


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def save(path: str) -> None:
    """Take it, and append it to a file as a line."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(take()) + "\n")
