"""The commands: declare options, call the session, show the outcome. No decisions are made here."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument
from IPython.display import display

from ..session import words
from ..vocabulary.errors import MlflowMagicsError, OptionError
from . import arguments, options
from .cell.cells import show_outcome

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..session.session import Session
    from ..vocabulary.records import RunOptions
    from .cell.cells import CellRuns
    from .panels import Panels


def _run_arguments(magic: Callable[..., Any]) -> Callable[..., Any]:
    """Declare what ``%%mlflow_run`` and ``%mlflow_start`` have in common."""
    for declare in (
        argument("name", nargs="?", default="", help="Name of the run; MLflow makes one up if none is given."),
        argument("-e", "--experiment", default="", help="Experiment to log to; created if missing."),
        argument("--tags", nargs="+", action="extend", metavar="K=V", help="Tags of the run."),
        argument("--description", default="", help="A note shown on the run's page (Markdown)."),
        argument("--nested", action="store_true", help="Nest in the run that mlflow.start_run() opened."),
        argument("--run-id", default="", help="Go on with this existing run."),
        argument("--log-system-metrics", action="store_true", help="Sample CPU, memory and GPU meanwhile."),
    ):
        magic = declare(magic)
    return magic


@magics_class
class MlflowMagics(Magics):
    """``%mlflow_connect``, ``%%mlflow_run`` and their neighbours.

    Parameters
    ----------
    shell : InteractiveShell
        The shell.
    session : Session
        The state they share.
    cells : CellRuns
        What knows where a run cell begins and ends.
    """

    shell: InteractiveShell

    def __init__(self, shell: InteractiveShell, session: Session, cells: CellRuns) -> None:
        super().__init__(shell)
        self.session = session
        self.cells = cells

    @cached_property
    def panels(self) -> Panels:
        """The panels that are open."""
        from .panels import Panels

        return Panels(self.shell, self.session, self.cells)

    def close_panels(self) -> None:
        """Close the panels that are open."""
        if "panels" in vars(self):
            self.panels.close()

    def read_run(self, line: str) -> RunOptions:
        """Return what is typed behind ``%mlflow_run``."""
        return options.run_options(arguments.parse(self.mlflow_run, line))

    @arguments.with_options
    @argument(
        "uri",
        nargs="?",
        help="Where to track: http(s)://…, sqlite:///…, azureml://…, databricks, a folder, or local.",
    )
    @argument("-e", "--experiment", help="Experiment to log to; created if missing.")
    @argument("--config", metavar="PATH", help="Azure ML: the workspace's config.json, or a folder to look in.")
    @argument("--workspace", help="Azure ML: the workspace's name; with the next two.")
    @argument("--resource-group", help="Azure ML: its resource group.")
    @argument("--subscription", help="Azure ML: its subscription's id.")
    @argument("--device-code", action="store_true", help="Azure ML: sign in by a code, shown here.")
    @argument("--registry-uri", help="Where models are registered, if elsewhere.")
    @argument("--offline", action="store_true", help="Ask no server; keep everything until %%mlflow_sync sends it.")
    @argument("--check", action="store_true", help="Probe the connection step by step and say what to hint.")
    @line_magic
    def mlflow_connect(self, line: str) -> None:
        """Decide where this kernel tracks to. Without a URI: the environment, Azure ML, else a local SQLite store.

        Examples
        --------
        ``%mlflow_connect``
        ``%mlflow_connect http://localhost:5000 -e diabetes``
        ``%mlflow_connect azureml://… --check``
        ``%mlflow_connect --offline``
        """
        from ..display.outputs import tables
        from ..vocabulary.stores import SignIn

        with arguments.one_line(self.session.redact):
            args = arguments.parse(self.mlflow_connect, line)
            uri, experiment, config = options.place(args), options.text(args.experiment), options.text(args.config)
            if args.check:
                display(tables.check(self.session.check(uri, experiment, config)))
                return
            sign_in = SignIn(_is_attended(self.shell), _show_line if args.device_code else None)
            registry_uri = options.text(args.registry_uri)
            before = self.session.connection
            try:
                connected = self.session.connect(
                    uri, experiment, registry_uri, config=config, sign_in=sign_in, offline=args.offline
                )
            except MlflowMagicsError as error:
                kept = f" (still connected to {before.where})" if before is not None else ""
                raise MlflowMagicsError(f"{error}{kept}") from error
            display(tables.connection(connected))

    @arguments.with_options
    @argument("--dry-run", action="store_true", help="Run the cell, show what would be logged, log nothing.")
    @argument("--no-source", action="store_true", help="Do not log the cell's source.")
    @argument("--no-capture", action="store_true", help="Do not log the cell's variables.")
    @argument(
        "--data",
        nargs="+",
        action="extend",
        metavar="VAR[=CONTEXT]",
        help="Datasets that the run was given; what for: training (if not said), validation, testing.",
    )
    @argument("--model", nargs="+", action="extend", metavar="VAR[=NAME]", help="Models to log when the cell ends.")
    @argument(
        "--artifacts",
        nargs="+",
        action="extend",
        metavar="PATH",
        help="Files or folders to log when the cell ends.",
    )
    @argument("--every", type=int, default=1, metavar="N", help="Keep points 0, N, 2N… of a series, and the last one.")
    @argument(
        "--watch",
        nargs="+",
        action="extend",
        metavar="VAR",
        help="Variables whose every assignment is a point, in functions too.",
    )
    @argument("--skip", nargs="+", action="extend", metavar="VAR", help="Variables not to log.")
    @argument("--metrics", nargs="+", action="extend", metavar="VAR", help="Variables to log as metrics.")
    @argument("--params", nargs="+", action="extend", metavar="VAR", help="Variables to log as params.")
    @_run_arguments
    @line_cell_magic
    def mlflow_run(self, line: str, cell: str | None = None) -> None:
        """Make this cell an MLflow run: its inputs become params, its results metrics, its outcome the status.

        As a line, ``%mlflow_run``, it makes the rest of the cell a run.

        Examples
        --------
        ``%%mlflow_run``
        ``%%mlflow_run forest -e diabetes --tags stage=dev``
        ``%%mlflow_run --model model=forest --data X_train X_test=testing``
        ``%%mlflow_run --dry-run``
        """
        if cell is not None:
            # Reached through `run_cell_magic` only: a typed %%mlflow_run was rewritten before.
            self.shell.run_cell(f"%mlflow_run {line}\n{cell}").raise_error()
            return
        with arguments.one_line(self.session.redact):
            self.cells.begin(self.session, self.read_run(line))

    @arguments.with_options
    @_run_arguments
    @line_magic
    def mlflow_start(self, line: str) -> None:
        """Open a run that spans cells, until ``%mlflow_end``; a ``%%mlflow_run`` meanwhile is its child.

        Examples
        --------
        ``%mlflow_start sweep -e diabetes``
        """
        from ..display.outputs import tables

        with arguments.one_line(self.session.redact):
            opened = self.session.open_spanning(options.run_options(arguments.parse(self.mlflow_start, line)))
            lines = [f"run {opened.name} is open; %mlflow_end closes it"] if opened.run else []
            display(tables.notes(map(self.session.redact, [*lines, *opened.notes])))
            opened.notes.clear()

    @arguments.with_options
    @argument("--status", default="FINISHED", type=str.upper, help="FINISHED (the default), FAILED or KILLED.")
    @line_magic
    def mlflow_end(self, line: str) -> None:
        """Close the run that ``%mlflow_start`` opened.

        Examples
        --------
        ``%mlflow_end``
        ``%mlflow_end --status FAILED``
        """
        with arguments.one_line(self.session.redact):
            status = arguments.parse(self.mlflow_end, line).status
            if status not in ("FINISHED", "FAILED", "KILLED"):
                raise OptionError(f"--status is FINISHED, FAILED or KILLED, not {status}")
            show_outcome(self.session.close(self.session.find_spanning(), status))

    @arguments.with_options
    @argument(
        "flavor",
        nargs="*",
        help="Integrations (sklearn, xgboost, …), then off; or status. None: all that MLflow knows.",
    )
    @argument("--exclude", nargs="+", action="extend", metavar="FLAVOR", help="Integrations to leave out.")
    @argument("--exclusive", action="store_true", help="Log only into runs that autolog opens itself.")
    @argument("--no-log-models", action="store_true", help="Do not log models (much faster).")
    @argument(
        "--log-input-examples",
        action="store_true",
        help="Log an example of the training input with the model.",
    )
    @argument("--no-log-datasets", action="store_true", help="Do not log what the model was trained on.")
    @argument("--silent", action="store_true", help="No messages from MLflow while autologging.")
    @argument(
        "--extra-tags",
        nargs="+",
        action="extend",
        metavar="K=V",
        help="Tags for the runs that autolog opens.",
    )
    @argument(
        "--disable-for-unsupported-versions",
        action="store_true",
        help="Leave out versions MLflow was not tested with.",
    )
    @line_magic
    def mlflow_autolog(self, line: str) -> None:
        """Turn MLflow's autologging on or off, or show its state; in a run cell it logs into the cell's run.

        Examples
        --------
        ``%mlflow_autolog``
        ``%mlflow_autolog sklearn --no-log-models``
        ``%mlflow_autolog off``
        ``%mlflow_autolog status``
        """
        from ..display.outputs import tables

        with arguments.one_line(self.session.redact):
            args = arguments.parse(self.mlflow_autolog, line)
            rows, notes = self.session.autolog(words.names(args.flavor), options.autolog_options(args))
            display(tables.integrations(rows, [self.session.redact(note) for note in notes]))

    @no_var_expand
    @line_magic
    def mlflow_log(self, line: str) -> None:
        """Log something into the open run, at once.

        ``%mlflow_log [param|metric|tag|artifact|figure|table|text|model] …``

        Examples
        --------
        ``%mlflow_log accuracy``
            A variable; whether it is a param or a metric is found out.
        ``%mlflow_log metric Accuracy=np.mean(y_hat == y_test) --step 3``
            An expression, at a step; in a loop ``--step epoch``.
        ``%mlflow_log param regularization_rate=0.1``
        ``%mlflow_log tag stage=dev``
        ``%mlflow_log artifact ROC-Curve.png``
            A file or a folder.
        ``%mlflow_log figure fig``, ``%mlflow_log table df``, ``%mlflow_log text report``
        ``%mlflow_log model model diabetes``
            A model of any flavor that MLflow has, and the name to log it under.
        """
        from ..display.outputs import tables
        from ..session import manual

        with arguments.one_line(self.session.redact, runs_users_code=True):
            history = self.shell.history_manager
            sources = list(history.input_hist_parsed[:-1]) if history is not None else []
            display(tables.notes(map(self.session.redact, manual.log(self.session, line, sources))))

    @line_magic
    def mlflow_status(self, line: str) -> None:
        """Show where this kernel tracks to, the experiment, and the runs that are open.

        Examples
        --------
        ``%mlflow_status``
        """
        from ..display.outputs import tables

        with arguments.one_line(self.session.redact):
            if line.strip():
                raise OptionError("%mlflow_status takes no arguments")
            session = self.session
            where, refused = None, ""
            try:
                where = session.next_run()
            except MlflowMagicsError as error:
                refused = session.refused[0] if session.refused is not None else str(error)
            runs, waiting, news = (
                session.describe_open(),
                session.waiting(),
                [*session.take_news(), *session.set_aside()],
            )
            display(tables.status(where, runs, waiting, news, session.redact(refused)))

    @arguments.with_options
    @argument("--compact", action="store_true", help="A strip: the run, its state and its curves.")
    @line_magic
    def mlflow_panel(self, line: str) -> None:
        """Show a live panel: the experiment, the run and its curves; change them, log from it, compare runs.

        Examples
        --------
        ``%mlflow_panel``
        ``%mlflow_panel --compact``
        """
        with arguments.one_line(self.session.redact):
            self.panels.show(compact=arguments.parse(self.mlflow_panel, line).compact)

    @line_magic
    def mlflow_sync(self, line: str) -> None:
        """Send what is waiting now, also what dead kernels left: after ``--offline``, or an outage.

        Examples
        --------
        ``%mlflow_sync``
        """
        from tqdm.auto import tqdm

        from ..display.outputs import tables
        from ..session import sending

        class Bar(tqdm):  # type: ignore[misc]  # a class of tqdm's own, whichever it chose
            """With a lock of its own: tqdm's fixes how the user's multiprocessing starts processes."""

            _lock = threading.RLock()
            monitor_interval = 0  # no thread that stays

        with arguments.one_line(self.session.redact):
            if line.strip():
                raise OptionError("%mlflow_sync takes no arguments")
            # In a notebook tqdm does not follow its own variable.
            off = os.environ.get("TQDM_DISABLE", "") not in ("", "0")
            with Bar(unit=" writes", desc="sending", leave=False, delay=1, disable=off) as bar:

                def progress(sent: int, left: int) -> None:
                    bar.total = sent + left
                    bar.update(sent - bar.n)

                done = sending.sync(self.session, progress)
            display(tables.sync(done, map(self.session.redact, self.session.take_news())))


def _is_attended(shell: InteractiveShell) -> bool:
    """Tell whether somebody can answer: a front end that takes input, or a terminal."""
    kernel = getattr(shell, "kernel", None)
    return bool(getattr(kernel, "_allow_stdin", False)) if kernel is not None else sys.stdin.isatty()


def _show_line(line: str) -> None:
    from ..display.outputs import tables

    display(tables.notes([line]))
