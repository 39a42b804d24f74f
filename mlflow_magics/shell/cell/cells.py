"""Where a run cell begins and ends: the magic on its first line opens the run, IPython's events close it.

``%load_ext`` imports this module: what is needed for a run is imported when one is opened.
"""

from __future__ import annotations

import ast
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from .transformer import rewrite

if TYPE_CHECKING:
    from types import FrameType

    from IPython.core.interactiveshell import InteractiveShell

    from ...capture.following.plan import Plan
    from ...session.openrun import OpenRun
    from ...session.session import Session
    from ...vocabulary.records import Outcome, RunOptions, Status
    from .figures import CellFigures


class Follower(ast.NodeTransformer):
    """Sees every tree that IPython is about to run.

    Parameters
    ----------
    follow : callable
        Changes the tree of a cell in place, or leaves it.
    """

    def __init__(self, follow: Callable[[ast.Module], None]) -> None:
        self.follow = follow

    def visit(self, node: ast.AST) -> ast.AST:
        """Return the tree that IPython hands over, whatever happens."""
        try:
            if isinstance(node, ast.Module):
                self.follow(node)
        # IPython drops a transformer that raises. The tree stays good: some of it is only not followed.
        except Exception:  # noqa: BLE001, S110
            pass
        return node


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
    read_line : callable
        From what is typed behind ``%mlflow_run`` to the options.

    Attributes
    ----------
    session : Session or None
        What opens and closes runs; None until something is asked of it.
    executed : dict of int to (str, str, float)
        By execution count: each cell's id and text, and when it ended.
    show : callable
        Shows an :class:`Outcome` below the cell.
    """

    def __init__(self, shell: InteractiveShell, read_line: Callable[[str], RunOptions]) -> None:
        self.shell = shell
        self.read_line = read_line
        self.session: Session | None = None
        self.executed: dict[int, tuple[str, str, float]] = {}
        self.show = show_outcome
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
        from ...capture.following import hook

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

    def begin(self, session: Session, options: RunOptions) -> None:
        """Open the run of the cell that is being run; an earlier run of the same cell ends here."""
        from .sources import line_being_run, source_of

        frame = self._frames[-1] if self._frames else self._unframed
        self._finish(frame, "FINISHED", None)
        source = source_of(frame.info, self.shell)
        if source is None:
            return  # a syntax error further down: the cell fails by itself, and there is nothing to track
        frame.shown_error, frame.own_error = _last_shown_error(), None
        plan = frame.plans.get(line_being_run(self.shell.user_ns) or 0)
        with session.uninterrupted():
            # Or a Ctrl-C while the run is created would leave it to nobody. This way the cell ends with it.
            frame.opened = session.open(options, source, plan)
            from .figures import CellFigures

            frame.figures = CellFigures()

    def _follow(self, tree: ast.Module) -> None:
        """Have recorded what a run assigns, in the tree of a cell or of the body of ``%%time`` and its like."""
        from ...vocabulary.untouched import give_back
        from .rewriting import follow_body, follow_runs, is_code_of, is_magic

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
                self._finish_as_judged(frame, _newly_shown_error(frame))
                self._end_nested(by_run=_is_under_run())

    def kernel_ends(self) -> None:
        """End the runs that are open, with the kernel: as KILLED if a cell is busy, else as the last one ended."""
        if self.session is not None:
            self.session.leave_job()
            self.session.disconnect("KILLED" if self.busy() else None)

    def _before_cell(self, info: Any = None, *_: Any) -> None:
        if self.session is not None:
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
        frames = (self._unframed, *self._frames)
        if self.session is not None and any(frame.opened is not None for frame in frames):
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
            if self.session is not None:
                self.session.note_end_of_cell("KILLED")
            return
        # The cell that loaded the extension began before the events were registered, so it has no frame.
        frame = _frame_of(info, self._frames) or self._unframed
        if frame in self._frames:
            while self._frames[-1] is not frame:  # a nested cell that was torn down without its event
                self._finish(self._frames.pop(), "KILLED", KeyboardInterrupt())
            self._frames.pop()
        if frame.opened is not None:
            frame.opened.last = getattr(result, "result", None)
        error = result.error_before_exec or result.error_in_exec or _newly_shown_error(frame)
        status = self._finish_as_judged(frame, error)
        self._end_nested()
        if self.session is not None:
            self.session.note_end_of_cell(status)
        # For %%mlflow_run to tell where what it reads comes from; looked at only then.
        if (number := getattr(result, "execution_count", None)) is not None:
            cell_id, typed = (getattr(info, name, None) or "" for name in ("cell_id", "raw_cell"))
            self.executed[number] = (cell_id, typed, time.time())

    def _finish_as_judged(self, frame: _Frame, error: BaseException | None) -> Status:
        """Close the run of a cell, if it has one; return how the cell ended."""
        if self.session is None:
            return "FINISHED"  # nobody asks
        from .outcomes import status_of

        status, error = status_of(error)
        self._finish(frame, status, error)
        return status

    def _finish(self, frame: _Frame, status: Status, error: BaseException | None) -> None:
        opened, frame.opened = frame.opened, None
        figures, frame.figures = frame.figures, None
        drawn = figures.end() if figures is not None else []
        if self.session is not None and opened is not None and opened in self.session.open_runs:
            from ...vocabulary.untouched import untouched

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
            if self.session is None:
                return
            from ...capture.following import hook

            hook.withdraw()
        elif not by_run:  # ``%run`` fails with the notebook that it runs
            self._frames[-1].shown_error = _last_shown_error()

    def _note_figure(self, figure: object) -> None:
        """Remember a figure that a run cell displays; IPython then formats it as ever."""
        for frame in reversed([self._unframed, *self._frames]):
            if frame.figures is not None:
                frame.figures.shown(figure)
                return


def show_outcome(outcome: Outcome) -> None:
    """Show what a run came to, below its cell."""
    from IPython.display import display

    from ...display.outputs import summary

    display(summary.render(outcome))


# -- how a cell ended ---------------------------------------------------------------------------------------------


def _frame_of(info: Any, frames: list[_Frame]) -> _Frame | None:
    """Find the cell that an info is of, by its text where IPython failed over the cell's error and made a new info."""
    text = getattr(info, "raw_cell", None)
    same = [frame for frame in frames if frame.info is info and info is not None]
    alike = [frame for frame in frames if text is not None and getattr(frame.info, "raw_cell", None) == text]
    return next(reversed(same or alike), None)


def _newly_shown_error(frame: _Frame) -> BaseException | None:
    """Return what ``%%time`` and ``%run`` show while they report success; IPython leaves it in ``sys.last_value``."""
    last = _last_shown_error()
    return last if last is not frame.shown_error else frame.own_error


def _is_under_run() -> bool:
    """Tell whether ``%run`` runs the cell that ends now, as one of a notebook."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_name != "safe_execfile_ipy":
        frame = frame.f_back
    return frame is not None


def _last_shown_error() -> BaseException | None:
    error = getattr(sys, "last_value", None)
    return error if isinstance(error, BaseException) else None
