from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from offload.cli.demo.exposition import is_ready, links, signatures

METRICS = """\
# HELP offload_signing_operations_total Signing operations ended.
# TYPE offload_signing_operations_total counter
offload_signing_operations_total{algorithm="p-256",outcome="ok",worker="worker-1"} 3.0
offload_signing_operations_total{algorithm="rsa-2048",outcome="ok",worker="worker-1"} 2.0
offload_signing_operations_total{algorithm="rsa-2048",outcome="refused",worker="worker-2"} 7.0
# HELP offload_pool_links Links to a worker that are up, over all processes.
# TYPE offload_pool_links gauge
offload_pool_links{worker="worker-1"} 2.0
offload_pool_links{worker="worker-2"} 0.0
# HELP offload_connections_total Client connections accepted.
# TYPE offload_connections_total counter
offload_connections_total 9.0
"""


class Admin(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path in ("/metrics", "/good/readyz") else 503)
        self.end_headers()
        self.wfile.write(METRICS.encode())

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Admin) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_good_signatures_are_counted_by_worker(url: str) -> None:
    assert signatures(url) == {"worker-1": 5}


def test_links_are_counted_by_worker(url: str) -> None:
    assert links(url) == {"worker-1": 2, "worker-2": 0}


def test_not_ready_is_told(url: str) -> None:
    assert not is_ready(url)
    assert is_ready(f"{url}/good")


def test_nobody_there_is_no_error(port: int) -> None:
    assert not is_ready(f"http://127.0.0.1:{port}")
    assert signatures(f"http://127.0.0.1:{port}") == {}
    assert links(f"http://127.0.0.1:{port}") == {}
