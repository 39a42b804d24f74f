"""Draw every block with Chromium, for looking: ``python -m tests.display.screenshots FOLDER``.

Not a test. Needs Playwright and Chromium (``apt-get install chromium; pip install playwright``). Each picture
puts the blocks under the rules that JupyterLab has for tables in outputs, in a light and a dark theme, at two
widths, the folds closed and open.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mlflow_magics.display.outputs import summary, tables
from tests.display import samples

# What JupyterLab's themes say about an output area, in short; the blocks must look right in spite of it.
RULES = """
  body {{ margin: 16px; background: {background}; color: {color}; font: 14px/1.6 serif }}
  table {{ border-collapse: collapse; table-layout: fixed; margin: 0 auto 1em; font-size: 13px }}
  thead {{ border-bottom: 1px solid #888; vertical-align: bottom }}
  td, th, tr {{ vertical-align: middle; text-align: right; padding: .5em; line-height: normal }}
  th {{ font-weight: bold }}
  tbody tr:nth-child(even) {{ background: {stripe} }}
  a:link {{ text-decoration: none; color: {link} }}
  .output {{ margin: 0 0 14px }}
"""
THEMES = {
    "light": {"background": "#fff", "color": "rgba(0,0,0,.87)", "stripe": "#f0f0f0", "link": "#1976d2"},
    "dark": {"background": "#111", "color": "#fff", "stripe": "#424242", "link": "#64b5f6"},
}


def _pages() -> dict[str, list[str]]:
    runs = [summary.render(outcome).html for outcome in samples.RUNS.values()]
    others = [
        tables.connection(samples.LOCAL).html,
        tables.connection(samples.REMOTE).html,
        tables.check(samples.STEPS).html,
        tables.check(samples.STEPS[:2]).html,
        tables.integrations(samples.INTEGRATIONS, ["xgboost takes no --log-datasets"]).html,
        tables.status(samples.LOCAL, [("forest", samples.RUN_ID, samples.RUN_URL)]).html,
        tables.status(None, []).html,
        tables.notes(["logged metric accuracy = 0.79 to run forest", "autolog is off"]).html,
    ]
    few = [summary.render(outcome).html for name, outcome in samples.RUNS.items() if name != "many"]
    opened = [block.replace("<details>", '<details open="open">') for block in few]
    return {"runs": runs, "runs_open": opened, "others": others}


def main(folder: Path) -> None:
    """Write ``<page>_<theme>_<width>.png`` for every combination into `folder`."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for theme, colors in THEMES.items():
            for width in (1000, 600):
                tab = browser.new_page(viewport={"width": width, "height": 400})
                for name, blocks in _pages().items():
                    body = "".join(f'<div class="output">{block}</div>' for block in blocks)
                    rules = RULES.format(**colors)
                    tab.set_content(f"<!doctype html><meta charset=utf-8><style>{rules}</style>{body}")
                    wide = tab.evaluate("document.documentElement.scrollWidth")
                    print(f"{name} {theme} {width}: " + ("fits" if wide <= width else f"{wide} px wide!"))
                    tab.screenshot(path=folder / f"{name}_{theme}_{width}.png", full_page=True)
                tab.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
