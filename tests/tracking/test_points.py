"""The journal's fast lane: whatever happens between two bytes, each finished point is there once."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlflow_magics.tracking.outbox.disk.points import held, points, records, segments
from mlflow_magics.tracking.outbox.disk.points.points import PointLog
from mlflow_magics.tracking.outbox.disk.points.records import RECORD, SIZE, Point

MANY = 1000


@pytest.fixture(autouse=True)
def small_segments(monkeypatch):
    """Segments of 64 records: the tests turn many pages."""
    monkeypatch.setattr(segments, "SEGMENT", 64)


@contextlib.contextmanager
def new_folder():
    """A folder for one example: hypothesis runs many in one test."""
    with tempfile.TemporaryDirectory() as place:
        yield Path(place)


def new_log(folder, limit=MANY, over_limit=None):
    def surprise(*point):
        raise AssertionError(f"no room for {point}")

    return PointLog(folder, limit, over_limit or surprise)


def fill(log, count, key=1, start=0):
    append = log.appender(key)
    made = [Point(step, 1.5 + step, step / 3, key) for step in range(start, start + count)]
    for point in made:
        append(*point[:3])
    return made


def everything(log, position=0, **options):
    found = []
    while True:
        more, position = log.read(position, 7, **options)
        if not more:
            return found, position
        found += more


# -- any order of doing things ------------------------------------------------------------------------------------

STEPS = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 3), st.integers(1, 150)),
    st.tuples(st.just("read"), st.integers(1, 100)),
    st.tuples(st.just("drop")),
    st.tuples(st.just("hold"), st.integers(1, 3), st.integers(0, 2)),
    st.tuples(st.just("release"), st.integers(1, 3)),
    st.tuples(st.just("look again")),
)


@given(st.lists(STEPS, max_size=25))
@example([("append", 1, 64), ("read", 64), ("drop",)])
@settings(max_examples=60)
def test_any_order_of_doing_things_keeps_each_point_once(steps):
    with new_folder() as folder:
        log = new_log(folder)
        appends = {key: log.appender(key) for key in (1, 2, 3)}
        holders, held = {}, {}
        made, position, read, count = [], 0, [], 0
        for what, *how in steps:
            if what == "append":
                for _ in range(how[1]):
                    made.append(Point(count, count / 7, -count / 3, how[0]))
                    appends[how[0]](*made[-1][:3])
                    count += 1
            elif what == "read":
                found, position = log.read(position, how[0])
                assert len(found) <= how[0]
                read += found
            elif what == "drop":
                log.drop(position)
            elif what == "hold":
                key, place = how
                if key not in holders:
                    holders[key] = log.held.holder(key)
                held[key, place] = Point(count, 2.0, 3.0, key)
                holders[key][0](place, *held[key, place][:3])
                count += 1
            elif what == "release" and how[0] in holders:
                holders.pop(how[0])[1]()
                held = {index: point for index, point in held.items() if index[0] != how[0]}
            elif what == "look again":
                # What another process sees, that takes the files up now.
                heir = new_log(folder, limit=0)
                assert everything(heir, position, settled=True)[0] == made[len(read) :]
                assert sorted(heir.held.points()) == sorted(held.values())
            assert log.count(position) == len(made) - len(read)
            assert log.tally(position) == Counter(point.key for point in made[len(read) :])
            assert log.end() >= position
        assert read + everything(log, position)[0] == made


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308])
def test_a_value_comes_back_bit_by_bit(tmp_path, value):
    log = new_log(tmp_path)
    log.appender(1)(-(1 << 63), 1e10, value)
    log.appender((1 << 32) - 1)((1 << 63) - 1, 0.0, value)
    first, second = list(new_log(tmp_path, limit=0))
    assert (first.step, second.step, second.key) == (-(1 << 63), (1 << 63) - 1, (1 << 32) - 1)
    assert struct.pack("d", first.value) == struct.pack("d", second.value) == struct.pack("d", value)


def test_what_was_read_is_deleted_segment_by_segment(tmp_path):
    log = new_log(tmp_path)
    fill(log, 200)
    assert len(list(tmp_path.glob("points-*.bin"))) == 4
    _, position = log.read(0, 130)
    log.drop(position)
    assert [path.name for path in sorted(tmp_path.glob("*.bin"))] == ["points-00000002.bin", "points-00000003.bin"]
    assert [point.step for point in everything(log, position)[0]] == list(range(130, 200))
    fill(log, 100, start=200)
    assert [point.step for point in everything(log, position)[0]] == list(range(130, 300))


# -- what a killed process leaves -----------------------------------------------------------------------------------


@given(cut=st.integers(0, 64 * SIZE), whole=st.integers(0, 2))
@settings(max_examples=60)
def test_a_truncated_tail_costs_what_was_cut_off_and_no_more(cut, whole):
    with new_folder() as folder:
        made = fill(new_log(folder), whole * 64 + 64)
        with open(folder / f"points-{whole:08d}.bin", "r+b") as file:
            file.truncate(cut)
        heir = new_log(folder, limit=0)
        kept = made[: whole * 64 + cut // SIZE]
        assert everything(heir, settled=True)[0] == kept
        assert heir.count(0) == len(kept)
        assert heir.tally(0) == Counter(point.key for point in kept)


@given(data=st.data())
@settings(max_examples=60)
def test_a_record_cut_off_by_a_kill_is_no_point_and_hides_none(data):
    """Each of a few threads may have been in the middle of one record."""
    with new_folder() as folder:
        made = fill(new_log(folder), data.draw(st.integers(1, 200)))
        broken = data.draw(st.sets(st.integers(0, len(made) - 1), max_size=8))
        for index in broken:
            number, at = divmod(index, 64)
            with open(folder / f"points-{number:08d}.bin", "r+b") as file:
                begun = data.draw(st.integers(0, SIZE - 1))
                file.seek(at * SIZE + begun)
                file.write(bytes(SIZE - begun))
        heir = new_log(folder, limit=0)
        kept = [point for index, point in enumerate(made) if index not in broken]
        assert everything(heir, settled=True)[0] == kept
        assert list(heir) == kept


def test_the_last_record_of_a_segment_may_be_the_unfinished_one(tmp_path):
    """A thread took the last place and was killed; another had begun the next segment."""
    made = fill(new_log(tmp_path), 100)
    with open(tmp_path / "points-00000000.bin", "r+b") as file:
        file.seek(63 * SIZE)
        file.write(bytes(SIZE))
    heir = new_log(tmp_path, limit=0)
    assert everything(heir, settled=True)[0] == made[:63] + made[64:]
    assert heir.count(0) == 100  # records that were begun: never less than there are points


KILLED = """
import os, sys
from pathlib import Path
from mlflow_magics.tracking.outbox.disk.points import points
log = points.PointLog(Path(sys.argv[1]), 10, lambda *_: None)
append = log.appender(1)
hold, release = log.held.holder(1)
step = 0
while True:
    append(step, 0.0, step / 2)
    hold(0, step, 0.0, step / 2)
    step += 1
    if step == 5000:
        os.write(1, b"go")
"""


def test_kill_9_loses_no_point_that_append_returned_from(tmp_path):
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.read(2) == b"go"
        child.send_signal(signal.SIGKILL)
    points_module_segment = 1 << 17  # the child's own
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "SEGMENT", points_module_segment)
        heir = new_log(tmp_path, limit=0)
        found = list(heir)
        assert len(found) >= 5000
        assert [(point.step, point.value) for point in found] == [(step, step / 2) for step in range(len(found))]
        (held,) = heir.held.points()
        assert len(found) - 2 <= held.step <= len(found) - 1


# -- unfinished records of the living -------------------------------------------------------------------------------


def unfinish(log, index):
    """Take a record's mark away, as if its thread had not come that far; return what finishes it."""
    segment = log._segments[index // 64]
    at = (index % 64) * SIZE
    record = segment.map[at : at + SIZE]
    segment.map[at : at + SIZE] = bytes(SIZE)

    def finish():
        segment.map[at : at + SIZE] = record

    return finish


@pytest.mark.parametrize("hole", [10, 63])
def test_an_unfinished_record_holds_up_those_behind_it_for_a_second(tmp_path, monkeypatch, hole):
    now = [100.0]
    monkeypatch.setattr(points.time, "monotonic", lambda: now[0])
    log = new_log(tmp_path)
    made = fill(log, 90)
    finish = unfinish(log, hole)
    found, position = log.read(0, MANY)
    assert (found, position) == (made[:hole], hole)
    now[0] += 0.9
    assert log.read(position, MANY) == ([], hole)
    now[0] += 0.2
    found, position = log.read(position, MANY)
    assert found == made[hole + 1 :]
    assert log.late(position) == []
    log.drop(position)  # its segment waits for it
    finish()
    assert log.late(hole) == []  # not read for good yet: it will be read in its place
    assert log.late(position) == [made[hole]]
    assert log.late(position) == []
    log.drop(position)
    assert not (tmp_path / "points-00000000.bin").exists()


def test_a_record_that_is_finished_in_time_is_read_in_its_place(tmp_path):
    log = new_log(tmp_path)
    made = fill(log, 20)
    finish = unfinish(log, 5)
    found, position = log.read(0, MANY)
    finish()
    rest, end = everything(log, position)
    assert found + rest == made
    assert log.late(end) == []


# -- threads --------------------------------------------------------------------------------------------------------


def test_who_closes_waits_for_a_thread_between_a_records_number_and_its_bytes(tmp_path, monkeypatch):
    log = new_log(tmp_path)
    fill(log, 3)
    segment = log._current
    offset = next(segment.offsets)
    body = (3, 1.5, 0.5, 1)

    def meanwhile(_):
        RECORD.pack_into(segment.map, offset, *body, records.mark_of(records.BODY.pack(*body)))

    monkeypatch.setattr(points.time, "sleep", meanwhile)
    log.close()
    assert segment.map[offset : offset + SIZE] != bytes(SIZE)
    assert [point.step for point in new_log(tmp_path)] == [0, 1, 2, 3]


@pytest.mark.parametrize("size", [SIZE - 1, SIZE, SIZE + 1])
def test_a_file_that_was_cut_off_behind_its_first_record_holds_one_point(tmp_path, size):
    made = fill(new_log(tmp_path), 3)
    os.truncate(tmp_path / "points-00000000.bin", size)
    assert everything(new_log(tmp_path))[0] == made[: size // SIZE]


def test_a_segment_with_a_point_that_cannot_be_read_is_kept_when_the_others_were_sent(tmp_path):
    made = fill(new_log(tmp_path), 70)
    path = tmp_path / "points-00000000.bin"
    content = bytearray(path.read_bytes())
    content[5 * SIZE + 8] ^= 1
    path.write_bytes(content)
    log = new_log(tmp_path)
    found, position = everything(log)
    assert found == made[:5] + made[6:]
    log.drop(position)
    assert not path.exists()
    assert (tmp_path / "damaged" / path.name).read_bytes() == content


def test_a_segment_that_is_gone_costs_its_own_points_only(tmp_path):
    made = fill(new_log(tmp_path), 64 * 5 + 3)
    (tmp_path / "points-00000001.bin").unlink()
    (tmp_path / "points-00000002.bin").unlink()
    assert everything(new_log(tmp_path))[0] == made[:64] + made[64 * 3 :]


def test_what_threads_were_writing_when_the_kernel_was_killed_is_no_damage(tmp_path):
    """Nobody was told that those points are kept; any before them were."""
    log = new_log(tmp_path)
    fill(log, 10)
    next(log._current.offsets), next(log._current.offsets)
    fill(log, 2, start=12)
    assert new_log(tmp_path).damage(0, 0) == 0
    fill(log, 20, start=14)
    assert new_log(tmp_path).damage(0, 0) == 2


def test_eight_threads_lose_and_double_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT", 4096)
    log = new_log(tmp_path)
    count = 20_000
    read, position, over = [], 0, threading.Event()

    def write(key):
        append = log.appender(key)
        for step in range(count):
            append(step, 0.0, step)

    def follow():
        nonlocal position
        while True:
            last = over.is_set()
            found, position = log.read(position, 5000)
            read.extend(found)
            read.extend(log.late(position))
            log.drop(position)
            if last and not found:
                return

    writers = [threading.Thread(target=write, args=(key,)) for key in range(1, 9)]
    reader = threading.Thread(target=follow)
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join()
    over.set()
    reader.join()
    by_key = {key: [point.step for point in read if point.key == key] for key in range(1, 9)}
    assert by_key == {key: list(range(count)) for key in range(1, 9)}


# -- no room --------------------------------------------------------------------------------------------------------


def test_beyond_the_limit_each_point_goes_to_overflow(tmp_path):
    spilled = []
    log = new_log(tmp_path, limit=2, over_limit=lambda *point: spilled.append(point))
    fill(log, 150)
    assert [point.step for point in everything(log)[0]] == list(range(128))
    assert spilled == [(1, step, 1.5 + step, step / 3) for step in range(128, 150)]
    # What was sent makes room again.
    log.drop(128)
    fill(log, 10, start=150)
    assert [point.step for point in everything(log, 128)[0]] == list(range(150, 160))
    assert len(spilled) == 22


FULL = """
import resource, sys
from pathlib import Path
from mlflow_magics.tracking.outbox.disk.points import points, segments
segments.SEGMENT = 64
resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
spilled = []
log = points.PointLog(Path(sys.argv[1]), 10, lambda *point: spilled.append(point))
append = log.appender(7)
append(1, 2.0, 3.0)
append(2, 3.0, 4.0)
hold, release = log.held.holder(7)
hold(0, 1, 2.0, 3.0)
release()
print(spilled, sorted(path.name for path in Path(sys.argv[1]).iterdir() if path.stat().st_size))
"""


def test_a_full_disk_is_no_error_and_no_loss(tmp_path):
    pytest.importorskip("resource")
    ran = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[(7, 1, 2.0, 3.0), (7, 2, 3.0, 4.0)] []"


def test_a_folder_that_is_gone_is_no_error_and_no_loss(tmp_path):
    spilled = []
    log = new_log(tmp_path / "outbox", over_limit=lambda *point: spilled.append(point))
    fill(log, 3)
    assert [step for _, step, _, _ in spilled] == [0, 1, 2]


def test_after_close_points_go_to_overflow(tmp_path):
    spilled = []
    log = new_log(tmp_path, over_limit=lambda *point: spilled.append(point))
    append = log.appender(1)
    append(0, 0.0, 0.0)
    log.close()
    append(1, 1.0, 2.0)
    log.appender(2)(5, 1.0, 2.0)
    assert spilled == [(1, 1, 1.0, 2.0), (2, 5, 1.0, 2.0)]
    assert [point.step for point in log] == [0]


# -- held places ----------------------------------------------------------------------------------------------------


@given(
    written=st.lists(st.tuples(st.integers(0, 2), st.floats(allow_nan=False)), min_size=1, max_size=12),
    torn=st.integers(0, SIZE - 1),
)
@settings(max_examples=60)
def test_a_held_place_survives_a_kill_in_the_middle_of_its_next_value(written, torn):
    with new_folder() as folder:
        log = new_log(folder)
        hold, _ = log.held.holder(3)
        newest = {}
        for step, (place, value) in enumerate(written):
            newest[place] = Point(step, 1.0, value, 3)
            hold(place, *newest[place][:3])
        place = written[-1][0]
        before = list(newest.values())
        # The next value of the last place was begun: the copy that is not the newest is cleared and half written.
        content = bytearray((folder / "held.bin").read_bytes())
        at = next(i for i in range(0, len(content), SIZE) if RECORD.unpack_from(content, i)[0:1] == (len(written) - 1,)
                  and RECORD.unpack_from(content, i)[4])  # fmt: skip
        other = at + SIZE if (at // SIZE) % 2 == 0 else at - SIZE
        body = records.BODY.pack(len(written), 1.0, 0.0, 3)
        record = body + records.mark_of(body).to_bytes(4, sys.byteorder)
        content[other : other + SIZE] = record[:torn] + bytes(SIZE - torn)
        (folder / "held.bin").write_bytes(content)
        found = new_log(folder, limit=0).held.points()
        assert sorted(found) == sorted(before)
        assert newest[place] in found


def test_released_places_are_empty_and_used_again(tmp_path):
    log = new_log(tmp_path)
    for key in range(1, 2 * held.SLOTS, 5):
        hold, release = log.held.holder(key)
        hold(0, key, 0.0, 1.0)
        assert [point.key for point in log.held.points()] == [key]
        release()
        assert log.held.points() == []


def test_who_released_its_places_writes_into_nobodys(tmp_path):
    log = new_log(tmp_path)
    old, release = log.held.holder(1)
    release()
    release()
    new, _ = log.held.holder(2)
    third, _ = log.held.holder(3)
    new(0, 5, 0.0, 1.0)
    third(0, 6, 0.0, 1.0)
    old(0, 9, 0.0, 1.0)  # a watched function that a thread still runs
    assert sorted((point.key, point.step) for point in log.held.points()) == [(2, 5), (3, 6)]


def test_with_all_places_taken_holding_does_nothing(tmp_path):
    log = new_log(tmp_path)
    for key in range(1, held.SLOTS + 1):
        log.held.holder(key)[0](0, key, 0.0, 1.0)
    hold, release = log.held.holder(9999)
    hold(0, 1, 0.0, 1.0)
    release()
    assert sorted(point.key for point in log.held.points()) == list(range(1, held.SLOTS + 1))


# -- forks ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_never_writes_into_its_parents_files(tmp_path):
    spilled = []
    log = new_log(tmp_path, over_limit=lambda *point: spilled.append(point))
    append = log.appender(1)
    hold, _ = log.held.holder(1)
    made = fill(log, 10)
    hold(0, 1, 0.0, 1.0)
    held, over = threading.Event(), threading.Event()

    def hold_the_lock():
        with log._lock:  # as a thread may at the moment of the fork; in the child nobody will ever release it
            held.set()
            over.wait(10)

    thread = threading.Thread(target=hold_the_lock)
    thread.start()
    held.wait(10)
    pid = os.fork()
    if not pid:
        with contextlib.suppress(BaseException):
            log.leave_to_parent()
            append(99, 0.0, 0.0)
            log.appender(2)(100, 0.0, 0.0)
            hold(0, 99, 0.0, 99.0)
            os._exit(len(spilled))
        os._exit(77)
    over.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2
    assert list(log) == made
    assert [point.step for point in log.held.points()] == [1]
    assert not spilled


def test_files_that_are_not_segments_are_left_alone(tmp_path):
    made = fill(new_log(tmp_path), 3)
    (tmp_path / "points-copy.bin").write_bytes(b"x" * 100)
    (tmp_path / "points-00000001.bin").touch()
    shutil.copy(tmp_path / "points-00000000.bin", tmp_path / "points.bin")
    assert list(new_log(tmp_path, limit=0)) == made
