"""Cleans an outcome once, and puts it in the words that every front end shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from ...vocabulary.records import Outcome, Series, Skipped, Status
from ..markup.html import safe_url
from ..markup.words import change, clean, count, duration, number, ordinal, waiting

VISIBLE = 12
"""The params or metrics that are seen at once; the others are folded."""

FOLDED = 200
"""The most that a fold holds: the block is saved in the notebook, below every cell."""

_NOTES = 20


@dataclass(frozen=True)
class Row:
    """One param or metric, clean; `change` is against the previous run, `why` the reason it was logged."""

    name: str
    value: str
    change: str = ""
    why: str = ""


@dataclass(frozen=True)
class Rows:
    """The beginning of a list of params or metrics (`VISIBLE` and `FOLDED`), and how long all of it is."""

    noun: str
    rows: tuple[Row, ...]
    total: int

    @property
    def visible(self) -> tuple[Row, ...]:
        """Those that are seen at once."""
        return self.rows[:VISIBLE]

    @property
    def folded(self) -> tuple[Row, ...]:
        """Those that are folded."""
        return self.rows[VISIBLE:]

    @property
    def more(self) -> int:
        """How many are not visible, those that no fold holds included."""
        return self.total - len(self.visible)


@dataclass(frozen=True)
class SeriesView:
    """One series, in words but for the `values` that its sparkline is drawn of."""

    name: str
    values: tuple[float, ...]
    first: str
    last: str
    least: str
    most: str
    points: str
    change: str
    why: str


@dataclass(frozen=True)
class View:
    """An outcome in words: all strings are one harmless line, empty where there is nothing to say.

    But `experiment_url` is still to be checked by :func:`..markup.html.link`. `run_url` may be shown instead of `run`,
    the id with its store; `banner` says that nothing was logged, and why; `runs` are those that the cell opened beside
    this one, names and links; `more_curves` counts the series beyond `curves`.
    """

    status: Status
    name: str
    time: str
    experiment: str
    experiment_url: str
    run: str
    run_url: str
    banner: str
    error: str
    params: Rows
    metrics: Rows
    auto_params: Rows
    auto_metrics: Rows
    files: tuple[str, ...]
    models: tuple[str, ...]
    data: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]
    curves: tuple[SeriesView, ...]
    more_curves: int
    runs: tuple[tuple[str, str], ...] = ()


def view_of(outcome: Outcome) -> View:
    """Put an outcome into words."""
    previous = outcome.previous
    return View(
        status=outcome.status,
        name=clean(outcome.run_name, 60) if outcome.run_name else "unnamed run",
        time=duration(outcome.duration),
        experiment=clean(outcome.experiment_name) if outcome.experiment_name else "",
        experiment_url=outcome.experiment_url,
        run=_run(outcome),
        run_url=safe_url(outcome.run_url),
        banner=_banner(outcome),
        error=clean(outcome.error, 300) if outcome.error else "",
        params=_rows("param", ((param.name, param.value, "", param.why) for param in outcome.params)),
        metrics=_rows(
            "metric",
            (
                (
                    metric.name,
                    number(metric.value),
                    change(metric.value, previous.get(metric.name)),
                    metric.why,
                )
                for metric in outcome.metrics
            ),
        ),
        auto_params=_rows("param", ((name, value, "", "") for name, value in outcome.auto_params.items())),
        auto_metrics=_rows("metric", _auto_metrics(outcome.auto_metrics, previous)),
        files=tuple(map(clean, outcome.artifacts)),
        models=tuple(map(clean, outcome.models)),
        data=tuple(map(clean, outcome.data)),
        skipped=tuple(
            Skipped(clean(skipped.name), clean(skipped.reason), clean(skipped.option) if skipped.option else "")
            for skipped in outcome.skipped
        ),
        notes=_notes((*([waiting(outcome.waiting)] if outcome.waiting.total else []), *outcome.notes)),
        curves=tuple(_curve(series, previous) for series in outcome.series[: VISIBLE + FOLDED]),
        more_curves=max(0, len(outcome.series) - VISIBLE - FOLDED),
        runs=tuple((clean(run.name or run.run_id, 60), safe_url(run.url)) for run in outcome.runs),
    )


def _curve(series: Series, previous: Mapping[str, float]) -> SeriesView:
    return SeriesView(
        name=clean(series.name),
        values=series.sample,
        first=number(series.first, 4),
        last=number(series.last),
        least=number(series.min, 4),
        most=number(series.max, 4),
        points=_points(series),
        change=change(series.last, previous.get(series.name)),
        why=clean(series.why) if series.why else "",
    )


def _points(series: Series) -> str:
    if series.thinned > 1:
        return f"every {ordinal(series.thinned)} of {series.count:,} points kept"
    return f"{series.count:,} point{'' if series.count == 1 else 's'}"


def _notes(notes: Sequence[str]) -> tuple[str, ...]:
    more = len(notes) - _NOTES
    seen = tuple(clean(note, 300) for note in notes[:_NOTES])
    return (*seen, f"and {count(more, 'more note')}") if more > 0 else seen


def _rows(noun: str, entries: Iterable[tuple[str, str, str, str]]) -> Rows:
    entries = list(entries)
    shown = islice(entries, VISIBLE + FOLDED)
    rows = (Row(clean(name), clean(value), moved, clean(why) if why else "") for name, value, moved, why in shown)
    return Rows(noun, tuple(rows), len(entries))


def _auto_metrics(metrics: Mapping[str, float], previous: Mapping[str, float]) -> Iterable[tuple[str, str, str, str]]:
    for name, value in metrics.items():
        yield name, number(value), change(value, previous.get(name)), ""


def _run(outcome: Outcome) -> str:
    if not outcome.run_id:
        return ""
    return clean(f"{outcome.run_id} in {outcome.where}" if outcome.where else outcome.run_id)


def _banner(outcome: Outcome) -> str:
    if outcome.dry_run:
        return "dry run: nothing was logged"
    return "" if outcome.run_id else "no run was opened"
