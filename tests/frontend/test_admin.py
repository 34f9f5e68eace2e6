"""The admin process on its own."""

from __future__ import annotations

import http.client
import select
import signal
import socket

from offload.frontend import admin
from offload.frontend.process import Process
from offload.frontend.signals import Signals
from offload.frontend.status import Status


def get(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    status = connection.getresponse().status
    connection.close()
    return status


def test_answers_by_the_shared_status_until_term() -> None:
    status = Status(1)
    signals = Signals((signal.SIGTERM,))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = Process.fork(
            lambda ready_fd: admin.serve([listener], status.accepting, ready_fd),
            signals,
            0.0,
            lambda: None,
        )
        assert process.ready_fd is not None
        assert select.select([process.ready_fd], [], [], 20)[0]
        port = listener.getsockname()[1]
        assert [get(port, path) for path in ("/healthz", "/readyz")] == [200, 503]
        status.set_ready(0, True)
        assert [get(port, path) for path in ("/readyz", "/metrics")] == [200, 200]
        status.set_draining()
        assert get(port, "/readyz") == 503
    process.signal(signal.SIGTERM)
    assert process.reap() == 0
    signals.close()
