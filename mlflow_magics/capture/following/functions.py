"""Follows what the notebook's own functions assign in loops and print, while a run is open.

Each function that the cell can reach gets, until the run ends, code compiled from its own source with calls of the
recorders in it. Its object, name, defaults, line numbers and closure stay. Functions of modules are left alone.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import CodeType, FunctionType
from typing import Any

from ..code.syntax import statements
from ..code.written import Definition, first_line, written
from ..roles.told import result_name
from . import hook
from .instrument import instrument_function, is_compiled_apart
from .judging import FunctionJudge
from .owned import reached
from .plan import Plan


@dataclass
class _Body:
    """One function in the source: that which is followed, or one defined inside it."""

    plan: Plan
    judge: FunctionJudge
    name: str


@dataclass
class _Followed:
    """A function whose code was exchanged."""

    function: FunctionType
    own: CodeType
    given: CodeType
    bodies: list[_Body] = field(default_factory=list)


class Functions:
    """The functions of the notebook that one run follows.

    Parameters
    ----------
    plan : Plan
        That of the run's cell.
    namespace : dict
        The notebook's variables: a function is its own if these are its globals.
    follow : callable
        Told of each plan that was found, with its judge, its names' metrics, its code, and what gives it up.
    taken : iterable of str
        Names that the cell itself uses: a function's own of the same name gets the function's before it.
    handed : collection of str
        Functions that a search or a comprehension calls again and again: what they return is told, too.
    """

    def __init__(
        self,
        plan: Plan,
        namespace: Mapping[str, object],
        follow: Callable[[Plan, FunctionJudge, Mapping[str, str], CodeType, Callable[[], None]], None],
        *,
        taken: Iterable[str],
        handed: Collection[str] = (),
    ) -> None:
        self.plan = plan
        self.namespace = namespace
        self._follow = follow
        self._taken = set(taken)
        self._handed = handed
        self._seen: dict[int, FunctionType] = {}
        self._followed: list[_Followed] = []

    def enter(self, names: Iterable[str]) -> None:
        """Follow the functions that a piece of code reaches by these names, and those that they reach."""
        self.enter_values(self.namespace[name] for name in names if name in self.namespace)

    def enter_values(self, values: Iterable[object]) -> None:
        """Follow the functions behind objects, and those that they reach."""
        for function in reached(values, self.namespace, self._seen):
            self._exchange(function)

    def defined(self, value: object) -> None:
        """Follow a function or class that the cell has just defined."""
        self.enter_values([value])

    def leave(self) -> None:
        """Give every function its own code back."""
        hook.drop_recorder(self.plan.defined)
        for one in self._followed:
            _give_back(one)
        self._followed.clear()

    def _exchange(self, function: FunctionType) -> None:
        name = function.__code__.co_name
        returns = result_name(name, function) if name in self._handed else ""
        found = _instrumented(function, self.plan, self.namespace, returns)
        if found is None:
            return
        self._followed.append(found)
        for body in found.bodies:
            own = {*body.plan.followed, *(site.name for site in body.plan.sites)}
            twice = {name: f"{body.name}.{name}" for name in own & self._taken if name not in self.plan.watch}
            self._taken |= own
            self._follow(body.plan, body.judge, twice, found.given, partial(_give_back, found))
        hook.install()
        function.__code__ = found.given


def _give_back(one: _Followed) -> None:
    """Give a function its own code back, unless somebody else has given it another meanwhile."""
    if one.function.__code__ is one.given:
        one.function.__code__ = one.own


def _instrumented(
    function: FunctionType, plan: Plan, namespace: Mapping[str, object], returns: str
) -> _Followed | None:
    """Compile a function's source with the recorders' calls in it; None where there is nothing to follow."""
    own = function.__code__
    source = written(own)
    if source is None:
        return None
    tree, definition = source
    try:
        bodies = list(_bodies(definition, plan, own.co_filename, namespace, returns))
        if not any(body.plan.followed or body.plan.sites for body in bodies):
            return None
        given = _code_in(_compiled(tree, own), own)
    except (SyntaxError, ValueError, RecursionError):
        return None
    return _Followed(function, own, given, bodies) if given is not None else None


def _bodies(
    node: Definition, plan: Plan, filename: str, namespace: Mapping[str, object], returns: str = ""
) -> Iterator[_Body]:
    """Put the calls into a function, and into those defined inside it."""
    if any(map(is_compiled_apart, node.decorator_list)):
        return
    inner = [one for one in statements(node.body) if isinstance(one, Definition)]
    arguments = frozenset(one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg))
    clean = copy.deepcopy(node.body)
    own = Plan(plan.watch, plan.metrics, plan.leave, plan.infer, is_function=True, returns=returns)
    judge = FunctionJudge(clean, arguments, (filename, node.name, first_line(node)), namespace, own.collected)
    instrument_function(node, own)
    yield _Body(own, judge, node.name)
    for one in inner:
        yield from _bodies(one, plan, filename, namespace)


def _compiled(tree: ast.Module, like: CodeType) -> CodeType:
    futures = like.co_flags & _FUTURES
    made: Any = compile(tree, like.co_filename, "exec", futures | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    assert isinstance(made, CodeType)
    return made


_FUTURES = sum(getattr(__import__("__future__"), name).compiler_flag for name in ("annotations", "barry_as_FLUFL"))


def _code_in(whole: CodeType, like: CodeType) -> CodeType | None:
    """Find a function's code in that of its cell; None where it is not the same function any more."""
    for constant in whole.co_consts:
        if type(constant) is not CodeType:
            continue
        if constant.co_name == like.co_name and constant.co_firstlineno == like.co_firstlineno:
            same = ("co_freevars", "co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_flags")
            return constant if all(getattr(constant, one) == getattr(like, one) for one in same) else None
        if (found := _code_in(constant, like)) is not None:
            return found
    return None
