"""Two stores compared: what the author logged must be the same in both, and only the cell's run may hold more."""

from __future__ import annotations

import ast
import re

from .reading import OUR_FILES, Run, label
from .style import Style


def differences(style: Style, bare: list[Run], tracked: list[Run]) -> list[str]:
    """What differs beyond the additions that the design names, a line each; nothing where all is well."""
    # A run that was opened for the cell, and taken away again, empty, because a child process opened its only one.
    tracked = [run for run in tracked if not (run.ours and run.facts == {"deleted": "yes"})]
    pairs = _pairs(bare, tracked)
    found = []
    for run in bare:
        if run.run_id not in pairs:
            found.append(f"- run {label(run, bare)} is missing")
    matched = {run.run_id for run in pairs.values()}
    extra = [run for run in tracked if run.run_id not in matched]
    allowed = (0, 1) if style.more is None else (style.more,)
    if len(tracked) - len(bare) not in allowed:
        found.append(f"{len(tracked)} runs, not {' or '.join(str(len(bare) + more) for more in allowed)}")
    found += [f"+ run {label(run, tracked)} is nobody's" for run in extra if not run.ours]
    if (marked := sum(run.ours for run in tracked)) != 1:
        found.append(f"{marked} runs hold the cell, not 1")
    above = next((run for run in extra if run.ours), None)
    if above is not None:
        found += _misplaced(style, above, bare, tracked)
    for before in bare:
        if before.run_id in pairs:
            now = pairs[before.run_id]
            found += [f"run {label(before, bare)}: {line}" for line in _in_run(style, before, now, bare, pairs, above)]
    return found


def _pairs(bare: list[Run], tracked: list[Run]) -> dict[str, Run]:
    """Which run of the tracked store is which of the bare one, by id: the most alike first."""

    def alike(one: Run, other: Run) -> tuple[bool, int, int]:
        same = sum(other.facts.get(key) == value for key, value in one.facts.items())
        return one.name == other.name != "", same, -abs(bare.index(one) - tracked.index(other))

    found: dict[str, Run] = {}
    choices = [(alike(one, other), one, other) for one in bare for other in tracked]
    for _, one, other in sorted(choices, key=lambda choice: choice[0], reverse=True):
        taken = {run.run_id for run in found.values()}
        named = one.name and other.name and one.name != other.name and not other.ours
        if one.run_id not in found and other.run_id not in taken and not named:
            found[one.run_id] = other
    return found


def _in_run(
    style: Style, before: Run, now: Run, bare: list[Run], pairs: dict[str, Run], above: Run | None
) -> list[str]:
    found = []
    if before.name and before.name != now.name:
        found.append(f"named {now.name or '(by MLflow)'}, not {before.name}")
    status = style.ends if style.ends and now.ours else before.status
    if now.status != status:
        found.append(f"{now.status}, not {status}")
    if before.experiment != now.experiment:
        found.append(f"in experiment {now.experiment}, not {before.experiment}")
    found += _parent(style, before, now, bare, pairs, above)
    for key, value in before.facts.items():
        if key not in now.facts:
            found.append(f"- {key}: {value}")
        elif now.facts[key] != value:
            found.append(f"{key}: {now.facts[key]}, not {value}")
    added = [key for key in now.facts if key not in before.facts]
    if not now.ours:
        found += [f"+ {key}: {now.facts[key]}" for key in added]
    else:
        given = _given_by_name(style.cell)
        if before.parent_id and not before.name.startswith("cell"):
            found.append("holds the cell, and is a child")
        found += [f"+ {key}: {now.facts[key]} ({why})" for key in added if (why := _why_not(key, before, now, given))]
    return found


def _parent(
    style: Style, before: Run, now: Run, bare: list[Run], pairs: dict[str, Run], above: Run | None
) -> list[str]:
    """Whether a run lies where it should: below its author's run, else below the cell's run where that is one more."""
    if before.parent_id:
        parent = pairs.get(before.parent_id)
        wanted = parent.run_id if parent else before.parent_id
    elif style.more == 1 and not before.name.startswith(("earlier", "later")):
        wanted = above.run_id if above is not None else "the cell's run"
    else:
        wanted = ""
    if now.parent_id == wanted or (style.more is None and not before.parent_id):
        return []
    names = {run.run_id: label(run, bare) for run in bare}
    names = {pairs[key].run_id: name for key, name in names.items() if key in pairs} | {"": "no run"}
    names["the cell's run"] = "the cell's run"
    if above is not None:
        names[above.run_id] = "the cell's run"
    return [f"its parent is {names.get(now.parent_id, '(unknown)')}, not {names.get(wanted, '(unknown)')}"]


def _why_not(key: str, before: Run, now: Run, given: dict[str, set[str]]) -> str:
    """Why a run of the author's may not hold an addition; empty where it may."""
    kind, _, name = key.partition(" ")
    if kind == "artifact":
        pictures = any(re.search(r"\.(png|svg|html|pdf)$", own) for own in before.facts if own.startswith("artifact"))
        if name.startswith("figures/"):
            return "the author logged the figure himself" if pictures else ""
        return "" if name in OUR_FILES else "an addition that no design names"
    if kind == "latest":
        return ""
    if kind not in ("param", "metric"):
        return "an addition that no design names"
    for own in before.facts:
        own_kind, _, own_name = own.partition(" ")
        if own_kind in ("param", "metric") and _plain(own_name) == _plain(name):
            return f"beside his {own}"
    for own_name in given.get(name, ()):
        for own in (f"param {own_name}", f"latest {own_name}"):
            if before.facts.get(own) == now.facts[key if kind == "param" else f"latest {name}"]:
                return f"the value that he logged as {own_name}"
    if kind == "metric" and len(now.points[name]) > 1:
        values = [value for _, value in now.points[name]]
        for own_name, points in before.points.items():
            if [value for _, value in points] == values:
                return f"the values of his metric {own_name}"
    return ""


def _given_by_name(cell: str) -> dict[str, set[str]]:
    """The variables that he gives as they are, and under which keys: ``log_param("learning_rate", lr)``."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(_tree(cell)):
        match node:
            case ast.Call(args=[ast.Constant(value=str(key)), ast.Name(id=name), *_]):
                found.setdefault(name, set()).add(key)
            case ast.Dict(keys=keys, values=values):
                for one, value in zip(keys, values, strict=True):
                    match one, value:
                        case ast.Constant(value=str(key)), ast.Name(id=name):
                            found.setdefault(name, set()).add(key)
    return found


def _plain(name: str) -> str:
    """A key as a reader hears it: ``params.learning_rate`` is ``Learning Rate``."""
    return re.sub(r"[^a-z0-9]", "", re.split(r"[./]", name)[-1].lower())


def _misplaced(style: Style, above: Run, bare: list[Run], tracked: list[Run]) -> list[str]:
    """What of the author's landed in the cell's run, beside or instead of his own."""
    found = []
    own = {
        key for run in bare for key in run.facts if key.split()[0] in ("param", "metric", "tag", "artifact", "dataset")
    }
    bound = _bound_at_top(style.cell) | set(style.keeps)
    for key in sorted(own & above.facts.keys()):
        if key.partition(" ")[2] not in bound:
            found.append(
                f"run {label(above, tracked)} (the cell's): + {key}: {above.facts[key]} (it is his, in his run)"
            )
    if above.parent_id and style.more == 1:
        found.append("the cell's run has a parent")
    return found


def _tree(cell: str) -> ast.Module:
    """The cell's tree; empty where it holds what only IPython reads."""
    try:
        return compile(cell, "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)  # type: ignore[return-value]
    except SyntaxError:
        return ast.Module([], [])


def _bound_at_top(cell: str) -> set[str]:
    """The names that the cell itself binds or reads, its functions apart: it may come to these."""
    names: set[str] = set()
    todo: list[ast.AST] = [_tree(cell)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Name):
            names.add(node.id)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            todo += ast.iter_child_nodes(node)
    return names
