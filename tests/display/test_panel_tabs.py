"""The Log and the Autolog tab, on real widgets, over a backend in memory (see `tab_desk`)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import ipywidgets as widgets
import pytest

from mlflow_magics.display.panel.tabs import loglist
from mlflow_magics.display.panel.tabs.autolog import Autolog
from mlflow_magics.display.panel.tabs.base import Visits
from mlflow_magics.display.panel.tabs.loglist import LogList
from mlflow_magics.display.panel.tools.worker import Worker
from mlflow_magics.vocabulary.errors import OptionError
from mlflow_magics.vocabulary.panel import Header, Loggable
from mlflow_magics.vocabulary.stores import Integration
from tests.display.page import Page
from tests.display.tab_desk import TabDesk, find, living, tree
from tests.display.test_hostile import CORPUS

ROLES = ("param", "metric", "text")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.close()


@pytest.fixture
def backend() -> TabDesk:
    made = TabDesk()
    made.names_known = (
        Loggable("accuracy", "float", "0.93", "metric", "computed by model.score()", ("param", "metric")),
        Loggable("lr", "float", "0.1", "param", "a literal", ("param", "metric")),
        Loggable("df", "DataFrame", "150 x 4", "", "data (DataFrame)", ("table", "text")),
        Loggable("np", "module", "numpy", "", "a module", ()),
    )
    made.autologs = (
        Integration("sklearn", "scikit-learn", "1.7.0", False, "params, metrics, models", "1.4 - 1.9"),
        Integration("xgboost", "xgboost", "3.0.0", True, "params, metrics", ""),
        Integration("keras", "keras", "", False, "params", "3.0 - 3.9"),
    )
    return made


@pytest.fixture
def log(backend: TabDesk, worker: Worker, said: list[str]) -> Iterator[LogList]:
    made = LogList(backend, worker, said.append)
    made.refresh()
    yield made
    made.close()


@pytest.fixture
def autolog(backend: TabDesk, worker: Worker, said: list[str]) -> Iterator[Autolog]:
    made = Autolog(backend, worker, said.append)
    made.refresh()
    yield made
    made.close()


def rows(tab: LogList) -> dict[str, tuple[widgets.Checkbox, widgets.HTML, widgets.Dropdown]]:
    """By name, what is seen of the names."""
    return {tick.description: (tick, what, role) for tick, what, role in zip(*[iter(_grid(tab))] * 3, strict=True)}


def _grid(tab: LogList | Autolog) -> tuple[widgets.Widget, ...]:
    (grid,) = [each for each in tree(tab.widget) if type(each) is widgets.GridBox]
    return grid.children


def text_of(tab: LogList | Autolog) -> str:
    return " ".join(Page(each.value).words for each in tree(tab.widget) if isinstance(each, widgets.HTML))


def button(tab: LogList, description: str) -> widgets.Button:
    return find(tab.widget, widgets.Button, description)


# -- Log ------------------------------------------------------------------------------------------------------


def test_names_with_kind_value_role_and_reason(log: LogList) -> None:
    tick, what, role = rows(log)["accuracy"]
    assert not tick.value
    assert Page(what.value).words == "0.93 floatcomputed by model.score()"
    assert role.value == "metric"
    assert [value for _, value in role.options] == ["param", "metric"]


def test_what_would_be_skipped_is_unticked_and_says_why(log: LogList) -> None:
    tick, what, role = rows(log)["df"]
    assert (tick.value, role.value) == (False, "")
    assert "data (DataFrame)" in Page(what.value).words
    tick, _, role = rows(log)["np"]
    assert tick.disabled
    assert role.disabled


def test_ticked_names_are_logged_and_the_lines_shown(log: LogList, backend: TabDesk) -> None:
    assert button(log, "Log").disabled
    rows(log)["accuracy"][0].value = True
    rows(log)["lr"][2].value = "metric"  # ticks it, too
    assert rows(log)["lr"][0].value
    assert button(log, "Log").description == "Log 2 names"
    button(log, "Log").click()
    assert backend.asked("log") == [("log", (("accuracy", "metric"), ("lr", "metric")))]
    assert "logged metric accuracy" in text_of(log)
    code = find(log.widget, widgets.Textarea)
    assert code.value == "%mlflow_log metric accuracy\n%mlflow_log metric lr"
    assert code.layout.display is None
    assert not any(tick.value for tick, _, _ in rows(log).values())


def test_the_lines_to_copy_cannot_be_changed(log: LogList) -> None:
    rows(log)["lr"][0].value = True
    button(log, "Log").click()
    code = find(log.widget, widgets.Textarea)
    code.value = "something else"
    assert code.value == "%mlflow_log param lr"
    assert not code.disabled  # else no keyboard gets there


def test_a_ticked_name_without_a_role_gets_its_first(log: LogList, backend: TabDesk) -> None:
    tick, _, role = rows(log)["df"]
    tick.value = True
    assert role.value == "table"
    role.value = ""
    assert not tick.value


def test_tick_all_takes_those_with_a_role(log: LogList, backend: TabDesk) -> None:
    button(log, "Tick all").click()
    button(log, "Log").click()
    assert backend.asked("log") == [("log", (("accuracy", "metric"), ("lr", "param")))]


def test_untick_all(log: LogList) -> None:
    button(log, "Tick all").click()
    button(log, "Untick all").click()
    assert button(log, "Log").disabled


def test_a_filter_by_name_kind_or_role(log: LogList) -> None:
    for wanted, seen in (("ACC", ["accuracy"]), ("frame", ["df"]), ("param", ["lr"]), ("nothing", []), ("", None)):
        find(log.widget, widgets.Text).value = wanted
        assert list(rows(log)) == (seen if seen is not None else ["accuracy", "lr", "df", "np"])


def test_what_is_filtered_away_stays_ticked(log: LogList, backend: TabDesk) -> None:
    rows(log)["lr"][0].value = True
    find(log.widget, widgets.Text).value = "acc"
    assert button(log, "Log").description == "Log 1 name"
    button(log, "Log").click()
    assert backend.asked("log") == [("log", (("lr", "param"),))]


def test_pages_of_thirty_with_the_same_widgets(log: LogList, backend: TabDesk) -> None:
    backend.names_known = tuple(Loggable(f"v{i:03}", "int", str(i), "param", "a literal", ROLES) for i in range(75))
    button(log, "Refresh").click()
    first = _grid(log)
    assert list(rows(log)) == [f"v{i:03}" for i in range(30)]
    rows(log)["v003"][0].value = True
    _press(log, "later")
    assert list(rows(log)) == [f"v{i:03}" for i in range(30, 60)]
    assert _grid(log) == first
    assert not any(tick.value for tick, _, _ in rows(log).values())
    _press(log, "later")
    assert len(rows(log)) == 15
    assert _button_of(log, "later").disabled
    _press(log, "earlier")
    _press(log, "earlier")
    assert rows(log)["v003"][0].value
    assert "1 to 30 of 75 names" in text_of(log)


def _button_of(tab: LogList, word: str) -> widgets.Button:
    (found,) = [each for each in tree(tab.widget) if type(each) is widgets.Button and word in each.description]
    return found


def _press(tab: LogList, word: str) -> None:
    _button_of(tab, word).click()


def test_ten_thousand_names_are_ninety_widgets(log: LogList, backend: TabDesk) -> None:
    backend.names_known = tuple(Loggable(f"v{i}", "int", str(i), "param", "a literal", ROLES) for i in range(10_000))
    button(log, "Refresh").click()
    assert len(_grid(log)) == 3 * loglist.PAGE


def test_a_second_look_changes_no_trait(log: LogList, backend: TabDesk) -> None:
    changed: list[object] = []
    for each in tree(log.widget):
        each.observe(lambda change: changed.append((change["owner"], change["name"])))
    button(log, "Refresh").click()
    assert changed == []


def test_a_name_that_has_gone_is_not_logged(log: LogList, backend: TabDesk) -> None:
    rows(log)["accuracy"][0].value = True
    backend.names_known = backend.names_known[1:]
    button(log, "Refresh").click()
    assert button(log, "Log").disabled


def test_the_role_a_name_had_before_does_not_stay(log: LogList, backend: TabDesk) -> None:
    rows(log)["lr"][2].value = "metric"
    backend.names_known = (Loggable("lr", "str", "'x'", "param", "a literal", ("param",)),)
    button(log, "Refresh").click()
    assert rows(log)["lr"][2].value == "param"


@pytest.mark.parametrize("error", [OptionError("no run is open; %mlflow_start opens one"), ValueError("a\nb")])
def test_an_error_is_one_line(log: LogList, backend: TabDesk, said: list[str], error: Exception) -> None:
    rows(log)["lr"][0].value = True
    backend.error = error
    button(log, "Log").click()
    assert len(said) == 1
    assert "\n" not in said[0]
    assert rows(log)["lr"][0].value  # to be tried again
    assert not button(log, "Log").disabled
    button(log, "Refresh").click()
    assert len(said) == 2


def test_it_looks_when_turned_to_and_when_a_cell_has_ended(backend: TabDesk) -> None:
    now = [0.0]
    visits = Visits(lambda: now[0])
    assert visits.news(busy=False)
    now[0] = 0.25
    assert not visits.news(busy=False)
    now[0] = 10.0
    assert visits.news(busy=False)  # turned to again
    now[0] = 10.5
    assert not visits.news(busy=True)
    now[0] = 20.0
    assert not visits.news(busy=True)  # the namespace is in flux
    now[0] = 20.2
    assert visits.news(busy=False)  # the cell has ended


def test_refreshed_while_a_cell_runs_it_looks_once(backend: TabDesk, worker: Worker) -> None:
    backend.shown_header = Header(state="connected", busy=True)
    tab = LogList(backend, worker, print)
    for _ in range(20):
        tab.refresh()
    assert len(backend.asked("loggables")) == 1
    tab.close()


# -- Autolog --------------------------------------------------------------------------------------------------


def boxes(tab: Autolog) -> dict[str, tuple[widgets.Checkbox, str]]:
    return {box.description: (box, Page(what.value).words) for box, what in zip(*[iter(_grid(tab))] * 2, strict=True)}


def test_installed_ones_have_a_switch_and_the_others_a_word(autolog: Autolog) -> None:
    assert list(boxes(autolog)) == ["sklearn", "xgboost"]
    box, words = boxes(autolog)["sklearn"]
    assert not box.value
    for word in ("off", "scikit-learn 1.7.0", "1.4 - 1.9", "params, metrics, models"):
        assert word in words
    box, words = boxes(autolog)["xgboost"]
    assert box.value
    assert words.startswith("on")
    assert "tested" not in words
    assert "not installed: keras" in text_of(autolog)


def test_a_switch_switches_and_shows_what_is_to_be_known(autolog: Autolog, backend: TabDesk) -> None:
    backend.notes = ("scikit-learn 2.0 was not tested",)
    boxes(autolog)["sklearn"][0].value = True
    assert [each.on for each in backend.integrations() if each.name == "sklearn"] == [True]
    assert boxes(autolog)["sklearn"][1].startswith("on")
    assert "scikit-learn 2.0 was not tested" in text_of(autolog)
    boxes(autolog)["sklearn"][0].value = False
    assert boxes(autolog)["sklearn"][1].startswith("off")


@pytest.mark.parametrize("error", [OptionError("sklearn cannot be imported: install it"), ImportError("no\nmodule")])
def test_a_switch_that_fails_goes_back(autolog: Autolog, backend: TabDesk, said: list[str], error: Exception) -> None:
    backend.error = error
    boxes(autolog)["sklearn"][0].value = True
    assert not boxes(autolog)["sklearn"][0].value
    assert len(said) == 1
    assert "\n" not in said[0]
    assert Page(callout_of(autolog)).words == said[0].replace("\n", " ")
    backend.error = None
    boxes(autolog)["sklearn"][0].value = True
    assert boxes(autolog)["sklearn"][0].value


def callout_of(tab: Autolog) -> str:
    return str(tab.widget.children[2].value)


def test_what_was_switched_elsewhere_is_seen_at_the_next_look(autolog: Autolog, backend: TabDesk) -> None:
    backend.switch("sklearn", True)
    autolog._look()
    assert boxes(autolog)["sklearn"][0].value


# -- both -----------------------------------------------------------------------------------------------------

ELEMENTS = {"div", "span", "strong", "bdi"}
FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def harmless(widget: widgets.Widget, elements: set[str], length: int = 40_000) -> None:
    """Assert that nothing a widget shows gets out of its place."""
    for each in tree(widget):
        if isinstance(each, widgets.HTML):
            page = Page(each.value)
            assert {tag for tag, _ in page.tags} <= elements
            for _, attributes in page.tags:
                assert not any(name.startswith("on") for name in attributes)
                assert not FORBIDDEN.search("".join(attributes.values()))
            # SVG has no <bdi>; our charts isolate a name by a pair of characters instead.
            assert not FORBIDDEN.search(re.sub("\u2068([^\u2066-\u2069]*)\u2069", r"\1", page.words))
            assert len(each.value) < length
        else:
            assert not getattr(each, "description_allow_html", False)
            shown = [getattr(each, "description", ""), getattr(each, "tooltip", "") or ""]
            shown += [option for option, _ in getattr(each, "options", ())]
            for line in shown:
                assert not FORBIDDEN.search(line)
                assert len(line) < 400
                line.encode("utf-8")
            assert not re.search(r"[$\\]", "".join(shown))  # JupyterLab typesets descriptions


@pytest.mark.parametrize("evil", CORPUS, ids=range(len(CORPUS)))
def test_nothing_gets_out_of_the_log_tab(evil: str, backend: TabDesk, worker: Worker, said: list[str]) -> None:
    backend.names_known = (
        Loggable(evil, evil, evil, "param", evil, ("param", evil)),
        Loggable("b", evil, evil, "", evil, ()),
        Loggable("c", evil, evil, evil, evil, (evil,)),
    )
    tab = LogList(backend, worker, said.append)
    tab.refresh()
    harmless(tab.widget, ELEMENTS)
    button(tab, "Tick all").click()
    button(tab, "Log").click()
    assert backend.asked("log")[0][1][0] == (evil, "param")
    harmless(tab.widget, ELEMENTS)
    assert len(find(tab.widget, widgets.Textarea).value) < 10_000
    backend.error = OptionError(evil)
    button(tab, "Refresh").click()
    assert len(said[0]) <= 300
    tab.close()


@pytest.mark.parametrize("evil", CORPUS, ids=range(len(CORPUS)))
def test_nothing_gets_out_of_the_autolog_tab(evil: str, backend: TabDesk, worker: Worker, said: list[str]) -> None:
    backend.autologs = [
        Integration(evil, evil, "1" + evil, False, evil, evil),
        Integration(evil, evil, "", False, evil, evil),
    ]
    backend.notes = (evil,)
    tab = Autolog(backend, worker, said.append)
    tab.refresh()
    harmless(tab.widget, ELEMENTS)
    _grid(tab)[0].value = True
    harmless(tab.widget, ELEMENTS)
    backend.error = OptionError(evil)
    _grid(tab)[0].value = False
    harmless(tab.widget, ELEMENTS)
    tab.close()


def test_every_control_has_a_name(log: LogList, autolog: Autolog) -> None:
    for each in [*tree(log.widget), *tree(autolog.widget)]:
        if not isinstance(each, widgets.HTML | widgets.Box):
            assert each.description or each.tooltip, type(each)


@pytest.mark.parametrize("kind", [LogList, Autolog])
def test_closing_leaves_no_widget(kind: type[LogList] | type[Autolog], backend: TabDesk, worker: Worker) -> None:
    before = living()
    tab = kind(backend, worker, print)
    tab.refresh()
    assert living() > before
    tab.close()
    tab.close()
    assert living() == before
