"""The panel as a person sees and uses it: a real JupyterLab and a real Notebook 7, a real kernel, a real server."""

from __future__ import annotations

import re

import pytest
from mlflow import MlflowClient

from tests.rig.faulty import Fault, FaultyProxy
from tests.rig.waiting import eventually

from . import lab as rig

pytestmark = pytest.mark.slow

TRAIN = """%%mlflow_run {name}
import math, time
rate = {rate}
for epoch in range({epochs}):
    loss = math.exp(-epoch * rate / 4)
    time.sleep(0.05)
"""
PANEL = 1  # the cell of the panel


@pytest.fixture(scope="module", params=["lab", "notebook"])
def front_end(request, tmp_path_factory):
    with rig.Lab(
        tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("home"), application=request.param
    ) as started:
        yield started


@pytest.fixture(scope="module")
def chromium():
    rig.need_browser()
    with rig.browser() as launched:
        yield launched


@pytest.fixture
def page(chromium):
    page = chromium.new_page(viewport={"width": 1200, "height": 1000})
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    yield page
    page.close()


@pytest.fixture
def proxy(mlflow_server):
    with FaultyProxy(mlflow_server.url) as proxy:
        yield proxy


@pytest.fixture
def opened(page, front_end, request):
    """A notebook of these cells, open, the first two run: connected, and the panel shown."""

    def open_it(uri, *cells):
        # Kernels are slow to start on a busy machine; the name is the test's, so that none finds another's layout.
        name = re.sub(r"\W+", "-", request.node.name) + ".ipynb"
        connect = f"%load_ext mlflow_magics\n%mlflow_connect {uri} -e {name.removesuffix('.ipynb')}"
        rig.write_notebook(front_end.folder / name, connect, "%mlflow_panel", *cells)
        rig.open_notebook(page, front_end, name)
        page.complaints.clear()
        rig.run_cell(page, 0)
        output(page, 0).get_by_text("connected to").wait_for(timeout=90_000)
        rig.run_cell(page, PANEL)
        panel(page).get_by_role("tab", name="Metrics").wait_for(timeout=60_000)
        return panel(page)

    return open_it


def output(page, cell):
    return page.locator(".jp-CodeCell").nth(cell).locator(".jp-OutputArea")


def panel(page):
    return output(page, PANEL).locator(".mlflow-magics-panel")


def tab(shown, name):
    shown.get_by_role("tab", name=name, exact=True).click()


def run_with(uri, condition, patience=20.0):
    """The run in the store, of which this is true; what is logged is sent in the background."""
    client = MlflowClient(uri)

    def found():
        ids = [experiment.experiment_id for experiment in client.search_experiments()]
        return client.search_runs(ids, condition, order_by=["attributes.start_time DESC"])

    return eventually(found, f"a run with {condition}", patience, pause=0.2)[0]


def points(shown):
    """How many points the panel's first chart says there are."""
    found = re.findall(r"([\d,]+) points", shown.inner_text())
    return int(found[0].replace(",", "")) if found else 0


def test_the_curve_moves_while_the_cell_is_busy(page, opened, mlflow_server):
    shown = opened(mlflow_server.url, TRAIN.format(name="descent", rate=0.1, epochs=160))
    tab(shown, "Metrics")
    rig.run_cell(page, 2)
    seen = []
    while len(seen) < 4:
        page.wait_for_function(
            "before => { const t = document.querySelector('.mlflow-magics-panel').innerText.match(/([\\d,]+) points/);"
            " return t && Number(t[1].replace(',', '')) > before }",
            arg=seen[-1] if seen else 0,
            timeout=60_000,
        )
        seen.append(points(shown))
    assert seen == sorted(set(seen))
    assert output(page, 2).get_by_text("finished").count() == 0, "all of this was seen while the cell was busy"
    output(page, 2).get_by_text("✓ finished").wait_for(timeout=60_000)
    shown.locator("svg text", has_text="160 points").wait_for(timeout=10_000)
    assert shown.locator("svg").first.is_visible()
    assert page.complaints == []


def test_a_variable_is_logged_by_clicking(page, opened, mlflow_server):
    shown = opened(mlflow_server.url, TRAIN.format(name="forgetful", rate=0.5, epochs=3), "forgotten = 42.5")
    rig.run_cell(page, 2)
    output(page, 2).get_by_text("✓ finished").wait_for(timeout=60_000)
    rig.run_cell(page, 3)
    tab(shown, "Log")
    shown.get_by_text("forgotten").wait_for(timeout=30_000)
    shown.get_by_label("forgotten", exact=True).check()
    shown.get_by_role("button", name="Log 1 name", exact=True).click()
    shown.get_by_text("param forgotten = 42.5").wait_for(timeout=30_000)
    from playwright.sync_api import expect

    commands = re.compile("%mlflow_log param forgotten")
    expect(shown.locator("textarea").last).to_have_value(commands, timeout=30_000)
    run = run_with(mlflow_server.url, "params.forgotten = '42.5'")
    assert run.info.run_name == "forgetful"
    assert page.complaints == []


def test_the_server_goes_and_comes_back(page, opened, proxy):
    shown = opened(proxy.url, TRAIN.format(name="outage", rate=0.1, epochs=60))
    shown.get_by_text("connected").first.wait_for(timeout=30_000)
    with proxy.faulty(Fault("answer", status=503)):
        rig.run_cell(page, 2)
        shown.get_by_text(re.compile(r"\d+ (points|writes) waiting")).first.wait_for(timeout=60_000)
        output(page, 2).get_by_text("✓ finished").wait_for(timeout=60_000)
    shown.get_by_text("● connected").wait_for(timeout=90_000)
    assert page.complaints == []


def test_two_runs_are_compared(page, opened, mlflow_server):
    shown = opened(
        mlflow_server.url,
        TRAIN.format(name="slow", rate=0.1, epochs=10) + "%mlflow_run fast\nrate = 0.4\nfor epoch in range(10):\n"
        "    loss = math.exp(-epoch * rate / 4)",
    )
    rig.run_cell(page, 2)
    output(page, 2).get_by_text("✓ finished").nth(1).wait_for(timeout=60_000)
    tab(shown, "Runs")
    shown.get_by_text("slow").first.wait_for(timeout=30_000)
    for name in ("slow", "fast"):
        shown.get_by_label(name, exact=True).check()
    shown.get_by_role("button", name="Compare").click()
    table = shown.get_by_text("0.4", exact=True).locator("visible=true").first
    table.wait_for(timeout=30_000)
    assert shown.get_by_text("0.1", exact=True).locator("visible=true").count()
    shown.locator("svg:visible", has_text="fast").first.wait_for(timeout=30_000)
    assert page.complaints == []


def test_reloaded_and_restarted(page, opened, front_end, mlflow_server):
    """After a reload the panel is there again; when the kernel is gone, the picture of its last state is."""
    opened(mlflow_server.url, TRAIN.format(name="lasting", rate=0.1, epochs=5))
    rig.run_cell(page, 2)
    output(page, 2).get_by_text("✓ finished").wait_for(timeout=60_000)
    picture = output(page, PANEL).locator("[class*=mlflow-magics-picture]")
    assert not picture.first.is_visible()
    rig.save(page)
    page.reload()
    panel(page).get_by_role("tab", name="Metrics").wait_for(timeout=90_000)
    rig.restart_kernel(page)
    rig.save(page)
    page.reload()
    picture.first.wait_for(timeout=90_000)
    assert "lasting" in picture.first.inner_text()
    assert "Error displaying widget" not in output(page, PANEL).inner_text()
