"""Ends worker processes that outlive the cell that started them: they would log into its run for ever."""

from __future__ import annotations

import os
import sys
import threading
import types
from collections.abc import Mapping

import mlflow

_PATIENCE = 3.0
"""Seconds that workers get to end by themselves, and then to be gone."""


def let_go() -> None:
    """Shut down joblib's idle pool, if anybody here logs with mlflow; joblib starts another when it needs one.

    A worker takes the run from its environment, once, and keeps it: reused by the next cell it logs into the run
    before, and when it ends, perhaps hours later, MLflow's exit handler marks that run FINISHED, whatever it was.
    So it has to go when a run begins, and before the status of one that ends is written.
    """
    for name in ("joblib.externals.loky.reusable_executor", "loky.reusable_executor"):
        pool = getattr(sys.modules.get(name), "_executor", None)
        # Work that is still pending is the user's: then the pool stays.
        if pool is None or getattr(pool, "_pending_work_items", True) or not _somebody_logs():
            continue
        workers = list((getattr(pool, "_processes", None) or {}).values())
        ending = threading.Thread(target=pool.shutdown, name="mlflow_magics-workers", daemon=True)
        ending.start()
        ending.join(_PATIENCE)
        if ending.is_alive():
            # They have nothing to do and all they logged is sent; what they must not do is end the run after us.
            for worker in workers:
                worker.terminate()
            ending.join(_PATIENCE)


def _somebody_logs() -> bool:
    """Tell whether the user's own code, in the notebook or in a module beside it, holds mlflow or a function of it."""
    return any(_holds_mlflow(vars(module)) for name, module in list(sys.modules.items()) if _is_users(name, module))


def _is_users(name: str, module: object) -> bool:
    if type(module) is not types.ModuleType or name.partition(".")[0] in ("mlflow", "mlflow_magics"):
        return False
    file = vars(module).get("__file__")
    if type(file) is not str:
        return name == "__main__"
    return "-packages" not in file and not file.startswith(_LIBRARY)


_LIBRARY = os.path.dirname(os.__file__)


def _holds_mlflow(names: Mapping[str, object]) -> bool:
    for value in list(names.values()):
        if value is mlflow:
            return True
        # A function or submodule of it. Only of these plain types an attribute may be read without side effects.
        if type(value) in (types.FunctionType, types.ModuleType):
            origin = value.__module__ if type(value) is types.FunctionType else vars(value).get("__name__")
            if type(origin) is str and origin.partition(".")[0] == "mlflow":
                return True
    return False
