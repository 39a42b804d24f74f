"""Says whether a value was given, changed in a loop, or computed, from the tree of `dataflow` and the namespace."""

from __future__ import annotations

import builtins
import copy
import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal

from ..code.dataflow import Dataflow
from ..code.expressions import constant_key
from ..code.symbols import (
    Attribute,
    Call,
    Carried,
    Const,
    Definition,
    DictDisplay,
    External,
    Free,
    Guarded,
    Item,
    Join,
    Key,
    Local,
    LoopVar,
    Node,
    Op,
    Sequence,
    Update,
)
from ..values.inspection import MISSING, bases_of, dict_of, is_a
from ..values.kinds import Kind, kind_of
from .known import (
    FOLDS,
    PLAIN_CLASSES,
    PROGRESS,
    PURE,
    PURE_ATTRIBUTES,
    PURE_METHODS,
    READER_METHODS,
    READERS,
    SETTING_ATTRIBUTES,
)
from .natures import (
    DRAWN_GRIDS,
    KEEPING,
    SIZES,
    counts,
    draws,
    finds_a_place,
    holds_settings,
    is_arithmetic,
    is_search,
)
from .resolving import (
    callable_name,
    field_order,
    is_foreign_reader,
    is_hashable_callable,
    made_kind,
    names_a_turn,
    reads_clock,
    reads_configuration,
    resolve,
)


class Weight(IntEnum):
    """How a value came to be; of several parts the heaviest decides."""

    INPUT = 0
    """Given: literals, settings, and what follows from them alone."""
    LOOP = 1
    """Given, and different in each turn of a loop."""
    SIZE = 2
    """A size of data: a shape, a length."""
    INDEX = 3
    """A place in data: ``argmax`` and its like."""
    DRAWN = 4
    """A number or a choice drawn at random, from what is given."""
    COMPUTED = 5
    """Anything else: from data, calls, attributes."""


@dataclass(frozen=True)
class Before:
    """What is remembered of a name's value as the cell begins.

    Attributes
    ----------
    kind : str
        See `values.Kind`.
    ident : int
        The object's `id`.
    scalar : object
        The object itself if it is a scalar, else `MISSING`: nothing big is kept alive.
    leaves : mapping
        For a configuration, its scalars by path.
    many : bool
        Whether it is a list, which may hold results.
    """

    kind: Kind
    ident: int
    scalar: object = MISSING
    leaves: Mapping[tuple[Key, ...], object] = field(default_factory=dict)
    many: bool = False


_Question = tuple[int, tuple[Key, ...]]
"""Of which node, and of which entry of it."""


class Weigher:
    """Weighs the nodes of one cell.

    Parameters
    ----------
    flow : Dataflow
        The cell.
    namespace : mapping
        The names at the end of the cell; read, never changed.
    before : mapping of str to Before
        The names at its beginning.
    """

    def __init__(self, flow: Dataflow, namespace: Mapping[str, object], before: Mapping[str, Before]) -> None:
        self.flow = flow
        self.namespace = namespace
        self.before = before
        self._memo: dict[_Question, Weight | None] = {}
        self._guesses: dict[_Question, Weight | None] = {}
        self._guessed: set[_Question] = set()
        self._busy: set[_Question] = set()
        self._carried: dict[int, Weight] = {id(one): Weight.LOOP for one in flow.carried}
        self._settle()

    def _settle(self) -> None:
        """Loop-carried values depend on one another: weigh until none grows heavier, which each can do five times."""
        changed = True
        while changed:
            changed = False
            self._memo.clear()
            for node in self.flow.order:  # in the code's order, so that a long cell makes no deep recursion
                self.weigh(node)
            for one in self.flow.carried:
                parts = [one.before] if one.after is None else [one.before, one.after]
                weight = max(self._carried[id(one)], *(self.weigh(part) for part in parts))
                changed = changed or weight > self._carried[id(one)]
                self._carried[id(one)] = weight

    def weigh(self, node: Node) -> Weight:
        """How a value came to be."""
        return self._stable(lambda: self._of(node)) or Weight.INPUT

    def _stable(self, ask: Callable[[], Weight | None]) -> Weight | None:
        """Ask again until every guess was right. A guess only grows heavier, so this ends."""
        while True:
            answer = ask()
            wrong = {
                q: self._memo.get(q) for q in self._guessed if _is_heavier(self._memo.get(q), self._guesses.get(q))
            }
            self._guessed.clear()
            if not wrong:
                return answer
            self._guesses |= wrong
            self._memo.clear()

    def _answer(self, question: _Question, find: Callable[[], Weight | None]) -> Weight | None:
        """Answer once; a question that leads back to itself (a loop's container) is answered by a guess."""
        if question in self._memo:
            return self._memo[question]
        if question in self._busy:
            self._guessed.add(question)
            return self._guesses.get(question)
        self._busy.add(question)
        try:
            self._memo[question] = find()
        except RecursionError:  # thousands of statements, each on the last one's result
            self._memo[question] = Weight.COMPUTED
        finally:
            self._busy.discard(question)
        return self._memo[question]

    def _of(self, node: Node) -> Weight:
        return self._answer((id(node), ()), lambda: self._weigh(node)) or Weight.INPUT

    def _all(self, *nodes: Node) -> Weight:
        return max(map(self._of, nodes), default=Weight.INPUT)

    def _weigh(self, node: Node) -> Weight:
        match node:
            case Const():
                return Weight.INPUT
            case External(name=name):
                return self._external(name)
            case Local(name=name, value=value):
                return self._held(name, value)
            case Free(name=name):
                return self._held(name, self.flow.final[name]) if name in self.flow.final else self._external(name)
            case LoopVar(iterable=iterable):
                return max(Weight.LOOP, self._of(iterable))
            case Carried():
                return self._carried.get(id(node), Weight.LOOP)
            case Guarded(value=value, tests=tests):
                return self._guarded(self._of(value), tests)
            case Op(op="each", parts=(External(name=name),)) if self._is_list(name):
                return Weight.COMPUTED
            case Op(op="comprehension", parts=parts) if self._lists_sizes(parts):
                return Weight.SIZE
            case Op(op=op, parts=parts):
                return self._mixed(op, parts)
            case Join(parts=parts) | Sequence(parts=parts):
                return self._all(*parts)
            case DictDisplay(items=items):
                return self._all(*(part for pair in items for part in pair if part is not None))
            case Update(before=before, value=value):
                return self._all(before, value)
            case Item(base=base, key=key):
                return self._item(base, key)
            case Attribute():
                return self._attribute(node)
            case Call():
                return self._call(node)
        return Weight.COMPUTED

    def _guarded(self, weight: Weight, tests: tuple[Node, ...]) -> Weight:
        """Take the turn that a result picked (the best epoch) for a result; a literal stays given."""
        return Weight.COMPUTED if weight is Weight.LOOP and self._all(*tests) > Weight.LOOP else weight

    def _held(self, name: str, node: Node) -> Weight:
        """Weigh what a name holds: an array that was drawn is data, a constant that was imported is given."""
        weight = self._of(node)
        is_import = isinstance(node, Definition) and node.what == "import"
        if weight is not Weight.DRAWN and not is_import:
            return weight
        held = self.namespace.get(name, MISSING)
        kind = "data" if held is MISSING else kind_of(held)
        if is_import:
            return Weight.INPUT if kind in {"scalar", "config", "short"} else Weight.COMPUTED
        return Weight.COMPUTED if kind == "data" and held is not MISSING else weight

    def _mixed(self, op: str, parts: tuple[Node, ...]) -> Weight:
        """Weigh an operation: a share is no size, a place that is scaled no place, what draws add up to no setting."""
        weights = [self._of(part) for part in parts]
        weight = max(weights, default=Weight.INPUT)
        if (
            (weight is Weight.SIZE and op == "/" and weights.count(Weight.SIZE) > 1)
            or (weight is Weight.INDEX and len(parts) > 1 and op not in {"+", "-"})
            or (weight is Weight.DRAWN and (Weight.LOOP in weights or any(map(_is_carried, parts))))
        ):
            return Weight.COMPUTED
        return weight

    def _lists_sizes(self, parts: tuple[Node, ...]) -> bool:
        """Tell whether a comprehension's items are sizes, whatever it goes through."""
        items = [part for part in parts if not (isinstance(part, Op) and part.op == "each")]
        return bool(items) and all(self._of(item) is Weight.SIZE for item in items)

    def _is_list(self, name: str) -> bool:
        return name in self.before and self.before[name].many

    def _external(self, name: str) -> Weight:
        """Weigh a name from outside: a setting, by its value, is given; one that never existed weighs nothing."""
        if name not in self.before:
            return Weight.COMPUTED if name in vars(builtins) else Weight.INPUT
        return Weight.INPUT if self.before[name].kind in {"scalar", "config", "short"} else Weight.COMPUTED

    def _item(self, base: Node, key: Node) -> Weight:
        if self._resolve(base) is os.environ:
            return Weight.INPUT
        step = constant_key(key)
        if step is not None:
            return self._entry(base, (step,))
        # What a result picked is a result: ``ks[scores.argmax()]``.
        return Weight.COMPUTED if self._of(key) is Weight.INDEX else self._all(base, key)

    def _attribute(self, node: Attribute) -> Weight:
        held = self._resolve(node)
        if held is not MISSING:
            return Weight.INPUT if kind_of(held) in {"scalar", "config", "short"} else Weight.COMPUTED
        if node.attr in SETTING_ATTRIBUTES or (node.attr == "__name__" and not names_a_turn(node.base)):
            return Weight.INPUT
        if holds_settings(node, self.namespace):
            return Weight.INPUT
        if self._kind(node.base) == "config":
            return self._entry(node.base, (node.attr,))
        if node.attr in SIZES:
            return Weight.SIZE
        if node.attr == "best_index_":
            return Weight.INDEX
        if node.attr in PURE_ATTRIBUTES and self._kind(node.base) in {"scalar", "short", "unknown"}:
            return self._of(node.base)
        return Weight.COMPUTED

    def _kind(self, node: Node) -> Kind | Literal["unknown"]:
        """Tell what kind of value a node has, as far as the namespace or the code says."""
        match node:
            case Local(name=name) | Free(name=name):
                held = self.namespace.get(name, MISSING)
                return "unknown" if held is MISSING else kind_of(held)
            case External(name=name):
                return self.before[name].kind if name in self.before else "unknown"
            case Call(func=func):
                return self._made_kind(func)
            case Attribute():
                held = self._resolve(node)
                return "unknown" if held is MISSING else kind_of(held)
            case Update(before=before):
                return self._kind(before)
        return "unknown"

    def _made_kind(self, func: Node) -> Kind | Literal["unknown"]:
        if isinstance(func, Attribute) and func.attr in READER_METHODS:
            return "config"
        if isinstance(func, Attribute) and func.attr in PURE_METHODS:
            return self._kind(func.base)
        made = self._resolve(func)
        if is_a(made, type):
            return made_kind(made)
        return "unknown" if is_hashable_callable(made) and made in PURE | READERS else "object"

    def _resolve(self, node: Node) -> Any:
        return resolve(node, self.namespace)

    def _call(self, node: Call) -> Weight:
        func = node.func
        if reads_clock(func, self.namespace):
            return Weight.COMPUTED
        args = self._all(*node.args, *(value for _, value in node.keywords))
        nature = self._nature(node, args)
        if nature is not None:
            return nature
        if isinstance(func, Attribute):
            if func.attr in READER_METHODS or self._resolve(func.base) is os.environ:
                return Weight.INPUT
            owner = self._resolve(func.base)
            if is_a(owner, type):
                return self._class_method(owner, func, args)
        made = self._resolve(func)
        if made is not MISSING:
            return self._known_call(made, node, args)
        if isinstance(func, Attribute) and func.attr in PURE_METHODS:
            plain = self._kind(func.base) in {"scalar", "config", "short", "data", "unknown"}
            weight = max(self._of(func.base), args) if plain else Weight.COMPUTED
            return Weight.INDEX if func.attr == "index" and weight > Weight.LOOP else weight
        return Weight.COMPUTED

    def _nature(self, node: Call, args: Weight) -> Weight | None:
        """Weigh a call that draws, counts, finds a place, or only reckons on with such a number; else None."""
        func = node.func
        if draws(func, self.namespace):
            return max(args, Weight.DRAWN)
        if finds_a_place(func):
            return Weight.INDEX
        if counts(func, self.namespace):
            return Weight.SIZE
        kept = Weight.INPUT
        if is_arithmetic(func, self.namespace):
            kept = self._mixed("", node.args) if args is Weight.DRAWN else args
        elif isinstance(func, Attribute) and func.attr in KEEPING:
            kept = self._of(func.base)
        return kept if kept in {Weight.SIZE, Weight.INDEX, Weight.DRAWN} else None

    def _class_method(self, owner: type, func: Attribute, args: Weight) -> Weight:
        """``Path.home()``, ``dict.fromkeys("ab")``, ``OmegaConf.load(path)``; or a class inside a class."""
        if reads_configuration(owner, func.attr):
            return Weight.INPUT
        if is_hashable_callable(owner) and owner in PLAIN_CLASSES and func.attr in PURE_METHODS:
            return args
        return args if is_a(self._resolve(func), type) else Weight.COMPUTED

    def _known_call(self, made: Any, node: Call, args: Weight) -> Weight:
        if isinstance(node.func, External) and node.func.name == "input" and "input" not in self.namespace:
            return Weight.INPUT  # told by name: IPython's kernel puts a function of its own in the builtin's place
        if is_hashable_callable(made):
            if made in READERS or is_foreign_reader(made) or is_search(made):
                return Weight.INPUT
            if made is len:
                return Weight.SIZE if args > Weight.LOOP else args
            if made in {max, min} and self._picks_a_place(node):
                return Weight.INDEX
            if made in PURE:
                return Weight.COMPUTED if made in FOLDS and self._folds_results(node, args) else args
            if callable_name(made) in PROGRESS:
                return args
            if callable_name(made) in DRAWN_GRIDS:
                return max(args, Weight.DRAWN)
        return args if is_a(made, type) else Weight.COMPUTED

    def _picks_a_place(self, node: Call) -> bool:
        """``max(range(len(scores)), key=scores.__getitem__)``."""
        over = node.args[0] if len(node.args) == 1 else None
        ranges = isinstance(over, Call) and self._resolve(over.func) is range
        return ranges and any(name == "key" for name, _ in node.keywords)

    def _folds_results(self, node: Call, args: Weight) -> bool:
        if args is Weight.DRAWN and (len(node.args) == 1 or any(map(_is_carried, node.args))):
            return True
        if len(node.args) != 1:
            return False
        match node.args[0]:
            case External(name=name) | Free(name=name):
                return self._is_list(name)
            case Local(value=Sequence(parts=())):
                return True
        return False

    def entry(self, node: Node, path: tuple[Key, ...]) -> Weight:
        """How one entry of a container came to be."""
        return self._stable(lambda: self._entry(node, path)) or Weight.INPUT

    def _entry(self, node: Node, path: tuple[Key, ...]) -> Weight:
        found = self._find(node, path)
        return Weight.COMPUTED if found is None else found

    def _find(self, node: Node, path: tuple[Key, ...]) -> Weight | None:
        """Weigh an entry; None where the container, as far as the code shows, has none of that name."""
        if not path:
            return self._of(node)
        while isinstance(node, Update) and node.path is not None and not _overlap(node.path, path):
            node = node.before  # an update of something else; step over it, there may be thousands
        return self._answer((id(node), path), lambda: self._find_in(node, path))

    def _heaviest(self, nodes: tuple[Node, ...], path: tuple[Key, ...]) -> Weight | None:
        found = [weight for weight in (self._find(node, path) for node in nodes) if weight is not None]
        return max(found, default=None)

    def _find_in(self, node: Node, path: tuple[Key, ...]) -> Weight | None:
        match node:
            case Local(value=value):
                return self._find(value, path)
            case Join(parts=parts):
                return self._heaviest(parts, path)
            case Carried(before=before, after=after):
                return self._heaviest((before,) if after is None else (before, after), path)
            case Guarded(value=value, tests=tests):
                found = self._find(value, path)
                return None if found is None else self._guarded(found, tests)
            case Update():
                return self._find_updated(node, path)
            case DictDisplay(items=items):
                return self._find_displayed(items, path)
            case Sequence(parts=parts):
                return self._find_part(parts, path)
            case Op(op="|", parts=parts):
                return next((f for f in (self._find(p, path) for p in reversed(parts)) if f is not None), None)
            case External(name=name):
                return self._external_entry(name, path)
            case Item(base=base, key=key) if (step := constant_key(key)) is not None:
                return self._find(base, (step, *path))
            case Call():
                return self._find_argument(node, path)
        return self._of(node)

    def _external_entry(self, name: str, path: tuple[Key, ...]) -> Weight | None:
        known = self.before.get(name)
        if known is None:
            return None
        if known.leaves and path not in known.leaves and not any(p[: len(path)] == path for p in known.leaves):
            return None
        return self._external(name)

    def _find_updated(self, node: Update, path: tuple[Key, ...]) -> Weight | None:
        if node.path is None:
            earlier = self._find(node.before, path)
            return self._of(node.value) if earlier is None else max(earlier, self._of(node.value))
        if path[: len(node.path)] == node.path:
            return self._find(node.value, path[len(node.path) :])
        if node.path[: len(path)] == path:  # a container, asked for as a whole
            earlier = self._find(node.before, path)
            return max(earlier or Weight.INPUT, self._of(node.value))
        return self._find(node.before, path)

    def _find_displayed(self, items: tuple[tuple[Node | None, Node], ...], path: tuple[Key, ...]) -> Weight | None:
        for key, value in reversed(items):
            if key is None:
                inside = self._find(value, path)
                if inside is not None:
                    return inside
                continue
            step = constant_key(key)
            if step == path[0]:
                return self._find(value, path[1:])
            if step is None:
                return self._all(*(part for pair in items for part in pair if part is not None))
        return None

    def _find_part(self, parts: tuple[Node, ...], path: tuple[Key, ...]) -> Weight | None:
        step = path[0]
        if not parts or not isinstance(step, int):
            return None
        plain = not any(isinstance(part, Op) and part.op == "*" for part in parts)
        if plain and -len(parts) <= step < len(parts):
            return self._find(parts[step], path[1:])
        return self._all(*parts)

    def _find_argument(self, node: Call, path: tuple[Key, ...]) -> Weight | None:
        """``Config(lr=0.1, n=len(X))`` and ``dict(lr=0.1)``: each field is what was passed for it."""
        made = self._resolve(node.func)
        if any(made is same for same in (copy.copy, copy.deepcopy, vars, dict)) and node.args and not node.keywords:
            return self._find(node.args[0], path)
        if isinstance(node.func, Attribute) and node.func.attr in {"copy", "__copy__"} and not node.args:
            return self._find(node.func.base, path)
        if not is_a(made, type) and made is not dataclasses.replace:
            return self._of(node)
        for name, value in reversed(node.keywords):
            if name == path[0]:
                return self._find(value, path[1:])
        fields = field_order(made) if is_a(made, type) else []
        step = path[0]
        if isinstance(step, int) and is_a(made, type) and tuple in bases_of(made) and 0 <= step < len(fields):
            step = fields[step]
        place = fields.index(step) if step in fields else len(node.args)
        starred = any(isinstance(arg, Op) and arg.op == "*" for arg in node.args)
        if place < len(node.args) and not starred:
            return self._find(node.args[place], path[1:])
        spread = [value for name, value in node.keywords if name is None]
        if step in fields and not spread and not starred:
            return next((self._of(value) for name, value in node.keywords if name == step), Weight.INPUT)
        if step not in fields and is_a(made, type) and any(step in dict_of(cls) for cls in bases_of(made)):
            return Weight.INPUT  # an attribute of the class
        # What a class makes of its arguments by itself; where the code does not show which it takes, of those spread.
        return self._all(*node.args, *((value for _, value in node.keywords) if fields else spread))


def _is_carried(node: Node) -> bool:
    """Tell whether a value is the one that the last turn of a loop left."""
    while isinstance(node, Local):
        node = node.value
    return isinstance(node, Carried)


def _is_heavier(weight: Weight | None, other: Weight | None) -> bool:
    return weight is not None and (other is None or weight > other)


def _overlap(one: tuple[Key, ...], other: tuple[Key, ...]) -> bool:
    return one[: len(other)] == other[: len(one)]
