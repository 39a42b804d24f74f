"""Decides which names of a run are followed, and which names of its code could be."""

from __future__ import annotations

import ast
import itertools
import re
from dataclasses import dataclass, field

_numbers = itertools.count()


@dataclass
class Plan:
    """What is to be followed in the code of one run.

    Attributes
    ----------
    watch : frozenset of str
        Names to follow wherever the code assigns them.
    metrics : frozenset of str
        Names to follow in loops, loop variables and literals included.
    leave : frozenset of str
        Names not to follow.
    infer : bool
        Whether to follow, in loops, what the code computes.
    followed : set of str
        Names whose assignments have been found so far.
    number : int
        Tells the recorders of one run from those of another.
    """

    watch: frozenset[str] = frozenset()
    metrics: frozenset[str] = frozenset()
    leave: frozenset[str] = frozenset()
    infer: bool = True
    followed: set[str] = field(default_factory=set)
    number: int = field(default_factory=lambda: next(_numbers))

    def key(self, name: str) -> str:
        """Return the attribute under which the recorder of `name` is found; ``pass_`` before it, for a walrus."""
        return f"at_{self.number}_{name}"

    def wants(self, name: str, *, in_loop: bool, literal: bool = False, turn: bool = False) -> bool:
        """Tell whether an assignment may be a point of a series.

        False for what the code alone rules out. The value, and where it comes from, are asked later.
        """
        if name in self.watch:
            return True
        if not in_loop or name in self.leave:
            return False
        return name in self.metrics or (self.infer and not (literal or turn or name.startswith("_")))


def assigned_names(tree: ast.AST) -> set[str]:
    """List the names that a piece of code assigns anywhere, in functions and comprehensions too.

    Parameters
    ----------
    tree : ast.AST
        The code.

    Returns
    -------
    set of str
        What ``--watch`` can follow.
    """
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def logged_names(tree: ast.AST) -> set[str]:
    """List the metrics that a piece of code logs itself: ``mlflow.log_metric("loss", loss, step=epoch)``.

    Parameters
    ----------
    tree : ast.AST
        The code.

    Returns
    -------
    set of str
        What would be logged twice if it were followed, too.
    """
    found: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        match name, [*node.args, *(keyword.value for keyword in node.keywords)]:
            case "log_metric", [ast.Constant(value=str(metric)), *_]:
                found.add(metric)
            case "log_metrics", [ast.Dict(keys=keys), *_]:
                found |= {key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
            case "run_line_magic", [ast.Constant(value="mlflow_log"), ast.Constant(value=str(line))]:
                found |= set(re.findall(r"[^\W\d]\w*", line))
    return found
