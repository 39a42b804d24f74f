"""The panel over a backend in memory (`FakeDesk`): what it shows, what a click does, what it costs, what it leaves."""

from __future__ import annotations

import gc
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import ipywidgets as widgets
import pytest
from traitlets import All

from mlflow_magics.display.markup import words
from mlflow_magics.display.panel import Panel
from mlflow_magics.display.panel import panel as room
from mlflow_magics.display.panel.picture import picture
from mlflow_magics.display.panel.tabs import metrics as metrics_tab
from mlflow_magics.display.panel.tabs.values import Values
from mlflow_magics.display.panel.tools.facts import elapsed
from mlflow_magics.display.panel.tools.worker import Worker
from mlflow_magics.vocabulary.errors import MlflowMagicsError
from mlflow_magics.vocabulary.panel import Header
from tests.display.clock import Clock
from tests.display.desks import HEADER, OTHER, RUN, FakeDesk, curve, falling
from tests.display.page import Page, fits
from tests.rig.waiting import eventually

BUSY = replace(HEADER, busy=True)
OPEN = replace(RUN, status="RUNNING", ended=None, open_here=True, of_cell=True)


def inside(widget: Any) -> Iterator[Any]:
    """A widget and all that it holds."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from inside(child)


def find(panel: Panel, kind: type, **traits: object) -> Any:
    """The one widget of a kind whose traits are these."""
    found = [
        each
        for each in inside(panel.widget)
        if isinstance(each, kind) and all(getattr(each, name, None) == value for name, value in traits.items())
    ]
    assert len(found) == 1, (kind, traits, found)
    return found[0]


def html(panel: Any) -> str:
    """All HTML of a panel, or of a part of it."""
    root = panel.widget if hasattr(panel, "widget") else panel
    return " ".join(each.value for each in inside(root) if isinstance(each, widgets.HTML))


def said(panel: Any) -> str:
    """What can be read in it."""
    return Page(html(panel)).words


def pick(panel: Panel, title: str) -> Any:
    """Turn to a tab; its box."""
    tabs = find(panel, widgets.Tab)
    index = list(tabs.titles).index(title)
    tabs.selected_index = index
    return tabs.children[index]


def threads() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name.startswith("mlflow_magics-panel")}


def worked(panel: Panel) -> None:
    """Wait until all is done that was asked of the store."""
    done = threading.Event()
    panel._worker.submit(lambda: None, lambda _: done.set(), lambda _: done.set())
    assert done.wait(30)


@pytest.fixture
def open_panel() -> Iterator[Callable[..., Panel]]:
    made: list[Panel] = []

    def make(backend: FakeDesk, **options: Any) -> Panel:
        made.append(Panel(backend, **options))
        return made[-1]

    yield make
    for panel in made:
        panel.close()


# -- the frame ------------------------------------------------------------------------------------------------


def test_the_first_view_is_whole(open_panel):
    panel = open_panel(FakeDesk(RUN))
    words = said(panel)
    for part in ("● connected", "http://127.0.0.1:5000", "✓ finished", "1 min 12 s", "stage", "dev", "loss", "a" * 32):
        assert part in words
    tabs = find(panel, widgets.Tab)
    assert tabs.titles == ("Run", "Metrics", "Params & results", "Log", "Autolog", "Runs")
    assert find(panel, widgets.Combobox).value == "diabetes"
    assert find(panel, widgets.Text, description="Name").value == "forest"
    assert find(panel, widgets.Textarea, description="Note").value == "first try"
    targets = {each["href"] for each in Page(html(panel)).all("a")}
    assert targets == {RUN.url, HEADER.experiment_url}
    assert all("noopener" in each["rel"] for each in Page(html(panel)).all("a"))


def test_a_narrow_column_breaks_no_number(open_panel):
    # The panel lets long words break anywhere; "-0.01938" above "8" reads as another number.
    last = words.number(RUN.curves[0].last)
    assert f'white-space:nowrap">{last}<' in html(open_panel(FakeDesk(RUN)))


def test_before_anything_there_is_a_panel_too(open_panel):
    panel = open_panel(FakeDesk(None, Header()))
    assert "○ not connected" in said(panel)
    assert "no run yet" in said(panel)
    assert find(panel, widgets.Text, description="Name").disabled
    assert find(panel, widgets.Button, description="End").disabled


@pytest.mark.parametrize(
    ("state", "word"), [("sending", "↑ sending"), ("waiting", "◌ waiting"), ("offline", "■ offline")]
)
def test_a_state_is_a_word_a_symbol_and_why(open_panel, state, word):
    panel = open_panel(FakeDesk(RUN, replace(HEADER, state=state, said="214 points waiting: refused")))
    assert f"{word} http://127.0.0.1:5000 · 214 points waiting: refused" in said(panel)


def test_a_busy_kernel_is_said_unless_it_gets_clicks(open_panel):
    assert "clicks take effect when it ends" in said(open_panel(FakeDesk(OPEN, BUSY)))
    assert "clicks take effect" not in said(open_panel(FakeDesk(OPEN, BUSY), clicks_while_busy=lambda: True))


def test_the_compact_panel_is_one_line(open_panel):
    run = replace(OPEN, curves=tuple(falling(f"m{i}", 30) for i in range(5)))
    panel = open_panel(FakeDesk(run), compact=True)
    page = Page(html(panel))
    assert not [each for each in inside(panel.widget) if isinstance(each, (widgets.Button, widgets.Tab))]
    assert len(page.all("svg")) == 3
    for part in ("connected", "forest", "▶ running", "m0", "0.256", "+2 more"):
        assert part in page.words


def test_every_control_says_what_it_is(open_panel):
    panel = open_panel(FakeDesk(RUN))
    for title in ("Log", "Autolog", "Runs"):
        box = pick(panel, title)
        eventually(lambda box=box: "this tab opens" not in html(box))
    controls = (widgets.Button, widgets.Text, widgets.Textarea, widgets.Dropdown, widgets.Checkbox, widgets.FloatSlider)
    found = [each for each in inside(panel.widget) if isinstance(each, controls)]
    assert len(found) > 10
    assert not [each for each in found if not (each.tooltip or each.description)]
    assert find(panel, widgets.ToggleButtons).tooltips


def test_closing_leaves_nothing_behind():
    gc.collect()
    before, already = set(widgets.widget._instances), threads()
    backend, clock = FakeDesk(RUN), Clock()
    panel = Panel(backend, ticker=clock.ticker)
    for title in ("Metrics", "Log", "Autolog", "Runs"):
        pick(panel, title)
        clock.advance(0.3)
    assert threads() - already
    assert len(set(widgets.widget._instances) - before) > 50
    panel.close()
    panel.close()
    eventually(lambda: not threads() - already)
    assert set(widgets.widget._instances) - before == set()
    assert backend.observers == []
    looks = backend.looks
    backend.put(OTHER)
    assert backend.looks == looks


def test_a_slow_store_does_not_hold_up_the_closing():
    backend, already = FakeDesk(RUN), threads()
    backend.gate.clear()
    panel = Panel(backend)
    began = time.monotonic()
    panel.close()
    assert time.monotonic() - began < 2
    backend.gate.set()
    eventually(lambda: not threads() - already)


def test_closing_before_the_store_has_answered_leaves_nothing_behind():
    gc.collect()
    before, already = set(widgets.widget._instances), threads()
    backend, clock = FakeDesk(RUN), Clock()
    backend.gate.clear()
    panel = Panel(backend, ticker=clock.ticker)
    pick(panel, "Runs")
    clock.advance(0.3)
    panel.close()
    backend.gate.set()
    eventually(lambda: not threads() - already)
    assert set(widgets.widget._instances) - before == set()


def test_two_panels_show_the_same_and_one_closes_alone(open_panel):
    backend = FakeDesk(RUN)
    first, second = open_panel(backend), open_panel(backend, compact=True)
    backend.put(replace(RUN, name="renamed"))
    eventually(lambda: find(first, widgets.Text, description="Name").value == "renamed" and "renamed" in said(second))
    first.close()
    backend.put(replace(RUN, name="again"))
    eventually(lambda: "again" in said(second))


def test_the_button_at_the_end_closes_the_panel(open_panel):
    backend = FakeDesk(RUN)
    panel = open_panel(backend)
    find(panel, widgets.Button, description="✕").click()
    assert backend.observers == []


# -- the ticker -----------------------------------------------------------------------------------------------


def count_changes(panel: Panel) -> list[str]:
    """Every trait that changes from now on: each is a message to the browser."""
    seen: list[str] = []
    for each in inside(panel.widget):
        each.observe(lambda change: seen.append(change["name"]), All)
    return seen


def test_nothing_is_asked_while_nothing_goes_on(open_panel):
    backend, clock = FakeDesk(RUN), Clock()
    open_panel(backend, ticker=clock.ticker)
    clock.advance(1)
    looks = backend.looks
    clock.advance(24 * 3600)
    assert backend.looks == looks
    assert clock.until == math.inf


def test_what_waits_is_looked_at_each_second(open_panel):
    backend, clock = FakeDesk(RUN, replace(HEADER, state="waiting", said="3 points waiting")), Clock()
    panel = open_panel(backend, ticker=clock.ticker)
    clock.advance(10.5)
    assert clock.turns == list(range(11))
    backend.put(header=HEADER, tell=False)
    assert "● connected" not in said(panel)
    clock.advance(1)
    assert "● connected" in said(panel)


def test_a_running_cell_is_followed_four_times_a_second_at_the_most(open_panel, monkeypatch):
    monkeypatch.setattr(room, "_SHARE", math.inf)  # of the processor: how long a turn takes is the machine's
    backend, clock = FakeDesk(OPEN, BUSY), Clock()
    panel = open_panel(backend, ticker=clock.ticker)
    clock.advance()
    drawn: list[float] = []
    find(panel, widgets.Tab).children[0].children[1].children[1].observe(lambda _: drawn.append(clock.now), "value")
    for points in range(51, 451):
        backend.put(replace(OPEN, curves=(falling("loss", points),)), tell=points % 3 == 0)
        clock.advance(1 / 64)  # in numbers that a float holds exactly
    assert drawn == clock.turns[1:] == [turn / 4 for turn in range(1, 26)]


def test_a_turn_leaves_a_running_cell_its_processor(open_panel, monkeypatch):
    """However often the panel is woken, the time that a turn takes is followed by many times as long a pause."""
    monkeypatch.setattr(room, "_SHARE", 1e-9)  # so that the least that a turn can take is followed by minutes
    backend, clock = FakeDesk(OPEN, BUSY), Clock()
    open_panel(backend, ticker=clock.ticker)
    for _ in range(50):
        backend.put(OPEN)
        clock.advance(1)
    assert clock.turns == [0.0]
    clock.step()
    assert len(clock.turns) == 2


def test_what_did_not_change_is_not_sent(open_panel):
    run = replace(OPEN, began=time.time() + 1000)  # its time does not tick
    backend, clock = FakeDesk(run, BUSY), Clock()
    panel = open_panel(backend, ticker=clock.ticker)
    for _ in range(4):
        clock.step()  # every live tab has its turn
    sent, looks = count_changes(panel), backend.looks
    for _ in range(4):
        backend.put(replace(run, curves=tuple(replace(each) for each in run.curves)), tell=False)
        clock.step()
    assert backend.looks == looks + 4
    assert sent == []


def test_the_time_ticks(open_panel):
    panel = open_panel(FakeDesk(replace(OPEN, began=time.time() - 5), BUSY))
    eventually(lambda: "for 7 s" in said(panel), patience=4)


def test_time_in_words():
    assert elapsed(replace(OPEN, began=100.0), 100.4) == "0 s"
    assert elapsed(replace(OPEN, began=100.0), 99.0) == "0 s"
    assert elapsed(replace(OPEN, began=100.0), 165.0) == "1 min 5 s"
    assert elapsed(RUN, 0.0) == "1 min 12 s"
    assert elapsed(replace(OPEN, began=float("nan")), 1.0) == ""


def test_all_live_tabs_are_live_where_the_front_end_cannot_say_which_is_seen(open_panel):
    backend = FakeDesk(OPEN, BUSY)
    panel = open_panel(backend)
    tabs = find(panel, widgets.Tab)
    backend.put(replace(OPEN, params={"reg": "0.7"}, curves=(falling("loss", 51), falling("late", 5))), tell=False)
    eventually(lambda: "0.7" in said(tabs.children[2]) and "late" in said(tabs.children[1]), patience=5)


def test_only_the_visible_tab_is_redrawn_where_it_can(open_panel):
    backend, clock = FakeDesk(OPEN, BUSY), Clock()
    panel = open_panel(backend, clicks_while_busy=lambda: True, ticker=clock.ticker)
    tabs = find(panel, widgets.Tab)
    backend.put(replace(OPEN, params={"reg": "0.7"}), tell=False)
    clock.advance(30)
    assert len(clock.turns) > 3
    assert "0.7" not in said(tabs.children[2])
    pick(panel, "Params & results")
    clock.advance(30)
    assert "0.7" in said(tabs.children[2])


def test_an_exception_is_one_line_and_the_panel_lives_on(open_panel, monkeypatch):
    backend = FakeDesk(RUN)
    panel = open_panel(backend)
    true_run = backend.run
    monkeypatch.setattr(backend, "run", lambda: 1 / 0)
    backend.put()  # not raised into the cell
    eventually(lambda: "ZeroDivisionError" in said(panel))
    monkeypatch.setattr(backend, "run", true_run)
    backend.put(replace(RUN, name="well again"))
    eventually(lambda: find(panel, widgets.Text, description="Name").value == "well again", patience=8)


# -- the head -------------------------------------------------------------------------------------------------


def test_experiments_are_offered_and_used(open_panel):
    backend = FakeDesk(RUN)
    panel = open_panel(backend)
    chooser = find(panel, widgets.Combobox)
    eventually(lambda: chooser.options == ("diabetes", "iris", "digits"))
    chooser.value = "iris"
    eventually(
        lambda: (
            backend.asked("use_experiment") == [("use_experiment", "iris")] and backend.header().experiment_id != "1"
        )
    )
    eventually(lambda: "new runs go to iris" in said(panel))
    assert chooser.value == "iris"


def test_a_new_experiment_takes_one_more_click(open_panel):
    backend = FakeDesk(RUN)
    panel = open_panel(backend)
    chooser = find(panel, widgets.Combobox)
    eventually(lambda: chooser.options)
    chooser.value = "irsi"
    button = find(panel, widgets.Button, description="Create “irsi”")
    assert button.layout.display == ""
    worked(panel)
    assert not backend.asked("use_experiment")
    button.click()
    eventually(lambda: backend.asked("use_experiment") == [("use_experiment", "irsi")])
    assert button.layout.display == "none"


def test_an_experiment_that_cannot_be_used_is_one_line(open_panel):
    backend = FakeDesk(RUN)
    panel = open_panel(backend)
    chooser = find(panel, widgets.Combobox)
    eventually(lambda: chooser.options)
    backend.error = MlflowMagicsError("iris is deleted; restore it or choose another")
    chooser.value = "iris"
    eventually(lambda: "iris is deleted; restore it or choose another" in said(panel))
    assert chooser.value == "diabetes"


def test_an_experiment_chosen_elsewhere_is_shown(open_panel):
    backend = FakeDesk(RUN)
    panel = open_panel(backend)
    backend.put(header=replace(HEADER, experiment_name="elsewhere"))
    eventually(lambda: find(panel, widgets.Combobox).value == "elsewhere")
    assert not backend.asked("use_experiment")


# -- run ------------------------------------------------------------------------------------------------------


def test_a_run_is_renamed_described_and_tagged(open_panel):
    backend = FakeDesk(RUN)
    panel = open_panel(backend)
    find(panel, widgets.Text, description="Name").value = "better"
    find(panel, widgets.Textarea, description="Note").value = "second\ntry"
    find(panel, widgets.Text, placeholder="tag").value = "stage"
    find(panel, widgets.Text, placeholder="value").value = "prod"
    find(panel, widgets.Button, description="Set").click()
    assert backend.calls[-3:] == [
        ("rename", RUN.run_id, "better"),
        ("describe", RUN.run_id, "second\ntry"),
        ("tag", RUN.run_id, "stage", "prod"),
    ]
    eventually(lambda: "prod" in said(panel))
    assert find(panel, widgets.Text, placeholder="tag").value == ""
    assert backend.asked("rename") == [("rename", RUN.run_id, "better")], "what the panel fills in is no edit"


def test_what_is_refused_is_said(open_panel):
    backend = FakeDesk(RUN)
    panel = open_panel(backend)
    eventually(lambda: backend.asked("experiments"))
    backend.error = MlflowMagicsError("a deleted run takes no tags; restore it first")
    find(panel, widgets.Text, placeholder="tag").value = "a"
    find(panel, widgets.Button, description="Set").click()
    assert "a deleted run takes no tags; restore it first" in said(panel)
    find(panel, widgets.Text, placeholder="tag").value = " "
    find(panel, widgets.Button, description="Set").click()
    assert "a tag needs a name" in said(panel)


def test_a_run_is_started_and_ended(open_panel):
    backend = FakeDesk(None)
    panel = open_panel(backend)
    end = find(panel, widgets.Button, description="End")
    find(panel, widgets.Text, placeholder="name of a new run").value = "by hand"
    find(panel, widgets.Button, description="Start").click()
    assert backend.asked("start") == [("start", "by hand")]
    eventually(lambda: not end.disabled and "▶ running" in said(panel))
    end.click()
    eventually(lambda: end.disabled and "✓ finished" in said(panel))


def test_a_cells_run_is_not_ended_by_a_button(open_panel):
    panel = open_panel(FakeDesk(OPEN))
    end = find(panel, widgets.Button, description="End")
    assert end.disabled
    assert end.tooltip == "This run ends with its cell"
    assert "this run ends with its cell" in said(panel)


def test_an_empty_name_and_a_long_note_are_left_alone(open_panel):
    backend = FakeDesk(replace(RUN, note="x" * 6000))
    panel = open_panel(backend)
    field = find(panel, widgets.Text, description="Name")
    field.value = "  "
    assert field.value == "forest"
    assert not backend.asked("rename")
    note = find(panel, widgets.Textarea)
    assert note.disabled
    assert len(note.value) == 5000


# -- metrics --------------------------------------------------------------------------------------------------


def test_a_chart_for_each_curve_and_a_table_of_the_rest(open_panel):
    panel = open_panel(FakeDesk(RUN))
    box = pick(panel, "Metrics")
    eventually(lambda: "<svg" in html(box) and "accuracy" in said(box))
    assert "0.79" in said(box)


def test_twelve_charts_at_once_and_a_search(open_panel):
    run = replace(RUN, curves=tuple(falling(f"m{i:02}", 20) for i in range(30)), metrics={})
    panel = open_panel(FakeDesk(run))
    box = pick(panel, "Metrics")
    eventually(lambda: html(box).count("<svg") == 12 and "page 1 of 3" in said(box))
    find(panel, widgets.Button, description="▶").click()
    eventually(lambda: "m12" in said(box) and "m11" not in said(box))
    find(panel, widgets.Text, placeholder="search metrics").value = "M29"
    eventually(lambda: html(box).count("<svg") == 1 and "m29" in said(box))


def test_another_run_is_drawn_beside(open_panel):
    backend = FakeDesk(RUN)
    panel = open_panel(backend)
    box = pick(panel, "Metrics")
    chooser = find(panel, widgets.Dropdown, description="Compare")
    eventually(lambda: len(chooser.options) == 2)
    assert RUN.run_id not in [value for _, value in chooser.options]
    before = html(box)
    chooser.value = OTHER.run_id
    eventually(lambda: backend.asked("details") == [("details", OTHER.run_id)] and "older" in said(box))
    chooser.value = ""
    eventually(lambda: html(box) == before)


def test_the_look_of_charts_is_passed_on(open_panel, monkeypatch):
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(metrics_tab, "plot", lambda curves, **look: asked.append(look) or "")
    panel = open_panel(FakeDesk(RUN))
    pick(panel, "Metrics")
    eventually(lambda: asked)
    find(panel, widgets.Checkbox, description="log scale").value = True
    find(panel, widgets.FloatSlider).value = 0.9
    find(panel, widgets.ToggleButtons).value = "time"
    eventually(lambda: asked[-1]["log"] and asked[-1]["smoothing"] == 0.9 and asked[-1]["axis"] == "time")


def test_only_the_chart_that_changed_is_drawn_and_the_budget_goes_round(monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr(metrics_tab, "plot", lambda curves, **_: asked.append(curves[0][1].name) or "")
    worker = Worker()
    backend = FakeDesk(replace(RUN, curves=tuple(falling(name, 9) for name in "abc")), Header())
    tab = metrics_tab.Metrics(backend, worker, lambda line: None)
    tab.refresh()
    tab.refresh()
    assert asked == ["a", "b", "c"]
    asked.clear()
    backend.put(replace(RUN, curves=(falling("a", 9), falling("b", 10), falling("c", 9))))
    tab.refresh()
    assert asked == ["b"]
    asked.clear()
    tab.budget = 0.0
    for points in range(11, 17):
        backend.put(replace(RUN, curves=tuple(falling(name, points) for name in "abc")))
        tab.refresh()
    assert sorted(asked[:3]) == sorted(asked[3:]) == ["a", "b", "c"], "each had its turn"


def test_runs_are_asked_for_again_when_one_has_ended(open_panel):
    backend, clock = FakeDesk(RUN), Clock()
    panel = open_panel(backend, ticker=clock.ticker)

    def asked() -> int:
        clock.advance(30)
        worked(panel)
        return len(backend.asked("runs"))

    pick(panel, "Metrics")
    assert asked() == 1
    backend.put(OPEN, header=BUSY)
    assert asked() == 1
    backend.put(replace(RUN, run_id="d" * 32), header=HEADER)
    assert asked() == 2
    assert asked() == 2


# -- params and results ---------------------------------------------------------------------------------------


def test_values_and_how_they_changed(open_panel):
    panel = open_panel(FakeDesk(RUN))
    box = pick(panel, "Params & results")
    eventually(lambda: "liblinear" in said(box))
    assert "choose a run as baseline" in said(box)
    panel.set_baseline(OTHER)
    eventually(lambda: "against older" in said(box))
    words = said(box)
    for part in ("was 1", "only there: x", "▲up +0.04 (+5.33 %)", "▼down -0.1 (-50 %)", "=unchanged"):
        assert part in words
    assert [each for each in Page(html(box)).all("span") if each.get("aria-hidden") == "true"]
    find(panel, widgets.Button, description="✕ compare with none").click()
    eventually(lambda: "against" not in said(box))
    assert panel.baseline is None


def test_values_are_searched():
    tab = Values(FakeDesk(RUN), Worker(), lambda line: None)
    tab.refresh()
    search = next(each for each in inside(tab.widget) if isinstance(each, widgets.Text))
    search.value = "LIBL"
    tab.refresh()
    assert "solver" in said(tab)
    assert "accuracy" not in said(tab)
    search.value = "nothing like it"
    tab.refresh()
    assert "nothing matches the search" in said(tab)


def test_many_values_are_cut_and_numbers_without_a_percentage_have_none():
    run = replace(RUN, params={f"p{i}": "1" for i in range(500)}, metrics={"a": 1.0, "b": float("nan"), "c": 1e308})
    base = replace(OTHER, metrics={"a": 0.0, "b": 1.0, "c": -1e308})
    tab = Values(FakeDesk(run), Worker(), lambda line: None, baseline=lambda: base)
    tab.refresh()
    words = said(tab)
    assert "and 303 more: search for them" in words  # 500 of this run and 3 of the other, 200 of them shown
    assert said(tab).count("%") == 1, "of the three only the greatest has a percentage"
    assert "(+200 %)" in words


# -- the picture ----------------------------------------------------------------------------------------------


class Handle:
    def __init__(self) -> None:
        self.updates: list[tuple[str, Any]] = []

    def update(self, block: Any) -> None:
        self.updates.append((threading.current_thread().name, block))


class Display:
    """Stands in for `IPython.display.display`, which needs a front end."""

    def __init__(self) -> None:
        self.shown: list[Any] = []
        self.handle = Handle()

    def __call__(self, what: Any, display_id: str | None = None) -> Any:
        self.shown.append(what._repr_mimebundle_())
        return self.handle if display_id else None


def test_the_picture_stands_beside_the_panel_and_hides_while_that_lives(open_panel):
    panel = open_panel(FakeDesk(RUN))
    display = Display()
    panel.show(display)
    live, still = display.shown
    assert live["application/vnd.jupyter.widget-view+json"]["model_id"] == panel.widget.model_id
    assert "text/html" not in live
    name = f"mlflow-magics-picture-{panel.widget.model_id}"
    assert f".{name}{{display:none" in html(panel)
    assert Page(still["text/html"]).tags[0] == ("div", {"class": name})
    assert "forest" in still["text/plain"]


def test_the_bundle_of_a_panel_has_all_three(open_panel):
    bundle = open_panel(FakeDesk(RUN))._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.jupyter.widget-view+json", "text/plain", "text/html"}
    assert "display:none" not in bundle["text/html"]


def test_the_picture_is_renewed_when_a_run_ends_and_when_idle_never_during_a_cell(open_panel):
    backend, clock = FakeDesk(RUN), Clock()
    panel = open_panel(backend, ticker=clock.ticker)
    display = Display()
    panel.show(display)
    updates = display.handle.updates
    backend.put(replace(OPEN, params={"reg": "0.5"}), header=BUSY)
    clock.advance(30)
    assert len(clock.turns) > 3
    assert updates == []
    backend.put(replace(RUN, name="done", params={"reg": "0.5"}))
    assert [thread for thread, _ in updates] == ["MainThread"]
    assert "done" in updates[-1][1].html
    backend.put(header=HEADER, tell=False)
    find(panel, widgets.Text, description="Name").value = "named later"
    clock.advance(30)
    assert "named later" in updates[-1][1].text


def test_closing_renews_the_picture(open_panel):
    backend = FakeDesk(RUN)
    panel = open_panel(backend)
    display = Display()
    panel.show(display)
    backend.put(replace(RUN, name="the last"), tell=False)
    panel.close()
    assert "the last" in display.handle.updates[-1][1].html


def test_closing_raises_nothing_where_the_desk_is_gone(monkeypatch):
    backend = FakeDesk(RUN)
    panel = Panel(backend)
    panel.show(Display())
    monkeypatch.setattr(backend, "run", lambda: 1 / 0)
    panel.close()
    assert backend.observers == []


def test_the_picture_is_static_and_bounded():
    run = replace(
        OPEN,
        params={f"p{i}": "x" * 5000 for i in range(5000)},
        metrics={f"m{i}": 0.5 for i in range(5000)},
        curves=tuple(curve(f"c{i}", [0.1] * 2000, 1_000_000) for i in range(40)),
    )
    block = picture(replace(HEADER, said="214 points waiting", state="waiting"), run, "name")
    assert len(block.html) < 60_000
    assert fits(block.text) == []
    assert "4988 more params" in Page(block.html).words
    assert picture(HEADER, run).html == picture(HEADER, run).html, "its time does not tick"
    assert fits(picture(Header(), None).text) == []


# -- the worker -----------------------------------------------------------------------------------------------


def test_jobs_are_done_one_at_a_time_and_the_newest_of_a_key():
    worker, gate, done = Worker(), threading.Event(), []
    worker.submit(lambda: gate.wait(5), lambda _: done.append("gate"), done.append)
    for number in range(5):
        worker.submit(lambda number=number: number, done.append, done.append, key="same")
    worker.submit(lambda: "other", done.append, done.append)
    gate.set()
    eventually(lambda: len(done) == 3)
    assert done == ["gate", 4, "other"]
    worker.close()


def test_errors_of_jobs_are_one_line_and_the_thread_lives_on():
    worker, lines, done = Worker(), [], []

    def fail(error: Exception) -> None:
        raise error

    worker.submit(lambda: fail(MlflowMagicsError("say this")), done.append, lines.append)
    worker.submit(lambda: fail(ValueError("two\nlines")), done.append, lines.append)
    worker.submit(lambda: 1, lambda _: fail(KeyError("in done")), lines.append)
    worker.submit(lambda: 2, done.append, lines.append)
    eventually(lambda: done == [2])
    assert lines[0] == "say this"
    assert all("\n" not in line for line in lines)
    assert len(lines) == 3
    worker.close()


def test_a_closed_worker_shows_nothing_more():
    worker, gate, done = Worker(), threading.Event(), []
    worker.submit(lambda: gate.wait(5), done.append, done.append)
    worker.submit(lambda: 1, done.append, done.append)
    worker.close()
    gate.set()
    worker.submit(lambda: 2, done.append, done.append)
    worker._thread.join(30)
    assert not worker._thread.is_alive()
    assert done == []


def test_the_global_random_state_is_left_alone():
    import random

    state, clock = random.getstate(), Clock()
    panel = Panel(FakeDesk(RUN), ticker=clock.ticker)
    pick(panel, "Metrics")
    clock.advance(1)
    worked(panel)
    panel.close()
    assert random.getstate() == state
