"""Figures that a run cell makes, shows or saves, its functions' and libraries' too, closed ones as well: each once."""

from __future__ import annotations

import gc
import sys
import traceback
from collections import OrderedDict

import matplotlib.pyplot as plt
import mlflow
import pytest
from matplotlib import _pylab_helpers, backend_bases
from mlflow import MlflowClient

from mlflow_magics.shell.cell import drawing

BEGIN = "import matplotlib.pyplot as plt\n"
RUN = "%%mlflow_run\n"
SAVE = "plt.figure(); plt.bar([1, 2], [3, 4]); plt.savefig('importances.png'); plt.close()\n"


@pytest.fixture(autouse=True)
def _no_figures_left():
    yield
    plt.close("all")
    assert not drawing._listeners
    assert type(_pylab_helpers.Gcf.figs) is OrderedDict
    assert drawing.FLAG not in vars(backend_bases.FigureCanvasBase)
    assert drawing._FINDER not in sys.meta_path


def last_run():
    return mlflow.search_runs(search_all_experiments=True, output_format="list", order_by=["start_time DESC"])[0]


def figures():
    return sorted(f.path.partition("/")[2] for f in MlflowClient().list_artifacts(last_run().info.run_id, "figures"))


def picture(name):
    with open(
        mlflow.artifacts.download_artifacts(run_id=last_run().info.run_id, artifact_path=f"figures/{name}"), "rb"
    ) as f:
        return f.read()


CASES = {
    "saved and closed": (SAVE, ["importances.png"]),
    "in a function": ("def draw():\n    " + SAVE + "draw()\n", ["importances.png"]),
    "a figure's own method": (
        "fig, ax = plt.subplots(); ax.plot([1, 2]); fig.savefig('a.png'); plt.close(fig)\n",
        ["a.png"],
    ),
    "without pyplot": (
        "from matplotlib.figure import Figure\nFigure().subplots().figure.savefig('b.png')\n",
        ["b.png"],
    ),
    "pandas": (
        "import pandas as pd\npd.DataFrame({'a': [1, 2]}).plot(); plt.savefig('c.png'); plt.close('all')\n",
        ["c.png"],
    ),
    "pandas, left open": ("import pandas as pd\nax = pd.DataFrame({'a': [1, 2]}).plot()\n", ["ax.png"]),
    "scikit-learn": (
        "from sklearn.metrics import ConfusionMatrixDisplay\n"
        "ConfusionMatrixDisplay.from_predictions([0, 1, 1], [0, 1, 0]); plt.savefig('cm.png'); plt.close()\n",
        ["cm.png"],
    ),
    "scikit-learn, shown": (
        "from sklearn.metrics import ConfusionMatrixDisplay\n"
        "ConfusionMatrixDisplay.from_predictions([0, 1, 1], [0, 1, 0]); plt.show()\n",
        ["figure_1.png"],
    ),
    "closed unsaved": ("plt.plot([1, 2]); plt.close()\n", ["figure_1.png"]),
    "cleared, and drawn on again": (
        "plt.plot([1, 2]); plt.savefig('one.png'); plt.clf(); plt.plot([3, 1]); plt.savefig('two.png'); plt.close()\n",
        ["one.png", "two.png"],
    ),
    "cleared after it was saved": ("plt.plot([1, 2]); plt.savefig('one.png'); plt.clf()\n", ["one.png"]),
    "cleared, and drawn on unsaved": (
        "plt.plot([1, 2]); plt.savefig('one.png'); plt.clf(); plt.plot([3, 1]);\n",
        ["figure_1.png", "one.png"],
    ),
    "two forms of one": ("plt.plot([1, 2]); plt.savefig('r.pdf'); plt.savefig('r.png'); plt.close()\n", ["r.png"]),
    "a PDF": ("plt.plot([1, 2]); plt.savefig('r.pdf'); plt.close()\n", ["r.pdf"]),
    "an SVG": ("plt.plot([1, 2]); plt.savefig('r.svg'); plt.close()\n", ["r.svg"]),
    "no suffix": ("plt.plot([1, 2]); plt.savefig('roc'); plt.close()\n", ["roc.png"]),
    "one picture, two names": (
        "plt.plot([1, 2]); plt.savefig('a.png'); plt.savefig('b.png'); plt.close()\n",
        ["a.png"],
    ),
    "one file again and again": (
        "for i in range(5):\n    plt.figure(); plt.plot([i, 2]); plt.savefig('live.png'); plt.close()\n",
        ["live.png"],
    ),
    "one name in two folders": (
        "import os\nfor d in ('a', 'b'):\n    os.makedirs(d, exist_ok=True)\n    plt.figure(); plt.plot([1, ord(d)])\n"
        "    plt.savefig(f'{d}/roc.png'); plt.close()\n",
        ["b_roc.png", "roc.png"],
    ),
    "into memory": ("import io\nplt.plot([1, 2]); plt.savefig(io.BytesIO()); plt.close()\n", ["figure_1.png"]),
    "shown, saved, held and closed": (
        "fig, ax = plt.subplots(); ax.plot([1, 2]); display(fig); fig.savefig('x.png'); plt.close(fig)\n",
        ["x.png"],
    ),
    "a variable alone": ("fig, ax = plt.subplots(); ax.plot([1, 2]);\n", ["fig.png"]),
    "blank": ("plt.figure(); plt.close()\nplt.figure();\n", []),
    "that fails after": (SAVE + "1 / 0\n", ["importances.png"]),
    "a thread": (
        "import threading\ndef draw():\n    f = plt.matplotlib.figure.Figure(); f.subplots(); f.savefig('t.png')\n"
        "t = threading.Thread(target=draw); t.start(); t.join()\n",
        ["t.png"],
    ),
    "an author's own log_figure": (
        "import mlflow\nfig, ax = plt.subplots(); ax.plot([1, 2])\n"
        "mlflow.log_figure(fig, 'mine.png')\nplt.close(fig)\n",
        [],
    ),
    "saved, and logged by the author": (
        "import mlflow\n" + SAVE + "mlflow.log_artifact('importances.png')\n",
        [],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_cell(tracked, case):
    code, expected = CASES[case]
    tracked.run_cell(BEGIN + "from IPython.display import display")
    tracked.run_cell(RUN + code)
    assert figures() == expected


def test_the_picture_is_the_one_that_was_saved(tracked, folder):
    tracked.run_cell(RUN + BEGIN + "plt.plot([1, 2]); plt.savefig('one.png', dpi=40); plt.clf(); plt.plot([5, 1]);")
    assert picture("one.png") == (folder / "one.png").read_bytes()


def test_a_function_of_an_earlier_cell(tracked):
    tracked.run_cell(BEGIN + "def draw(name):\n    plt.figure(); plt.plot([1, 2]); plt.savefig(name); plt.close()")
    tracked.run_cell(RUN + "draw('roc.png')")
    assert figures() == ["roc.png"]


def test_a_figure_that_was_open_before(tracked):
    tracked.run_cell(BEGIN + "old = plt.figure(); plt.plot([1, 2]);\nother = plt.figure(); plt.plot([1, 2]);")
    tracked.run_cell(RUN + "plt.close(2)\nx = 1")
    assert figures() == []
    tracked.run_cell(RUN + "plt.figure(1); plt.savefig('old.png')")
    assert figures() == ["old.png"]


def test_many_figures(tracked, capsys):
    code = (
        "for i in range(200):\n    plt.figure(); plt.plot([i, 2]); plt.savefig(f'f{i:03}.png', dpi=20); plt.close()\n"
    )
    tracked.run_cell(BEGIN)
    tracked.run_cell(RUN + code)
    assert figures() == [f"f{i:03}.png" for i in (*range(20), 199)]
    assert "200 figures: the first 20 and the last are logged" in capsys.readouterr().out


def test_closed_figures_are_not_kept_alive(tracked):
    tracked.run_cell(BEGIN + "import weakref, gc\nalive = weakref.WeakSet()")
    tracked.run_cell(
        RUN + "for i in range(60):\n    f = plt.figure(); alive.add(f); plt.plot([i, 2]); plt.close()\n"
        "    del f\n_ = gc.collect()\nn_alive = len(alive)\n"
    )
    assert tracked.user_ns["n_alive"] <= 22
    gc.collect()
    assert len(tracked.user_ns["alive"]) == 0


def test_a_failing_save_has_the_traceback_of_the_bare_cell(tracked):
    code = "plt.plot([1, 2])\nplt.savefig('no/such/folder/x.png')"
    tracked.run_cell(BEGIN)

    def frames(cell):
        error = tracked.run_cell(cell).error_in_exec
        plt.close("all")
        return [(f.name, f.line) for f in traceback.extract_tb(error.__traceback__)], str(error)

    assert frames(RUN + code) == frames("\n" + code)
    assert figures() == ["figure_1.png"]


def test_saved_inside_an_except(tracked):
    tracked.run_cell(BEGIN)
    tracked.run_cell(RUN + "try:\n    1 / 0\nexcept ZeroDivisionError:\n    " + SAVE)
    assert figures() == ["importances.png"]


def test_pyplot_is_as_the_bare_cell_leaves_it(tracked):
    held = _pylab_helpers.Gcf.figs
    tracked.run_cell(RUN + BEGIN + "a = plt.figure(); b = plt.figure(); plt.close(a); c = plt.figure(7)")
    assert _pylab_helpers.Gcf.figs is held
    assert list(held) == [2, 7]
    assert plt.gcf() is tracked.user_ns["c"]


def test_nested_run_cells(tracked, folder):
    (folder / "inner.ipy").write_text("get_ipython().run_cell('%%mlflow_run inner\\n' + inner)")
    tracked.user_ns["inner"] = SAVE
    tracked.run_cell(BEGIN)
    tracked.run_cell("%%mlflow_run outer\nplt.plot([1]); plt.savefig('outer.png'); plt.close()\n%run inner.ipy\n")
    found = {}
    for run in mlflow.search_runs(search_all_experiments=True, output_format="list"):
        files = MlflowClient().list_artifacts(run.info.run_id, "figures")
        found[run.info.run_name] = [file.path for file in files]
    assert found == {"outer": ["figures/outer.png"], "inner": ["figures/importances.png"]}


def test_matplotlib_is_imported_by_the_cell(folder):
    """In a kernel of its own, where nothing has imported it."""
    import subprocess

    code = f"""
import sys
from IPython.testing.globalipapp import start_ipython
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "mlflow_magics")
shell.run_cell("%mlflow_connect local")
before = list(sys.meta_path)
assert "matplotlib.figure" not in sys.modules
shell.run_cell({RUN + "import matplotlib" + chr(10) + "matplotlib.use('agg')" + chr(10) + BEGIN + SAVE!r})
assert [one for one in sys.meta_path if type(one).__module__.startswith("mlflow_magics")] == []
from mlflow import MlflowClient
import mlflow
(run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
print("FOUND", [f.path for f in MlflowClient().list_artifacts(run.info.run_id, "figures")])
"""
    code = code.replace("from IPython.testing.globalipapp import start_ipython\n", "")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=False)
    assert "FOUND ['figures/importances.png']" in done.stdout, done.stdout + done.stderr
