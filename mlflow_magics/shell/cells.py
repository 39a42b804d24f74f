"""Where a run cell begins and ends.

``%%mlflow_run ARGS`` on the first line is rewritten to the line magic ``%mlflow_run ARGS`` on the same line, so that
the rest stays top-level code: its value, its ``await``, its traceback and its line numbers are those of the bare
cell. The line magic opens the run; IPython's ``post_run_cell`` event closes it with the true outcome.
"""

from __future__ import annotations

import ast
import linecache
import re
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from IPython.core.inputtransformer2 import cell_magic, leading_empty_lines, leading_indent

from ..vocabulary.untouched import give_back, untouched
from .rewriting import Follower, follow_body, follow_runs, is_code_of, is_magic

if TYPE_CHECKING:
    from types import FrameType

    from IPython.core.interactiveshell import InteractiveShell

    from ..capture.following.plan import Plan
    from ..session.openrun import OpenRun
    from ..session.session import Session
    from ..vocabulary.records import CellSource, Outcome, RunOptions, Status
    from .figures import CellFigures

_MARK = re.compile(r"%%mlflow_run(?=\s|$)")
_CELL_MAGIC = re.compile(r"%%(\w[\w.]*)")
# Cell magics that run their body as the cell's own Python, in the kernel's namespace.
_TRANSPARENT = frozenset({"mlflow_run", "time", "capture", "prun"})


def rewrite(lines: list[str]) -> list[str]:
    """Turn ``%%mlflow_run`` at the top of a cell into the line magic; an input transformer."""
    top = next((i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), None)
    if top is None or not _MARK.match(lines[top]):
        return lines
    body = lines[top + 1 :]
    first = next((i for i, line in enumerate(body) if line.strip()), len(body))
    code = rewrite(leading_indent(body[first:]))
    if code and code[0].startswith("%%"):
        code = cell_magic(code)
    return [*lines[:top], lines[top][1:], *body[:first], *code]


# IPython's completeness check must see the cell magic, or a terminal would run the first line without its body.
rewrite.has_side_effects = True  # type: ignore[attr-defined]  # IPython's name for "not in the completeness check"


class _Frame:
    """A cell being run; cells nest (``%%capture``, ``%run`` of a notebook)."""

    def __init__(self, info: Any) -> None:
        self.info = info
        self.opened: OpenRun | None = None
        self.shown_error = _last_shown_error()
        self.own_error: BaseException | None = None
        self.figures: CellFigures | None = None
        self.plans: dict[int, Plan] = {}


class CellRuns:
    """Opens a run when a cell's magic says so, and closes it when the cell is over.

    Parameters
    ----------
    shell : InteractiveShell
        The shell.
    session : Session
        What opens and closes runs.
    show : callable
        Shows an :class:`Outcome` below the cell.

    Attributes
    ----------
    read_line : callable
        From what is typed behind ``%mlflow_run`` to the options; the magics put it here.
    """

    read_line: Callable[[str], RunOptions]

    def __init__(self, shell: InteractiveShell, session: Session, show: Callable[[Outcome], None]) -> None:
        self.shell = shell
        self.session = session
        self.show = show
        self._frames: list[_Frame] = []
        self._unframed = _Frame(None)
        self._follower = Follower(self._follow)

    def register(self) -> None:
        """Put the transformer, the events and the figure watcher in place."""
        self.shell.input_transformers_cleanup.append(rewrite)
        self.shell.ast_transformers.append(self._follower)
        for event, callback in self._callbacks():
            self.shell.events.register(event, callback)
        formatter = self.shell.display_formatter
        if formatter is not None:
            formatter.mimebundle_formatter.for_type_by_name("matplotlib.figure", "Figure", self._note_figure)

    def unregister(self) -> None:
        """Take them out again. A run that is still open is closed by the session."""
        from ..capture.following import hook

        hook.remove()
        if rewrite in self.shell.input_transformers_cleanup:
            self.shell.input_transformers_cleanup.remove(rewrite)
        if self._follower in self.shell.ast_transformers:
            self.shell.ast_transformers.remove(self._follower)
        for event, callback in self._callbacks():
            if callback in self.shell.events.callbacks[event]:
                self.shell.events.unregister(event, callback)
        formatter = self.shell.display_formatter
        if formatter is not None:
            mimebundle = formatter.mimebundle_formatter
            mimebundle.deferred_printers.pop(("matplotlib.figure", "Figure"), None)
            for known in [t for t, f in mimebundle.type_printers.items() if f == self._note_figure]:
                mimebundle.pop(known)

    def _callbacks(self) -> tuple[tuple[str, Callable[..., None]], ...]:
        return (
            ("pre_execute", self._before_code),
            ("pre_run_cell", self._before_cell),
            ("post_execute", self._after_code),
            ("post_run_cell", self._after_cell),
        )

    def busy(self) -> bool:
        """Tell whether a cell is being run."""
        return bool(self._frames)

    def cell_id(self) -> str:
        """Return the front end's id of the cell that is being run; empty where it tells none."""
        return next((i for frame in reversed(self._frames) if (i := getattr(frame.info, "cell_id", None))), "")

    def begin(self, options: RunOptions) -> None:
        """Open the run of the cell that is being run; an earlier run of the same cell ends here."""
        frame = self._frames[-1] if self._frames else self._unframed
        self._finish(frame, "FINISHED", None)
        source = self._source(frame)
        if source is None:
            return  # a syntax error further down: the cell fails by itself, and there is nothing to track
        frame.shown_error, frame.own_error = _last_shown_error(), None
        plan = frame.plans.get(_line_being_run(self.shell.user_ns) or 0)
        with self.session.uninterrupted():
            # Or a Ctrl-C while the run is created would leave it to nobody. This way the cell ends with it.
            frame.opened = self.session.open(options, source, plan)
            from .figures import CellFigures

            frame.figures = CellFigures()

    def _follow(self, tree: ast.Module) -> None:
        """Have recorded what a run assigns, in the tree of a cell or of the body of ``%%time`` and its like."""
        give_back(tree)
        shows = self.shell.ast_node_interactivity == "last_expr_or_assign"
        frames = [self._unframed, *self._frames]
        if any(map(is_magic, tree.body)):
            names = self.shell.user_ns
            frames[-1].plans = follow_runs(tree, self.read_line, names, shows_assignments=shows)
            return
        opened = next((frame.opened for frame in reversed(frames) if frame.opened is not None), None)
        if opened is None or opened.series is None or opened.source is None:
            return
        if is_code_of(tree, opened.source.code):
            follow_body(tree, opened.series.plan, shows_assignments=shows)
            opened.series.follow()

    # -- events: never raise into the user's cell; IPython passes other arguments from version to version ----------

    def _before_code(self, *_: Any) -> None:
        """Note that a cell begins, also a silent one: a front end's own, or one of a notebook under ``%run``."""
        if self._frames:  # what was shown before is that cell's own
            self._frames[-1].own_error = _newly_shown_error(self._frames[-1])
        self._frames.append(_Frame(None))

    def _after_code(self, *_: Any) -> None:
        """End a silent cell: for it IPython has neither a result nor another event."""
        if self._frames and self._frames[-1].info is None:
            with self._closing():
                frame = self._frames.pop()
                status, error = _status(_newly_shown_error(frame))
                self._finish(frame, status, error)
                self._end_nested(by_run=_is_under_run())

    def kernel_ends(self) -> None:
        """End the runs that are open, with the kernel: as KILLED if a cell is busy, else as the last one ended."""
        self.session.leave_job()
        self.session.disconnect("KILLED" if self.busy() else None)

    def _before_cell(self, info: Any = None, *_: Any) -> None:
        self.session.note_cell("KILLED")  # should the kernel die while it runs
        if self._frames and self._frames[-1].info is None:
            self._frames[-1].info = info  # the cell whose code began just now is not silent
        else:
            self._frames.append(_Frame(info))

    def _after_cell(self, result: Any = None, *_: Any) -> None:
        with self._closing():
            self._end_cell(result)

    def _closing(self) -> AbstractContextManager[None]:
        """Put a Ctrl-C off while a run is closed: the cell is over, and the run must not stay open."""
        if any(frame.opened is not None for frame in (self._unframed, *self._frames)):
            return self.session.uninterrupted(forget=True)
        return nullcontext()

    def _end_cell(self, result: Any) -> None:
        """Close the run of a cell that is over, and of those below it that were torn down."""
        info = getattr(result, "info", None)
        if result is None:
            # ipykernel: an `await` cell was interrupted before it had a result.
            frame = self._frames.pop() if self._frames else self._unframed
            self._finish(frame, "KILLED", KeyboardInterrupt())
            self._end_nested()
            self.session.note_end_of_cell("KILLED")
            return
        # The cell that loaded the extension began before the events were registered, so it has no frame.
        frame = _frame_of(info, self._frames) or self._unframed
        if frame in self._frames:
            while self._frames[-1] is not frame:  # a nested cell that was torn down without its event
                self._finish(self._frames.pop(), "KILLED", KeyboardInterrupt())
            self._frames.pop()
        status, error = _outcome(result, frame)
        if frame.opened is not None:
            frame.opened.last = getattr(result, "result", None)
        self._finish(frame, status, error)
        self._end_nested()
        self.session.note_end_of_cell(status)
        # For %%mlflow_run to tell where what it reads comes from; looked at only then.
        if (number := getattr(result, "execution_count", None)) is not None:
            cell_id, typed = (getattr(info, name, None) or "" for name in ("cell_id", "raw_cell"))
            self.session.executed[number] = (cell_id, typed, time.time())

    def _finish(self, frame: _Frame, status: Status, error: BaseException | None) -> None:
        opened, frame.opened = frame.opened, None
        figures, frame.figures = frame.figures, None
        drawn = figures.end() if figures is not None else []
        if opened is not None and opened in self.session.open_runs:
            opened.shown += drawn
            opened.notes += [figures.note] if figures is not None and figures.note else []
            try:
                with untouched():
                    self.show(self.session.close(opened, status, error))
            # The last net. The user's own display, or a standard output that the cell closed, may fail too.
            except Exception as trouble:  # noqa: BLE001
                print(f"mlflow_magics: the run's block cannot be shown: {trouble!r}", file=sys.__stderr__)

    def _end_nested(self, *, by_run: bool = False) -> None:
        """Leave a cell: the one around it, if any, has its own outcome; after the last the recorders' name goes."""
        if not self._frames:
            from ..capture.following import hook

            hook.withdraw()
        elif not by_run:  # ``%run`` fails with the notebook that it runs
            self._frames[-1].shown_error = _last_shown_error()

    def _note_figure(self, figure: object) -> None:
        """Remember a figure that a run cell displays; IPython then formats it as ever."""
        for frame in reversed([self._unframed, *self._frames]):
            if frame.figures is not None:
                frame.figures.shown(figure)
                return

    # -- the cell's source ----------------------------------------------------------------------------------------

    def _source(self, frame: _Frame) -> CellSource | None:
        """Return the cell that is being run; None if a part that is compiled later has a syntax error."""
        from ..vocabulary.records import CellSource

        info = frame.info
        typed = getattr(info, "raw_cell", None)
        if typed is None:
            # The cell that loads the extension was typed before anybody listened; Python keeps what it compiled.
            typed = _source_being_run(self.shell.user_ns)
        counts = getattr(info, "store_history", True)
        python, marked, above = _split(typed)
        # IPython drops the empty lines at the top, and the lines are numbered as in the cell.
        code = "\n" * above + self.shell.transform_cell(python) if python else ""
        try:
            tree = ast.parse(code, type_comments=False)
        except SyntaxError:
            return None
        if not marked:
            code = _rest(code, tree, _line_being_run(self.shell.user_ns))
        return CellSource(
            text=typed,
            code=code,
            execution_count=self.shell.execution_count if counts else None,
            cell_id=getattr(info, "cell_id", None),
        )


def _split(typed: str) -> tuple[str, bool, int]:
    """Peel the cell magics off the top: the Python that remains, whether all of it is the run, the lines above it."""
    lines = leading_indent(leading_empty_lines(typed.splitlines(keepends=True)))
    marked = False
    above = 0
    while lines:
        top = next((i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), None)
        found = _CELL_MAGIC.match(lines[top]) if top is not None else None
        if top is None or found is None:
            break
        if found[1] not in _TRANSPARENT:
            return "", True, 0
        marked = marked or found[1] == "mlflow_run"
        # Python below %%mlflow_run is compiled with the magic's line above it; below %%time it is not.
        body = lines[top + 1 :]
        first = next((i for i, line in enumerate(body) if line.strip()), len(body))
        above = top + 1 + first if found[1] == "mlflow_run" else 0
        lines = body[:first] + leading_indent(body[first:])
    return "".join(lines), marked, above


def _rest(code: str, tree: ast.Module, line: int | None) -> str:
    """Blank out what is not the run: the lines up to the magic on `line`, and from the next magic on."""
    if line is None:
        return code
    ends = [node.lineno for node in tree.body if is_magic(node) and node.lineno > line]
    end = min(ends, default=sys.maxsize)
    kept = [
        text if line < number < end else "\n" for number, text in enumerate(code.splitlines(keepends=True), start=1)
    ]
    rest = "".join(kept)
    try:
        ast.parse(rest)
    except SyntaxError:
        return code  # the magic stands inside a statement, so that statement is part of the run
    return rest


def _line_being_run(namespace: Any) -> int | None:
    """Return the line of the cell that called the magic we are in."""
    frame = _cell_frame(namespace)
    return frame.f_lineno if frame is not None else None


def _source_being_run(namespace: Any) -> str:
    frame = _cell_frame(namespace)
    return "".join(linecache.getlines(frame.f_code.co_filename)) if frame is not None else ""


def _cell_frame(namespace: Any) -> FrameType | None:
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_globals is not namespace:
        frame = frame.f_back
    return frame


# -- how a cell ended ---------------------------------------------------------------------------------------------


def _frame_of(info: Any, frames: list[_Frame]) -> _Frame | None:
    """Find the cell that an info is of, by its text where IPython failed over the cell's error and made a new info."""
    text = getattr(info, "raw_cell", None)
    same = [frame for frame in frames if frame.info is info and info is not None]
    alike = [frame for frame in frames if text is not None and getattr(frame.info, "raw_cell", None) == text]
    return next(reversed(same or alike), None)


def _outcome(result: Any, frame: _Frame) -> tuple[Status, BaseException | None]:
    error: BaseException | None = result.error_before_exec or result.error_in_exec
    return _status(error or _newly_shown_error(frame))


def _newly_shown_error(frame: _Frame) -> BaseException | None:
    """Return what ``%%time`` and ``%run`` show while they report success; IPython leaves it in ``sys.last_value``."""
    last = _last_shown_error()
    return last if last is not frame.shown_error else frame.own_error


def _status(error: BaseException | None) -> tuple[Status, BaseException | None]:
    from ..capture.values.inspection import is_a  # the error's class may answer `isinstance` with code of the user's

    if error is None or (is_a(error, SystemExit) and _says_success(SystemExit.__dict__["code"].__get__(error))):
        return "FINISHED", None
    # Not imported for this: where nobody has, nothing was cancelled, and in a terminal it takes 50 ms.
    cancelled = getattr(sys.modules.get("asyncio"), "CancelledError", KeyboardInterrupt)
    if is_a(error, KeyboardInterrupt, cancelled):
        return "KILLED", error
    return "FAILED", error


def _says_success(code: object) -> bool:
    """Read an exit code as Python does: nothing, or 0."""
    from ..capture.values.inspection import is_a

    return code is None or (is_a(code, int) and int.__eq__(code, 0))  # type: ignore[operator]


def _is_under_run() -> bool:
    """Tell whether ``%run`` runs the cell that ends now, as one of a notebook."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_name != "safe_execfile_ipy":
        frame = frame.f_back
    return frame is not None


def _last_shown_error() -> BaseException | None:
    found = getattr(sys, "last_value", None)
    return found if isinstance(found, BaseException) else None
