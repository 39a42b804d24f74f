"""A real JupyterLab and a real Chromium, for the tests and for the README's picture."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import nbformat
import pytest

from tests.execute_notebooks import METADATA, fresh_environment
from tests.rig.servers import LOOPBACK, free_port
from tests.rig.waiting import eventually

DARK, LIGHT = "JupyterLab Dark", "JupyterLab Light"

# Without these Chromium looks up hosts of its maker at every start.
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
CHROMIUM += ["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]

# What a first start asks or offers; no test is about that.
DISABLED = ["@jupyterlab/apputils-extension:announcements", "@jupyterlab/extensionmanager-extension"]
SETTINGS: dict[str, dict[str, Any]] = {
    # Lab otherwise keeps cells out of the page until they are scrolled to.
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none", "recordTiming": False},
}


class Lab:
    """JupyterLab, or Notebook 7, on the loopback, with settings of its own, showing the notebooks in `folder`.

    Started on entering; ended, and its kernels with it, on leaving.
    """

    def __init__(self, folder: Path, home: Path, application: str = "lab", **settings: dict[str, Any]) -> None:
        self.folder = folder
        self.home = home
        self.application = application
        self.settings = SETTINGS | settings
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self.token = secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Lab:
        config, settings = self.home / "config", self.home / "settings"
        _write(config / "labconfig" / "page_config.json", {"disabledExtensions": dict.fromkeys(DISABLED, True)})
        for plugin, values in self.settings.items():
            _write(settings / f"{plugin}.jupyterlab-settings", values)
        environment = fresh_environment(
            JUPYTER_CONFIG_DIR=str(config),
            JUPYTER_DATA_DIR=str(self.home / "data"),
            JUPYTER_RUNTIME_DIR=str(self.home / "runtime"),
            JUPYTERLAB_SETTINGS_DIR=str(settings),
            JUPYTERLAB_WORKSPACES_DIR=str(self.home / "workspaces"),
            IPYTHONDIR=str(self.home / "ipython"),
            JUPYTER_TOKEN=self.token,
            LOGNAME="ada",
        )
        module = {"lab": "jupyterlab", "notebook": "notebook"}[self.application]
        command = [sys.executable, "-m", module, "--no-browser", "--expose-app-in-browser"]
        command += [f"--ServerApp.ip={LOOPBACK}", f"--ServerApp.port={self.port}", "--ServerApp.port_retries=0"]
        command += [f"--ServerApp.root_dir={self.folder}", "--ServerApp.allow_root=True"]
        with (self.home / "lab.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._wait(90)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    def address(self, notebook: str) -> str:
        """Where a browser finds a notebook of the folder, token and all; `reset` forgets an earlier layout."""
        path = {"lab": "lab/tree", "notebook": "notebooks"}[self.application]
        return f"{self.url}/{path}/{notebook}?reset&token={self.token}"

    def _wait(self, patience: float) -> None:
        process = self._process
        assert process is not None

        def answers() -> bool:
            with (
                contextlib.suppress(OSError, urllib.error.URLError),
                urllib.request.urlopen(f"{self.url}/api?token={self.token}", timeout=2) as answer,
            ):
                return bool(answer.status == 200)
            return False

        def told() -> str:
            return f"the start of JupyterLab:\n{(self.home / 'lab.log').read_text()[-4000:]}"

        eventually(answers, told, patience, pause=0.1, unless=lambda: process.poll() is not None)

    def _stop(self) -> None:
        if self._process is None:
            return
        # On SIGTERM it shuts its kernels down before it ends itself.
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def chromium() -> str:
    """The path of Debian's Chromium; empty where it is not installed."""
    return shutil.which("chromium") or ""


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium, by Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM)
        try:
            yield launched
        finally:
            launched.close()


def write_notebook(path: Path, *sources: str) -> None:
    """Write a notebook of these code cells."""
    cells = [nbformat.v4.new_code_cell(source, id=f"cell-{number}") for number, source in enumerate(sources)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=METADATA), path)


def open_notebook(page: Any, lab: Lab, name: str) -> None:
    """Open a notebook and wait until its kernel is ready."""
    page.goto(lab.address(name))
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=60_000)
    page.wait_for_function(
        """() => {
            const panel = window.jupyterapp?.shell.currentWidget;
            return panel?.sessionContext?.session?.kernel?.status === "idle";
        }""",
        timeout=60_000,
    )


def run_cell(page: Any, number: int) -> None:
    """Run one cell, from the keyboard."""
    page.locator(".jp-CodeCell").nth(number).locator(".cm-content").click()
    page.keyboard.press("Control+Enter")


def save(page: Any) -> None:
    """Save the notebook, and wait until it is."""
    page.evaluate("() => window.jupyterapp.shell.currentWidget.context.save()")


def restart_kernel(page: Any) -> None:
    """Restart the kernel, without the question whether one is sure."""
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")


def run_all(page: Any) -> None:
    """Choose "Run All Cells" from the menu."""
    page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
    page.locator(".lm-Menu-itemLabel").get_by_text("Run All Cells", exact=True).click()


def change_theme(page: Any, theme: str) -> None:
    """Change Lab's theme and wait until the page has its colours."""
    page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    page.locator(f"body[data-jp-theme-name='{theme}']").wait_for(state="attached", timeout=20_000)


def need_browser() -> None:
    """Skip where there is no browser; in CI, fail."""
    missing = [] if chromium() else ["chromium (apt-get install chromium)"]
    missing += [] if importlib.util.find_spec("playwright") else ["playwright (pip install playwright)"]
    if missing:
        in_ci = bool(os.environ.get("MLFLOW_MAGICS_CI"))
        (pytest.fail if in_ci else pytest.skip)(f"not installed: {' and '.join(missing)}")
