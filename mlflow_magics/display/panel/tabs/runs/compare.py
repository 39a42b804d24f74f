"""Runs beside each other: what differs between their params, their metrics, their curves over each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from .....vocabulary.errors import MlflowMagicsError
from .....vocabulary.lookback import least_is_best
from .....vocabulary.panel import Curve, PanelBackend, RunView
from ....charts import plots
from ....markup.html import EMPTY, Markup, element, join, text, words
from ....markup.parts import note, subdued, table
from ....markup.words import clean, count, number
from ...tools.style import hint

RUNS = 6
"""The most runs that are compared: more columns and lines than that nobody reads."""

CHARTS = 8
"""The most charts."""

_ROWS = 100


def gather(backend: PanelBackend, runs: Sequence[RunView]) -> tuple[list[RunView], list[str]]:
    """Ask the store for all of some runs. Takes a request a run: for a worker."""
    whole: list[RunView] = []
    failed: list[str] = []
    for run in runs:
        try:
            whole.append(details := backend.details(run.run_id))
            if details.slow:
                names = ", ".join(clean(name, 40) for name in details.slow[:3])
                names += " …" if len(details.slow) > 3 else ""
                failed.append(f"the curves of {clean(run.name, 40)}: the store took too long over {names}")
        except MlflowMagicsError as error:
            whole.append(run)
            failed.append(f"the curves of {clean(run.name, 40)}: {clean(str(error), 200)}")
    return whole, failed


def render(runs: Sequence[RunView], failed: Sequence[str] = ()) -> Markup:
    """Show runs beside each other, as tables and charts; `failed` says what could not be had."""
    names = [f"{i} · {clean(run.name, 24)}" for i, run in enumerate(runs, 1)]
    return join(
        (
            *(note("note", line) for line in failed),
            _section("Params that differ", _params(runs, names), "all params are the same in these runs"),
            _section("Metrics", _metrics(runs, names), "these runs have no metrics"),
            _section("Curves", _curves(runs, names), "no metric of these runs has more than one point"),
        )
    )


def best(name: str, values: Sequence[float | None]) -> tuple[set[int], str]:
    """Tell which values of a metric are the best: their places, and whether they are the "lowest" or "highest".

    Of a loss or an error the least is the best, of others the greatest. No place where there is nothing to choose
    between; None is the value of a run that has none.
    """
    less = least_is_best(name)
    numbers = [value for value in values if value is not None and not math.isnan(value)]
    word = "lowest" if less else "highest"
    if len(numbers) < 2 or min(numbers) == max(numbers):
        return set(), word
    aim = min(numbers) if less else max(numbers)
    return {i for i, value in enumerate(values) if value == aim}, word


def _params(runs: Sequence[RunView], names: Sequence[str]) -> Markup:
    differ = [name for name in _union(lambda run: run.params, runs) if len({run.params.get(name) for run in runs}) > 1]
    rows = [[text(clean(name, 60)), *(_shown(run.params.get(name)) for run in runs)] for name in differ[:_ROWS]]
    return _table("param", names, rows, len(differ))


def _metrics(runs: Sequence[RunView], names: Sequence[str]) -> Markup:
    every = _union(lambda run: run.metrics, runs)
    rows = []
    for name in every[:_ROWS]:
        values = [run.metrics.get(name) for run in runs]
        places, word = best(name, values)
        rows.append(
            [text(clean(name, 60)), *(_metric(value, word if i in places else "") for i, value in enumerate(values))]
        )
    return _table("metric", names, rows, len(every))


def _curves(runs: Sequence[RunView], names: Sequence[str]) -> Markup:
    by_metric: dict[str, list[tuple[str, Curve]]] = {}
    for name, run in zip(names, runs, strict=True):
        for curve in run.curves:
            by_metric.setdefault(curve.name, []).append((name, curve))
    # Where most runs have a curve there is most to compare.
    order = sorted(by_metric, key=lambda metric: -len(by_metric[metric]))
    charts = [element("div", plots.plot(by_metric[metric]), style="max-width:100%") for metric in order[:CHARTS]]
    more = len(order) - CHARTS
    return join((*charts, hint(f"and {count(more, 'more metric')} with curves") if more > 0 else EMPTY))


def _union(of: Callable[[RunView], Iterable[str]], runs: Sequence[RunView]) -> list[str]:
    return sorted({name for run in runs for name in of(run)})


def _shown(value: str | None) -> Markup:
    return subdued(words("—")) if value is None else text(clean(value, 60))


def _metric(value: float | None, mark: str) -> Markup:
    if value is None:
        return subdued(words("—"))
    if not mark:
        return words(number(value))
    return join((element("strong", words(number(value))), subdued(words(f"★ {mark}"))), " ")


def _table(noun: str, names: Sequence[str], rows: Sequence[Sequence[Markup]], total: int) -> Markup:
    if not rows:
        return EMPTY
    more = total - len(rows)
    inner = join((table((noun, *names), rows), hint(f"and {count(more, 'more ' + noun)}") if more > 0 else EMPTY))
    # Six columns of names do not fit 600 px; the table is scrolled, and by keyboard, too.
    return element("div", inner, style="overflow-x:auto;max-width:100%", tabindex="0")


def _section(title: str, body: Markup, nothing: str) -> Markup:
    head = element("div", words(title), style="font-weight:600;font-size:13px;margin:8px 0 2px 0")
    return element("div", head, body or hint(nothing), style="line-height:1.5")
