import json
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest

from offload.cli.demo import rest
from offload.cli.demo.rest import Rest
from offload.cli.failure import Failure
from offload.cluster.authority import Authority


class Handler(BaseHTTPRequestHandler):
    """Gives the answers of `script`, and keeps what was asked."""

    script: ClassVar[list[tuple[int, Any]]] = []
    asked: ClassVar[list[tuple[str, str, Any, str | None]]] = []

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        body = json.loads(self.rfile.read(length)) if length else None
        self.asked.append((self.command, self.path, body, self.headers.get("Idempotency-Key")))
        status, answer = self.script.pop(0)
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *_arguments: Any) -> None:
        """Says nothing."""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Rest]:
    now = datetime.now(UTC)
    authority = Authority.create("test", now)
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem())
    for name, identity in {
        "server": authority.issue_worker("127.0.0.1", now),
        "client": authority.issue_frontend("kim", now),
    }.items():
        (tmp_path / f"{name}.pem").write_bytes(identity.certificate)
        (tmp_path / f"{name}.key").write_bytes(identity.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tmp_path / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    Handler.script.clear()
    Handler.asked.clear()
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        files = (tmp_path / name for name in ("client.pem", "client.key", "ca.pem"))
        yield Rest(server.server_port, *files)
        server.shutdown()
        thread.join()


def test_it_asks_as_the_user(worker: Rest) -> None:
    Handler.script += [(200, {"keys": []}), (201, {"ski": "00"})]
    assert worker.ask("GET", "/v1/keys") == {"keys": []}
    assert worker.ask("POST", "/v1/keys", label="www") == {"ski": "00"}
    assert [asked[:3] for asked in Handler.asked] == [
        ("GET", "/v1/keys", None),
        ("POST", "/v1/keys", {"label": "www"}),
    ]


def test_what_cannot_be_done_now_is_tried_again_as_the_same_request(
    worker: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "_PAUSE", 0.0)
    Handler.script += [(503, {"title": "no leader"}), (201, {"ski": "00"})]
    assert worker.ask("POST", "/v1/keys", label="www") == {"ski": "00"}
    first, second = Handler.asked
    assert first == second
    assert first[3]


def test_a_refusal_is_a_failure(worker: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "_PATIENCE", 0.0)
    Handler.script += [(403, {"detail": "a key user may not"}), (503, {"title": "no leader"})]
    with pytest.raises(Failure, match="POST /v1/cluster/roll: a key user may not"):
        worker.ask("POST", "/v1/cluster/roll")
    with pytest.raises(Failure, match="no leader"):
        worker.ask("GET", "/v1/keys")


def test_nobody_there_is_said(worker: Rest, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_port", port)
    with pytest.raises(Failure, match=f"https://127.0.0.1:{port} cannot be asked"):
        worker.ask("GET", "/v1/keys")
