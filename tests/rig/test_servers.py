"""The rig itself: what the other tests rely on."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from .servers import CountingProxy, MlflowServer, StatusServer, refused_port


def test_a_refused_port_refuses():
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{refused_port()}", timeout=2)


def test_the_proxy_forwards_and_counts():
    with StatusServer(200, "hello") as backend, CountingProxy(backend.url) as proxy:
        assert urllib.request.urlopen(f"{proxy.url}/x?y=1", timeout=5).read() == b"hello"
        urllib.request.urlopen(urllib.request.Request(f"{proxy.url}/z", data=b"{}", method="POST"), timeout=5).close()
    assert proxy.requests == backend.requests == [("GET", "/x?y=1"), ("POST", "/z")]


@pytest.mark.slow
def test_a_server_comes_back_on_its_port_with_its_data(tmp_path):
    from mlflow import MlflowClient

    with MlflowServer(tmp_path) as server:
        made = MlflowClient(server.url).create_experiment("kept")
        server.stop()
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(f"{server.url}/health", timeout=2)
        server.start()
        assert MlflowClient(server.url).get_experiment(made).name == "kept"
