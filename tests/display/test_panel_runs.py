"""The Runs tab and the comparison, on real widgets and the real worker, over a backend in memory (see `tab_desk`)."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import ipywidgets as widgets
import pytest

from mlflow_magics.display.panel.tabs.runs import compare, runrows
from mlflow_magics.display.panel.tabs.runs.runs_table import COLUMNS, Runs
from mlflow_magics.display.panel.tools.worker import Worker
from mlflow_magics.vocabulary.errors import OptionError
from mlflow_magics.vocabulary.panel import Header, RunView
from tests.display.desks import curve
from tests.display.page import Page
from tests.display.tab_desk import TabDesk, find, living, settle, tree
from tests.display.test_hostile import CORPUS
from tests.display.test_panel_tabs import harmless

NOW = 1_800_000_000.0


def run(i: int, **changed: object) -> RunView:
    made = RunView(
        run_id=f"{i:032x}", name=f"run-{i}", status="FINISHED", began=NOW - 60 * i - 60, ended=NOW - 60 * i,
        url=f"https://example.com/{i}", params={"lr": str(0.1 * (i % 3)), "seed": "7"},
        metrics={"accuracy": i / 100, "loss": 1 - i / 100},
    )  # fmt: skip
    return replace(made, **changed)  # type: ignore[arg-type]


class Bench:
    """A Runs tab, what it stands on, and what it said."""

    def __init__(self, runs: list[RunView]) -> None:
        self.now = NOW
        self.said: list[str] = []
        self.baselines: list[RunView] = []
        self.backend = TabDesk()
        self.backend.stored = runs
        self.worker = Worker()
        self.tab = Runs(self.backend, self.worker, self.said.append, self.baselines.append, clock=lambda: self.now)

    def refresh(self) -> None:
        self.tab.refresh()
        settle(self.worker)

    @property
    def cells(self) -> list[tuple[widgets.Checkbox, widgets.HTML]]:
        (grid,) = [each for each in tree(self.tab.widget) if type(each) is widgets.GridBox]
        return list(zip(*[iter(grid.children[2:])] * 2, strict=True))

    @property
    def heading(self) -> str:
        (grid,) = [each for each in tree(self.tab.widget) if type(each) is widgets.GridBox]
        return Page(grid.children[1].value).words

    @property
    def names(self) -> list[str]:
        return [box.description for box, _ in self.cells]

    @property
    def words(self) -> str:
        return " ".join(Page(each.value).words for each in tree(self.tab.widget) if isinstance(each, widgets.HTML))

    def tick(self, *indices: int) -> None:
        for i in indices:
            self.cells[i][0].value = True

    def press(self, word: str) -> None:
        self.button(word).click()
        settle(self.worker)

    def button(self, word: str) -> widgets.Button:
        (found,) = [each for each in tree(self.tab.widget) if type(each) is widgets.Button and word in each.description]
        return found

    def set(self, kind: type[widgets.Widget], word: str, value: object) -> None:
        find(self.tab.widget, kind, word).value = value
        settle(self.worker)


@pytest.fixture
def make() -> Iterator[Callable[[list[RunView]], Bench]]:
    made: list[Bench] = []

    def new(runs: list[RunView]) -> Bench:
        made.append(Bench(runs))
        return made[-1]

    yield new
    for bench in made:
        bench.tab.close()
        bench.worker.close()


@pytest.fixture
def bench(make: Callable[[list[RunView]], Bench]) -> Bench:
    bench = make([run(i) for i in range(120)])
    bench.refresh()
    return bench


# -- the list -------------------------------------------------------------------------------------------------


def test_nothing_is_asked_before_the_tab_is_seen(make: Callable[[list[RunView]], Bench]) -> None:
    bench = make([run(0)])
    assert bench.backend.pages == []
    bench.refresh()
    assert bench.backend.pages == [("", "newest", "")]
    for _ in range(10):
        bench.refresh()
    assert len(bench.backend.pages) == 1


def test_the_store_is_asked_in_the_workers_thread_alone(bench: Bench) -> None:
    bench.tick(0, 1)
    bench.press("Compare")
    bench.press("after")
    bench.press("Refresh")
    bench.set(widgets.Text, "Filter", "run-1")
    assert len(bench.backend.threads) == 1
    assert threading.main_thread() not in bench.backend.threads


def test_a_row_has_name_status_times_and_columns(bench: Bench) -> None:
    assert bench.names[:2] == ["run-0", "run-1"]
    words = Page(bench.cells[3][1].value).words
    for word in ("finished", "4 min ago", "1 min", "0.03", "0.97"):
        assert word in words
    assert bench.heading == "statusbegantookaccuracylosslr"  # `seed` is the same everywhere
    assert Page(bench.cells[3][1].value).all("a")[0]["href"] == "https://example.com/3"


def test_the_age_is_written_anew(bench: Bench) -> None:
    bench.now += 600
    bench.refresh()
    assert "14 min ago" in Page(bench.cells[3][1].value).words
    assert len(bench.backend.pages) == 1


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "just now"), (-9, "just now"), (42.4, "42 s ago"), (200, "3 min ago"), (7500, "2 h ago"),
     (5 * 86400, "5 d ago"), (math.nan, "—"), (math.inf, "—")],
)  # fmt: skip
def test_ages(seconds: float, said: str) -> None:
    assert runrows.ago(seconds) == said


@pytest.mark.parametrize("began", [0.0, -1e300, 1e300, math.nan, math.inf])
def test_no_beginning_breaks_a_row(began: float) -> None:
    Page(runrows.row(run(0, began=began, ended=None, status="RUNNING"), (), NOW))


def test_pages(bench: Bench) -> None:
    first = bench.cells
    assert len(first) == 50
    assert bench.button("before").disabled
    bench.press("after")
    assert bench.names[0] == "run-50"
    assert bench.cells == first  # the same widgets
    bench.press("after")
    assert bench.names == [f"run-{i}" for i in range(100, 120)]
    assert bench.button("after").disabled
    assert "runs 101 to 120" in bench.words
    bench.press("before")
    bench.press("before")
    assert bench.names[0] == "run-0"
    assert [token for _, _, token in bench.backend.pages] == ["", "50", "100", "50", ""]


def test_a_hundred_widgets_for_ten_thousand_runs(make: Callable[[list[RunView]], Bench]) -> None:
    bench = make([run(i, metrics={f"m{i}": 1.0}) for i in range(10_000)])
    bench.refresh()
    for _ in range(8):
        bench.press("after")
    assert bench.names[0] == "run-400"
    assert len(bench.cells) == 50
    assert len(find(bench.tab.widget, widgets.SelectMultiple).options) <= 300
    assert len(find(bench.tab.widget, widgets.Dropdown).options) <= 126


def test_a_page_that_fails_leaves_the_one_before(bench: Bench) -> None:
    bench.backend.error = OptionError("the server does not answer; %mlflow_connect --check tells why")
    bench.press("after")
    assert bench.names[0] == "run-0"
    assert "runs 1 to 50" in bench.words
    assert "the server does not answer" in bench.words
    assert bench.said == ["the server does not answer; %mlflow_connect --check tells why"]
    bench.backend.error = None
    bench.press("after")
    assert bench.names[0] == "run-50"
    assert "does not answer" not in bench.words


def test_a_filter_begins_at_the_first_page(bench: Bench) -> None:
    bench.press("after")
    bench.set(widgets.Text, "Filter", " run-11 ")
    assert bench.backend.pages[-1] == ("run-11", "newest", "")
    assert bench.names == ["run-11", *(f"run-{i}" for i in range(110, 120))]


def test_a_wrong_filter_is_its_one_line(bench: Bench) -> None:
    bench.set(widgets.Text, "Filter", "!!")
    assert "unexpected '!!'" in bench.words
    assert len(bench.said) == 1
    assert bench.names[0] == "run-0"
    bench.set(widgets.Text, "Filter", "run-3")
    assert "unexpected" not in bench.words


def test_refresh_after_a_wrong_filter_on_a_later_page_begins_anew(bench: Bench) -> None:
    bench.press("after")
    bench.set(widgets.Text, "Filter", "!!")
    bench.press("Refresh")
    assert bench.backend.pages[-1] == ("!!", "newest", "")


def test_orders(bench: Bench) -> None:
    chooser = find(bench.tab.widget, widgets.Dropdown)
    values = [value for _, value in chooser.options]
    assert values[:5] == ["newest", "oldest", "name", "status", "duration"]
    assert {"metric:accuracy", "-metric:accuracy", "param:lr", "-param:lr"} <= set(values)
    bench.set(widgets.Dropdown, "Order", "-metric:accuracy")
    assert bench.backend.pages[-1] == ("", "-metric:accuracy", "")
    assert len(bench.backend.pages) == 2
    assert chooser.value == "-metric:accuracy"


def test_columns_are_chosen_and_stay(bench: Bench) -> None:
    chooser = find(bench.tab.widget, widgets.SelectMultiple)
    assert chooser.layout.display == "none"
    find(bench.tab.widget, widgets.ToggleButton).value = True
    assert chooser.layout.display is None
    (seed,) = [value for _, value in chooser.options if value.name == "seed"]
    chooser.value = (seed,)
    assert bench.heading == "statusbegantookseed"
    bench.press("after")
    assert bench.heading == "statusbegantookseed"


def test_six_columns_at_the_most(make: Callable[[list[RunView]], Bench]) -> None:
    bench = make([run(0, metrics={f"m{i}": 1.0 for i in range(20)})])
    bench.refresh()
    chooser = find(bench.tab.widget, widgets.SelectMultiple)
    chooser.value = tuple(value for _, value in chooser.options)
    assert len(chooser.value) == COLUMNS
    assert len(bench.said) == 1


def test_a_run_that_has_ended_is_loaded_once(bench: Bench) -> None:
    bench.backend.shown_run = run(500, status="RUNNING", ended=None)
    bench.refresh()
    assert len(bench.backend.pages) == 1
    bench.backend.stored.insert(0, run(500))
    bench.backend.shown_run = run(500)
    bench.refresh()
    bench.refresh()
    assert len(bench.backend.pages) == 2
    assert bench.names[0] == "run-500"


def test_another_experiment_begins_anew(bench: Bench) -> None:
    bench.tick(0, 1)
    bench.press("after")
    bench.backend.shown_header = Header(state="connected", experiment_id="2")
    bench.backend.stored = [run(900, metrics={"f1": 0.5}, params={})]
    bench.refresh()
    assert bench.backend.pages[-1] == ("", "newest", "")
    assert bench.names == ["run-900"]
    assert bench.heading == "statusbegantookf1"
    assert bench.button("Compare").disabled


def test_a_late_answer_is_not_shown(bench: Bench) -> None:
    hold, held = threading.Event(), threading.Event()
    ask = bench.backend.runs

    def slow(filter: str, order: str, token: str) -> object:
        if filter == "run-5":
            held.set()
            assert hold.wait(20)
        return ask(filter, order, token)

    bench.backend.runs = slow  # type: ignore[method-assign, assignment]
    find(bench.tab.widget, widgets.Text).value = "run-5"
    assert held.wait(20)
    find(bench.tab.widget, widgets.Text).value = "run-7"
    seen: list[list[str]] = []
    (grid,) = [each for each in tree(bench.tab.widget) if type(each) is widgets.GridBox]
    grid.observe(lambda _: seen.append(bench.names), names="children")
    hold.set()
    settle(bench.worker)
    assert bench.names == ["run-7", *(f"run-{i}" for i in range(70, 80))]
    assert seen == [bench.names]


def test_a_second_load_changes_only_its_own_line(bench: Bench) -> None:
    changed: list[object] = []
    for each in tree(bench.tab.widget):
        if isinstance(each, widgets.Checkbox | widgets.GridBox | widgets.Dropdown | widgets.SelectMultiple):
            each.observe(lambda change: changed.append((change["owner"], change["name"])))
    for _, what in bench.cells:
        what.observe(lambda change: changed.append((change["owner"], change["name"])))
    bench.press("Refresh")
    assert changed == []


def test_an_answer_after_closing_is_dropped(make: Callable[[list[RunView]], Bench]) -> None:
    bench = make([run(0)])
    hold = threading.Event()
    bench.worker.submit(lambda: hold.wait(20), lambda _: None, lambda _: None)
    bench.tab.refresh()
    bench.tab.close()
    hold.set()
    settle(bench.worker)
    assert bench.said == []


# -- ticked runs ----------------------------------------------------------------------------------------------


def test_what_ticked_runs_allow(bench: Bench) -> None:
    def allowed() -> list[bool]:
        return [not bench.button(word).disabled for word in ("Compare", "baseline", "Untick")]

    assert allowed() == [False, False, False]
    bench.tick(0)
    assert allowed() == [False, True, True]
    bench.tick(1)
    assert allowed() == [True, False, True]
    assert bench.button("Compare").description == "Compare 2 runs"
    bench.press("Untick")
    assert allowed() == [False, False, False]
    assert not any(box.value for box, _ in bench.cells)


def test_ticks_stay_with_their_runs_over_pages(bench: Bench) -> None:
    bench.tick(1)
    bench.press("after")
    assert not bench.cells[1][0].value
    bench.tick(2)
    bench.press("before")
    assert [i for i, (box, _) in enumerate(bench.cells) if box.value] == [1]
    bench.press("Compare")
    assert bench.backend.asked("details") == [("details", run(1).run_id), ("details", run(52).run_id)]


def test_the_baseline_is_handed_over(bench: Bench) -> None:
    bench.tick(4)
    bench.press("baseline")
    assert bench.baselines == [run(4)]


def test_a_comparison(make: Callable[[list[RunView]], Bench]) -> None:
    bench = make([run(1), run(2, params={"lr": "0.5", "seed": "7", "depth": "3"})])
    for each in bench.backend.stored:
        bench.backend.curves[each.run_id] = (curve("loss", [3.0, 2.0, 1.0]),)
    bench.refresh()
    bench.tick(0, 1)
    bench.press("Compare")
    shown = find_comparison(bench)
    words = Page(shown).words
    for word in ("1 · run-1", "2 · run-2", "depth", "0.5", "0.99", "★ lowest", "0.02", "★ highest"):
        assert word in words
    assert "seed" not in words
    assert shown.count("<svg") == 1
    assert "run-1" in words


def find_comparison(bench: Bench) -> str:
    return str(bench.tab.widget.children[-1].value)


def test_at_most_six_runs_and_eight_charts(make: Callable[[list[RunView]], Bench]) -> None:
    bench = make([run(i) for i in range(9)])
    for each in bench.backend.stored:
        bench.backend.curves[each.run_id] = tuple(curve(f"m{k}", [1.0, 2.0]) for k in range(12))
    bench.refresh()
    bench.tick(*range(9))
    bench.press("Compare")
    assert len(bench.backend.asked("details")) == 6
    shown = find_comparison(bench)
    assert shown.count("<svg") == 8
    words = Page(shown).words
    assert "the first 6 of 9 ticked runs" in words
    assert "and 4 more metrics" in words


def test_curves_that_took_too_long_are_said(make: Callable[[list[RunView]], Bench]) -> None:
    bench = make([run(0, slow=("loss", "accuracy")), run(1)])
    bench.refresh()
    bench.tick(0, 1)
    bench.press("Compare")
    assert "the curves of run-0: the store took too long over loss, accuracy" in Page(find_comparison(bench)).words


def test_curves_that_cannot_be_had_are_said(bench: Bench) -> None:
    bench.tick(0, 1)
    bench.backend.error = OptionError("the server refuses the connection")
    bench.press("Compare")
    words = Page(find_comparison(bench)).words
    assert "the curves of run-0: the server refuses the connection" in words
    assert "accuracy" in words


@pytest.mark.parametrize(
    ("name", "values", "places", "word"),
    [
        ("accuracy", [0.5, 0.9, 0.7], {1}, "highest"),
        ("val_loss", [0.5, 0.9, 0.7], {0}, "lowest"),
        ("test/RMSE", [2.0, 1.0, 1.0], {1, 2}, "lowest"),
        ("glossary", [2.0, 1.0], {0}, "highest"),
        ("f1", [0.5, None, math.nan], set(), "highest"),
        ("f1", [0.5, 0.5], set(), "highest"),
        ("f1", [math.inf, 1.0, -math.inf], {0}, "highest"),
        ("f1", [None, None], set(), "highest"),
    ],
)
def test_the_best(name: str, values: list[float | None], places: set[int], word: str) -> None:
    assert compare.best(name, values) == (places, word)


# -- hostile --------------------------------------------------------------------------------------------------

CHARTED = {"svg", "title", "desc", "style", "g", "rect", "line", "polyline", "path", "circle", "text", "tspan"}
ELEMENTS = {"div", "span", "strong", "bdi", "a", "table", "thead", "tbody", "tr", "th", "td"} | CHARTED


@pytest.mark.parametrize("evil", CORPUS, ids=range(len(CORPUS)))
def test_nothing_gets_out_of_the_runs_tab(evil: str, make: Callable[[list[RunView]], Bench]) -> None:
    evils = [
        RunView(str(i), evil, ("FINISHED", evil)[i % 2], NOW, None, evil, {evil: evil + str(i)}, {evil: float(i)})
        for i in range(3)
    ]
    bench = make(evils)
    for i in range(2):
        bench.backend.curves[str(i)] = (curve(evil, [1.0, 2.0]),)
    bench.refresh()
    harmless(bench.tab.widget, ELEMENTS)
    for _, what in bench.cells:
        assert Page(what.value).all("a") == []
    bench.tick(0, 1)
    bench.press("Compare")
    assert "<svg" in find_comparison(bench)
    harmless(bench.tab.widget, ELEMENTS, 200_000)
    bench.backend.error = OptionError(evil)
    bench.press("Compare")
    bench.press("Refresh")
    harmless(bench.tab.widget, ELEMENTS, 200_000)
    bench.backend.error = ValueError(evil)
    bench.press("Compare")
    bench.press("Refresh")
    harmless(bench.tab.widget, ELEMENTS, 200_000)


def test_every_control_has_a_name(bench: Bench) -> None:
    controls = [each for each in tree(bench.tab.widget) if not isinstance(each, widgets.HTML | widgets.Box)]
    assert len(controls) > 50  # a box to tick in each row, and the buttons
    for each in controls:
        assert each.description, type(each)
        assert isinstance(each, widgets.Checkbox) or each.tooltip, each.description


def test_closing_leaves_no_widget() -> None:
    before = living()
    bench = Bench([run(i) for i in range(60)])
    bench.refresh()
    assert living() > before
    bench.tab.close()
    bench.worker.close()
    assert living() == before
