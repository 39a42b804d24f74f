"""A Ctrl-C at every line of our code that changes something for a while: all is put back."""

import contextlib
import logging
import signal
import threading

import pytest

from mlflow_magics.tracking.calls import interrupts, silence
from mlflow_magics.tracking.calls.patience import timeouts
from mlflow_magics.tracking.location import localstore
from mlflow_magics.tracking.patches import store
from tests.rig.striking import struck


def state():
    """What the blocks below change."""
    return (
        logging.root.manager.disable,
        list(logging.root.handlers),
        [list(logging.getLogger(name).filters) for name in silence._LOGGERS],
        silence._placed,
        getattr(silence._ours, "asks", False),
        getattr(timeouts._local, "asked", None),
        vars(store._asking).copy(),
        signal.getsignal(signal.SIGINT),
        list(interrupts._deferred),
    )


@contextlib.contextmanager
def plain(folder):
    store.plain(f"sqlite:///{folder}/mlflow.db")
    yield


BLOCKS = {
    "MLflow's talk": lambda _: localstore.without_log_lines(),
    "tracebacks in the log": lambda _: silence.silence(),
    "the limits of a request": lambda _: timeouts.one_try(1.0),
    "a store without an outbox": plain,
}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_a_ctrl_c_at_any_line_leaves_nothing_changed(block, tmp_path):
    def job():
        with block(tmp_path):
            pass

    job()  # what is made once, is made
    before = state()
    line, came = 1, 0
    while True:
        try:
            _, lines = struck(job, line)
            if lines < line:
                break
        except KeyboardInterrupt:
            came += 1
        assert state() == before, line
        line += 1
    assert came == line - 1 > 5


class TestInABlockThatPutsOffCtrlC:
    def test_it_waits_for_the_outer_block(self):
        done = []

        def job():
            with interrupts.uninterrupted():
                with interrupts.put_back(lambda: done.append("back")):
                    signal.raise_signal(signal.SIGINT)
                    done.append("inner")
                done.append("outer")

        with pytest.raises(KeyboardInterrupt):
            job()
        assert done == ["inner", "back", "outer"]

    def test_it_comes_at_once_where_the_outer_block_lets_it_through(self):
        done = []

        def job():
            with interrupts.interruptible(), interrupts.put_back(lambda: done.append("back")):
                signal.raise_signal(signal.SIGINT)
                done.append("never")

        with interrupts.uninterrupted():
            with pytest.raises(KeyboardInterrupt):
                job()
            done.append("outer")
        assert done == ["back", "outer"]

    def test_another_thread_is_left_alone(self):
        done = []

        def work():
            with interrupts.put_back(lambda: done.append("back")):
                done.append("inner")

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert done == ["inner", "back"]
