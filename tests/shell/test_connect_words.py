"""Whatever is typed behind ``%mlflow_connect``: a connection, or one line and the earlier connection as it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from IPython.core.error import UsageError

from mlflow_magics.tracking.location import process_state
from mlflow_magics.tracking.patches import store

# fmt: off
_WORDS = (
    "local", "a/", "./b", "http://127.0.0.1:9", "http://", "https//x", "sqlite:///a/mlflow.db", "sqlite://x", "file:a",
    "azureml://", "databrick", "postgresql://", "mssql+x:y", "-e", "--experiment", "iris", "--config", "--workspace",
    "w", "--check", "--offline", "--registry-uri", "--nope", "-x", "'", '"', "''", "{a}", "{", "$x", "~", "~nobody/x",
    "..", "/dev/null", "/proc/self", "*", "?", "%41", "%zz", "ünï", "☃", ";", "|", "=", "-e=", "--", "x/y/z",
    "\0", "\ud800", "[::1", "http://[::1", "x" * 300,
)
# fmt: on


@pytest.fixture(scope="module")
def session(home, _store):
    """The session of a connected shell, in a folder with two more stores: to make one takes MLflow over a second."""
    for name in ("a", "b"):
        Path(name).mkdir()
        shutil.copy(_store, Path(name) / "mlflow.db")
    return home.magics_manager.registry["MlflowMagics"].session


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.sampled_from(_WORDS) | st.text(st.characters(exclude_characters="/~"), max_size=6), max_size=4).map(
        " ".join
    )
)
@example("")
@example("sqlite:///\0")
@example("--config \0")
@example("a/ -e \ud800")
def test_any_words_give_one_line_or_a_connection(home, session, words):
    before = process_state.take(), store.current(), session.connection
    said = None
    try:
        home.run_line_magic("mlflow_connect", words)
    except UsageError as error:
        said = str(error)
    if said is None:
        assert (
            store.current().tracking_uri == session.connection.uri == process_state.take()[process_state.TRACKING_URI]
        )
    else:
        assert "\n" not in said
        assert (process_state.take(), store.current(), session.connection) == before
