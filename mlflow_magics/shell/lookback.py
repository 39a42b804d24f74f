"""The commands that look back: declare options, ask, show the outcome. No decisions are made here."""

from __future__ import annotations

import keyword
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument
from IPython.display import display

from ..session import words
from ..vocabulary.errors import OptionError, UnknownNameError
from . import arguments, late

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..session.session import Session
    from ..tracking.outbox.outbox import Outbox
    from ..vocabulary.panel import RunView


class BestRun:
    """What ``best = %mlflow_best accuracy`` gives: it shows as the block, and ``$best`` on a line is its id.

    Parameters
    ----------
    run : RunView
        The run.
    block : object
        How it shows.
    """

    def __init__(self, run: RunView, block: Any) -> None:
        self.run_id = run.run_id
        self.name = run.name
        self.params = dict(run.params)
        self.metrics = dict(run.metrics)
        self._block = block

    def __str__(self) -> str:
        return self.run_id

    def __repr__(self) -> str:
        return str(self._block.text)

    def _repr_html_(self) -> str:
        return str(self._block.html)


@magics_class
class MlflowLookback(Magics):
    """``%mlflow_runs``, ``%mlflow_diff`` and their neighbours.

    Parameters
    ----------
    shell : InteractiveShell
        The shell.
    session : Session
        The state they share with the commands that track.
    """

    shell: InteractiveShell

    def __init__(self, shell: InteractiveShell, session: Session) -> None:
        super().__init__(shell)
        self.session = session

    @arguments.with_options
    @argument("filter", nargs="*", help="In MLflow's syntax: metrics.accuracy > 0.9 and params.lr = '0.1'")
    @argument("-e", "--experiment", default="", help="Another experiment than the connected one.")
    @argument("--sort", default="", help="metrics.NAME, params.NAME, newest, name or duration.")
    @argument("--reverse", action="store_true", help="The other way round.")
    @argument("--top", type=int, default=20, metavar="N", help="How many at the most (20).")
    @argument("--columns", nargs="+", action="extend", metavar="KEY", help="What to show, as metrics.accuracy")
    @line_magic
    def mlflow_runs(self, line: str) -> Any:
        """Show the experiment's runs as a table; ``runs = %mlflow_runs`` is a DataFrame.

        Examples
        --------
        ``%mlflow_runs metrics.accuracy > 0.9 --sort metrics.accuracy``
        ``runs = %mlflow_runs --top 200``
        """
        from ..display.outputs import findings

        with arguments.one_line(self.session.redact):
            args = arguments.parse(self.mlflow_runs, line)
            outbox, uri = self._connected()
            from ..tracking.lookback import frames, lookup

            page = lookup.search(
                outbox,
                uri,
                self._experiment(outbox, args.experiment),
                _filter(args.filter),
                ("-" if args.reverse else "") + (words.unquote(args.sort) or ("newest" if args.reverse else "")),
                args.top,
                columns=words.names(args.columns),
            )
            block = findings.runs(page)
            return frames.frame(page, self.session.redact(block.text), self.session.redact(block.html))

    @arguments.with_options
    @argument("metric", help="The metric's name.")
    @argument("--min", action="store_true", help="The least is the best.")
    @argument("--max", action="store_true", help="The highest is the best, whatever the metric is called.")
    @argument("-e", "--experiment", default="", help="Another experiment than the connected one.")
    @argument("--filter", nargs="+", default=[], help="Only runs like this, in MLflow's syntax.")
    @line_magic
    def mlflow_best(self, line: str) -> BestRun:
        """Find the best run by a metric; ``best = %mlflow_best accuracy``, and then ``%mlflow_load $best``.

        Examples
        --------
        ``%mlflow_best accuracy``
        ``%mlflow_best loss --min --filter params.lr = '0.1'``
        """
        from ..display.outputs import findings

        with arguments.one_line(self.session.redact):
            args = arguments.parse(self.mlflow_best, line)
            if args.min and args.max:
                raise OptionError("--min and --max: give one of them")
            outbox, uri = self._connected()
            from ..tracking.lookback import lookup
            from ..vocabulary.lookback import least_is_best

            metric = words.unquote(args.metric).removeprefix("metrics.").removeprefix("metric.")
            guessed = not (args.min or args.max) and least_is_best(metric)
            least = args.min or guessed
            experiment = self._experiment(outbox, args.experiment)
            run, notes = lookup.best(outbox, uri, experiment, metric, _filter(args.filter), least)
            guess = f"the least {metric} was taken for the best, by its name; --max for the highest"
            return BestRun(run, findings.best(run, metric, least, [*([guess] if guessed else []), *notes]))

    @arguments.with_options
    @argument(
        "runs", nargs="*", metavar="RUN", help="Two runs: ids, beginnings of ids, or names. One: against the last."
    )
    @argument("-e", "--experiment", default="", help="Where to look for them by name.")
    @line_magic
    def mlflow_diff(self, line: str) -> None:
        """Show what two runs differ in; without any named, the last two of the cell that was run last.

        Examples
        --------
        ``%mlflow_diff``
        ``%mlflow_diff baseline 3f2a``
        """
        from ..display.outputs import findings

        with arguments.one_line(self.session.redact):
            args = arguments.parse(self.mlflow_diff, line)
            outbox, uri = self._connected()
            from ..tracking.lookback import differences

            before, after = self._pair(outbox, uri, args)
            display(self._redacted(findings.difference(differences.difference(outbox, before, after))))

    @arguments.with_options
    @argument("run", help="Its id, the beginning of its id, or its name.")
    @argument("model", nargs="?", default="", help="Which model, where the run holds several.")
    @argument("--as", dest="variable", default="", metavar="VAR", help="The variable; the model's name if not given.")
    @argument("-e", "--experiment", default="", help="Where to look for the run by name.")
    @line_magic
    def mlflow_load(self, line: str) -> None:
        """Bring a run's model back into the notebook.

        Examples
        --------
        ``%mlflow_load forest``
        ``%mlflow_load $best --as champion``
        """
        from ..display.outputs import tables

        with arguments.one_line(self.session.redact):
            args = arguments.parse(self.mlflow_load, line)
            outbox, uri = self._connected()
            from ..tracking.lookback import loading, named

            word = words.unquote(args.run)
            run = named.find_run(outbox, uri, self._experiment(outbox, args.experiment), word)
            available = loading.models(outbox, run.run_id)
            name, model, flavor = loading.load(available, words.unquote(args.model))
            variable = args.variable or _identifier(name)
            if not variable.isidentifier() or keyword.iskeyword(variable):
                raise OptionError(f"--as takes a variable's name, not {variable!r}")
            replaced = ", in place of what it was" if variable in self.shell.user_ns else ""
            self.shell.user_ns[variable] = model
            display(tables.notes([f"{variable} = model {name} of run {run.name} ({flavor}){replaced}"]))

    @arguments.with_options
    @argument("run", help="Its id, the beginning of its id, or its name.")
    @argument("-e", "--experiment", default="", help="Where to look for the run by name.")
    @line_magic
    def mlflow_restore(self, line: str) -> None:
        """Put a run's cell below this one, with the run's params, ready to run.

        Examples
        --------
        ``%mlflow_restore baseline``
        """
        from ..display.outputs import tables

        with arguments.one_line(self.session.redact):
            args = arguments.parse(self.mlflow_restore, line)
            outbox, uri = self._connected()
            from ..capture.notebook import restoring
            from ..tracking.lookback import differences, named

            word = words.unquote(args.run)
            run = named.find_run(outbox, uri, self._experiment(outbox, args.experiment), word)
            source, notes = differences.last_source(outbox, run.run_id)
            text, changed = restoring.restored(source, run.params, self.shell.user_ns)
            self.shell.set_next_input(text.rstrip("\n"))
            values_set = f"; set to the run's values: {', '.join(changed)}" if changed else ""
            display(tables.notes([f"the cell of run {run.name} is below, ready to run{values_set}", *notes]))

    @arguments.with_options
    @argument("--port", type=int, default=None, metavar="N", help="On which port; 5000 or another free one.")
    @argument("--stop", action="store_true", help="End it.")
    @line_magic
    def mlflow_ui(self, line: str) -> None:
        """Open MLflow's pages for the current store: started if it is local, linked to if it is a server's.

        Examples
        --------
        ``%mlflow_ui``
        ``%mlflow_ui --stop``
        """
        from ..display.outputs import tables

        with arguments.one_line(self.session.redact):
            args = arguments.parse(self.mlflow_ui, line)
            from ..tracking.lookback import webui

            if args.stop:
                display(tables.notes(["stopped" if webui.stop() else "nothing was running"]))
                return
            self._connected()
            connection = self.session.connection
            assert connection is not None, "connected above"
            if connection.experiment_url:
                display(tables.page("the experiment's page", connection.experiment_url))
                return
            from ..tracking.connecting.connected import artifact_root

            port, fresh = webui.serve(connection.uri, artifact_root(), args.port)
            word = "started" if fresh else "running"
            note = f"{word} on port {port}; %mlflow_ui --stop ends it, and so does the kernel's end"
            path, _ = webui.through_jupyter()
            here = f"http://127.0.0.1:{port}/"
            display(tables.page("MLflow's pages of this store", here, note, path and f"{path}{port}/"))

    @line_magic
    def mlflow_help(self, line: str) -> None:
        """Show what there is to type, by example.

        Examples
        --------
        ``%mlflow_help``
        ``%mlflow_help runs``
        """
        from ..display.outputs import tables

        with arguments.one_line(self.session.redact):
            magic_name = line.strip().lstrip("%").removeprefix("mlflow_")
            lines = self.shell.magics_manager.magics["line"]
            ours = [name for name in (*late.TRACKING, *late.LOOKBACK) if name in lines]
            known = {name.removeprefix("mlflow_"): lines[name] for name in ours}
            if magic_name and magic_name not in known:
                raise UnknownNameError("magic", magic_name, known, "%mlflow_help lists them")
            chosen = {magic_name: known[magic_name]} if magic_name else known
            shown = [(f"%mlflow_{name}", *arguments.examples_of(magic)) for name, magic in chosen.items()]
            display(tables.help(shown, "%mlflow_NAME? shows every option"))

    # -- parts ------------------------------------------------------------------------------------------------------

    def _connected(self) -> tuple[Outbox, str]:
        session = self.session
        session.expect_place()
        if session.connection is None:
            session.connect()
        from ..tracking.patches import store

        assert session.connection is not None, "connect has seen to it"
        return store.connected(), session.connection.uri

    def _experiment(self, outbox: Outbox, asked: str) -> tuple[str, str]:
        connection = self.session.connection
        assert connection is not None, "_connected has seen to it"
        name = words.unquote(asked)
        if not name:
            return connection.experiment_id, connection.experiment_name
        from ..tracking.lookback import browse

        return browse.experiment(outbox, name)

    def _pair(self, outbox: Outbox, uri: str, args: Any) -> tuple[RunView, RunView]:
        from ..tracking.lookback import named
        from ..tracking.runs import run_tags

        experiment = self._experiment(outbox, args.experiment)
        given = [words.unquote(word) for word in args.runs]
        if len(given) > 2:
            raise OptionError(f"two runs are compared, not {len(given)}")
        if len(given) == 2:
            return named.pair(outbox, uri, experiment, *given)
        last = self.session.last
        if given:
            run_id = last[1].run_id if last is not None else named.newest(outbox, uri, experiment).run_id
            return named.pair(outbox, uri, experiment, given[0], run_id)
        if last is None:  # a new kernel: the notebook's last cell is the one that the newest run is of
            newest = named.newest(outbox, uri, experiment)
            return named.last_two(outbox, uri, experiment, newest.tags.get(run_tags.CELL_ID), newest.name)
        opened, outcome = last
        cell_id = opened.source.cell_id if opened.source is not None else None
        return named.last_two(outbox, uri, (opened.experiment_id, opened.experiment_name), cell_id, outcome.run_name)

    def _redacted(self, block: Any) -> Any:
        from dataclasses import replace

        return replace(block, text=self.session.redact(block.text), html=self.session.redact(block.html))


def _filter(typed: list[str]) -> str:
    """Return a filter as it was meant: as a whole in quotation marks, as it stands in Python, or as it is."""
    return words.unquote(typed[0]) if len(typed) == 1 else " ".join(typed)


def _identifier(name: str) -> str:
    kept = "".join(char if char.isidentifier() or char.isdigit() else "_" for char in name)
    return kept if kept.isidentifier() else f"model_{kept}"
