"""Gives the value that an expression had in a call, from what its names hold at the cell's end."""

from __future__ import annotations

import ast
import builtins
import types
from collections.abc import Mapping

from ..code.constants import UNKNOWN
from ..code.symbols import Attribute, Call, Const, DictDisplay, External, Free, Item, Local, Node, Op, Sequence
from ..values.inspection import MISSING, is_a
from ..values.kinds import is_scalar, kind_of
from .deciding import Cell
from .resolving import resolve


def recalled(expr: ast.expr, cell: Cell, nodes: Mapping[str, Local]) -> object:
    """Give the value that a name had in a call, from the value that it has at the cell's end."""
    if isinstance(expr, ast.Attribute):
        return constant(expr, cell)
    if not isinstance(expr, ast.Name):
        return UNKNOWN
    name, flow = expr.id, cell.flow
    node = nodes.get(name)
    if node is not None and isinstance(node.value, Const):
        return node.value.value
    same = name not in flow.bindings or (node is not None and flow.final.get(name) is node.value)
    once = len(flow.bindings.get(name, ())) == 1 and flow.bindings[name][0].kind == "assign" and name not in flow.reads
    if not (same or once):
        return UNKNOWN
    value = cell.namespace.get(name, MISSING)
    if value is MISSING:
        return vars(builtins).get(name, UNKNOWN)
    return value if is_scalar(value) else UNKNOWN


def constant(expr: ast.expr, cell: Cell) -> object:
    """Give the value of ``np.inf``, ``torch.float16`` or ``Mode.FAST``; what a variable holds is logged as its own."""
    names: list[str] = []
    while isinstance(expr, ast.Attribute):
        names.append(expr.attr)
        expr = expr.value
    if not isinstance(expr, ast.Name):
        return UNKNOWN
    node: Node = External(expr.id)
    root = resolve(node, cell.namespace)
    if not is_a(root, types.ModuleType, type) or kind_of(root) == "config":
        return UNKNOWN
    for name in reversed(names):
        node = Attribute(node, name)
    value = resolve(node, cell.namespace)
    return value if value is not MISSING and is_scalar(value) else UNKNOWN


def parts(node: Node) -> tuple[Node, ...]:
    """List the parts of an expression, the arguments of its calls among them."""
    match node:
        case Op(parts=inner) | Sequence(parts=inner):
            return inner
        case Item(base=base) | Attribute(base=base):
            return (base,)
        case DictDisplay(items=items):
            return tuple(value for _, value in items)
        case Call(args=args, keywords=keywords):
            return (*args, *(value for _, value in keywords))
    return ()


def is_variable(node: Node) -> bool:
    """Tell whether an argument is a variable, or an entry of one: it is logged under the variable's own name."""
    while isinstance(node, Attribute | Item):
        node = node.base
    return isinstance(node, Local | External | Free)
