"""Turns a Python expression into the tree of what its value is built from."""

from __future__ import annotations

import ast

from .scopes import BindingKind, Scope
from .symbols import (
    Attribute,
    Call,
    Const,
    Definition,
    DictDisplay,
    Guarded,
    Item,
    Join,
    Key,
    LoopVar,
    Node,
    Op,
    Opaque,
    Sequence,
    Update,
)
from .syntax import MUTATORS, bound_names, root_of, statements, where
from .telling import ToldValue

OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.BitOr: "|",
    ast.Div: "/",
    ast.Pow: "**",
}
"""The operators that something later asks for; all others are alike."""

FITTING = frozenset({"fit", "fit_predict", "fit_transform", "train"})


def build(node: ast.expr, scope: Scope) -> Node:
    """Read an expression; the names it reads and binds are noted in `scope`."""
    built = _built(node, scope)
    facts = scope.facts
    if facts.telling and (told := facts.telling.pop(id(node), None)) is not None:
        facts.told.append(ToldValue(told, built, facts.top, facts.loops > 0))
    return built


def _built(node: ast.expr, scope: Scope) -> Node:
    match node:
        case ast.Constant(value=value):
            return Const(value)
        case ast.Name(id=name):
            return scope.load(name, where(node))
        case ast.NamedExpr(target=ast.Name(id=name) as target, value=value):
            bound = scope.facts.guarded(build(value, scope))
            scope.bind(name, bound, "assign", where(target))
            return bound
        case ast.BinOp():
            return _chain(node, scope)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return Op("neg", (build(operand, scope),))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            # The test decides which value, not what the value is: `device` stays an input. In a loop it picks a turn.
            asked = build(test, scope)
            either = Join((build(body, scope), build(orelse, scope)))
            return Guarded(either, (asked,)) if scope.facts.loops else either
        case ast.Tuple(elts=elts) | ast.List(elts=elts) | ast.Set(elts=elts):
            return Sequence(tuple(build(elt, scope) for elt in elts))
        case ast.Starred(value=value):
            return Op("*", (build(value, scope),))
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            return DictDisplay(tuple((build(k, scope) if k else None, build(v, scope)) for k, v in pairs))
        case ast.Subscript(value=value, slice=key):
            return Item(build(value, scope), build(key, scope))
        case ast.Attribute(value=value, attr=attr):
            return Attribute(build(value, scope), attr)
        case ast.Call():
            return _call(node, scope)
        case ast.Await(value=value):
            return build(value, scope)
        case ast.Lambda(args=args, body=body):
            inner = function_scope(args, [], scope)
            build(body, inner)
            return Definition("function")
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
            return _comprehension(node.generators, [node.elt], scope)
        case ast.DictComp(generators=generators, key=key, value=value):
            return _comprehension(generators, [key, value], scope)
    # What remains (comparisons, unary and boolean operators, f-strings, slices, yields) is decided by its parts.
    parts = tuple(build(part, scope) for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr))
    return Opaque() if isinstance(node, ast.Yield | ast.YieldFrom) else Op("", parts)


def _chain(node: ast.BinOp, scope: Scope) -> Node:
    """Read ``a + b + c + ...`` without one Python frame per term."""
    steps: list[tuple[str, ast.expr]] = []
    left: ast.expr = node
    while isinstance(left, ast.BinOp):
        steps.append((OPERATORS.get(type(left.op), ""), left.right))
        left = left.left
    result = build(left, scope)
    for op, right in reversed(steps):
        other = build(right, scope)
        if op == "-":
            scope.facts.differences.append((result, other))
        if op in {"+", "|"} and isinstance(result, Op) and result.op == op:
            result = Op(op, (*result.parts, other))
        else:
            result = Op(op, (result, other))
    return result


def _call(node: ast.Call, scope: Scope) -> Node:
    _note_model_call(node, scope)
    return Call(
        build(node.func, scope),
        tuple(build(arg, scope) for arg in node.args),
        tuple((keyword.arg, build(keyword.value, scope)) for keyword in node.keywords),
    )


def _note_model_call(node: ast.Call, scope: Scope) -> None:
    match node.func:
        case ast.Attribute(value=ast.Name(id=model), attr=method) if not scope.in_function:
            note_inputs(model, method, node, scope)


def note_inputs(model: str, method: str, node: ast.Call, scope: Scope) -> None:
    """Remember which variables a model was trained on or asked about."""
    if method in FITTING or method == "predict":
        names = [arg.id if isinstance(arg, ast.Name) else "" for arg in node.args]
        by_key = {k.arg: k.value.id for k in node.keywords if k.arg and isinstance(k.value, ast.Name)}
        inputs = names[0] if names else by_key.get("X", by_key.get("x", ""))
        target = names[1] if len(names) > 1 else by_key.get("y", "")
        if inputs:
            scope.facts.calls.append((model, method, (inputs, "" if method == "predict" else target)))


def _comprehension(generators: list[ast.comprehension], elements: list[ast.expr], scope: Scope) -> Node:
    names = {n.id for g in generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
    inner = Scope(scope.facts, "comprehension", scope, frozenset(names))
    sources = []
    for number, generator in enumerate(generators):
        source = build(generator.iter, inner if number else scope)
        sources.append(Op("each", (source,)))
        assign(generator.target, sources[-1], inner, "assign")
        for test in generator.ifs:
            build(test, inner)
    return Op("comprehension", (*sources, *(build(element, inner) for element in elements)))


def function_scope(args: ast.arguments, body: list[ast.stmt], scope: Scope) -> Scope:
    """Make the scope of a function, its arguments unknown."""
    for default in [*args.defaults, *args.kw_defaults]:
        if default is not None:
            build(default, scope)
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
    given = [arg for arg in every if arg is not None]
    for arg in given:
        if arg.annotation is not None:
            build(arg.annotation, scope)
    shared = {n for s in statements(body) if isinstance(s, ast.Global) for n in s.names}
    local = (bound_names(body) | {arg.arg for arg in given}) - shared
    inner = Scope(scope.facts, "function", scope, frozenset(local))
    inner.globals = shared
    return inner


def assign(target: ast.expr, value: Node, scope: Scope, kind: BindingKind) -> None:
    """Bind every name of an assignment's target.

    Parameters
    ----------
    target : ast.expr
        The target, a tuple perhaps.
    value : Node
        The value assigned.
    scope : Scope
        Where.
    kind : str
        How, see `scopes.BindingKind`.
    """
    match target:
        case ast.Name(id=name):
            scope.bind(name, value if kind == "loop" else scope.facts.guarded(value), kind, where(target))
        case ast.Starred(value=inner):
            assign(inner, Op("*", (value,)), scope, kind)
        case ast.Tuple(elts=elts) | ast.List(elts=elts):
            for one, part in zip(elts, _unpack(elts, value), strict=True):
                assign(one, part, scope, kind)
        case ast.Attribute() | ast.Subscript():
            _update(target, value, scope)


def _unpack(targets: list[ast.expr], value: Node) -> list[Node]:
    """List the part of `value` that each target takes."""
    if isinstance(value, LoopVar):
        return _unpack_turn(targets, value)
    starred = next((i for i, t in enumerate(targets) if isinstance(t, ast.Starred)), None)
    if starred is None:
        return [_step(value, i) for i in range(len(targets))]
    after = len(targets) - starred - 1
    rest: Node = value
    if isinstance(value, Sequence):
        rest = Sequence(value.parts[starred : len(value.parts) - after])
    return [_step(value, i) for i in range(starred)] + [rest] + [_step(value, i - after) for i in range(after)]


def _step(value: Node, number: int) -> Node:
    if isinstance(value, Sequence) and not any(isinstance(p, Op) and p.op == "*" for p in value.parts):
        if -len(value.parts) <= number < len(value.parts):
            return value.parts[number]
        return Opaque()
    return Item(value, Const(number))


def _unpack_turn(targets: list[ast.expr], turn: LoopVar) -> list[Node]:
    """``for i, x in enumerate(xs)`` and ``for a, b in zip(xs, ys)``, element by element."""
    match turn.iterable:
        case Call(func=func, args=args) if getattr(func, "name", "") == "enumerate" and args and len(targets) == 2:
            return [LoopVar(Const(0)), LoopVar(args[0])]
        case Call(func=func, args=args) if getattr(func, "name", "") == "zip" and len(args) == len(targets):
            return [LoopVar(arg) for arg in args]
    return [turn for _ in targets]


def _update(target: ast.expr, value: Node, scope: Scope) -> None:
    """``cfg["lr"] = 0.1`` and ``cfg.lr = 0.1``: the name's value, one entry changed."""
    path, root = _path(target, scope)
    value = scope.facts.guarded(value)
    if isinstance(root, ast.Name):
        whole = value if path == () else Update(scope.peek(root.id), path, value)
        scope.bind(root.id, whole, "update", where(root))
    else:
        build(root, scope)


def _path(node: ast.expr, scope: Scope) -> tuple[tuple[Key, ...] | None, ast.expr]:
    """Give the constant steps of ``a.b["c"]``, None where one is computed, and what they start from."""
    path: list[Key] | None = []
    while isinstance(node, ast.Attribute | ast.Subscript):
        step = node.attr if isinstance(node, ast.Attribute) else constant_key(build(node.slice, scope))
        path = None if step is None or path is None else [step, *path]
        node = node.value
    return (None if path is None else tuple(path)), node


def constant_key(node: Node) -> Key | None:
    """Give the constant that a subscript is, if it is one. The key; None where it is computed, or of another type."""
    match node:
        case Const(value=str(key)) | Const(value=int(key)):
            return key
        case Op(op="neg", parts=(Const(value=int(key)),)):
            return -key
    return None


def mutation(node: ast.expr, scope: Scope) -> bool:
    """Read a statement like ``xs.append(x)`` as a change of `xs`."""
    match node:
        case ast.Call(func=ast.Attribute(value=receiver, attr=attr)) if attr in MUTATORS and root_of(receiver):
            call = Call(
                Opaque(),
                tuple(build(arg, scope) for arg in node.args),
                tuple((k.arg, build(k.value, scope)) for k in node.keywords),
            )
            root = root_of(receiver)
            before = scope.peek(root.id) if root else Opaque()
            for step in _path(receiver, scope)[0] or ():
                before = Item(before, Const(step))
            _update(receiver, _changed(before, attr, call), scope)
            return True
    return False


def _changed(before: Node, method: str, call: Call) -> Node:
    if method == "update":
        named = tuple((Const(key) if key else None, value) for key, value in call.keywords)
        return Op("|", (before, *call.args, DictDisplay(named)))
    if method == "setdefault" and len(call.args) == 2:
        key = constant_key(call.args[0])
        return Update(before, None if key is None else (key,), call.args[1])
    return Update(before, None, Join(call.args))
