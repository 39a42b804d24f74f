"""Puts calls of a recorder after the assignments of a cell, in its syntax tree. Reads code, never values.

After ``loss = f()`` stands, in the place of the name that was assigned, so that no line number changes::

    try:
        if __mlflow_magics__.<key>(loss): pass
    except (NameError, RecursionError): pass        # in a process that knows no recorder; where no call fits any more
    except:
        if __mlflow_magics__.escapes(): raise __mlflow_magics__.escaped()     # Ctrl-C, without a frame of ours

An ``if``, because the value of an expression statement would be displayed at the top of a cell. A walrus is an
expression, so it becomes the argument of a call that returns it. A tracer or debugger sees the same lines in the same
order; to it, Python 3.11 reports the line of an assignment that is followed twice.

A value without a name, in ``print("loss:", f())`` or ``losses.append(f())``, becomes the argument of such a call, too.
"""

from __future__ import annotations

import ast
from collections import ChainMap
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from ..code.syntax import bound_names
from ..code.telling import appended_by, returned_by, told_by
from .calls import EPOCHS, MOST_ROWS
from .hook import NAME
from .plan import Plan, Site
from .turns import turns_of

Node = TypeVar("Node", bound=ast.AST)
Loop = (ast.For, ast.AsyncFor, ast.While)

COMPILERS = frozenset({"njit", "jit", "vectorize", "guvectorize", "stencil", "script", "kernel", "compile"})
"""Decorators that compile a function themselves: they would not understand what is put into it."""

DEEPEST = 17
"""Blocks within blocks, up to which one more can be put in: Python compiles no more than 20."""


def instrument(body: list[ast.stmt], plan: Plan) -> list[ast.stmt]:
    """Put the calls into the code of a run, in place.

    Parameters
    ----------
    body : list of ast.stmt
        Statements at the top of a cell.
    plan : Plan
        What to follow; learns which names were found.

    Returns
    -------
    list of ast.stmt
        The statements, with those that were put in.
    """
    instrumenter = _Instrumenter(plan)
    instrumenter.last = body[-1] if body else None
    return instrumenter.block(body)


def instrument_function(node: ast.FunctionDef | ast.AsyncFunctionDef, plan: Plan) -> None:
    """Put the calls into the body of one function, in place; those defined inside it are left."""
    node.body = _Instrumenter(plan).block(node.body)


@dataclass(frozen=True)
class _Place:
    """Where a statement stands."""

    in_loop: bool = False
    in_function: bool = False
    depth: int = 0
    labels: tuple[str, ...] = ()
    is_grid: bool = True


class _Instrumenter:
    """Walks the code once, in its order."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.last: ast.stmt | None = None
        self._looped: set[str] = set()
        self._numbers: dict[str, object] = {}

    def block(self, body: list[ast.stmt], place: _Place = _Place()) -> list[ast.stmt]:
        done: list[ast.stmt] = []
        for statement in body:
            done += self._statement(statement, place)
        return done

    def _statement(self, node: ast.stmt, place: _Place) -> list[ast.stmt]:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            self._definition(node)
            return [node, *self._told_of(node, place)]
        if isinstance(node, ast.Expr):
            self._telling(node, place)
        if isinstance(node, ast.Return) and node.value is not None and self.plan.returns:
            site = self.plan.returned(node.value)
            node.value = self.passing(site.key, node.value, guarded=True)
        self._walruses(node, place)
        self._inside(node, place)
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=int(number))):
                self._numbers[name] = number
        if isinstance(node, ast.Assign):
            return [node, *self._calls(node.targets, place, literal=_is_literal(node.value))]
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            return [node, *self._calls([node.target], place, literal=_is_literal(node.value))]
        if isinstance(node, ast.AugAssign):
            return [node, *self._calls([node.target], place)]
        return [node]

    def _told_of(self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, place: _Place) -> list[ast.stmt]:
        """Say that a function is there, whose own code may have something to follow."""
        if self.plan.is_function or place.in_function or place.depth > DEEPEST:
            return []
        tells = any(isinstance(one, Loop) or (isinstance(one, ast.expr) and told_by(one)) for one in ast.walk(node))
        if not (self.plan.watch or (self.plan.infer and tells)):
            return []
        self.plan.defines = True
        name = ast.copy_location(ast.Name(node.name, ast.Load()), node)
        return [_recorded([(self.plan.defined, [name])]), _located(ast.Pass(), name)]

    def _telling(self, node: ast.Expr, place: _Place) -> None:
        """Wrap the values that a statement prints, or puts into a list."""
        if place.in_function:
            return
        sites = {}
        # The last value of the cell is the notebook's to show: it is asked for when the cell is over.
        returned = returned_by(node.value) if node is not self.last and place.is_grid else []
        for told in (*told_by(node.value), *appended_by(node.value), *returned):
            site = self.plan.site(told, in_loop=place.in_loop)
            if site is not None:
                sites[id(told.expr)] = site
        if sites:
            wrapped = _Wrapper(sites, self).visit(node.value)
            assert isinstance(wrapped, ast.expr)
            node.value = wrapped

    def passing(self, key: str, value: ast.expr, *, guarded: bool) -> ast.expr:
        """Write a call that returns its argument, after it was recorded."""
        hook: ast.expr = ast.Name(NAME, ast.Load())
        passing: ast.expr = ast.Attribute(hook, "pass_" + key, ast.Load())
        if guarded or self.plan.is_function:
            passing = _where_known(passing)
        call = _located(ast.Call(passing, [], []), value)
        call.args = [value]
        return call

    def _definition(self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if not self.plan.watch or self.plan.is_function or any(map(is_compiled_apart, node.decorator_list)):
            return
        node.body = self.block(node.body, _Place(in_function=True))

    def _inside(self, node: ast.stmt, place: _Place) -> None:
        """Go through the blocks of a compound statement; what it binds itself is recorded as its block begins."""
        outer = replace(place, depth=place.depth + _blocks(node))
        inner = replace(outer, in_loop=_loops(node, place), is_grid=place.is_grid and not isinstance(node, ast.While))
        bound: list[ast.stmt] = []
        if isinstance(node, ast.For | ast.AsyncFor):
            labels = (*place.labels, *(name.id for name in _names(node.target)))
            known: dict[str, object] = ChainMap(self._numbers, self.plan.namespace)  # type: ignore[arg-type,assignment]
            is_grid = place.is_grid and 0 < turns_of(node.iter, known) <= MOST_ROWS
            inner = replace(inner, labels=labels, is_grid=is_grid)
            bound = [*self._turns(node, inner), *self._calls([node.target], inner, turn=True)]
        elif isinstance(node, ast.With | ast.AsyncWith):
            bound = self._calls([item.optional_vars for item in node.items if item.optional_vars], inner)
        for name in ("body", "orelse", "finalbody"):
            if block := getattr(node, name, None):
                # The ``else`` of a loop is run once, after it.
                done = self.block(block, inner if name == "body" else outer)
                setattr(node, name, [*bound, *done] if name == "body" else done)
        for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
            part.body = self.block(part.body, outer)

    def _turns(self, node: ast.For | ast.AsyncFor, place: _Place) -> list[ast.stmt]:
        """Say that a turn of an innermost loop begins, whose variables may be settings that are tried."""
        if not self.plan.infer or self.plan.is_function or place.in_function or place.depth > DEEPEST:
            return []
        if not place.is_grid or not EPOCHS.isdisjoint(place.labels):
            return []
        if any(isinstance(one, ast.For | ast.AsyncFor | ast.While) for part in node.body for one in ast.walk(part)):
            return []
        first = next(iter(_names(node.target)), None)
        if first is None:
            return []
        # A variable that the turn makes no use of is no setting: it only counts.
        used = {one.id for part in node.body for one in ast.walk(part) if isinstance(one, ast.Name)}
        labels = tuple(label for label in place.labels if label in used)
        site = self.plan.loop(labels, bound_names(node.body))
        return [
            _recorded([(site.key, [_load(name, first) for name in labels or (first.id,)])]),
            _located(ast.Pass(), first),
        ]

    def _walruses(self, node: ast.stmt, place: _Place) -> None:
        """Wrap the walruses in a statement's own expressions."""
        inner = _Place(_loops(node, place) if isinstance(node, ast.While) else place.in_loop, place.in_function)
        wrap = _Walruses(self, inner).visit
        for name, value in ast.iter_fields(node):
            if isinstance(value, ast.expr):
                setattr(node, name, wrap(value) if _has_walrus(value) else value)
            elif isinstance(value, list):
                own = (ast.expr, ast.withitem)
                setattr(node, name, [wrap(one) if isinstance(one, own) and _has_walrus(one) else one for one in value])
        for case in getattr(node, "cases", ()):
            if case.guard is not None:
                case.guard = wrap(case.guard)

    def wants(self, name: str, place: _Place, *, literal: bool = False, turn: bool = False) -> bool:
        if place.depth > DEEPEST:
            return False
        # After its loop, a name that is bound again is one point more: the last one is the metric's value.
        again = name in self._looped and not place.in_function
        if not self.plan.wants(name, in_loop=place.in_loop or again, literal=literal, turn=turn):
            return False
        if place.in_loop:
            self._looped.add(name)
        self.plan.followed.add(name)
        return True

    def _calls(
        self, targets: Iterable[ast.expr], place: _Place, *, literal: bool = False, turn: bool = False
    ) -> list[ast.stmt]:
        names = [name for target in targets for name in _names(target)]
        wanted = [name for name in names if self.wants(name.id, place, literal=literal, turn=turn)]
        # Behind a `try` Python jumps without a line number, and could not say where Ctrl-C met it: hence the `pass`.
        return [_record(wanted, self.plan), _located(ast.Pass(), wanted[0])] if wanted else []


class _Walruses(ast.NodeTransformer):
    """Wraps each walrus whose value may be a point."""

    def __init__(self, instrumenter: _Instrumenter, place: _Place) -> None:
        self.instrumenter = instrumenter
        self.place = place

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        outer, self.place = self.place, _Place(in_function=True)
        self.generic_visit(node)
        self.place = outer
        return node

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        """Treat it like a function where the name may be gone: it may be consumed in a later cell."""
        outer, self.place = self.place, _Place(self.place.in_loop, in_function=True)
        self.generic_visit(node)
        self.place = outer
        return node

    def visit_NamedExpr(self, node: ast.NamedExpr) -> ast.AST:
        self.generic_visit(node)
        if not self.instrumenter.wants(node.target.id, self.place, literal=_is_literal(node.value)):
            return node
        key = self.instrumenter.plan.key(node.target.id)
        return self.instrumenter.passing(key, node, guarded=self.place.in_function)


class _Wrapper(ast.NodeTransformer):
    """Wraps the values that are told."""

    def __init__(self, sites: dict[int, Site], instrumenter: _Instrumenter) -> None:
        self.sites = sites
        self.instrumenter = instrumenter

    def visit(self, node: ast.AST) -> ast.AST:
        site = self.sites.get(id(node))
        if site is not None and isinstance(node, ast.expr):
            return self.instrumenter.passing(site.key, node, guarded=False)
        return self.generic_visit(node)


def _record(names: list[ast.Name], plan: Plan) -> ast.stmt:
    """Write the statement for all names that one assignment binds."""
    return _recorded([(plan.key(name.id), [name]) for name in names])


def _load(name: str, place: ast.Name) -> ast.Name:
    return ast.copy_location(ast.Name(name, ast.Load()), place)


def _recorded(names: list[tuple[str, list[ast.Name]]]) -> ast.stmt:
    """Write the statement that the module's docstring shows."""

    def hook(attribute: str, *args: ast.expr) -> ast.Call:
        return ast.Call(ast.Attribute(ast.Name(NAME, ast.Load()), attribute, ast.Load()), list(args), [])

    calls = [hook(key, *(ast.Name(one.id, ast.Load()) for one in bound)) for key, bound in names]
    quiet = ast.Tuple([ast.Name(error, ast.Load()) for error in ("NameError", "RecursionError")], ast.Load())
    handlers = [
        ast.ExceptHandler(quiet, None, [ast.Pass()]),
        ast.ExceptHandler(None, None, [ast.If(hook("escapes"), [ast.Raise(hook("escaped"), None)], [])]),
    ]
    body: list[ast.stmt] = [ast.If(call, [ast.Pass()], []) for call in calls]
    return _located(ast.Try(body=body, handlers=handlers, orelse=[], finalbody=[]), names[0][1][0])


def _where_known(passing: ast.expr) -> ast.expr:
    """Ask before calling, as an expression cannot catch: ``passing if NAME in builtins else lambda value: value``."""
    builtins = ast.Call(ast.Name("__import__", ast.Load()), [ast.Constant("builtins")], [])
    known = ast.Compare(ast.Constant(NAME), [ast.In()], [ast.Attribute(builtins, "__dict__", ast.Load())])
    only = ast.arguments(posonlyargs=[], args=[ast.arg("value")], kwonlyargs=[], kw_defaults=[], defaults=[])
    return ast.IfExp(known, passing, ast.Lambda(only, ast.Name("value", ast.Load())))


def _located(node: Node, place: ast.expr) -> Node:
    for part in ast.walk(node):
        ast.copy_location(part, place)
    return node


def _names(target: ast.expr) -> Iterable[ast.Name]:
    """List the names of a target, in the order in which they are bound."""
    if isinstance(target, ast.Name):
        yield target
    elif isinstance(target, ast.Starred):
        yield from _names(target.value)
    elif isinstance(target, ast.Tuple | ast.List):
        for part in target.elts:
            yield from _names(part)


def _loops(node: ast.stmt, place: _Place) -> bool:
    """Tell whether what is inside a statement is in a loop of the cell."""
    return place.in_loop or (isinstance(node, Loop) and not place.in_function)


def _blocks(node: ast.stmt) -> int:
    """Count the blocks that Python makes of a statement; of ``if`` and ``match`` it makes none."""
    if isinstance(node, ast.With | ast.AsyncWith):
        return len(node.items)
    return 3 if hasattr(node, "handlers") else int(isinstance(node, Loop))


def _has_walrus(node: ast.AST) -> bool:
    return any(isinstance(part, ast.NamedExpr) for part in ast.walk(node))


def _is_literal(value: ast.expr) -> bool:
    """Tell whether a value is written out: ``total = 0.0`` begins anew, and is no result."""
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def is_compiled_apart(decorator: ast.expr) -> bool:
    """Tell whether a decorator compiles the function itself: it would not understand what is put into it."""
    while isinstance(decorator, ast.Call):
        decorator = decorator.func
    name = decorator.attr if isinstance(decorator, ast.Attribute) else getattr(decorator, "id", "")
    return name in COMPILERS
