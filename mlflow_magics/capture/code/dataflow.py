"""Which names a cell reads, writes and loops over, and what each is built from. Reads code, never values."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field

from .calls import CallSite, collect
from .scopes import HIDDEN, Binding, Facts, Scope
from .statements import run
from .symbols import Carried, Node
from .telling import Told, ToldValue, name_of, shown_last
from .uses import Uses, uses_of

__all__ = ["Binding", "Dataflow", "analyse", "analyse_tree"]


@dataclass(frozen=True)
class Dataflow:
    """What the code of a cell says of its names.

    Attributes
    ----------
    names : tuple of str
        Every name of the cell's own scope, in the order of its first mention.
    bindings : mapping of str to tuple of Binding
        For each name that the cell writes, where and how.
    reads : mapping of str to int
        Names read from outside, to the first line of the top-level statement that first reads each.
    final : mapping of str to Node
        What each written name is built from when the cell ends.
    differences : tuple of (Node, Node)
        The two sides of every subtraction.
    carried : tuple of Carried
        The values that loops bring from one turn to the next.
    order : tuple of Node
        Every value bound, in the order of the code.
    told : tuple of ToldValue
        What the cell prints with a label, shows as its last value, or puts into a list.
    calls : tuple of CallSite
        Every call that the cell makes itself.
    model_inputs : mapping of str to (str, str)
        Variable of a model, to the variables of its inputs X and targets y (empty where there is none).
    starts_one_run : bool
        Whether the cell calls ``start_run`` exactly once at its top level, outside functions and loops: it then means
        the cell's own run. Any other call means a run of its own.
    sets_experiment : str
        The name that the cell itself gives to ``mlflow.set_experiment``; empty where there is none, or no literal.
    uses : Uses
        What becomes of each name that the cell reads.
    """

    names: tuple[str, ...]
    bindings: Mapping[str, tuple[Binding, ...]]
    reads: Mapping[str, int]
    final: Mapping[str, Node]
    differences: tuple[tuple[Node, Node], ...] = ()
    carried: tuple[Carried, ...] = ()
    order: tuple[Node, ...] = ()
    told: tuple[ToldValue, ...] = ()
    calls: tuple[CallSite, ...] = ()
    model_inputs: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    starts_one_run: bool = False
    sets_experiment: str = ""
    uses: Uses = field(default_factory=Uses)


def analyse(code: str) -> Dataflow:
    """Read the code of a cell.

    Parameters
    ----------
    code : str
        Python; a top-level ``await`` is allowed. Line numbers in the result are those of `code`.

    Returns
    -------
    Dataflow
        What it says of its names.

    Raises
    ------
    SyntaxError
        Where `code` is not Python.
    """
    return analyse_tree(ast.parse(code))


def analyse_tree(tree: ast.Module) -> Dataflow:
    """Read a cell, or the body of a function as if it were one, from its syntax tree."""
    facts = Facts()
    scope = Scope(facts)
    last = shown_last(tree.body)
    if last is not None:
        facts.telling[id(last)] = Told(name_of(last), last, "shown")
    for statement in tree.body:
        facts.top = statement.lineno
        run([statement], scope)
    for name, line in facts.free.items():
        # Read by a function: from outside only if the cell itself never binds the name.
        if name not in facts.bindings:
            facts.reads.setdefault(name, line)
    for hidden in HIDDEN & facts.reads.keys():
        del facts.reads[hidden]
    return Dataflow(
        names=tuple(sorted(facts.mentions, key=facts.mentions.__getitem__)),
        bindings={name: tuple(found) for name, found in facts.bindings.items()},
        reads=facts.reads,
        final={name: scope.env[name] for name in facts.bindings if name in scope.env},
        differences=tuple(facts.differences),
        carried=tuple(facts.carried),
        order=tuple(facts.order),
        told=tuple(facts.told),
        calls=collect(tree, facts.calls, facts.bindings),
        model_inputs=_model_inputs(facts.model_calls),
        starts_one_run=_starts_one_run(tree),
        sets_experiment=_sets_experiment(tree),
        uses=uses_of(tree),
    )


def _model_inputs(calls: list[tuple[str, str, tuple[str, str]]]) -> dict[str, tuple[str, str]]:
    """Prefer what a model was trained on to what it was asked about."""
    asked = {model: names for model, method, names in calls if method == "predict"}
    return asked | {model: names for model, method, names in calls if method != "predict"}


def _starts_one_run(tree: ast.Module) -> bool:
    """Tell whether the cell starts exactly one run itself: outside functions, and not again and again."""
    apart = (
        *(ast.For, ast.AsyncFor, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
        *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda),
    )
    waiting: list[ast.AST] = [tree]
    count = 0
    while waiting:
        node = waiting.pop()
        count += _starts_run(node)
        waiting += [child for child in ast.iter_child_nodes(node) if not isinstance(child, apart)]
    return count == 1


def _sets_experiment(tree: ast.Module) -> str:
    for statement in tree.body:
        match statement:
            case (
                ast.Expr(value=ast.Call(func=func, args=args, keywords=keywords))
                | ast.Assign(value=ast.Call(func=func, args=args, keywords=keywords))
            ):
                pass
            case _:
                continue
        name = func.id if isinstance(func, ast.Name) else getattr(func, "attr", "")
        named = [keyword.value for keyword in keywords if keyword.arg == "experiment_name"]
        match name, [*args[:1], *named]:
            case "set_experiment", [ast.Constant(value=str(experiment))]:
                return experiment
    return ""


def _starts_run(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="start_run") | ast.Attribute(attr="start_run")):
            return True
    return False
