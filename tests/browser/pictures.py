"""Take the README's pictures: ``python -m tests.browser.pictures [FOLDER]``.

Not a test. A person's minute in JupyterLab: connect, train, change a number, train again; and the panel while a cell
trains. Needs Playwright, Chromium and the Liberation fonts.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from PIL import Image

from tests.execute_notebooks import FOLDER

from . import lab as rig

PICTURES = FOLDER / "pictures"
WIDTH, HEIGHT = 1040, 900
# The page's own chrome that a reader of README needs not see, and no cursor that blinks in some pictures.
TIDY = """
    #jp-left-stack, #jp-right-stack, .jp-SideBar, #jp-bottom-panel, .jp-Notebook-footer, .jp-cell-toolbar,
    .jp-Toolbar-kernelStatus, .jp-KernelName, .jp-DebuggerBugButton { display: none !important }
    .cm-cursorLayer { display: none !important }
    body, #main, #jp-main-content-panel, #jp-main-dock-panel, .jp-NotebookPanel { background: white !important }
    #jp-main-content-panel .jp-NotebookPanel { box-shadow: none !important; border: none !important }
"""
# A bare Debian has DejaVu for everything; Liberation is nearer to what people have (and as free to show).
FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  {}
</fontconfig>
"""
ALIAS = "<match target='pattern'><test name='family'><string>{}</string></test>"
ALIAS += "<edit name='family' mode='prepend' binding='strong'><string>Liberation Sans</string></edit></match>"


TRAIN = """%%mlflow_run descent
import math, random, time

rate = 0.1
for epoch in range(200):
    loss = math.exp(-epoch * rate / 8) + 0.03 * random.random()
    accuracy = 1 - loss / 2
    time.sleep(0.06)"""


def sources() -> dict[str, str]:
    notebook = nbformat.read(FOLDER / "quickstart.ipynb", 4)
    return {cell.id: cell.source for cell in notebook.cells}


@contextlib.contextmanager
def showing(*cells: str, height: int = HEIGHT) -> Iterator[Any]:
    """A page of JupyterLab with a notebook of these cells and little else."""
    with tempfile.TemporaryDirectory() as root:
        folder, home = Path(root) / "notebooks", Path(root) / "home"
        folder.mkdir()
        home.mkdir()
        rig.write_notebook(folder / "quickstart.ipynb", *cells)
        fonts = home / "fonts.conf"
        fonts.write_text(
            FONTS.format("".join(map(ALIAS.format, ("system-ui", "sans-serif", "sans")))), encoding="utf-8"
        )
        os.environ["FONTCONFIG_FILE"] = str(fonts)
        with rig.Lab(folder, home) as lab, rig.browser() as browser:
            page = browser.new_page(viewport={"width": WIDTH, "height": height}, device_scale_factor=2)
            rig.open_notebook(page, lab, "quickstart.ipynb")
            page.add_style_tag(content=TIDY)
            page.evaluate("window.jupyterapp.shell.collapseLeft()")
            page.evaluate("window.jupyterapp.shell.mode = 'single-document'")
            yield page


def quickstart(path: Path) -> None:
    """Train, change a number, train again: what changed is said."""
    cells = sources()
    first = cells["logistic"].replace("C=0.1", "C=0.01")
    with showing(cells["connect"], cells["data"], first) as page:
        rig.run_all(page)
        trained = page.locator(".jp-CodeCell").nth(2)
        trained.get_by_text("✓ finished").wait_for(timeout=90_000)
        trained.locator(".cm-line", has_text="C=0.01").first.click()
        page.keyboard.press("Home")
        for _ in range(len("model = LogisticRegression(C=0.0")):
            page.keyboard.press("ArrowRight")
        page.keyboard.press("Backspace")
        page.keyboard.press("Control+Enter")
        trained.get_by_text("vs previous").wait_for(timeout=60_000)
        page.mouse.move(WIDTH - 5, HEIGHT - 5)
        page.wait_for_timeout(1000)  # the menus' and the toolbar's transitions
        save(page, trained, path, above=page.locator(".jp-CodeCell").first)


def panel(path: Path) -> None:
    """Two curves of a cell that is still training."""
    with showing("%load_ext mlflow_magics\n%mlflow_connect -e curves", TRAIN, "%mlflow_panel", height=1200) as page:
        for number in (0, 2):
            rig.run_cell(page, number)
            page.locator(".jp-CodeCell").nth(number).locator(".jp-OutputArea-output").first.wait_for(timeout=90_000)
        shown = page.locator(".mlflow-magics-panel")
        shown.get_by_role("tab", name="Metrics").click()
        rig.run_cell(page, 1)
        shown.locator("svg text", has_text=re.compile("1[0-9][0-9] points")).first.wait_for(timeout=60_000)
        page.evaluate("document.activeElement.blur()")
        page.mouse.move(WIDTH - 5, HEIGHT - 5)
        save(page, page.locator(".jp-CodeCell").nth(2), path, above=page.locator(".jp-CodeCell").nth(1))


def save(page: Any, last: Any, path: Path, above: Any = None) -> None:
    """Write what is seen, from `above` or the top down to the end of `last`, with few colours."""
    top = above.bounding_box()["y"] - 6 if above is not None else 0
    bottom = last.bounding_box()
    height = bottom["y"] + bottom["height"] + 12 - top
    taken = page.screenshot(clip={"x": 0, "y": top, "width": WIDTH, "height": height})
    # Flat colours: a palette loses nothing that can be seen, and two thirds of the bytes.
    image = Image.open(io.BytesIO(taken)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True)
    print(f"{path.name}: {image.width}x{image.height}, {path.stat().st_size // 1024} kB")


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if sys.argv[1:] else PICTURES
    quickstart(folder / "quickstart.png")
    panel(folder / "panel.png")
