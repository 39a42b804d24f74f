"""Follows a run's cell while it runs, and judges its variables when it is over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..vocabulary.errors import UnknownNameError

if TYPE_CHECKING:
    from ..capture.following.plan import Plan
    from ..vocabulary.records import Captured, Series, Status
    from .openrun import OpenRun
    from .state import SessionState


def capture(session: SessionState, opened: OpenRun, error: BaseException | None) -> Captured:
    """Judge the variables of a cell that is over, and stop following it."""
    from ..capture.notebook import failure
    from ..capture.roles import roles
    from ..vocabulary.records import Captured

    series = _end_following(opened)
    told = opened.told
    if opened.flow is None or opened.before is None or not opened.options.capture:
        return Captured(series=series)
    try:
        captured = roles.assign(
            opened.flow,
            session.namespace,
            opened.before,
            opened.options.choices,
            reached=failure.line_reached(error, session.namespace, opened.source.code if opened.source else ""),
            ignored=session.hidden,
            shown=opened.shown,
            series=series,
            told=told,
            last=opened.last,
            elsewhere=opened.collected,
            calls=opened.calls,
            history=_earlier_cells(session),
        )
    except Exception as trouble:  # noqa: BLE001
        # A namespace may hold anything. A mistake of ours over it must not leave the run open for ever.
        opened.notes.append(f"the cell's variables were not logged ({trouble!r}); please report this")
        return Captured(series=series)
    opened.notes += captured.notes
    return captured


def _earlier_cells(session: SessionState) -> list[str]:
    """Return the sources of the cells that were run before this one."""
    history: Any = session.namespace.get("In")  # IPython's, unless the user has put something else there
    return [one for one in history[:-1] if type(one) is str] if type(history) is list else []


def nothing_told(opened: OpenRun, facts: Mapping[str, Any], status: Status) -> list[str]:
    """Return a line for a run cell that came to nothing at all, so that an empty run is no riddle."""
    kinds = ("params", "metrics", "series", "auto_params", "auto_metrics", "models", "runs", "data")
    files = [one for one in facts.get("artifacts", ()) if one != "cell.py"]
    spared = opened.flow is None or not opened.options.capture or status != "FINISHED"
    if spared or files or any(facts.get(kind) for kind in kinds):
        return []
    from ..capture.roles.told import hint

    assert opened.flow is not None
    return [hint(opened.flow)]


def follow(session: SessionState, opened: OpenRun, plan: Plan | None) -> None:
    """Begin to record what the code of the cell assigns."""
    flow, before = opened.flow, opened.before
    if plan is None or flow is None or before is None:
        return
    import ast

    from ..capture.following import following, functions, hook, judging
    from ..capture.following.plan import handed_names

    judge = judging.CellJudge(flow, session.namespace, before, plan.collected)
    opened.series = following.Following(plan, opened.options.every, opened.open_sink, judge)
    opened.series.follow()
    opened.functions = functions.Functions(
        plan,
        session.namespace,
        opened.series.follow,
        taken=[*plan.followed, *flow.final],
        handed=handed_names(ast.parse(opened.source.code if opened.source is not None else "")),
    )
    if plan.infer or plan.watch:
        opened.functions.enter(flow.names)
    # Also where nothing is defined yet: what stands below ``%%time`` is compiled later.
    hook.set_recorder(plan.defined, opened.functions.defined)


def _end_following(opened: OpenRun) -> tuple[Series, ...]:
    """Stop recording; what went wrong in it is a note."""
    following, opened.series = opened.series, None
    functions, opened.functions = opened.functions, None
    if functions is not None:
        functions.leave()
    if following is None:
        if opened.options.watch:
            opened.notes.append("--watch found nothing to follow: %mlflow_run must stand at the top of its cell")
        return ()
    from ..capture.following import hook

    try:
        opened.calls = following.tables()
        series = following.finish()
        opened.told = tuple(following.once.values())
        opened.collected = following.plan.collected
        opened.notes += following.notes
        trouble = hook.take_trouble()
    except Exception as error:  # noqa: BLE001
        # A mistake of ours must not leave the run open for ever.
        series, trouble = (), repr(error)
    if trouble:
        opened.notes.append(f"some points of series were lost ({trouble}); please report this")
    missed = [name for name in opened.options.watch if name not in {one.name for one in series}]
    opened.notes += [f"{name} was not followed: no number was assigned to it" for name in missed]
    return series


def expect_variables(session: SessionState, opened: OpenRun) -> None:
    """Raise for a ``--model`` or ``--data`` variable that neither exists nor is mentioned in the cell."""
    mentioned = set(opened.flow.names) if opened.flow is not None else set()
    for variable, _ in (*opened.options.models, *opened.options.data):
        if variable not in session.namespace and variable not in mentioned:
            raise UnknownNameError("variable", variable, [*mentioned, *session.known_names()])


def expect_assignments(session: SessionState, opened: OpenRun) -> None:
    """Raise for a ``--watch`` variable that neither the cell nor a function of the notebook that it reaches assigns."""
    if not opened.options.watch:
        return
    import ast

    from ..capture.following import owned
    from ..capture.following.plan import assigned_names

    known = assigned_names(ast.parse(opened.source.code if opened.source is not None else ""))
    mentioned = opened.flow.names if opened.flow is not None else ()
    values = (session.namespace[name] for name in mentioned if name in session.namespace)
    for function in owned.reached(values, session.namespace):
        known |= owned.assigned_in(function)
    for name in opened.options.watch:
        if name not in known:
            raise UnknownNameError(
                "variable", name, known, hint="--watch takes names that this cell, or a function it calls, assigns"
            )
