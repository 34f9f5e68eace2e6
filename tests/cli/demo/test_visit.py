import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509

from offload.cli.demo.visit import visit
from offload.cli.failure import Failure
from offload.cluster.authority import Authority

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Server:
    """Answers one HTTPS request."""

    def __init__(self, directory: Path, name: str, answer: bytes = ANSWER) -> None:
        now = datetime.now(UTC)
        authority = Authority.create("test", now)
        identity = authority.issue_worker(name, now)
        self.authority = directory / "ca.pem"
        self.authority.write_bytes(authority.certificate_pem())
        leaf = x509.load_pem_x509_certificate(identity.certificate)
        own = leaf.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        self.ski = own.digest.hex()
        (directory / "leaf.pem").write_bytes(identity.certificate + identity.key)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(directory / "leaf.pem")
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        plain, _ = self._listener.accept()
        plain.settimeout(10)
        try:
            with self._context.wrap_socket(plain, server_side=True) as secure:
                secure.recv(4096)
                secure.sendall(self._answer)
                secure.unwrap()
        except OSError:
            plain.close()

    def close(self) -> None:
        self._thread.join()
        self._listener.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, "localhost")
    yield server
    server.close()


def test_a_visit_tells_how_it_went(server: Server) -> None:
    seen = visit(server.port, server.authority)
    assert (seen.status, seen.body) == (200, "hello")
    assert seen.protocol == "TLSv1.3"
    assert seen.certificate == "ECDSA on secp256r1"
    assert seen.cipher.startswith("TLS_")
    assert seen.ski == server.ski


def test_tls_1_2_can_be_asked_for(server: Server) -> None:
    cipher = "ECDHE-ECDSA-AES128-GCM-SHA256"
    seen = visit(server.port, server.authority, tls12_cipher=cipher)
    assert (seen.protocol, seen.cipher) == ("TLSv1.2", cipher)


def test_a_stranger_is_not_trusted(server: Server, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(Authority.create("test", datetime.now(UTC)).certificate_pem())
    with pytest.raises(Failure, match="certificate verify failed"):
        visit(server.port, other)


def test_a_certificate_of_another_name_is_refused(tmp_path: Path) -> None:
    server = Server(tmp_path, "elsewhere")
    with pytest.raises(Failure, match="not for localhost"):
        visit(server.port, server.authority)
    server.close()


def test_an_answer_that_is_no_http_is_refused(tmp_path: Path) -> None:
    server = Server(tmp_path, "localhost", b"what?")
    with pytest.raises(Failure, match="not HTTP"):
        visit(server.port, server.authority)
    server.close()


def test_nobody_there_is_said(port: int, tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_bytes(Authority.create("test", datetime.now(UTC)).certificate_pem())
    with pytest.raises(Failure, match=f"port {port} cannot be reached"):
        visit(port, authority)


def test_a_connection_closed_at_once_is_said(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_bytes(Authority.create("test", datetime.now(UTC)).certificate_pem())
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def close() -> None:
            connection, _ = listener.accept()
            connection.close()

        closer = Thread(target=close)
        closer.start()
        with pytest.raises(Failure, match=r"closed the connection|cannot be reached"):
            visit(listener.getsockname()[1], authority)
        closer.join()
