"""Keeps the names of a cell while it is read: those of the cell itself, its functions, classes and comprehensions."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Literal

from .symbols import Call, Carried, External, Free, Guarded, Join, Local, Node, Opaque, may_be_unset
from .telling import Told, ToldValue

BindingKind = Literal["assign", "update", "loop", "import", "function", "class"]
"""How a name came by its value; ``"update"`` where only an entry of it was set."""

ScopeKind = Literal["cell", "function", "class", "comprehension"]

HIDDEN = frozenset({"get_ipython", "__builtins__", "__name__", "__file__", "__doc__"})
"""Names that IPython or Python put there; no cell is about them."""


@dataclass(frozen=True)
class Binding:
    """One place where the cell gives a name a value.

    Attributes
    ----------
    lineno : int
        First line of the top-level statement.
    in_loop, conditional : bool
        Whether it lies in a loop, or in a branch that may not run.
    kind : {"assign", "update", "loop", "import", "function", "class"}
        How.
    value : Node
        What the name is bound to.
    """

    lineno: int
    in_loop: bool
    conditional: bool
    kind: BindingKind
    value: Node


@dataclass(frozen=True, eq=False)
class Noted:
    """A call as it is met.

    Attributes
    ----------
    code : ast.Call
        As it is written.
    call : Call
        What is called, and with what.
    lineno : int
        First line of the top-level statement.
    in_loop : bool
        Whether it lies in a loop or a comprehension.
    """

    code: ast.Call
    call: Call
    lineno: int
    in_loop: bool


@dataclass
class Facts:
    """What is found while a cell is read, in the making.

    Attributes
    ----------
    mentions : dict
        Name to its first (line, column).
    bindings : dict
        Name to its bindings, in order.
    reads, free : dict
        Names read from outside the cell, names read inside functions; to the line of the top-level statement.
    differences : list
        The two sides of every subtraction: a clock reading is told from a duration by them.
    carried : list
        Every loop-carried value.
    order : list
        Every value bound, in the order of the code.
    calls : list
        Every call that the cell makes itself.
    model_calls : list
        Calls that say something of models and their inputs: (receiver's name, method, argument names).
    telling : dict
        Expressions about to be read whose values the cell tells, by their ids.
    told : list
        Every value that the cell tells outside functions.
    top : int
        First line of the top-level statement being read.
    loops, branches : int
        How many loops and branches lie around the statement being read.
    tests : list
        The conditions, inside loops, under which the statement being read is run.
    """

    mentions: dict[str, tuple[int, int]] = field(default_factory=dict)
    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    reads: dict[str, int] = field(default_factory=dict)
    free: dict[str, int] = field(default_factory=dict)
    differences: list[tuple[Node, Node]] = field(default_factory=list)
    carried: list[Carried] = field(default_factory=list)
    order: list[Node] = field(default_factory=list)
    calls: list[Noted] = field(default_factory=list)
    model_calls: list[tuple[str, str, tuple[str, str]]] = field(default_factory=list)
    telling: dict[int, Told] = field(default_factory=dict)
    told: list[ToldValue] = field(default_factory=list)
    top: int = 1
    loops: int = 0
    branches: int = 0
    tests: list[Node] = field(default_factory=list)

    def guarded(self, value: Node) -> Node:
        """Give a value as it is bound here, under the conditions of this place in a loop."""
        return Guarded(value, tuple(self.tests)) if self.tests else value

    def mention(self, name: str, where: tuple[int, int]) -> None:
        """Remember where a name is first met."""
        if name not in HIDDEN:
            self.mentions[name] = min(where, self.mentions.get(name, where))


class Scope:
    """A set of names and what they hold.

    Parameters
    ----------
    facts : Facts
        Shared by all scopes of a cell.
    kind : {"cell", "function", "class", "comprehension"}
        Whose names these are.
    parent : Scope, optional
        The scope around it.
    local : frozenset of str, optional
        For a function, every name it binds.
    """

    def __init__(
        self, facts: Facts, kind: ScopeKind = "cell", parent: Scope | None = None, local: frozenset[str] = frozenset()
    ) -> None:
        self.facts = facts
        self.kind = kind
        self.parent = parent
        self.local = local
        self.env: dict[str, Node] = {}
        self.globals: set[str] = set()

    @property
    def cell(self) -> Scope:
        """The outermost scope."""
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope

    @property
    def in_function(self) -> bool:
        """Tell whether this code runs only when some function is called."""
        scope: Scope | None = self
        while scope is not None:
            if scope.kind == "function":
                return True
            scope = scope.parent
        return False

    def note_call(self, code: ast.Call, call: Call) -> None:
        """Remember a call that the cell makes itself: not one that a function or the body of a class makes."""
        scope, in_loop = self, self.facts.loops > 0
        while scope.parent is not None and scope.kind == "comprehension":
            scope, in_loop = scope.parent, True
        if scope.kind == "cell":
            self.facts.calls.append(Noted(code, call, self.facts.top, in_loop))

    def load(self, name: str, where: tuple[int, int]) -> Node:
        """Tell what a name holds here; a name from outside the cell is noted as read."""
        owner = self._owner(name)
        if owner.kind != "cell":
            return owner.env.get(name) or Opaque()
        facts = self.facts
        facts.mention(name, where)
        if self.in_function:
            facts.free.setdefault(name, facts.top)
            return Free(name)
        if name in owner.env:
            value = owner.env[name]
            if may_be_unset(name, value):
                facts.reads.setdefault(name, facts.top)
            return value if isinstance(value, External) else Local(name, value)
        facts.reads.setdefault(name, facts.top)
        return External(name)

    def peek(self, name: str) -> Node:
        """Tell what a name holds here, without counting as a read."""
        owner = self._owner(name)
        if owner.kind != "cell":
            return owner.env.get(name) or Opaque()
        return owner.env.get(name) or External(name)

    def bind(self, name: str, value: Node, kind: BindingKind, where: tuple[int, int]) -> None:
        """Give a name a value."""
        owner = self._owner(name) if kind == "update" else self._binder(name)
        if owner.kind != "cell":
            owner.env[name] = value
            return
        if self.in_function:
            # Whether and when the function is called is not known, so the name may hold either.
            value = Join((owner.env.get(name) or External(name), value))
        owner.env[name] = value
        facts = self.facts
        facts.order.append(value)
        facts.mention(name, where)
        conditional = facts.branches > 0 or self.in_function
        facts.bindings.setdefault(name, []).append(Binding(facts.top, facts.loops > 0, conditional, kind, value))

    def _binder(self, name: str) -> Scope:
        """Find the scope that an assignment here writes to."""
        scope = self
        while scope.kind == "comprehension" and scope.parent is not None and name not in scope.local:
            scope = scope.parent
        return self.cell if name in scope.globals else scope

    def _owner(self, name: str) -> Scope:
        """Find the scope that a read here finds the name in."""
        scope: Scope = self
        first = True
        while scope.parent is not None:
            if name in scope.globals:
                return self.cell
            # Python's rule: the names of a class are seen by its body only, not by its methods.
            visible = scope.kind != "class" or first
            if visible and (name in scope.env or name in scope.local):
                return scope
            first = first and scope.kind == "comprehension"
            scope = scope.parent
        return scope
