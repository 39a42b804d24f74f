"""Decides which names of a run are followed, and which names of its code could be."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..code.telling import Told, path_of, without_rounding
from .owned import is_own

_numbers = itertools.count()


@dataclass(frozen=True)
class Site:
    """A value in the code that is followed though no name is bound to it: printed, or put into a list.

    Attributes
    ----------
    key : str
        The attribute under which its recorder is found.
    name : str
        The metric.
    told : Told
        What is told, and how.
    again : bool
        Whether it may be told again and again.
    """

    key: str
    name: str
    told: Told
    again: bool


@dataclass(frozen=True)
class LoopSite:
    """A loop of the cell of which each turn may be a row of a table.

    Attributes
    ----------
    key : str
        The attribute under which the recorder of its turns is found.
    labels : tuple of str
        Its variables, and those of the loops around it.
    assigned : frozenset of str
        The names that its body assigns.
    """

    key: str
    labels: tuple[str, ...]
    assigned: frozenset[str]


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
    sites : list of Site
        Values without a name that have been found so far.
    loops : list of LoopSite
        Loops whose turns may be the rows of a table.
    number : int
        Tells the recorders of one run from those of another.
    is_function : bool
        Whether the code is that of a function, which may be called again and again.
    returns : str
        For a function whose results are told though nobody keeps them: what they are called.
    defines : bool
        Whether the code defines functions that may have something to follow.
    namespace : mapping
        The notebook's variables as the code begins.
    collected : set of str
        Entries of dicts, ``res.acc``, that the code puts into lists under other names.
    """

    watch: frozenset[str] = frozenset()
    metrics: frozenset[str] = frozenset()
    leave: frozenset[str] = frozenset()
    infer: bool = True
    followed: set[str] = field(default_factory=set)
    sites: list[Site] = field(default_factory=list)
    loops: list[LoopSite] = field(default_factory=list)
    number: int = field(default_factory=lambda: next(_numbers))
    is_function: bool = False
    returns: str = ""
    defines: bool = False
    namespace: Mapping[str, object] = field(default_factory=dict)
    collected: set[str] = field(default_factory=set)

    def key(self, name: str) -> str:
        """Return the attribute under which the recorder of `name` is found; ``pass_`` before it, for a walrus."""
        return f"at_{self.number}_{name}"

    @property
    def defined(self) -> str:
        """The key of the recorder that is told of the functions that the code defines."""
        return f"at_{self.number}__defined"

    def wants(self, name: str, *, in_loop: bool, literal: bool = False, turn: bool = False) -> bool:
        """Tell whether an assignment may be a point of a series.

        False for what the code alone rules out. The value, and where it comes from, are asked later.
        """
        if name in self.watch:
            return True
        if not in_loop or name in self.leave:
            return False
        return name in self.metrics or (self.infer and not (literal or turn or name.startswith("_")))

    def loop(self, labels: tuple[str, ...], assigned: Iterable[str]) -> LoopSite:
        """Take note of a loop whose turns may be rows."""
        self.loops.append(LoopSite(f"at_{self.number}_turn_{len(self.loops)}", labels, frozenset(assigned)))
        return self.loops[-1]

    def returned(self, value: ast.expr) -> Site:
        """Take note of what a function gives back."""
        site = Site(
            f"at_{self.number}_{len(self.sites)}_", self.returns, Told(self.returns, value, "returned"), again=True
        )
        self.sites.append(site)
        return site

    def site(self, told: Told, *, in_loop: bool) -> Site | None:
        """Take note of a value that the code tells; None where it is not to be followed.

        What has a name already is followed under that name, where it is assigned.
        """
        again = in_loop or self.is_function
        about = path_of(without_rounding(told.expr))
        if not self.infer or told.name in self.leave or told.name.startswith("_"):
            return None
        if told.how == "appended":
            if not again or about in self.followed:
                return None
            if "." in about:
                self.collected.add(about)
        elif isinstance(without_rounding(told.expr), ast.NamedExpr) or about in self.followed:
            return None
        elif told.how == "returned":
            if self.is_function or not is_own(self.namespace.get(told.name), self.namespace):
                return None
        elif about and "." not in about and not self.is_function:
            return None  # a variable of the cell: its own role is asked for
        name = about if about and "." not in about and told.how == "printed" else told.name
        taken = sum(one.told.name == told.name for one in self.sites)
        if taken and not again and told.how == "printed":
            name = f"{name}_{taken + 1}"  # "accuracy:" of one model, and then of another
        site = Site(f"at_{self.number}_{len(self.sites)}_", name, told, again)
        self.sites.append(site)
        return site


# Of libraries that search: they call a function of the notebook again and again, and keep what it returns.
_SEARCHES = frozenset({
    "optimize", "fmin", "minimize", "maximize", "gp_minimize", "forest_minimize", "gbrt_minimize", "dummy_minimize",
    "differential_evolution", "dual_annealing", "basinhopping", "minimize_scalar",
})  # fmt: skip


def handed_names(tree: ast.AST) -> set[str]:
    """List the functions that a search calls, ``study.optimize(objective)``, or that a comprehension calls."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name), args=args, keywords=keywords):
                given = [*args, *(keyword.value for keyword in keywords)]
                found |= {one.id for one in given if isinstance(one, ast.Name) and name in _SEARCHES}
            case ast.ListComp() | ast.DictComp() | ast.GeneratorExp() | ast.SetComp():
                inner = (one for one in ast.walk(node) if isinstance(one, ast.Call))
                found |= {one.func.id for one in inner if isinstance(one.func, ast.Name)}
    return found


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
