"""What a person sees: the notebooks in a real JupyterLab, in a real browser."""

from __future__ import annotations

import re
import shutil

import nbformat
import pytest
from mlflow import MlflowClient

from tests.execute_notebooks import FOLDER

from . import lab as rig

pytestmark = pytest.mark.slow

# The least contrast between a text and what is behind it, as WCAG 2 counts it, with opacities taken in.
CONTRAST = """block => {
    const channels = text => (text.match(/[\\d.]+/g) || []).map(Number);
    const mix = (over, under, share) => over.slice(0, 3).map((c, i) => c * share + under[i] * (1 - share));
    const behind = element => {
        let layers = [];
        for (let e = element; e; e = e.parentElement) {
            const color = channels(getComputedStyle(e).backgroundColor);
            const share = color.length === 4 ? color[3] : 1;
            if (share > 0) layers.push([color, share]);
            if (share === 1) break;
        }
        return layers.reverse().reduce((under, [color, share]) => mix(color, under, share), [255, 255, 255]);
    };
    const luminance = rgb => rgb.map(c => c / 255).map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const contrast = element => {
        let share = 1;
        for (let e = element; e; e = e.parentElement) share *= Number(getComputedStyle(e).opacity);
        const under = behind(element);
        const pair = [luminance(mix(channels(getComputedStyle(element).color), under, share)), luminance(under)];
        return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    };
    const walker = document.createTreeWalker(block, NodeFilter.SHOW_TEXT);
    let least = 21;
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (walker.currentNode.data.trim() && element.checkVisibility()) least = Math.min(least, contrast(element));
    }
    return least;
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    shutil.copy(FOLDER / "quickstart.ipynb", folder / "stored.ipynb")
    notebook = nbformat.read(FOLDER / "quickstart.ipynb", 4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            # What is seen afterwards was made by the run that the test starts.
            cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, folder / "quickstart.ipynb")
    rig.write_notebook(
        folder / "broken.ipynb",
        "%load_ext mlflow_magics\n%mlflow_connect -e broken\nlosses = [1.5, 3.0]",
        "%%mlflow_run diverging\nreg = 0.5\nloss = sum(losses)\nraise ValueError('the loss <b>diverged</b>')",
        "reached = True",
    )
    with rig.Lab(folder, tmp_path_factory.mktemp("lab")) as started:
        yield started


@pytest.fixture(scope="module")
def chromium():
    # Not for the whole session: while Playwright is up, its event loop is in the way of other tests'.
    rig.need_browser()
    with rig.browser() as launched:
        yield launched


@pytest.fixture
def page(chromium, lab):
    page = chromium.new_page(viewport={"width": 1200, "height": 800})
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    yield page
    page.close()


def block(page, cell, word):
    """The block below a cell, once it says `word`."""
    found = page.locator(".jp-CodeCell").nth(cell).locator(".jp-OutputArea-output.jp-RenderedHTML", has_text=word)
    found.wait_for(timeout=90_000)
    found.scroll_into_view_if_needed()
    return found


def rows(shown):
    """The names and values in a block's tables."""
    return {
        row.locator("th").inner_text(): row.locator("td").first.inner_text()
        for row in shown.locator("tbody tr").all()
        if row.is_visible()
    }


def test_quickstart_shows_its_blocks(page, lab):
    rig.open_notebook(page, lab, "quickstart.ipynb")
    page.complaints.clear()
    rig.run_all(page)
    shown = block(page, 2, "✓ finished")
    seen = rows(shown)
    assert seen["C"] == "0.1"
    assert 0.8 < float(seen["accuracy"]) < 1
    assert shown.get_by_text("logistic", exact=True).is_visible()
    forest = block(page, 4, "✓ finished")
    assert rows(forest)["config.max_depth"] == "4"
    assert page.locator(".jp-CodeCell").nth(4).locator("img").is_visible()
    page.locator(".jp-CodeCell").nth(5).get_by_text("3 runs of breast-cancer").wait_for(timeout=30_000)

    # What is on the page is what is in the store.
    client = MlflowClient(f"sqlite:///{lab.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("breast-cancer")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"logistic", "logistic-strong", "forest"}
    assert runs["logistic"].info.run_id in shown.inner_text()
    assert runs["logistic"].data.tags["mlflow.source.name"] == "quickstart.ipynb"
    assert float(seen["accuracy"]) == pytest.approx(runs["logistic"].data.metrics["accuracy"], abs=1e-5)

    # Folded: the reasons. A click shows them.
    fold = shown.locator("details", has_text="skipped")
    assert not fold.get_by_text("X_train").is_visible()
    fold.locator("summary").click()
    assert fold.get_by_text("X_train").is_visible()

    for theme in (rig.LIGHT, rig.DARK):
        rig.change_theme(page, theme)
        for each in (shown, forest):
            assert each.is_visible()
            assert each.evaluate(CONTRAST) >= 4.5, theme
    assert page.complaints == []


def test_stored_blocks_show_before_anything_runs(page, lab):
    # A notebook from elsewhere is not trusted: Lab takes out of its HTML what it does not know to be harmless.
    rig.open_notebook(page, lab, "stored.ipynb")
    shown = block(page, 2, "✓ finished")
    assert rows(shown)["C"] == "0.1"
    assert shown.locator("table").first.evaluate("table => getComputedStyle(table).borderCollapse") == "collapse"
    assert "monospace" in shown.locator("table").first.evaluate("table => getComputedStyle(table).fontFamily")
    assert shown.evaluate(CONTRAST) >= 4.5


def test_a_failing_cell_shows_a_failed_block_and_its_traceback(page, lab):
    rig.open_notebook(page, lab, "broken.ipynb")
    rig.run_all(page)
    shown = block(page, 1, "✗ failed")
    assert rows(shown) == {"reg": "0.5", "loss": "4.5"}
    assert "ValueError: the loss <b>diverged</b>" in shown.inner_text()
    assert shown.locator("b").count() == 0
    traceback = (
        page.locator(".jp-CodeCell")
        .nth(1)
        .locator(".jp-OutputArea-output", has_text="Traceback (most recent call last)")
    )
    assert re.search(r"----> 4 raise ValueError", traceback.inner_text())
    # Lab stops at the failed cell, as it would without us.
    assert page.locator(".jp-CodeCell").nth(2).locator(".jp-InputPrompt").inner_text().strip() == "[ ]:"
    for theme in (rig.LIGHT, rig.DARK):
        rig.change_theme(page, theme)
        assert shown.is_visible()
        assert shown.evaluate(CONTRAST) >= 4.5, theme

    client = MlflowClient(f"sqlite:///{lab.folder}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("broken").experiment_id])
    assert run.info.status == "FAILED"
    assert run.data.metrics == {"loss": 4.5}
