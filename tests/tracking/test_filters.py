"""A run is found by any text exactly, and no other run with it: quotes, wildcards, words of SQL."""

from __future__ import annotations

import shutil

import mlflow
import pytest

from mlflow_magics.tracking.lookback import named
from mlflow_magics.tracking.patches import store as outbox
from mlflow_magics.tracking.runs import earlier, runs
from mlflow_magics.vocabulary.records import Metric

# Each beside its nearest neighbours.
TEXTS = [
    *("it's a", "its a", 'it"s a', 'it\'s "a"', 'it"s "a"', "it_s _a_", "it's 'a'", "'", '"', "'\"", "\"'", "''", '""'),
    *("back\\slash", "back\\", "back_slash", "a\\'b\"c", "a\\\"b'c", "50%", "50_", "%", "_", "a_b", "aXb"),
    *("AND", "x = 'y", "a AND b = \"c'", "a -- b", "a; drop", "a /* b */", "`tick`", "line\nbreak", "a\tb", "()", "1"),
    *("ü é 中 🙂", "  padded  ", "IN ('a', \"b\")", 'Case\'s "A"', 'case\'s "a"', "#", "{}", "$x", "?", ":p"),
]


@pytest.fixture(scope="module")
def written(_store, tmp_path_factory):
    """Two runs for each text, with the text as their name and as a tag."""
    folder = tmp_path_factory.mktemp("filters")
    shutil.copy(_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    box = outbox.install(uri, uri)
    made = {}
    for turn in range(2):
        for number, text in enumerate(TEXTS):
            run = runs.open_run("0", name=text, tags={"cell": text})
            runs.write(run, (), (Metric("m", float(100 * turn + number), ""),))
            made.setdefault(text, []).append(run.info.run_id)
    box.flush(60)
    yield box, uri, made
    outbox.remove()
    mlflow.set_tracking_uri(None)


@pytest.mark.parametrize("text", TEXTS)
def test_the_previous_run_is_of_the_very_text(written, text):
    _, _, made = written
    _, metrics = earlier.previous("0", "cell", text, made[text][1])
    assert metrics == {"m": float(TEXTS.index(text))}


@pytest.mark.parametrize("text", TEXTS)
def test_a_run_is_found_by_its_very_name(written, text):
    box, uri, made = written
    assert named.find_run(box, uri, ("0", "Default"), text).run_id == made[text][1]
    assert {run.run_id for run in named._called(box, uri, "0", text, 4)} == set(made[text])


def test_a_text_that_nobody_has_finds_nothing(written):
    assert earlier.previous("0", "cell", "it's _a_", "") is None
    assert earlier.previous("0", "cell", 'nobody\'s "text"', "") is None
