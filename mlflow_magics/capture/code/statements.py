"""Reads the statements of a cell, and says what its names hold when they have run."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator

from .expressions import assign, build, function_scope, mutation, note_inputs
from .scopes import Scope
from .symbols import Carried, Definition, External, Join, LoopVar, Node, Op, Opaque
from .syntax import bound_names, where
from .telling import appended_by, returned_by, told_by

Function = ast.FunctionDef | ast.AsyncFunctionDef
Loop = ast.For | ast.AsyncFor | ast.While


def run(body: list[ast.stmt], scope: Scope) -> bool:
    """Read a block.

    Parameters
    ----------
    body : list of ast.stmt
        The block.
    scope : Scope
        Where it runs; its names are updated.

    Returns
    -------
    bool
        Whether the block can be run to its end (it neither raises nor returns at its own level).
    """
    falls_through = True
    for statement in body:
        if not _statement(statement, scope):
            falls_through = False
    return falls_through


def _statement(node: ast.stmt, scope: Scope) -> bool:
    match node:
        case ast.Expr(value=value):
            if not scope.in_function:
                told = [*told_by(value), *appended_by(value), *returned_by(value)]
                scope.facts.telling = {id(one.expr): one for one in told} | scope.facts.telling
            if not _inline_magic(value, scope) and not mutation(value, scope):
                build(value, scope)
        case ast.Assign(targets=targets, value=value):
            built = build(value, scope)
            for target in targets:
                assign(target, built, scope, "assign")
                _note_fitted(target, value, scope)
        case ast.AnnAssign(target=target, value=value, annotation=annotation):
            build(annotation, scope)
            if value is not None:
                assign(target, build(value, scope), scope, "assign")
                _note_fitted(target, value, scope)
        case ast.AugAssign(target=target, op=op, value=value):
            _augmented(target, op, value, scope)
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            _function(node, scope)
        case ast.ClassDef():
            _class(node, scope)
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            module = "." * node.level + (node.module or "") if isinstance(node, ast.ImportFrom) else ""
            for alias in names:
                name = alias.asname or alias.name.split(".")[0]
                if name != "*":
                    scope.bind(name, Definition("import", module), "import", where(node))
        case ast.Delete(targets=targets):
            for target in targets:
                if isinstance(target, ast.Name):
                    scope.env.pop(target.id, None)
                else:
                    build(target, scope)
        case ast.If(test=test, body=body, orelse=orelse):
            return _branches([body, orelse], scope, build(test, scope))
        case ast.For() | ast.AsyncFor() | ast.While():
            _loop(node, scope)
        case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
            for item in items:
                build(item.context_expr, scope)
                if item.optional_vars is not None:
                    assign(item.optional_vars, Opaque(), scope, "assign")
            return run(body, scope)
        case ast.Match(subject=subject, cases=cases):
            _match(build(subject, scope), cases, scope)
        case ast.Return() | ast.Raise() | ast.Assert():
            _build_parts(node, scope)
            return isinstance(node, ast.Assert)
        case _ if hasattr(node, "handlers"):  # Try, and TryStar where Python has it
            _try(node, scope)
    return True


def _build_parts(node: ast.AST, scope: Scope) -> None:
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.expr):
            build(part, scope)


def _note_fitted(target: ast.expr, value: ast.expr, scope: Scope) -> None:
    """``model = LogisticRegression(C=1).fit(X, y)``."""
    if isinstance(value, ast.Await):
        value = value.value
    match target, value:
        case ast.Name(id=name), ast.Call(func=ast.Attribute(attr="fit")) if not scope.in_function:
            note_inputs(name, "fit", value, scope)


def _augmented(target: ast.expr, op: ast.operator, value: ast.expr, scope: Scope) -> None:
    """``total += loss`` is ``total = total + loss``."""
    read = ast.parse(ast.unparse(target), mode="eval").body
    ast.copy_location(read, target)
    for part in ast.walk(read):
        if isinstance(part, ast.expr):
            ast.copy_location(part, target)
    together = ast.copy_location(ast.BinOp(read, op, value), target)
    assign(target, build(together, scope), scope, "assign")


def _inline_magic(node: ast.expr, scope: Scope) -> bool:
    """``%time x = f()`` and ``%%time``: IPython hands the code on as text; it still runs in the cell."""
    match node:
        case ast.Call(
            func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=attr),
            args=[ast.Constant(value="time" | "capture" | "prun"), *_, ast.Constant(value=str(code))],
        ) if attr in {"run_line_magic", "run_cell_magic"}:
            try:
                inner = ast.parse(code)
            except SyntaxError:
                return False
            for part in ast.walk(inner):
                if isinstance(part, ast.expr | ast.stmt):
                    ast.copy_location(part, node)
            run(inner.body, scope)
            return True
    return False


def _function(node: Function, scope: Scope) -> None:
    for decorator in node.decorator_list:
        build(decorator, scope)
    scope.bind(node.name, Definition("function"), "function", where(node))
    inner = function_scope(node.args, node.body, scope)
    if node.returns is not None:
        build(node.returns, scope)
    run(node.body, inner)


def _class(node: ast.ClassDef, scope: Scope) -> None:
    for part in [*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)]:
        build(part, scope)
    run(node.body, Scope(scope.facts, "class", scope))
    scope.bind(node.name, Definition("class"), "class", where(node))


def _join(values: list[Node]) -> Node:
    distinct = list(dict.fromkeys(values))
    return distinct[0] if len(distinct) == 1 else Join(tuple(distinct))


def _meet(scope: Scope, ends: list[dict[str, Node]]) -> None:
    """Where ways through the code come together, a name may hold what any of them gave it."""
    if not ends:
        return
    names = dict.fromkeys(name for env in ends for name in env)
    missing = {name: External(name) for name in names}
    scope.env = {name: _join([env.get(name, missing[name]) for env in ends]) for name in names}


def _branches(blocks: list[list[ast.stmt]], scope: Scope, test: Node) -> bool:
    before, ends = scope.env, []
    scope.facts.branches += 1
    with _under(test, scope):
        for block in blocks:
            scope.env = dict(before)
            if run(block, scope):
                ends.append(scope.env)
    scope.facts.branches -= 1
    _meet(scope, ends)
    return bool(ends)


@contextlib.contextmanager
def _under(test: Node, scope: Scope) -> Iterator[None]:
    """Read code that runs under a condition. Only in a loop does the condition pick among values: one of its turns."""
    tests = scope.facts.tests
    if not scope.facts.loops:
        yield
        return
    tests.append(test)
    try:
        yield
    finally:
        tests.pop()


def _loop(node: Loop, scope: Scope) -> None:
    turn = LoopVar(build(node.iter, scope)) if not isinstance(node, ast.While) else None
    before = dict(scope.env)
    carried = {}
    for name in sorted(bound_names(node.body, updates=True)):
        held = scope.peek(name)
        carried[name] = scope.env[name] = Carried(name, held)
        scope.facts.carried.append(carried[name])
    scope.facts.loops += 1
    scope.facts.branches += 1
    if isinstance(node, ast.While):
        build(node.test, scope)
    elif turn is not None:
        assign(node.target, turn, scope, "loop")
    _turn(node.body, scope)
    scope.facts.loops -= 1
    scope.facts.branches -= 1
    for name, one in carried.items():
        one.after = scope.env.get(name, one.before)
        if scope.env.get(name) is one:
            scope.env[name] = one.before
    _meet(scope, [before, scope.env])
    run(node.orelse, scope)


def _turn(body: list[ast.stmt], scope: Scope) -> None:
    """Read a loop's body; after ``if score <= best: continue`` the rest of it runs under that condition."""
    for number, statement in enumerate(body):
        run([statement], scope)
        match statement:
            case ast.If(test=test, body=[*_, ast.Continue()], orelse=[]):
                with _under(build(test, scope), scope):
                    _turn(body[number + 1 :], scope)
                return


def _try(node: ast.stmt, scope: Scope) -> None:
    body, handlers, orelse, final = (getattr(node, f) for f in ("body", "handlers", "orelse", "finalbody"))
    before, ends = dict(scope.env), []
    scope.facts.branches += 1
    whole = run(body, scope)
    after = dict(scope.env)
    if run(orelse, scope) and whole:
        ends.append(scope.env)
    for handler in handlers:
        _meet(scope, [before, after])
        if handler.type is not None:
            build(handler.type, scope)
        if handler.name:
            scope.env[handler.name] = Opaque()
        with _under(Opaque(), scope):
            if run(handler.body, scope):
                ends.append(scope.env)
        scope.env.pop(handler.name or "", None)
    scope.facts.branches -= 1
    _meet(scope, ends)
    run(final, scope)


def _match(subject: Node, cases: list[ast.match_case], scope: Scope) -> None:
    before, ends = scope.env, []
    scope.facts.branches += 1
    exhaustive = False
    for case in cases:
        scope.env = dict(before)
        for part in ast.walk(case.pattern):
            name = getattr(part, "name", None) or getattr(part, "rest", None)
            if isinstance(part, ast.pattern) and name:
                scope.bind(name, Op("each", (subject,)), "assign", (case.body[0].lineno, 0))
            elif isinstance(part, ast.MatchValue):
                build(part.value, scope)
            elif isinstance(part, ast.MatchClass):
                build(part.cls, scope)
        if case.guard is not None:
            build(case.guard, scope)
        elif isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None:
            exhaustive = True
        if run(case.body, scope):
            ends.append(scope.env)
    scope.facts.branches -= 1
    _meet(scope, ends if exhaustive else [before, *ends])
