"""Follows a run's cell while it runs, and judges its variables when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..vocabulary.errors import UnknownNameError

if TYPE_CHECKING:
    from ..capture.following.plan import Plan
    from ..vocabulary.records import Captured, Series
    from .openrun import OpenRun
    from .state import SessionState


def capture(session: SessionState, opened: OpenRun, error: BaseException | None) -> Captured:
    """Judge the variables of a cell that is over, and stop following it."""
    from ..capture.notebook import failure
    from ..capture.roles import roles
    from ..vocabulary.records import Captured

    series = _end_following(opened)
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
        )
    except Exception as trouble:  # noqa: BLE001
        # A namespace may hold anything. A mistake of ours over it must not leave the run open for ever.
        opened.notes.append(f"the cell's variables were not logged ({trouble!r}); please report this")
        return Captured(series=series)
    opened.notes += captured.notes
    return captured


def follow(session: SessionState, opened: OpenRun, plan: Plan | None) -> None:
    """Begin to record what the code of the cell assigns."""
    flow, before = opened.flow, opened.before
    if plan is None or flow is None or before is None:
        return
    from ..capture.following import series
    from ..capture.roles import roles

    opened.series = series.Following(
        plan,
        opened.options.every,
        opened.open_sink,
        lambda name: roles.series_reason(name, flow, session.namespace, before),
    )
    opened.series.follow(plan.followed)


def _end_following(opened: OpenRun) -> tuple[Series, ...]:
    """Stop recording; what went wrong in it is a note."""
    following, opened.series = opened.series, None
    if following is None:
        if opened.options.watch:
            opened.notes.append("--watch found nothing to follow: %mlflow_run must stand at the top of its cell")
        return ()
    from ..capture.following import hook

    try:
        series = following.finish()
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


def expect_assignments(opened: OpenRun) -> None:
    """Raise for a ``--watch`` variable that the cell assigns nowhere."""
    if not opened.options.watch:
        return
    import ast

    from ..capture.following.plan import assigned_names

    known = assigned_names(ast.parse(opened.source.code if opened.source is not None else ""))
    for name in opened.options.watch:
        if name not in known:
            raise UnknownNameError("variable", name, known, hint="--watch takes names that this cell assigns")
