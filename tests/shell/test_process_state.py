"""A guest changes nothing: the process that all cells share is after our magics as the bare cells leave it.

In fresh kernels, as an import happens once in a process: one runs cells with magics, the other the same cells bare.
"""

from __future__ import annotations

import ast
import json
import logging
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

from mlflow_magics.vocabulary import untouched
from tests.rig.kernels import KernelProcess

RIG = Path(__file__).parents[1] / "rig"
ROOT = str(Path(__file__).parents[2])

BEGIN = "import random; random.seed(1)"
CELLS = (
    "%load_ext mlflow_magics",
    "%mlflow_status",
    "%mlflow_help",
    "%mlflow_connect local -e one",
    "%mlflow_run?",
    "%%mlflow_run first\nlr = 0.1\nnote = 'a text long enough to look at'\nfor i in range(5):\n    loss = 1 / (i + 1)",
    "%%mlflow_run --watch loss\ndef fit():\n    loss = 0.5\n    return loss\nfit()",
    "a = fit()",
    "%mlflow_run second\nb = 3",
    "%%mlflow_run --dry-run\nb = 4",
    "%%mlflow_run failing\nb = 5\n1 / 0",
    "%mlflow_start long",
    "x = 4.0; text = 'abc'\n%mlflow_log x\n%mlflow_log metric m=3.0\n%mlflow_log param p=3\n%mlflow_log tag stage=dev",
    "%mlflow_log text text\nopen('f.txt', 'w').close()\n%mlflow_log artifact f.txt",
    "%mlflow_end",
    "%mlflow_autolog status",
    "%mlflow_sync",
    "%mlflow_runs",
    "%mlflow_best m",
    "%mlflow_diff first second",
    "%mlflow_restore first",
    "%mlflow_ui",
    "%mlflow_panel",
    "%mlflow_panel --compact",
    "%mlflow_connect http://127.0.0.1:9",
    # From here on the user has libraries of his own.
    "import numpy as np, pandas as pd, matplotlib.pyplot as plt\n"
    "from sklearn.linear_model import LinearRegression\nnp.random.seed(1)",
    "fig = plt.figure(); df = pd.DataFrame({'a': [1]}); model = LinearRegression().fit([[1], [2]], [1, 2])",
    "%%mlflow_run third\nr = random.random() + np.random.random()\nother = plt.figure()",
    "%mlflow_start",
    "%mlflow_log figure fig\n%mlflow_log table df",
    "%mlflow_log model model m",
    "%mlflow_end",
    "%mlflow_load third",
    "%mlflow_autolog sklearn",
    "%%mlflow_run fourth\nmodel.fit([[1], [2]], [1, 2])",
    "%mlflow_autolog off",
    "%mlflow_sync",
)

ALLOWED_VARIABLES = {
    # So that child processes, and MLflow's own functions, track to the same place. `%mlflow_connect` says so.
    "MLFLOW_TRACKING_URI": "where %mlflow_connect went",
    "MLFLOW_EXPERIMENT_ID": "the experiment that it chose",
    "MLFLOW_MAGICS_RUN_ID": "the run that %mlflow_start opened, until it ends: child processes find it by this",
    "MLFLOW_MAGICS_RUNS_FILE": "where child processes tell which runs they open, until then",
    # MLflow reads these at each request, and has no other way to be told.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "a server that is gone must not hold a cell for 247 s",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "the same",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "the same",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "MLflow would print the URL with its password",
}
"""While connected; all are gone after %unload_ext."""

ALLOWED_FINDERS = {
    "<importlib_metadata.MetadataPathFinder>": "it takes the place of Python's own, which it has changed by its import",
    "<mlflow.utils.import_hooks.ImportHookFinder>": "MLflow's, once autologging was asked for",
}


def bare(cell: str) -> str:
    """The cell without our magics."""
    return "\n".join(line for line in cell.splitlines() if not line.startswith("%"))


def snapshots(folder: Path, cells: list[str]) -> list[dict[str, object]]:
    """What the process is like after each cell."""
    path = folder / "snapshots"
    found = []
    with KernelProcess(folder / "kernel", folder / "state", PYTHONPATH=os.pathsep.join([ROOT, str(RIG)])) as kernel:
        assert kernel.run("import snapshot as _snapshot").status == "ok"
        for cell in cells:
            kernel.run(cell, patience=300)  # the imports take long on a busy machine
            assert kernel.run(f"_snapshot.save({str(path)!r})").status == "ok", cell
    for line in path.read_text(encoding="utf-8").splitlines():
        found.append({name: json.loads(text) for name, text in json.loads(line).items()})
    return found


def differences(ours: dict, theirs: dict, plain: dict, *, connected: bool) -> dict[str, str]:
    """What one process has otherwise than the other; of a library that only one has loaded, than in a plain one."""
    found = {}
    for name, value in ours.items():
        expected = theirs.get(name, plain.get(name))
        if name not in theirs and name in ("numpy.random", "matplotlib.rcParams", "figures", "sklearn"):
            continue  # nobody has asked it yet
        if name == "environment":
            kept = ALLOWED_VARIABLES if connected else {}
            value, expected = ({k: v for k, v in one.items() if k not in kept} for one in (value, expected))
            for one in (value, expected):  # each kernel's own
                for own in ("JPY_PARENT_PID", "IPYTHONDIR", "XDG_STATE_HOME", "JPY_SESSION_NAME"):
                    one.pop(own, None)
        if name == "sys.meta_path":
            value, expected = (
                str([e for e in ast.literal_eval(one) if e not in ALLOWED_FINDERS]) for one in (value, expected)
            )
        if name in ("folder", "sys.argv"):
            continue  # each kernel's own
        if name == "warnings.filters" and "numpy.random" in theirs:
            # Given back together with the user's own import of a library, whichever it is.
            value = [one for one in value if one in expected or not one[2].startswith(("urllib3.", "requests."))]
        if value != expected:
            found[name] = _told(value, expected)
    return found


def _told(value: object, expected: object) -> str:
    """What is there, and what should be; of long ones what differs."""
    if isinstance(value, dict) and isinstance(expected, dict):
        value, expected = (
            {k: v for k, v in a.items() if b.get(k) != v} for a, b in ((value, expected), (expected, value))
        )
    elif isinstance(value, list) and isinstance(expected, list):
        value, expected = [v for v in value if v not in expected], [v for v in expected if v not in value]
    return f"{value} in place of {expected}"


@pytest.mark.slow
def test_the_process_is_after_every_magic_as_the_bare_cells_leave_it(tmp_path):
    theirs = snapshots(tmp_path / "bare", [BEGIN, *map(bare, CELLS), "pass"])
    ours = snapshots(tmp_path / "ours", [BEGIN, *CELLS, "%unload_ext mlflow_magics"])
    assert len(ours) == len(theirs) == len(CELLS) + 2
    wrong = {}
    for cell, one, other in zip(("", *CELLS, "%unload_ext"), ours, theirs, strict=True):
        if found := differences(one, other, theirs[-1], connected=cell != "%unload_ext"):
            wrong[cell] = found
    assert not wrong, json.dumps(wrong, indent=1)


@pytest.mark.slow
def test_what_a_user_does_to_the_process_works_after_our_magics(tmp_path):
    with KernelProcess(tmp_path / "kernel", tmp_path / "state", PYTHONPATH=ROOT) as kernel:
        kernel.run("%load_ext mlflow_magics\n%mlflow_connect local")
        kernel.run("%%mlflow_run\nnote = 'a text long enough to be looked at'\nfor i in range(3): loss = i / 2")
        kernel.run("%mlflow_sync")
        assert "hello" in kernel.run("import warnings; warnings.warn('hello')").printed
        assert kernel.run("import multiprocessing as m; m.set_start_method('spawn')").status == "ok"
        assert kernel.run("import builtins; print([n for n in dir(builtins) if 'mlflow' in n])").printed.strip() == "[]"


def in_a_fresh_process(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": ROOT},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestUntouched:
    """The room that takes back what libraries change on our behalf."""

    @pytest.fixture(autouse=True)
    def _nothing_withheld(self, monkeypatch):
        monkeypatch.setattr(untouched, "_withheld", [])
        monkeypatch.setattr(untouched, "_withheld_variables", {})
        monkeypatch.delenv("KMP_DUPLICATE_LIB_OK", raising=False)
        shown = warnings.showwarning
        with warnings.catch_warnings():
            yield
        assert warnings.showwarning is shown

    def test_filters_go_and_come_back_with_the_users_import(self):
        before = list(warnings.filters)
        with untouched.untouched():
            warnings.filterwarnings("ignore", "one")
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "for a moment")
            warnings.simplefilter("always", RuntimeWarning)
            os.environ["KMP_DUPLICATE_LIB_OK"] = "True"
        assert warnings.filters == before
        assert "KMP_DUPLICATE_LIB_OK" not in os.environ
        untouched.give_back(ast.parse("import json"))
        assert warnings.filters == before
        untouched.give_back(ast.parse("def f():\n    from numpy.random import default_rng"))
        assert [each[0] for each in warnings.filters[:2]] == ["always", "ignore"]
        assert warnings.filters[2:] == before
        assert os.environ["KMP_DUPLICATE_LIB_OK"] == "True"

    def test_a_filter_that_was_there_keeps_its_place(self):
        warnings.filterwarnings("ignore", "mine")
        warnings.filterwarnings("error", "later")
        before = list(warnings.filters)
        with untouched.untouched():
            warnings.filterwarnings("ignore", "mine")
        assert warnings.filters == before

    def test_what_another_thread_sets_meanwhile_stays(self):
        before = list(warnings.filters)
        with untouched.untouched():
            other = threading.Thread(target=warnings.filterwarnings, args=("error", "the user's"))
            other.start()
            other.join()
            warnings.filterwarnings("ignore", "ours")
        assert warnings.filters[1:] == before
        assert warnings.filters[0][1].pattern == "the user's"

    def test_two_threads_at_once(self):
        plain = warnings._add_filter
        inside, leave = threading.Event(), threading.Event()

        def hold():
            with untouched.untouched():
                inside.set()
                leave.wait(10)

        before = list(warnings.filters)
        other = threading.Thread(target=hold)
        with untouched.untouched():
            other.start()
            inside.wait(10)
            warnings.filterwarnings("ignore", "one")
        leave.set()
        other.join()
        assert warnings.filters == before
        assert warnings._add_filter is plain

    def test_the_users_own_capture_of_warnings_stays(self):
        logging.captureWarnings(True)
        try:
            shown = warnings.showwarning
            with untouched.untouched():
                logging.captureWarnings(True)
            assert warnings.showwarning is shown
        finally:
            logging.captureWarnings(False)

    def test_a_library_that_has_warnings_logged(self):
        shown = warnings.showwarning
        with untouched.untouched():
            logging.captureWarnings(True)
        assert warnings.showwarning is shown
        logging.captureWarnings(True)  # and the user still can
        assert warnings.showwarning is not shown
        logging.captureWarnings(False)

    def test_the_start_method_of_processes_is_the_users_to_choose(self):
        out = in_a_fresh_process(
            "import multiprocessing as m\nfrom mlflow_magics.vocabulary.untouched import untouched\n"
            "with untouched(): m.RLock()\n"
            "print(m.get_start_method(allow_none=True)); m.set_start_method('spawn')\n"
            "with untouched(): m.RLock()\n"
            "print(m.get_start_method(allow_none=True))"
        )
        assert out.split() == ["None", "spawn"]


def test_the_first_look_for_secrets_leaves_warnings_shown():
    out = in_a_fresh_process(
        "import warnings\nshown = warnings.showwarning\nfrom mlflow_magics.capture.values import secret_forms\n"
        "secret_forms.detectors()\nprint(warnings.showwarning is shown)"
    )
    assert out.strip() == "True"
