"""Take the README's picture: ``python -m tests.browser.pictures [FILE]``.

Not a test. A person's minute in JupyterLab: connect, train, change a number, train again. Needs Playwright, Chromium
and the Liberation fonts.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from PIL import Image

from tests.execute_notebooks import FOLDER

from . import lab as rig

PICTURE = FOLDER / "pictures" / "quickstart.png"
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


def sources() -> dict[str, str]:
    notebook = nbformat.read(FOLDER / "quickstart.ipynb", 4)
    return {cell.id: cell.source for cell in notebook.cells}


def take(path: Path) -> None:
    """Write the picture to `path`."""
    cells = sources()
    with tempfile.TemporaryDirectory() as root:
        folder, home = Path(root) / "notebooks", Path(root) / "home"
        folder.mkdir()
        home.mkdir()
        first = cells["logistic"].replace("reg = 0.1", "reg = 10")
        rig.write_notebook(folder / "quickstart.ipynb", cells["connect"], cells["data"], first)
        fonts = home / "fonts.conf"
        fonts.write_text(
            FONTS.format("".join(map(ALIAS.format, ("system-ui", "sans-serif", "sans")))), encoding="utf-8"
        )
        os.environ["FONTCONFIG_FILE"] = str(fonts)
        with rig.Lab(folder, home) as lab, rig.browser() as browser:
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=2)
            rig.open_notebook(page, lab, "quickstart.ipynb")
            page.add_style_tag(content=TIDY)
            page.evaluate("window.jupyterapp.shell.collapseLeft()")
            page.evaluate("window.jupyterapp.shell.mode = 'single-document'")
            rig.run_all(page)
            trained = page.locator(".jp-CodeCell").nth(2)
            trained.get_by_text("✓ finished").wait_for(timeout=90_000)
            trained.locator(".cm-line", has_text="reg = 10").first.click()
            page.keyboard.press("End")
            page.keyboard.press("Backspace")
            page.keyboard.press("Backspace")
            page.keyboard.type("0.1")
            page.keyboard.press("Control+Enter")
            trained.get_by_text("vs previous").wait_for(timeout=60_000)
            page.mouse.move(WIDTH - 5, HEIGHT - 5)
            page.wait_for_timeout(1000)  # the menus' and the toolbar's transitions
            bottom = trained.bounding_box()
            taken = page.screenshot(
                clip={"x": 0, "y": 0, "width": WIDTH, "height": bottom["y"] + bottom["height"] + 12}
            )
    # Flat colours: a palette loses nothing that can be seen, and two thirds of the bytes.
    image = Image.open(io.BytesIO(taken)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True)
    print(f"{path.name}: {image.width}x{image.height}, {path.stat().st_size // 1024} kB")


if __name__ == "__main__":
    take(Path(sys.argv[1]) if sys.argv[1:] else PICTURE)
