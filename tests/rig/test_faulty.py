"""The faulty proxy does what it is told, before a small backend and before the real one."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request

import pytest

from .faulty import Fault, FaultyProxy
from .servers import StatusServer


@pytest.fixture
def backend():
    with StatusServer(200, "hello, world") as server:
        yield server


@pytest.fixture
def proxy(backend):
    with FaultyProxy(backend.url) as proxy:
        yield proxy


def ask(proxy, path="/x", method="POST", timeout=5.0):
    """One request on a connection of its own; (status, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=timeout)
    try:
        connection.request(method, path, body=b"12345" if method == "POST" else None)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _ask_again(connection):
    connection.request("GET", "/after")
    connection.getresponse()


def test_it_forwards_and_keeps_what_passed(proxy, backend):
    start = time.monotonic()
    assert ask(proxy) == (200, b"hello, world")
    (passed,) = proxy.passed
    assert (passed.method, passed.path, passed.done, passed.size) == ("POST", "/x", "forwarded", 5)
    assert start <= passed.when <= time.monotonic()
    assert proxy.requests == backend.requests == [("POST", "/x")]


def test_it_refuses_and_comes_back_on_its_port(proxy, backend):
    held = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
    held.request("GET", "/before")
    held.getresponse().read()
    port = proxy.port
    for _ in range(2):
        proxy.refuse()
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            ask(proxy)
        proxy.accept()
        proxy.accept()
        assert ask(proxy)[0] == 200
    assert proxy.port == port
    # The connection of before is broken too, as a dead server's would be.
    held.auto_open = False
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        _ask_again(held)
    assert ("GET", "/after") not in backend.requests


def test_it_stops_while_it_refuses(backend):
    with FaultyProxy(backend.url) as proxy:
        proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        ask(proxy)


def test_silence_is_never_answered(proxy, backend):
    with proxy.faulty(Fault("silent")), pytest.raises(TimeoutError):
        ask(proxy, timeout=0.3)
    assert ask(proxy)[0] == 200
    assert len(backend.requests) == 1
    assert [each.done for each in proxy.passed] == ["silent", "forwarded"]


def test_a_status_with_its_headers(proxy, backend):
    proxy.add(Fault("answer", status=429, headers=(("Retry-After", "7"),), body="slowly"))
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{proxy.url}/x", timeout=5)
    assert (caught.value.code, caught.value.headers["Retry-After"], caught.value.read()) == (429, "7", b"slowly")
    assert proxy.passed[0].done == "answer 429"
    assert backend.requests == []
    proxy.heal()
    assert ask(proxy)[0] == 200


@pytest.mark.parametrize(("deed", "applied"), [("cut before", 0), ("cut after", 1), ("reset", 1)])
def test_a_cut_connection(proxy, backend, deed, applied):
    proxy.add(Fault(deed, "POST /cut", times=2))
    for _ in range(2):
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            ask(proxy, "/cut")
        assert ask(proxy, "/other")[0] == 200
    assert ask(proxy, "/cut")[0] == 200
    assert backend.requests.count(("POST", "/cut")) == 2 * applied + 1
    assert proxy.requests == backend.requests
    assert [each.done for each in proxy.matching("/cut")] == [deed, deed, "forwarded"]


def test_a_reset_comes_in_the_middle_of_the_body(proxy):
    proxy.add(Fault("reset"))
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
    connection.request("GET", "/x")
    answer = connection.getresponse()
    assert answer.status == 200
    with pytest.raises((ConnectionError, http.client.IncompleteRead)):
        answer.read()
    connection.close()


def test_a_delay(proxy):
    with proxy.faulty(Fault("delay", "/slow", seconds=0.3)):
        start = time.monotonic()
        assert ask(proxy, "/slow") == (200, b"hello, world")
        assert time.monotonic() - start >= 0.3


def test_the_first_fault_that_matches_happens(proxy):
    proxy.add(Fault("answer", "/a", times=1, status=500))
    proxy.add(Fault("answer", "/", times=1, status=503))
    assert [ask(proxy, path)[0] for path in ("/a", "/a", "/a")] == [500, 503, 200]


@pytest.mark.slow
def test_mlflow_through_it(mlflow_server):
    from mlflow import MlflowClient

    with FaultyProxy(mlflow_server.url) as proxy:
        client = MlflowClient(proxy.url)
        proxy.add(Fault("cut after", "experiments/create", times=1))
        # MLflow sends it again by itself, and then finds what it made.
        with pytest.raises(Exception, match="already exists"):
            client.create_experiment("made twice")
        assert client.get_experiment_by_name("made twice") is not None
        assert [each.done for each in proxy.matching("experiments/create")] == ["cut after", "forwarded"]
