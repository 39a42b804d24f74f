"""What Azure ML takes at most: in few requests, the rest as a file of the run, said once, nothing lost."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections import Counter
from types import SimpleNamespace

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import RestException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from mlflow_magics.tracking.connecting import recovery
from mlflow_magics.tracking.failures.kinds import UnavailableError
from mlflow_magics.tracking.location import store_limits
from mlflow_magics.tracking.location.store_limits import StoreLimits, check_experiment
from mlflow_magics.tracking.outbox.disk.entries import Key, RunEntry
from mlflow_magics.tracking.outbox.disk.journal import Journal
from mlflow_magics.tracking.outbox.disk.points.points import PointLog
from mlflow_magics.tracking.outbox.sending.batches import batches
from mlflow_magics.tracking.outbox.sending.delivery import Delivery
from mlflow_magics.tracking.patches import store
from mlflow_magics.tracking.runs import runs, settling
from mlflow_magics.vocabulary import records
from mlflow_magics.vocabulary.errors import MlflowMagicsError

AZURE = store_limits.of("azureml://westeurope.api.azureml.ms/mlflow/v1.0/subscriptions/s")
FILE = "params_over_the_limit.json"


def too_many(field, most, size):
    """The error body of Azure ML, as its gateway answers it."""
    text = f"The request is not valid. FieldName={field}, Limit={most}, Size={size}."
    return RestException(
        {"error_code": "INVALID_PARAMETER_VALUE", "Error": {"Code": "ValidationError", "Message": text}}
    )


class Limited:
    """A real store that refuses what Azure ML refuses: a real workspace is not at hand, and SQLite knows no limits."""

    def __init__(self, real):
        self._real = real
        self.batches = []
        self.reads = 0

    def __getattr__(self, name):
        return getattr(self._real, name)

    def get_run(self, run_id):
        self.reads += 1
        return self._real.get_run(run_id)

    def create_run(self, experiment_id, user_id, start_time, tags, run_name):
        if len(tags) > 50:
            raise too_many("Tags", 50, len(tags))
        return self._real.create_run(experiment_id, user_id, start_time, tags, run_name)

    def log_batch(self, run_id, metrics, params, tags):
        self.batches.append((len(metrics), len(params), len(tags)))
        rows = Counter(metric.key for metric in metrics)
        if rows and max(rows.values()) > 250:
            raise too_many("Metrics", 250, max(rows.values()))
        there = self._real.get_run(run_id).data
        for field, most, held, given in (
            ("Parameters", 200, there.params, params),
            ("Tags", 50, there.tags, tags),
        ):
            size = len(held.keys() | {each.key for each in given})
            if given and size > most:
                raise too_many(field, most, size)
        assert all(len(tag.key) <= 100 and len(tag.value) <= 1000 for tag in tags)
        self._real.log_batch(run_id, metrics, params, tags)


@pytest.fixture
def box(_store, tmp_path):
    shutil.copy(_store, tmp_path / "mlflow.db")
    limited = Limited(SqlAlchemyStore(f"sqlite:///{tmp_path}/mlflow.db", (tmp_path / "artifacts").as_uri()))
    folder = tmp_path / "journal"
    folder.mkdir()
    journal = Journal(folder, None)
    points = PointLog(folder, 10, lambda *_: pytest.fail("no room"))
    way = Delivery(journal, points, limited, "sqlite://", limits=AZURE)
    # SQLite's default experiment keeps its files elsewhere; this one's are in the test's own folder.
    experiment = limited.create_experiment("limits", (tmp_path / "files").as_uri())
    return SimpleNamespace(
        journal=journal, points=points, store=limited, delivery=way, experiment=experiment, files=tmp_path / "files"
    )


def new_run(box, name="full"):
    run = box.store.create_run(box.experiment, "me", 1, [], name).info.run_id
    box.journal.add_run(RunEntry(run, run, box.experiment, {"tags": {}}, True, 1))
    return run


def params(count, start=0):
    return {f"p{number}": str(number) for number in range(start, start + count)}


def values(box, run, params=None, tags=None):
    box.journal.add(run, "values", {"params": params or {}, "tags": tags or {}})


def end(box, run):
    box.journal.add(run, "update", {"status": "FINISHED", "end_time": 2, "name": None})


def send(way):
    while way.round():
        pass


def files(box, run):
    """All of the run's files that hold what was over the limit, by name."""
    found = sorted((box.files / run / "artifacts").glob("*_over_the_limit*.json"))
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in found}


# -- which store takes what -----------------------------------------------------------------------------------------


def test_only_azure_ml_takes_less_than_mlflow():
    assert (AZURE.params_per_run, AZURE.rows_of_one_metric, AZURE.tags_per_run) == (200, 250, 50)
    assert (AZURE.tag_key, AZURE.tag_value, AZURE.experiment_name) == (100, 1000, 256)
    for uri in ("sqlite:///mlflow.db", "http://host:5000", "databricks", "file:///azureml", "https://azureml.example"):
        assert store_limits.of(uri) == StoreLimits()


def test_the_name_of_an_experiment_is_checked():
    check_experiment("azureml://host", "x" * 256)
    check_experiment("http://host", "x" * 400)
    with pytest.raises(MlflowMagicsError, match=r"^the experiment's name has 257 characters, Azure ML takes 256: .*$"):
        check_experiment("azureml://host", "x" * 257)


def test_long_tags_are_cut_and_stay_apart():
    notes = []
    tags = {"k" * 150 + "a": "x", "k" * 150 + "b": "y", "long": "v" * 2000, "just": "v" * 1000}
    cut = AZURE.cut_tags(tags, notes)
    assert len(cut) == 4
    assert all(len(key) <= 100 and len(value) <= 1000 for key, value in cut.items())
    assert cut["long"] == "v" * 999 + "…"
    assert cut["just"] == tags["just"]
    assert len(notes) == 3
    assert AZURE.cut_tags(cut, []) == cut
    assert StoreLimits().cut_tags(tags, []) == tags


def test_a_run_is_created_with_the_tags_that_matter():
    ours = {"mlflow_magics.cell_id": "c", "mlflow_magics.origin": "o"}
    tags = ours | {f"user{n}": "x" for n in range(48)} | {"mlflow.source.type": "NOTEBOOK"}
    kept, rest = AZURE.first_tags(tags, "mlflow_magics.origin")
    assert len(kept) == 50
    assert rest == {"mlflow_magics.cell_id": "c"}
    assert AZURE.first_tags(ours, "x") == (ours, {})


# -- batches --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("points", "requests"),
    [
        ({"loss": 250}, 1),
        ({"loss": 251}, 2),
        ({"loss": 1000}, 4),
        ({"a": 250, "b": 250, "c": 250, "d": 250}, 1),
        ({"a": 400, "b": 400, "c": 400, "d": 400, "e": 400}, 2),
        ({"a": 1000, "b": 1000, "c": 1000, "d": 1000}, 4),
        ({"a": 1000, "b": 10, "c": 3}, 4),
        ({f"m{n}": 1 for n in range(2500)}, 3),
    ],
)
def test_batches_hold_few_rows_of_one_metric_in_as_few_requests_as_can_be(points, requests):
    cut = list(batches([Metric(key, 0.0, 0, n) for key, c in points.items() for n in range(c)], 1000, 250))
    assert len(cut) == requests


@pytest.mark.parametrize("seed", range(30))
def test_batches_of_any_mixture_keep_every_limit(seed):
    dice = random.Random(seed)
    counts = {f"m{n}": dice.choice([1, 30, 249, 250, 251, 700, 1300]) for n in range(dice.randint(1, 12))}
    metrics = [Metric(key, 0.0, 0, step) for key, count in counts.items() for step in range(count)]
    dice.shuffle(metrics)
    others = [Param(f"p{n}", "x") for n in range(dice.choice([0, 30, 150]))]
    others += [RunTag(f"t{n}", "x") for n in range(dice.choice([0, 20, 101]))]
    most = dice.choice([50, 500, 1000])
    cut = list(batches([*others, *metrics], most, 250))
    sent = [entry for batch in cut for entry in batch]
    assert Counter(map(id, sent)) == Counter(map(id, [*others, *metrics]))
    for batch in cut:
        rows = Counter(entry.key for entry in batch if isinstance(entry, Metric))
        assert 0 < len(batch) <= most
        assert max(rows.values(), default=0) <= 250
    for key in counts:  # each metric's points in their order
        assert [m for m in sent if m.key == key] == [m for m in metrics if m.key == key]
    least = max(math.ceil((len(others) + len(metrics)) / most), *(math.ceil(count / 250) for count in counts.values()))
    assert len(cut) <= least + (len(others) > 0)


def test_a_long_series_is_taken_without_a_refusal(box):
    run = new_run(box)
    for name in ("loss", "accuracy"):
        append = box.points.appender(box.journal.add_key(Key(run, name, {})))
        for step in range(2500):
            append(step, 5000.0 + step, float(step))
    send(box.delivery)
    assert len(box.store.batches) == 10
    assert len(box.store.get_metric_history(run, "loss")) == 2500
    assert not any(box.delivery.refusals.by_run.values())


# -- params ---------------------------------------------------------------------------------------------------------


def test_params_over_the_limit_become_one_file(box):
    run, other = new_run(box), new_run(box, "nested")
    for start in range(0, 300, 30):
        values(box, run, params(30, start))
        send(box.delivery)
    values(box, other, params(200))
    assert files(box, run) == {}
    end(box, run)
    end(box, other)
    send(box.delivery)
    found = box.store.get_run(run)
    assert found.data.params == params(200)
    assert found.info.status == "FINISHED"
    assert files(box, run) == {FILE: params(100, 200)}
    assert box.store.get_run(other).data.params == params(200)
    assert files(box, other) == {}
    assert box.journal.rows() == box.journal.runs_over_limit() == []
    assert not any(box.delivery.refusals.by_run.values())


def test_counting_costs_no_request(box):
    run = new_run(box)
    values(box, run, params(300))
    send(box.delivery)
    assert box.store.reads == 0
    assert box.store.batches == [(0, 100, 0), (0, 100, 0)]


def test_a_param_logged_again_takes_no_room_and_one_changed_is_refused(box):
    run = new_run(box)
    values(box, run, params(201))
    send(box.delivery)
    values(box, run, params(201))
    send(box.delivery)
    values(box, run, {"p200": "another"})
    end(box, run)
    send(box.delivery)
    assert files(box, run) == {FILE: {"p200": "200"}}
    assert [what for what, _ in box.delivery.refusals.by_run[run]] == ["param p200"]


@pytest.mark.parametrize("there", [150, 200])
def test_what_others_have_logged_counts_too(box, there):
    """A run that was resumed, or that somebody else writes to: the store says so."""
    run = new_run(box)
    for start in range(0, there, 50):
        box.store._real.log_batch(run, [], [Param(k, v) for k, v in params(50, 1000 + start).items()], [])
    values(box, run, params(120), {"t": "x"})
    send(box.delivery)
    values(box, run, params(10, 500))
    end(box, run)
    send(box.delivery)
    found = box.store._real.get_run(run).data
    over = files(box, run)[FILE]
    assert len(found.params) == 200
    assert found.tags["t"] == "x"
    assert found.params | over == params(there, 1000) | params(120) | params(10, 500)
    assert len(over) == there + 130 - 200
    assert box.store.reads == 3  # one for each request that was refused, one for where files go
    assert not any(box.delivery.refusals.by_run.values())


def test_a_second_file_never_takes_the_place_of_the_first(box):
    run = new_run(box)
    values(box, run, params(210))
    end(box, run)
    send(box.delivery)
    values(box, run, params(5, 300))
    end(box, run)
    send(box.delivery)
    assert files(box, run) == {FILE: params(10, 200), "params_over_the_limit_2.json": params(5, 300)}


def test_an_outage_while_the_file_is_sent_makes_no_second_one(box, monkeypatch):
    run = new_run(box)
    values(box, run, params(210))
    end(box, run)
    real, failures = box.delivery._do, [1, 1]

    def fails(run, remote, row):
        if row.op == "artifact" and failures and failures.pop():
            raise UnavailableError("gone")
        return real(run, remote, row)

    monkeypatch.setattr(box.delivery, "_do", fails)
    for _ in range(2):
        with pytest.raises(UnavailableError):
            box.delivery.round()
    send(box.delivery)
    assert files(box, run) == {FILE: params(10, 200)}
    assert box.store.get_run(run).info.status == "FINISHED"
    assert box.delivery.splitter.over_limit.aside[run, "params"] == 10


def test_files_that_are_not_taken_do_not_hold_up_the_end(box, monkeypatch):
    run = new_run(box)
    values(box, run, params(210))
    end(box, run)

    def gone(uri, tracking_uri):
        raise ConnectionError("the bucket is gone")

    monkeypatch.setattr("mlflow_magics.tracking.outbox.sending.replay.repository_at", gone)
    send_some = [box.delivery.round() for _ in range(3)]
    assert any(send_some)
    assert box.store.get_run(run).info.status == "FINISHED"
    assert files(box, run) == {}
    monkeypatch.undo()
    box.delivery.files.retry()
    send(box.delivery)
    assert files(box, run) == {FILE: params(10, 200)}


def test_a_killed_kernel_loses_none_of_it(box, tmp_path, monkeypatch):
    run = new_run(box)
    values(box, run, params(260))
    send(box.delivery)
    values(box, run, params(40, 260))  # never sent by the kernel that dies here
    heir = Journal(box.journal.folder, None)
    heir.note("uri", "azureml://dead")
    monkeypatch.setattr(recovery, "_get_store", lambda uri: box.store)
    said, everything = recovery._bring(heir, "", "")
    assert everything, said
    assert box.store._real.get_run(run).data.params == params(200)
    assert files(box, run) == {FILE: params(100, 200)}
    assert box.store.get_run(run).info.status == "KILLED"


# -- tags -----------------------------------------------------------------------------------------------------------


def test_tags_over_the_limit_become_a_file(box):
    run = new_run(box)
    held = len(box.store._real.get_run(run).data.tags)
    values(box, run, tags={f"t{n}": str(n) for n in range(60)})
    values(box, run, tags={"t0": "new", "t59": "new"})
    end(box, run)
    send(box.delivery)
    tags = box.store._real.get_run(run).data.tags
    over = files(box, run)["tags_over_the_limit.json"]
    assert len(tags) == 50
    assert len(over) == 10 + held
    assert (tags["t0"], over["t59"]) == ("new", "new")
    assert not any(box.delivery.refusals.by_run.values())


def test_a_tag_that_goes_makes_room(box):
    run = new_run(box)
    held = len(box.store._real.get_run(run).data.tags)
    values(box, run, tags={f"t{n}": str(n) for n in range(50 - held + 1)})
    last = f"t{50 - held}"
    send(box.delivery)
    box.journal.add(run, "untag", {"key": "t0"})
    box.journal.add(run, "untag", {"key": last})
    values(box, run, tags={"fresh": "x"})
    end(box, run)
    send(box.delivery)
    assert box.store._real.get_run(run).data.tags["fresh"] == "x"
    assert files(box, run) == {}


# -- through the outbox, as a cell uses it --------------------------------------------------------------------------


@pytest.fixture
def connected(folder, _store, monkeypatch):
    """A local store that is taken for Azure ML's in what it takes."""
    monkeypatch.setattr(store_limits, "of", lambda uri: AZURE)
    shutil.copy(_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    store.install(uri, uri)
    experiment = MlflowClient().create_experiment("limits", (folder / "files").as_uri())
    yield SimpleNamespace(experiment=experiment, files=folder / "files")
    store.remove()
    mlflow.set_tracking_uri(None)


def test_a_cell_says_in_one_line_what_was_set_aside(connected):
    run = runs.open_run(connected.experiment, name="many", tags={"long": "v" * 1500})
    MlflowClient().log_batch(run.info.run_id, params=[Param(k, v) for k, v in params(100).items()])
    for start in (100, 200):
        runs.write(run, [records.Param(k, v, "") for k, v in params(100, start).items()], [])
    runs.close_run(run, "FINISHED")
    settled = settling.settle(run)
    (cut,) = (note for note in settled.notes if "tag long" in note)
    (aside,) = (note for note in settled.notes if FILE in note)
    assert "cut from 1500 to 1000" in cut
    assert aside == f"100 params more than Azure ML takes for a run: in the artifact {FILE}"
    assert settled.waiting.total == 0
    assert settling.settle(run).notes == ()
    assert files(connected, run.info.run_id) == {FILE: params(100, 200)}
    assert len(MlflowClient().get_run(run.info.run_id).data.params) == 200


def test_a_run_with_too_many_tags_is_created_all_the_same(connected):
    run = runs.open_run(
        connected.experiment, tags={f"t{n}": str(n) for n in range(60)} | {"mlflow_magics.cell_id": "c"}
    )
    runs.close_run(run, "FINISHED")
    (note,) = settling.settle(run).notes
    tags = MlflowClient().get_run(run.info.run_id).data.tags
    over = files(connected, run.info.run_id)["tags_over_the_limit.json"]
    assert "tags more than Azure ML takes" in note
    assert "mlflow_magics.cell_id" in over
    assert "mlflow_magics.origin" in tags
    assert {f"t{n}" for n in range(60)} <= tags.keys() | over.keys()


def test_a_run_that_nobody_ends_gets_its_file_when_we_disconnect(connected):
    run = MlflowClient().create_run(connected.experiment).info.run_id
    for start in (0, 100, 200):
        MlflowClient().log_batch(run, params=[Param(k, v) for k, v in params(100, start).items()])
    store.remove()
    assert files(connected, run) == {FILE: params(100, 200)}


def test_a_long_tag_can_be_deleted_by_its_own_name(connected):
    run = MlflowClient().create_run(connected.experiment).info.run_id
    MlflowClient().set_tag(run, "k" * 150, "x")
    assert any(key.startswith("kkk") for key in MlflowClient().get_run(run).data.tags)
    MlflowClient().delete_tag(run, "k" * 150)
    assert not any(key.startswith("kkk") for key in MlflowClient().get_run(run).data.tags)
