"""Every code block of the README runs: Python here, in one shell from top to bottom; shell commands in ``.ci/run``."""

from __future__ import annotations

import re
from pathlib import Path

from mlflow import MlflowClient

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?:<!-- (?P<marker>[\w-]+) -->\n)?```(?P<language>\w*)\n(?P<code>.*?)```", README, re.S)


def test_python_blocks_run(bare_shell, folder, capsys):
    for _, language, code in BLOCKS:
        if language == "python":
            result = bare_shell.run_cell(code, store_history=True)
            assert result.success, code
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("breast-cancer")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params == {"C": "0.1", "solver": "liblinear"}
    assert 0.8 < run.data.metrics["accuracy"] < 1
    assert run.info.status == "FINISHED"
    default = client.get_experiment_by_name("Default")
    others = {run.info.run_name: run for run in client.search_runs([default.experiment_id])}
    assert set(others) == {"forest", "late", "descent"}
    assert len(client.get_metric_history(others["descent"].info.run_id, "loss")) == 100
    # The last cell had no server.
    assert "wait, offline; %mlflow_sync sends" in " ".join(capsys.readouterr().out.split())


def test_shell_blocks_are_run_by_ci():
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    markers = [marker for marker, language, _ in BLOCKS if language == "sh"]
    # Two commands, and no third: one does the main job, the other passes the tests.
    assert markers == ["quickstart", "tests"]
    assert all(f"readme {marker})" in ci for marker in markers)
    assert all(language in ("sh", "python") for _, language, _ in BLOCKS)


def test_every_magic_is_in_the_table(shell):
    table = "\n".join(line for line in README.splitlines() if line.startswith("| `"))
    magics = shell.magics_manager.magics
    names = [name for kind in ("line", "cell") for name in magics[kind] if name.startswith("mlflow_")]
    assert len(names) > 10
    for name in names:
        assert f"%{name}" in table


def test_its_pictures_exist():
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", README)
    assert pictures
    for path in pictures:
        assert (ROOT / path).is_file()
