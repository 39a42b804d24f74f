"""Finds the settings that a cell gives, in calls, to what it builds, trains or asks."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from ...vocabulary.records import Skipped
from ..code.calls import CallSite, last_name
from ..code.constants import UNKNOWN, is_plain, worked_out
from ..code.symbols import Call, DictDisplay, Local, Node, walk
from ..values.flatten import dotted, flatten
from ..values.inspection import MISSING, is_a
from ..values.kinds import is_scalar, is_short, kind_of
from ..values.secrets import secret_reason
from ..values.writing import text_of
from . import prompts
from .builders import Builder, builder_of, is_own
from .deciding import Cell
from .origins import Weight
from .recalling import constant, is_variable, parts, recalled
from .resolving import resolve
from .unlogged import is_drawing, is_file_or_prose, is_unlogged, takes_lists


@dataclass(frozen=True)
class Setting:
    """An argument or a default that is a setting.

    Attributes
    ----------
    name : str
        The parameter's, dotted for an entry of a dict.
    text : str or None
        The value, as a param is written; None where it is not known, or another one in each turn of a loop.
    callee : str
        What it was given to, in small letters.
    variable : str
        What that is bound to; empty where it is nothing.
    why : str
        ``"argument of Ridge"``, ``"default of train"``.
    is_layer : bool
        Whether it was given to one layer of many.
    is_silent : bool
        Whether it is not logged, a variable for example, but tells another call's from it.
    """

    name: str
    text: str | None
    callee: str
    variable: str
    why: str
    is_layer: bool = False
    is_silent: bool = False


@dataclass
class Found:
    """What the calls of a cell come to, in the making.

    Attributes
    ----------
    settings : list of Setting
        In the order of the calls.
    secrets : dict
        Parameters that were given a secret, each with the reason.
    prompts : set of str
        Variables that hold texts for a language model.
    """

    settings: list[Setting] = field(default_factory=list)
    secrets: dict[str, Skipped] = field(default_factory=dict)
    prompts: set[str] = field(default_factory=set)


def find(cell: Cell, reached: int | None, wanted: Collection[str]) -> Found:
    """Find the settings in a cell's calls.

    Parameters
    ----------
    cell : Cell
        The cell, and the variables at its end.
    reached : int or None
        First line of the statement in which it failed; None where it ran to its end.
    wanted : collection of str
        Parameters that the user asked for: they are settings whatever they are called.

    Returns
    -------
    Found
        In the order of the calls.
    """
    found = Found()
    for site in cell.flow.calls:
        # Whatever a type of somebody else's does when it is looked at: the other calls are read all the same.
        try:
            if _is_reached(site, cell, reached) and not any(map(is_drawing, site.within)):
                _Reading(site, cell, wanted, found).read()
        except Exception:  # noqa: BLE001
            continue
    return found


def _is_reached(site: CallSite, cell: Cell, reached: int | None) -> bool:
    known = cell.before.get(site.variable)
    held = cell.namespace.get(site.variable, MISSING)
    # Also where the cell failed further up, but in a later turn of a loop.
    renewed = held is not MISSING and (known is None or known.ident != id(held))
    if reached is not None and site.lineno > reached and not (site.in_loop and renewed):
        return False
    for test, wanted in site.conditions:
        answer = UNKNOWN if test is None else worked_out(test, lambda expr: recalled(expr, cell, {}))
        if is_plain(answer):
            if bool(answer) is not wanted:
                return False
        else:
            # Which way the cell went, only the result tells: an object of that very class.
            made = resolve(site.call.func, cell.namespace)
            if not is_a(made, type) or held is MISSING or type(held) is not made or not _is_alone(site, cell):
                return False
    return True


def _is_alone(site: CallSite, cell: Cell) -> bool:
    """Tell whether no other call of the same name gives its value to the same variable."""
    name = last_name(site.code.func)
    others = (one for one in cell.flow.calls if one is not site and one.variable == site.variable)
    return not any(last_name(one.code.func) == name for one in others)


class _Reading:
    """Reads one call.

    Parameters
    ----------
    site : CallSite
        The call.
    cell : Cell
        The cell it stands in.
    wanted : collection of str
        Parameters that the user asked for.
    found : Found
        Where to put what is found.
    """

    def __init__(self, site: CallSite, cell: Cell, wanted: Collection[str], found: Found) -> None:
        self.site = site
        self.cell = cell
        self.wanted = wanted
        self.found = found
        nodes = walk(site.call, parts)
        self.nodes = {node.name: node for node in nodes if isinstance(node, Local)}

    def read(self) -> None:
        """Put the call's settings where they belong."""
        request = prompts.request_name(self.site.code)
        if request:
            self._request(Builder(request, None))
            return
        builder = builder_of(self.site, self.cell.namespace)
        if builder is not None:
            given = set()
            for name, node, expr in self._arguments(builder):
                given.add(name)
                self._argument(name, node, expr, builder)
            self._defaults(builder, given)

    def _arguments(self, builder: Builder) -> Iterator[tuple[str, Node, ast.expr]]:
        """List the arguments whose parameters are known; an empty name stands for what is spread from elsewhere."""
        call, code = self.site.call, self.site.code
        positional = builder.signature.positional if builder.signature is not None else ()
        for place, (node, expr) in enumerate(zip(call.args, code.args, strict=True)):
            if isinstance(expr, ast.Starred):
                yield "", node, expr
                break
            if place < len(positional):
                yield positional[place], node, expr
        for (name, node), keyword in zip(call.keywords, code.keywords, strict=True):
            if name is not None:
                yield name, node, keyword.value
                continue
            inner = list(_entries(node, keyword.value))
            yield from inner or [("", node, keyword.value)]

    def _argument(self, name: str, node: Node, expr: ast.expr, builder: Builder) -> None:
        inner = list(_entries(node, expr))
        if inner:
            if not self._is_unlogged(name, builder):
                for key, part, written in inner:
                    self._argument(f"{name}.{key}", part, written, builder)
        elif name:
            given = self.cell.weigher.weigh(node) is Weight.INPUT
            value = worked_out(expr, lambda one: recalled(one, self.cell, self.nodes)) if given else UNKNOWN
            if value is UNKNOWN or (is_variable(node) and constant(expr, self.cell) is UNKNOWN):
                self._pass_over(name, value, builder)
            else:
                self._take(name, value, builder, f"argument of {builder.name}")

    def _pass_over(self, name: str, value: Any, builder: Builder) -> None:
        """Remember what is not logged under a parameter's name, since it may be what another call was not given."""
        if not self._is_unlogged(name, builder):
            self._put(name, text_of(value) if is_scalar(value) else None, builder, "", is_silent=True)

    def _defaults(self, builder: Builder, given: Collection[str]) -> None:
        """Take what a function of the notebook was not given, and so has by itself."""
        signature = builder.signature
        if signature is None or "" in given or not is_own(signature.function, self.cell.namespace):
            return
        for name, value in signature.defaults.items():
            if name in given or value is None:
                continue
            if kind_of(value) == "config":
                for leaf in flatten(value).leaves:
                    self._take(dotted(name, leaf.path), leaf.value, builder, f"default of {builder.name}")
            else:
                self._take(name, value, builder, f"default of {builder.name}")

    def _take(self, name: str, value: Any, builder: Builder, why: str) -> None:
        if value is UNKNOWN or not (is_scalar(value) or is_short(value)):
            return
        if self._is_unlogged(name, builder) or (not self._is_wanted(name) and _says_nothing(name, value, builder)):
            return
        if reason := secret_reason(name, value):
            self.found.secrets.setdefault(name, Skipped(name, reason))
            return
        self._put(name, text_of(value), builder, why)

    def _put(self, name: str, text: str | None, builder: Builder, why: str, *, is_silent: bool = False) -> None:
        callee = builder.name.partition(".")[0].lower()
        one = Setting(name, text, callee, self.site.variable, why, builder.is_layer, is_silent or text is None)
        self.found.settings.append(one)

    def _is_wanted(self, name: str) -> bool:
        return any(one == name or one.endswith(f".{name}") for one in self.wanted)

    def _is_unlogged(self, name: str, builder: Builder) -> bool:
        if self._is_wanted(name):
            return False
        # Of an entry each step counts: ``callbacks.patience``.
        return any(is_unlogged(step, own=builder.is_own) for step in name.split(".") if not step.isdigit())

    def _request(self, builder: Builder) -> None:
        """Read a request to a language model."""
        for name, node, expr in self._arguments(builder):
            if name in prompts.PROMPTS:
                self.found.prompts |= prompts.variables_of(expr)
                if not self.site.in_loop or self.cell.weigher.weigh(node) is Weight.INPUT:
                    for what, text in prompts.told_of(expr, self._variable):
                        self._put(f"{name}.{what}", text, builder, f"{what} of the prompt")
            elif name in prompts.SETTINGS:
                self._argument(name, node, expr, builder)

    def _variable(self, name: str) -> object:
        """Give what a variable of a prompt held in the request."""
        flow = self.cell.flow
        bound = flow.bindings.get(name, ())
        node = self.nodes.get(name)
        same = not bound or (node is not None and flow.final.get(name) is node.value)
        return self.cell.namespace.get(name, UNKNOWN) if same else UNKNOWN


def _entries(node: Node, expr: ast.expr) -> Iterator[tuple[str, Node, ast.expr]]:
    """List the entries of a dict that is written out in a call: ``{"lr": 0.1}``, ``dict(lr=0.1)``."""
    match node, expr:
        case DictDisplay(items=items), ast.Dict(keys=keys, values=values):
            for (_, part), key, value in zip(items, keys, values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str | int):
                    yield str(key.value), part, value
                elif key is None:
                    yield from _entries(part, value)
        case Call(keywords=nodes), ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords):
            for (name, part), keyword in zip(nodes, keywords, strict=True):
                if name is not None:
                    yield name, part, keyword.value


def _says_nothing(name: str, value: Any, builder: Builder) -> bool:
    """Tell whether a text or a list is no setting: the name of a file, prose, a list of columns or of data."""
    if is_a(value, str):
        return is_file_or_prose(str.__str__(value))
    for base in (list, tuple):
        if is_a(value, base):
            items: Any = base.__iter__(value)
            texts = any(is_a(item, str) for item in items)
            return builder.is_own and (texts or not takes_lists(name))
    return False
