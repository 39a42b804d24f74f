"""Experiment tracking that disappears into the notebook: IPython magics for MLflow.

``%load_ext mlflow_magics`` is all there is to call here. Nothing heavy is imported until a magic needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__version__ = "0.1.0"
__all__ = ["__version__", "load_ipython_extension", "unload_ipython_extension"]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics with `shell`; ``%load_ext mlflow_magics`` calls this."""
    from .shell.loading import register

    register(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take everything back that loading put in place; ``%unload_ext mlflow_magics`` calls this."""
    from .shell.loading import unregister

    unregister(shell)
