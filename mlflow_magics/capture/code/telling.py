"""Finds the numbers that code tells: printed or logged with a label, or shown as the last value. Reads code only.

``print(f"RMSE {rmse(y, p):.3f}")`` tells the value of ``rmse(y, p)`` under the name RMSE.
"""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .labels import label_of
from .symbols import Node
from .syntax import where

PRINTERS = frozenset({"print", "pprint", "rprint", "display"})
"""Functions that show their arguments."""

_METHODS = frozenset({"print", "log", "info", "debug", "warning", "error", "critical", "write"})
_SPEAKERS = frozenset({"logging", "logger", "log", "_logger", "LOGGER", "console", "tqdm", "rich"})
_SPREAD = re.compile(r"^[\s(]*(?:±|\+/?-)[\s(]*$")


@dataclass(frozen=True, eq=False)
class Told:
    """A value that is told.

    Attributes
    ----------
    name : str
        What its label, or else its expression, calls it.
    expr : ast.expr
        What is told; without the rounding around it.
    how : {"printed", "shown", "appended", "returned"}
        By a call that prints or logs text, as the last value, put behind others into a list, or returned by a function
        of the notebook to nobody.
    """

    name: str
    expr: ast.expr
    how: Literal["printed", "shown", "appended", "returned"] = "printed"

    @property
    def place(self) -> tuple[int, int]:
        """The line and column of the value's code."""
        return where(self.expr)


@dataclass(frozen=True, eq=False)
class ToldValue:
    """A value that the cell tells, and what it is built from.

    Attributes
    ----------
    told : Told
        Under which name.
    node : Node
        What the value is built from.
    lineno : int
        First line of the top-level statement.
    in_loop : bool
        Whether it is told again and again.
    """

    told: Told
    node: Node
    lineno: int
    in_loop: bool


def told_by(node: ast.expr) -> list[Told]:
    """List what an expression statement tells, if it prints or logs. Values without a name are left out."""
    if not isinstance(node, ast.Call) or not _prints(node.func) or any(one.arg == "file" for one in node.keywords):
        return []
    pieces = list(_of_arguments(node))
    values = [piece for piece in pieces if not isinstance(piece, str)]
    has_words = any(isinstance(piece, str) and re.search(r"[^\W\d_]", piece) for piece in pieces)
    found, text, label = [], "", ""
    for piece in pieces:
        if isinstance(piece, str):
            text += piece
            continue
        value = without_rounding(piece)
        before, label = label, label_of(text)
        if not label and before and _SPREAD.match(text):
            label = before + "_std"
        if not label and not has_words and len(values) == 1:
            label = name_of(value)
        if label and not isinstance(value, ast.Constant):
            found.append(Told(label, value))
        text = ""
    return found


def appended_by(node: ast.expr) -> list[Told]:
    """List what ``history["loss"].append(value)`` puts behind the others."""
    match node:
        case ast.Call(func=ast.Attribute(value=receiver, attr="append"), args=[value], keywords=[]):
            name = path_of(receiver).removeprefix("self.")
            return [Told(name, value, "appended")] if name and not isinstance(value, ast.Constant) else []
    return []


def returned_by(node: ast.expr) -> list[Told]:
    """List what ``evaluate(model)``, a statement of its own, comes to."""
    match node:
        case ast.Call(func=ast.Name(id=name)) if name not in PRINTERS:
            return [Told(name, node, "returned")]
    return []


def shown_last(body: list[ast.stmt]) -> ast.expr | None:
    """Return the expression whose value the notebook shows below the cell; None where it ends with a statement."""
    last = body[-1] if body else None
    return last.value if isinstance(last, ast.Expr) and not told_by(last.value) else None


def name_of(expr: ast.expr) -> str:
    """Return the name that an expression gives to its value: ``clf.score(X, y)`` is ``score``; empty for none."""
    expr = without_rounding(expr)
    match expr:
        case ast.Name(id=name):
            return name
        case ast.Await(value=value):
            return name_of(value)
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=args):
            if name in _ROOTS and len(args) == 1:
                inner = name_of(args[0])
                return f"{name}_{inner}" if inner else ""
            if name in _SUMMARIES and isinstance(expr.func, ast.Attribute):
                inner = name_of(args[0]) if args else name_of(expr.func.value)
                return f"{inner}_{name}" if inner else name
            return name
        case ast.Attribute(attr=name):
            return name.rstrip("_") or name
        case ast.Subscript(value=value, slice=ast.Constant(value=str(key))):
            return key
    return ""


_ROOTS = frozenset({"sqrt", "log", "exp", "log10", "log2", "negative"})
_SUMMARIES = frozenset({"mean", "std", "max", "min", "median", "sum"})


def is_formula(expr: ast.expr) -> bool:
    """Tell whether an expression is a root or a logarithm of something, which is no name for a result."""
    match without_rounding(expr):
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name in _ROOTS
    return False


def without_rounding(expr: ast.expr) -> ast.expr:
    """Return what ``round(x, 3)``, ``str(x)``, ``float(x)``, ``x.item()`` and ``format(x, ".3f")`` are about."""
    while True:
        match expr:
            case ast.Call(func=ast.Name(id="round" | "str" | "float" | "format" | "repr"), args=[inner, *_]):
                expr = inner
            case ast.Call(
                func=ast.Attribute(attr="round" | "around", value=ast.Name(id="np" | "numpy")), args=[inner, *_]
            ):
                expr = inner
            case ast.Call(func=ast.Attribute(value=inner, attr="item" | "round" | "numpy")):
                expr = inner
            case _:
                return expr


def path_of(expr: ast.expr) -> str:
    """Return the dotted name of ``res["acc"]`` and ``cfg.lr``; empty for what has none."""
    steps: list[str] = []
    while True:
        match expr:
            case ast.Name(id=name):
                return ".".join([name, *reversed(steps)])
            case ast.Attribute(value=inner, attr=attr):
                steps.append(attr)
                expr = inner
            case ast.Subscript(value=inner, slice=ast.Constant(value=str() | int() as key)):
                steps.append(str(key))
                expr = inner
            case (
                ast.BinOp(left=inner, op=ast.Mult(), right=ast.Constant())
                | ast.BinOp(left=ast.Constant(), op=ast.Mult(), right=inner)
            ):
                expr = without_rounding(inner)  # a share as a percentage
            case _:
                return ""


# -- the text and the values of a print ---------------------------------------------------------------------------

Piece = str | ast.expr


def _prints(func: ast.expr) -> bool:
    match func:
        case ast.Name(id=name):
            return name in PRINTERS
        case ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr=attr):
            return attr in _METHODS and owner in _SPEAKERS
    return False


def _of_arguments(node: ast.Call) -> Iterator[Piece]:
    match node.args:
        # logging's own way: logger.info("loss %.3f", loss)
        case [ast.Constant(value=str(text)), *values] if (
            values and isinstance(node.func, ast.Attribute) and "%" in text
        ):
            yield from _percent(text, values)
            return
    for number, arg in enumerate(node.args):
        if number:
            yield " "
        yield from _pieces(arg)


def _pieces(node: ast.expr) -> Iterator[Piece]:
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=values):
            for value in values:
                if isinstance(value, ast.FormattedValue):
                    yield value.value
                else:
                    yield from _pieces(value)
        case ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Mod(), right=right):
            yield from _percent(text, right.elts if isinstance(right, ast.Tuple) else [right])
        case ast.BinOp(left=left, op=ast.Add(), right=right) if _is_text(left) or _is_text(right):
            yield from _pieces(left)
            yield from _pieces(right)
        case ast.Call(
            func=ast.Attribute(value=ast.Constant(value=str(text)), attr="format"), args=args, keywords=named
        ):
            yield from _formatted(text, args, {one.arg: one.value for one in named if one.arg})
        case _:
            yield node


def _is_text(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=str()) | ast.JoinedStr() | ast.Call(func=ast.Name(id="str" | "format")):
            return True
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _is_text(left) or _is_text(right)
    return False


_PERCENT = re.compile(r"%(?:\(\w+\))?[-+ #0]*[\d*]*(?:\.[\d*]+)?([a-zA-Z%])")


def _percent(text: str, values: list[ast.expr]) -> Iterator[Piece]:
    """Read ``"loss %.3f" % loss``."""
    place, left = 0, list(values)
    for match in _PERCENT.finditer(text):
        yield text[place : match.start()]
        place = match.end()
        if match[1] != "%" and left:
            yield left.pop(0)
    yield text[place:]


def _formatted(text: str, args: list[ast.expr], named: dict[str, ast.expr]) -> Iterator[Piece]:
    """Read ``"loss {:.3f}".format(loss)``."""
    try:
        fields = list(string.Formatter().parse(text))
    except ValueError:  # the cell will fail by itself
        return
    count = 0
    for before, field, _, _ in fields:
        yield before
        if field is None:
            continue
        value = named.get(field)
        if field == "" or field.isdigit():
            place = int(field) if field else count
            count += 1
            value = args[place] if place < len(args) else None
        if value is not None:
            yield value
