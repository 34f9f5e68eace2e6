"""A TLS client over a socket that can stop at any point of its handshake."""

from __future__ import annotations

import socket
import struct
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography import x509
from OpenSSL import SSL

from offload.tls.openssl import lib
from support.handshakes import Client

VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
REQUEST = b"GET %s HTTP/1.1\r\nHost: site\r\nConnection: close\r\n\r\n"
_TIMEOUT_SECONDS = 45.0


class SocketClient:
    """One connection to 127.0.0.1:`port`; `client` is the TLS in memory, `socket` the rest.

    `trust` is a PEM file with the certificate that the server's must lead to; `earlier` a
    connection whose session, and all settings, are to be resumed.
    """

    def __init__(
        self,
        port: int,
        name: str | None,
        trust: Path | None = None,
        version: str = "1.3",
        groups: str | None = None,
        earlier: SocketClient | None = None,
    ) -> None:
        self.client: Client = Client(
            trust=None if trust is None else x509.load_pem_x509_certificate(trust.read_bytes()),
            version=VERSIONS[version],
            server_name=None if name is None else name.encode(),
            session=None if earlier is None else earlier.tls.get_session(),
            context=None if earlier is None else earlier.client.context,
            prepare=partial(_offer, groups),
        )
        self.socket = socket.create_connection(("127.0.0.1", port), _TIMEOUT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    @property
    def port(self) -> int:
        """The connection's port on this side."""
        address: tuple[str, int] = self.socket.getsockname()
        return address[1]

    @property
    def tls(self) -> SSL.Connection:
        return self.client.tls

    @property
    def resumed(self) -> bool:
        """Whether the handshake went on from an earlier session."""
        return bool(lib.SSL_session_reused(self.tls._ssl))

    def receive(self) -> bytes:
        """Some bytes as they come on the wire; none at the end."""
        return self.socket.recv(1 << 16)

    def handshake(self) -> None:
        """Bring the handshake to its end. Raises SSL.Error, or ConnectionError."""
        self.socket.sendall(self.client.step())
        while not self.client.complete:
            data = self.receive()
            if not data:
                raise ConnectionError("the server closed the connection")
            self.socket.sendall(self.client.step(data))

    def get(self, path: str = "/") -> bytes:
        """A request's whole answer, head and body."""
        self.tls.sendall(REQUEST % path.encode())
        self.socket.sendall(self.client.output())
        answer = b""
        while data := self.receive():
            answer += self._read(data)
        # A session whose connection is freed without a goodbye is not resumed again.
        self.tls.set_shutdown(SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN)
        return answer

    def reset(self) -> None:
        """Leave without a goodbye: the server gets a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _read(self, data: bytes) -> bytes:
        tls: Any = self.tls
        tls.bio_write(data)
        plaintext = b""
        while True:
            try:
                plaintext += tls.recv(1 << 16)
            except (SSL.WantReadError, SSL.ZeroReturnError):
                return plaintext


def _offer(groups: str | None, context: SSL.Context) -> None:
    if groups is not None:
        assert lib.SSL_CTX_set1_curves_list(context._context, groups.encode()) == 1
