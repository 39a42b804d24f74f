"""Finds the runs in the syntax tree of a cell, and has their assignments followed."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from ...vocabulary.errors import MlflowMagicsError

if TYPE_CHECKING:
    from ...capture.following.plan import Plan
    from ...vocabulary.records import RunOptions


def is_magic(node: ast.stmt) -> bool:
    """Tell whether a statement is what IPython makes of ``%mlflow_run``. True for a line of its own."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and node.value.func.attr == "run_line_magic"
        and bool(node.value.args)
        and isinstance(node.value.args[0], ast.Constant)
        and node.value.args[0].value == "mlflow_run"
    )


def plan_for(
    options: RunOptions, body: ast.AST | None = None, namespace: Mapping[str, object] = MappingProxyType({})
) -> Plan:
    """Say which names of a run are to be followed."""
    from ...capture.following.plan import Plan, logged_names

    choices = options.choices
    own = logged_names(body) if body is not None else set()
    return Plan(
        watch=frozenset(options.watch) - frozenset(choices.skip),
        metrics=frozenset(choices.metrics) - frozenset(choices.skip),
        leave=frozenset([*choices.skip, *choices.params, *own]) - frozenset(choices.metrics),
        infer=options.capture,
        namespace=namespace,
    )


def follow_runs(
    tree: ast.Module,
    read_line: Callable[[str], RunOptions],
    namespace: Mapping[str, object],
    *,
    shows_assignments: bool,
) -> dict[int, Plan]:
    """Have the assignments below each ``%mlflow_run`` at the top of a cell followed, up to the next one."""
    starts = [number for number, node in enumerate(tree.body) if is_magic(node)]
    body = tree.body[: starts[0]] if starts else tree.body
    plans = {}
    for start, end in zip(starts, [*starts[1:], len(tree.body)], strict=True):
        magic, rest = tree.body[start], tree.body[start + 1 : end]
        options = _options(magic, read_line)
        if options is not None:
            plan = plans[magic.lineno] = plan_for(options, ast.Module(rest, []), namespace)
            rest = _followed(rest, plan, shows_assignments=shows_assignments and end == len(tree.body))
        body = [*body, magic, *rest]
    tree.body = body
    return plans


def follow_body(tree: ast.Module, plan: Plan, *, shows_assignments: bool) -> None:
    """Have the assignments of a run followed that is compiled as a piece of its own: below ``%%time``, for one."""
    tree.body = _followed(tree.body, plan, shows_assignments=shows_assignments)


def is_code_of(tree: ast.Module, code: str) -> bool:
    """Tell whether a tree is that of a piece of code, wherever its lines are.

    False also where the code cannot be read.
    """
    try:
        return ast.dump(tree) == ast.dump(ast.parse(code))
    except (SyntaxError, RecursionError):
        return False


def _options(magic: ast.stmt, read_line: Callable[[str], RunOptions]) -> RunOptions | None:
    """Return what a magic asks for; None where its line is wrong, as it will say itself when it is run."""
    match magic:
        case ast.Expr(value=ast.Call(args=[_, ast.Constant(value=str(line))])):
            try:
                return read_line(line)
            except MlflowMagicsError:
                return None
    return None


def _followed(body: list[ast.stmt], plan: Plan, *, shows_assignments: bool) -> list[ast.stmt]:
    from ...capture.following import hook
    from ...capture.following.instrument import instrument

    done = instrument(body, plan)
    if plan.followed or plan.sites or plan.defines:
        hook.install()
    if shows_assignments and body and done[-1] is not body[-1]:
        # IPython would show the last name, had we put nothing behind its assignment.
        done += [_shown(target) for target in _single_target(body[-1])]
    return done


def _single_target(node: ast.stmt) -> list[ast.Name]:
    match node:
        case ast.Assign(targets=[ast.Name() as target]) | ast.AugAssign(target=ast.Name() as target):
            return [target]
        case ast.AnnAssign(target=ast.Name() as target):
            return [target]
    return []


def _shown(target: ast.Name) -> ast.stmt:
    shown = ast.Expr(ast.Name(target.id, ast.Load()))
    for part in ast.walk(shown):
        ast.copy_location(part, target)
    return shown
