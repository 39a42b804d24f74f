"""Answers the panel: hands it what the session knows as values, and does what a click asks for.

Methods are called from the panel's threads and, where the kernel has subshells, from theirs. What touches MLflow's
active run must happen in the kernel's main thread, so it is handed there.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..capture.notebook import listing
from ..capture.values import secrets
from ..vocabulary.errors import MlflowMagicsError, TrackingError
from ..vocabulary.panel import Header, LogReport, Page, RunView, State
from ..vocabulary.records import Outcome, RunOptions
from ..vocabulary.stores import Integration, Waiting
from . import manual
from .openrun import OpenRun
from .session import Session

if TYPE_CHECKING:
    from ..tracking.lookback.curves.curves import LiveCurves
    from ..tracking.outbox.outbox import Outbox
    from ..vocabulary.panel import Curve, Loggable

_REFUSED = "not connected: runs are not tracked until %mlflow_connect succeeds"
_OWN = ("mlflow.", "mlflow_magics.")


class SessionBackend:
    """A :class:`..vocabulary.panel.PanelBackend` over a session.

    Parameters
    ----------
    session : Session
        The state of the extension.
    busy : callable
        Whether a cell is being run.
    history : callable
        Sources of the cells run so far, newest last.
    in_main : callable
        Runs a function in the kernel's main thread: at once if we are there, else when the running cell is over.
    """

    def __init__(
        self,
        session: Session,
        busy: Callable[[], bool],
        history: Callable[[], Sequence[str]],
        in_main: Callable[[Callable[[], None]], None],
    ) -> None:
        self.session = session
        self._busy = busy
        self._history = history
        self._in_main = in_main
        self._curves: tuple[Outbox, LiveCurves] | None = None
        self._edits: dict[str, dict[str, str]] = {}
        self._began: dict[str, float] = {}
        self._asked: dict[str, tuple[Curve, ...]] = {}

    # -- at once ----------------------------------------------------------------------------------------------

    def header(self) -> Header:
        """See :meth:`..vocabulary.panel.PanelBackend.header`."""
        session = self.session
        if session.refused is not None and session.connection is None:
            return Header(said=_REFUSED, busy=self._busy())
        if session.connection is None:
            return Header(busy=self._busy())
        try:
            connection = session.next_run()
        except MlflowMagicsError as error:
            return Header(said=session.redact(f"the next run is not tracked: {error}"), busy=self._busy())
        state, backlog = _state(self._backlog())
        if not connection.connected:
            backlog = f"the next run goes there ({connection.origin})"
        return Header(
            where=connection.where,
            state=state,
            said=backlog,
            experiment_name=connection.experiment_name,
            experiment_id=connection.experiment_id,
            experiment_url=connection.experiment_url,
            busy=self._busy(),
        )

    def run(self) -> RunView | None:
        """See :meth:`..vocabulary.panel.PanelBackend.run`."""
        session = self.session
        opened = next((each for each in reversed(session.open_runs) if each.run is not None), None)
        if opened is not None:
            return self._open_view(opened)
        return self._ended_view(*session.last) if session.last is not None else None

    def observe(self, changed: Callable[[], None]) -> Callable[[], None]:
        """See :meth:`..vocabulary.panel.PanelBackend.observe`."""
        self.session.observers.append(changed)

        def stop() -> None:
            if changed in self.session.observers:
                self.session.observers.remove(changed)

        return stop

    def loggables(self) -> tuple[Loggable, ...]:
        """See :meth:`..vocabulary.panel.PanelBackend.loggables`."""
        return listing.loggables(self.session.known_names(), self.session.namespace, self._history())

    def log(self, chosen: Sequence[tuple[str, str]]) -> LogReport:
        """See :meth:`..vocabulary.panel.PanelBackend.log`; without an open run, into the run that ended last."""
        into = self._run_to_log_into()
        lines: list[str] = []
        for name, role in chosen:
            try:
                lines += manual.log(self.session, f"{role} {name}", self._history(), into)
            except MlflowMagicsError as error:
                lines.append(f"{name} was not logged: {error}")
        commands = [f"%mlflow_log {role} {name}" for name, role in chosen]
        if into not in self.session.open_runs:
            commands = [f"%mlflow_start --run-id {into.tracked.info.run_id}", *commands, "%mlflow_end"]
        self._tell()
        return LogReport("\n".join(commands), tuple(map(self.session.redact, lines)))

    def integrations(self) -> tuple[Integration, ...]:
        """See :meth:`..vocabulary.panel.PanelBackend.integrations`."""
        rows, _ = self.session.autolog(["status"], {})
        return tuple(sorted(rows, key=lambda row: not row.installed))

    def switch(self, name: str, on: bool) -> tuple[str, ...]:
        """See :meth:`..vocabulary.panel.PanelBackend.switch`."""
        _, notes = self.session.autolog([name] if on else [name, "off"], {})
        return tuple(map(self.session.redact, notes))

    def start(self, name: str) -> None:
        """See :meth:`..vocabulary.panel.PanelBackend.start`."""
        self._in_main(lambda: self._start(name))

    def _start(self, name: str) -> None:
        opened = self.session.open(RunOptions(name=name))
        if opened.run is None:
            self.session.open_runs.remove(opened)
            raise TrackingError("; ".join(opened.notes) or "the run could not be opened")

    def end(self) -> None:
        """See :meth:`..vocabulary.panel.PanelBackend.end`."""
        opened = self.session.find_spanning()
        self._in_main(lambda: self._end(opened))

    def _end(self, opened: OpenRun) -> None:
        if opened in self.session.open_runs:
            self.session.close(opened, "FINISHED")

    def rename(self, run_id: str, name: str) -> None:
        """See :meth:`..vocabulary.panel.PanelBackend.rename`."""
        from ..tracking.runs import names

        opened = self._of_this_kernel(run_id)
        fixed = names.fix_run_name(self.session.redact(name.strip()))
        if not fixed:
            raise MlflowMagicsError("a run needs a name")
        self._edit(opened, {"mlflow.runName": fixed})
        opened.name = fixed

    def describe(self, run_id: str, note: str) -> None:
        """See :meth:`..vocabulary.panel.PanelBackend.describe`."""
        self._edit(self._of_this_kernel(run_id), {"mlflow.note.content": self.session.redact(note)})

    def tag(self, run_id: str, key: str, value: str) -> None:
        """See :meth:`..vocabulary.panel.PanelBackend.tag`."""
        if not key.strip():
            raise MlflowMagicsError("a tag needs a key")
        opened = self._of_this_kernel(run_id)
        manual.log_tags(self.session, opened, {key.strip(): value})
        self._edited(opened, {key.strip(): value})

    # -- asked of the store -----------------------------------------------------------------------------------

    def experiments(self) -> tuple[str, ...]:
        """See :meth:`..vocabulary.panel.PanelBackend.experiments`."""
        from ..tracking.lookback import browse

        return browse.experiments(self._outbox())

    def use_experiment(self, name: str) -> None:
        """See :meth:`..vocabulary.panel.PanelBackend.use_experiment`."""
        if not name.strip():
            raise MlflowMagicsError("an experiment needs a name")
        self.session.use_experiment(name.strip())

    def runs(self, filter: str, order: str, token: str) -> Page:
        """See :meth:`..vocabulary.panel.PanelBackend.runs`."""
        from ..tracking.lookback import browse

        connection = self.session.connection
        outbox = self._outbox()
        assert connection is not None
        return browse.runs(outbox, connection.uri, connection.experiment_id, filter, order, token)

    def details(self, run_id: str) -> RunView:
        """See :meth:`..vocabulary.panel.PanelBackend.details`."""
        from ..tracking.lookback import browse

        connection = self.session.connection
        outbox = self._outbox()
        assert connection is not None
        return browse.details(outbox, connection.uri, run_id)

    # -- the parts --------------------------------------------------------------------------------------------

    def _outbox(self) -> Outbox:
        from ..tracking.patches import store

        outbox = store.current() if self.session.connection is not None else None
        if outbox is None:
            raise TrackingError("not connected; type %mlflow_connect")
        return outbox

    def _backlog(self) -> Waiting | None:
        try:
            return self._outbox().telling.backlog()
        except TrackingError:
            return None

    def _live(self) -> LiveCurves | None:
        """Return the curves of the present connection, brought up to date."""
        from ..tracking.lookback.curves.curves import LiveCurves

        try:
            outbox = self._outbox()
        except TrackingError:
            return self._curves[1] if self._curves is not None else None
        if self._curves is None or self._curves[0] is not outbox:
            self._curves = outbox, LiveCurves(outbox)
        self._curves[1].refresh()
        return self._curves[1]

    def _open_view(self, opened: OpenRun) -> RunView:
        view = self._view(opened, "RUNNING", None)
        return replace(view, open_here=True, of_cell=opened.source is not None)

    def _ended_view(self, opened: OpenRun, outcome: Outcome) -> RunView:
        view = self._view(opened, outcome.status, self._began_at(opened) + outcome.duration)
        series = {one.name: one.last for one in outcome.series}
        own = {one.name: one.value for one in outcome.metrics}
        params = {one.name: one.value for one in outcome.params}
        run_id = outcome.run_id or view.run_id
        return replace(
            view,
            run_id=run_id,
            curves=view.curves or (self._ask_for_curves(run_id) if outcome.series or outcome.auto_metrics else ()),
            url=outcome.run_url or view.url,
            params={**view.params, **outcome.auto_params, **params},
            metrics={**view.metrics, **outcome.auto_metrics, **own, **series},
        )

    def _ask_for_curves(self, run_id: str) -> tuple[Curve, ...]:
        """Return the curves of a run that ended before the panel was open; the store is asked in the background."""
        if run_id not in self._asked:
            self._asked[run_id] = ()
            threading.Thread(target=self._fetch, args=(run_id,), name="mlflow_magics curves", daemon=True).start()
        return self._asked[run_id]

    def _fetch(self, run_id: str) -> None:
        # Without an answer there are no curves, and "Runs" says why when it is asked.
        with contextlib.suppress(MlflowMagicsError):
            self._asked[run_id] = self.details(run_id).curves
            self._tell()

    def _view(self, opened: OpenRun, status: str, ended: float | None) -> RunView:
        from ..tracking.location import links

        run_id = str(opened.tracked.info.run_id)
        live = self._live()
        params, metrics, tags = self._written(run_id)
        edits = self._edits.get(run_id, {})
        given = {key: value for key, value in opened.options.tags.items() if not secrets.secret_reason(key, value)}
        tags = {**given, **tags, **edits}
        uri = self.session.connection.uri if self.session.connection is not None else ""
        return RunView(
            run_id=run_id,
            name=opened.name or opened.options.name or run_id,
            status=status,
            began=self._began_at(opened),
            ended=ended,
            url=links.run_url(uri, self._stored(opened.experiment_id), self._stored(run_id)) if uri else "",
            params=params,
            metrics={**metrics, **(live.last(run_id) if live is not None else {})},
            tags={key: self.session.redact(value) for key, value in tags.items() if not key.startswith(_OWN)},
            note=tags.get("mlflow.note.content", self.session.redact(opened.options.description)),
            curves=live.of(run_id) if live is not None else (),
        )

    def _stored(self, made_here: str) -> str:
        """Return an id as the store knows it, once what was made in an outage was sent."""
        try:
            return self._outbox().ids.get(made_here, made_here)
        except TrackingError:
            return made_here

    def _began_at(self, opened: OpenRun) -> float:
        """Return when a run's own code began, on the clock that people read."""
        started = opened.tracked.info.start_time
        return started / 1000 if started and not opened.options.run_id else self._elapsed_start(opened)

    def _elapsed_start(self, opened: OpenRun) -> float:
        # A run that goes on had begun long ago: what is shown is how long this cell has been at it.
        run_id = str(opened.tracked.info.run_id)
        return self._began.setdefault(run_id, time.time() - (time.perf_counter() - opened.began))

    def _written(self, run_id: str) -> tuple[Mapping[str, str], Mapping[str, float], Mapping[str, str]]:
        """Return params, metrics and tags that this kernel has written so far."""
        try:
            account: Any = self._outbox().accounts.get(run_id)
        except TrackingError:
            account = None
        # Copies: the cell may write while they are drawn.
        return (dict(account.params), dict(account.metrics), dict(account.tags)) if account else ({}, {}, {})

    def _run_to_log_into(self) -> OpenRun:
        try:
            return self.session.find_open()
        except TrackingError:
            if self.session.last is None:
                raise
            return self.session.last[0]

    def _of_this_kernel(self, run_id: str) -> OpenRun:
        last = [self.session.last[0]] if self.session.last is not None else []
        for opened in (*self.session.open_runs, *last):
            if opened.run is not None and run_id in (
                opened.run.info.run_id,
                self._outbox().ids.get(opened.run.info.run_id),
            ):
                return opened
        raise MlflowMagicsError("only the open run, or the one that ended last, can be changed here")

    def _edit(self, opened: OpenRun, tags: Mapping[str, str]) -> None:
        from ..tracking.calls import guards
        from ..tracking.runs import runs

        with guards.unseeded():
            notes = runs.write_tags(opened.tracked, tags)
        self._edited(opened, tags)
        if notes:
            raise MlflowMagicsError("; ".join(notes))

    def _edited(self, opened: OpenRun, tags: Mapping[str, str]) -> None:
        self._edits.setdefault(str(opened.tracked.info.run_id), {}).update(tags)
        self._tell()

    def _tell(self) -> None:
        for observer in tuple(self.session.observers):
            observer()


def _state(waiting: Waiting | None) -> tuple[State, str]:
    """Return the state, and in words."""
    if waiting is None:
        return "not connected", "not connected"
    if waiting.state == "offline":
        return "offline", f"offline, {_count(waiting)} waiting for %mlflow_sync" if waiting.total else "offline"
    if waiting.state == "waiting":
        return "waiting", f"{_count(waiting)} waiting: {waiting.why}" if waiting.total else f"waiting: {waiting.why}"
    return ("sending", f"{_count(waiting)} being sent") if waiting.total else ("connected", "connected")


def _count(waiting: Waiting) -> str:
    """Say what waits: points where there are any, else writes."""
    number, word = (waiting.points, "point") if waiting.points else (waiting.others, "write")
    return f"{number:,} {word}{'' if number == 1 else 's'}"
