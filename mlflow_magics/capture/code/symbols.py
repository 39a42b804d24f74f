"""What a value is built from: the small expression tree that `dataflow` draws and `origins` reads.

Nodes are compared by identity, and one node may hang in many places, so the tree of a long cell stays small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Key = str | int
"""A constant step into a dict, a sequence or a config object."""


class Node:
    """The root of all nodes."""


@dataclass(frozen=True, eq=False)
class Const(Node):
    """A literal.

    Attributes
    ----------
    value : object
        The literal's value.
    """

    value: object


@dataclass(frozen=True, eq=False)
class External(Node):
    """The value a name had when the cell began (or a builtin).

    Attributes
    ----------
    name : str
        The name.
    """

    name: str


@dataclass(frozen=True, eq=False)
class Local(Node):
    """A name that the cell bound, read later in the cell.

    Attributes
    ----------
    name : str
        The name.
    value : Node
        What the name was bound to at that point.
    """

    name: str
    value: Node


@dataclass(frozen=True, eq=False)
class Free(Node):
    """A name read inside a function: whatever it holds by the time of the call.

    Attributes
    ----------
    name : str
        The name.
    """

    name: str


@dataclass(frozen=True, eq=False)
class Opaque(Node):
    """A value of which nothing is known: an argument of a function, a context manager's target."""


@dataclass(frozen=True, eq=False)
class Definition(Node):
    """A function, class or module that the cell defines or imports.

    Attributes
    ----------
    what : {"function", "class", "import"}
        Which of them.
    module : str
        Of an import, the module's name; empty where it is the module that is imported.
    """

    what: Literal["function", "class", "import"]
    module: str = ""


@dataclass(frozen=True, eq=False)
class LoopVar(Node):
    """The target of a ``for``.

    Attributes
    ----------
    iterable : Node
        What is looped over.
    """

    iterable: Node


@dataclass(eq=False)
class Carried(Node):
    """The value that a name brings from one turn of a loop to the next.

    The one node that is completed later: the loop's body must be read before its end is known.

    Attributes
    ----------
    name : str
        The name.
    before : Node
        Its value before the loop.
    after : Node or None
        Its value at the end of the body.
    """

    name: str
    before: Node
    after: Node | None = None


@dataclass(frozen=True, eq=False)
class Op(Node):
    """A pure operation: its value is decided by its parts alone.

    Attributes
    ----------
    op : str
        ``"+"``, ``"-"``, ``"|"``, ``"each"`` (the items of an iterable), or another word that nothing asks for.
    parts : tuple of Node
        The operands.
    """

    op: str
    parts: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Call(Node):
    """A call.

    Attributes
    ----------
    func : Node
        What is called.
    args : tuple of Node
        Positional arguments.
    keywords : tuple of (str or None, Node)
        Keyword arguments; None for ``**mapping``.
    """

    func: Node
    args: tuple[Node, ...] = ()
    keywords: tuple[tuple[str | None, Node], ...] = ()


@dataclass(frozen=True, eq=False)
class Attribute(Node):
    """An attribute: ``base.attr``.

    Attributes
    ----------
    base : Node
        The object.
    attr : str
        The attribute's name.
    """

    base: Node
    attr: str


@dataclass(frozen=True, eq=False)
class Item(Node):
    """A subscript: ``base[key]``.

    Attributes
    ----------
    base, key : Node
        The container, and the subscript.
    """

    base: Node
    key: Node


@dataclass(frozen=True, eq=False)
class DictDisplay(Node):
    """A dict written out.

    Attributes
    ----------
    items : tuple of (Node or None, Node)
        Keys and values; a key of None is ``**value``.
    """

    items: tuple[tuple[Node | None, Node], ...]


@dataclass(frozen=True, eq=False)
class Sequence(Node):
    """A tuple, list or set written out.

    Attributes
    ----------
    parts : tuple of Node
        Its items.
    """

    parts: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Update(Node):
    """A container after one of its entries was set.

    Attributes
    ----------
    before : Node
        The container until then.
    path : tuple of (str or int), or None
        The steps to the entry; None where they are not constant.
    value : Node
        The entry's new value.
    """

    before: Node
    path: tuple[Key, ...] | None
    value: Node


@dataclass(frozen=True, eq=False)
class Join(Node):
    """One of several values, depending on how the cell ran.

    Attributes
    ----------
    parts : tuple of Node
        The candidates.
    """

    parts: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Guarded(Node):
    """A value that a loop binds only where a condition holds: ``if score > best: best_epoch = epoch``.

    Attributes
    ----------
    value : Node
        The value.
    tests : tuple of Node
        The conditions, outermost first.
    """

    value: Node
    tests: tuple[Node, ...]


def walk(node: Node, inside: Callable[[Node], Iterable[Node]]) -> Iterator[Node]:
    """Visit a node and what it leads to, each once: a tree of shared nodes has far more paths than nodes.

    Parameters
    ----------
    node : Node
        Where to begin.
    inside : callable
        The nodes that a node leads to.

    Yields
    ------
    Node
        `node` first.
    """
    todo, seen = [node], set[int]()
    while todo:
        one = todo.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            todo += inside(one)


def alternatives(node: Node) -> tuple[Node, ...]:
    """List the values that a join or a loop-carried name may stand for. Empty for a node that stands for itself."""
    match node:
        case Join(parts=parts):
            return parts
        case Carried(before=before, after=after):
            return (before,) if after is None else (before, after)
        case Guarded(value=value):
            return (value,)
    return ()


def may_be_unset(name: str, node: Node) -> bool:
    """Tell whether `name` may still hold what it held before the cell.

    True where some way through the cell binds nothing to the name.
    """

    def inside(one: Node) -> tuple[Node, ...]:
        return (one.before,) if isinstance(one, Update) else alternatives(one)

    return any(isinstance(one, External) and one.name == name for one in walk(node, inside))


def is_turn(node: Node) -> bool:
    """Tell whether a name holds a loop's target when the cell ends.

    True for the name itself, not for what was made of it.
    """
    return any(isinstance(one, LoopVar) for one in walk(node, alternatives))


def is_counter(name: str, node: Node, given: Callable[[Node], bool]) -> bool:
    """Tell whether a name only counts up or down in a loop.

    True for ``n += 1`` and the like, also where a result decides whether to count.
    """

    def names(one: Node) -> tuple[Node, ...]:
        return (one.value,) if isinstance(one, Local) else one.parts if isinstance(one, Join) else ()

    def is_self(part: Node) -> bool:
        return any(isinstance(one, Carried) and one.name == name for one in walk(part, names))

    counts = False
    for one in walk(node, alternatives):
        if isinstance(one, Op) and one.op in {"+", "-"} and any(map(is_self, one.parts)):
            if not all(is_self(part) or given(part) for part in one.parts):
                return False
            counts = True
        elif not alternatives(one) and not given(one):
            return False
    return counts
