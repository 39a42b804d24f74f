"""Secrets end to end: a real shell's run cells on an SQLite store, and all that is kept of them."""

from __future__ import annotations

import time
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from tests.capture.secrets_corpus import INNOCENTS, SECRETS


def run_of(tracked):
    (run,) = MlflowClient().search_runs(["0"], max_results=1)
    return run


def stored(run):
    """Params, tags and the text of every artifact of a run."""
    folder = Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id))
    files = [path.read_text(encoding="utf-8", errors="replace") for path in folder.rglob("*") if path.is_file()]
    return "\n".join([repr(run.data.params), repr(run.data.tags), repr(run.info), *files])


def on_disk(*folders):
    """All bytes of the store and of the journal, as they are on disk."""
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return b"\n".join(path.read_bytes() for path in paths)


FAILING = [one for one in SECRETS if one.fails]
PASSING = [one for one in SECRETS if not one.fails and "\\n" not in one.text]


class TestSecrets:
    def test_cells_that_end_well_leak_nothing_anywhere(self, tracked, capsys, folder, state):
        body = "\n".join(f"def cell_{number}():\n    pass\n{one.cell}" for number, one in enumerate(PASSING))
        assert tracked.run_cell(f"%%mlflow_run\n{body}\n", store_history=True).success
        run = run_of(tracked)
        shown = capsys.readouterr().out
        everything = stored(run) + shown
        assert [one.kind for one in PASSING if one.text in everything] == []
        raw = on_disk(folder, state)
        # Ten digits of a number may stand in an id; a text may not.
        assert [one.kind for one in PASSING if one.text.encode() in raw] == []

    @pytest.mark.parametrize("one", FAILING, ids=lambda one: one.kind)
    def test_cells_that_fail_leak_nothing_anywhere(self, tracked, capsys, folder, state, one):
        assert not tracked.run_cell(f"%%mlflow_run\n{one.cell}\n").success
        run = run_of(tracked)
        shown = capsys.readouterr().out
        assert run.info.status == "FAILED"
        # The author's own traceback is his, and is shown as Python shows it: the block comes behind it.
        block = shown[shown.rindex("✗") :]
        assert one.text not in stored(run) + block
        assert one.text.encode() not in on_disk(folder, state)

    def test_names_tags_and_descriptions_leak_nothing(self, tracked, capsys, folder, state):
        tracked.run_cell(
            "%%mlflow_run 'run pw=hunter22' --tags senha=hunter23 url=redis://:hunter24@h "
            "--description 'login bob, password: hunter25'\nx = 1\n"
        )
        everything = stored(run_of(tracked)) + capsys.readouterr().out + on_disk(folder, state).decode("latin-1")
        assert "hunter2" not in everything


class TestInnocents:
    def test_they_arrive_as_they_were_written(self, tracked, capsys):
        # A name that several cells bind holds the last one's.
        roots = {one.kind: {name.split(".")[0] for name in one.params} for one in INNOCENTS}
        others = {one.kind: "\n".join(each.cell for each in INNOCENTS if each is not one) for one in INNOCENTS}
        chosen = [one for one in INNOCENTS if not any(f"{root} = " in others[one.kind] for root in roots[one.kind])]
        assert len(chosen) > 60
        body = "\n".join(one.cell for one in chosen)
        assert tracked.run_cell(f"%%mlflow_run\n{body}\n").success
        run = run_of(tracked)
        held = run.data.params
        wanted = {name: value for one in chosen for name, value in one.params.items()}
        assert {name: held.get(name) for name in wanted} == wanted
        source = Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="cell.py")).read_text()
        assert body in source
        assert "a secret" not in capsys.readouterr().out

    def test_the_working_folder_is_no_password(self, tracked, monkeypatch, folder):
        monkeypatch.setenv("PWD", str(folder))
        monkeypatch.setenv("OLDPWD", str(folder.parent))
        tracked.run_cell(f"%%mlflow_run\nwhere = {str(folder)!r}\n")
        run = run_of(tracked)
        assert run.data.params == {"where": str(folder)}
        assert "***" not in stored(run)


class TestTheAuthorsOwn:
    def test_it_is_stored_as_he_wrote_it_with_a_note(self, tracked, capsys):
        tracked.run_cell(
            "%%mlflow_run\nimport mlflow\nmlflow.log_param('db_password', 'hunter22')\n"
            "mlflow.set_tag('api_key', 'abc123xyz')\n"
        )
        run = run_of(tracked)
        shown = capsys.readouterr().out
        assert run.data.params == {"db_password": "hunter22"}
        assert run.data.tags["api_key"] == "abc123xyz"
        assert "param db_password looks like a secret" in shown
        assert "tag api_key looks like a secret" in shown
        assert "hunter22" not in shown


class TestLongTexts:
    @pytest.mark.parametrize("word", ["ACGT", "a1B2", "token", "a-", "eyJ", "://a:", "pw='", "password=", "key=", "x "])
    def test_the_cost_of_a_text_grows_with_its_length_alone(self, word):
        from mlflow_magics.capture.values import secrets

        def cost(letters):
            begin = time.process_time()
            secrets.redact((word * letters)[:letters])
            return time.process_time() - begin

        cost(1_000)
        small, large = min(cost(10_000) for _ in range(3)), cost(80_000)
        # Eight times as long: eight times as dear, and not sixty-four times.
        assert large < 30 * small + 0.05

    def test_a_long_source_is_redacted_to_its_end(self):
        from mlflow_magics.capture.values import secrets

        source = "x = 'ACGT'\n" * 100_000 + "password = 'hunter22'\n"
        assert secrets.redact(source) == source.replace("hunter22", "***")

    def test_a_secret_across_the_cut_of_a_long_message_is_not_shown_in_part(self):
        from mlflow_magics.capture.values import secrets

        for start in range(1_990, 2_002):
            text = "x" * start + " password=hunter22hunter22 " + "y" * 50_000
            assert "hunt" not in secrets.redact_beginning(text, most=2_000)

    @pytest.mark.slow
    def test_ten_million_letters_cost_no_more_than_a_few(self, tracked):
        """The steps are counted, and not the seconds: no name is looked at, and few patterns are tried."""
        from mlflow_magics.capture.values import secrets

        seen = []
        patch = pytest.MonkeyPatch()
        with patch.context() as patched:
            original = secrets.secret_spans
            patched.setattr(secrets, "secret_spans", lambda text: seen.append(len(text)) or original(text))
            tracked.run_cell("%%mlflow_run\nword = 'ACGT' * 2_500_000\nlr = 0.1\n")
            tracked.run_cell("%%mlflow_run\nraise ValueError('ACGT' * 2_500_000)\n")
        assert max(seen) <= secrets.LOOKED + 20_000
        assert sum(seen) < 400_000
