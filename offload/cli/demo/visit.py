"""One HTTPS request, made as a client would, and how its handshake went.

pyOpenSSL and not `ssl`: the library that comes with it knows the post-quantum groups and tells
which one was used.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from OpenSSL import SSL

from offload.cli.failure import Failure

_SECONDS = 15.0
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Visit:
    """What came of a request: how the handshake went, and the answer. ski: of the certificate's
    key, in hexadecimal.
    """

    protocol: str
    group: str
    cipher: str
    certificate: str
    ski: str
    seconds: float
    status: int
    body: str


def visit(port: int, authority: Path, *, tls12_cipher: str | None = None) -> Visit:
    """GET https://localhost:port/, trusting `authority` alone; TLS 1.2 if a cipher is given.

    Raises Failure if there is no connection, no trust or no answer.
    """
    deadline = time.monotonic() + _SECONDS
    try:
        with socket.create_connection(("127.0.0.1", port), _SECONDS) as plain:
            return _talk(_connection(plain, authority, tls12_cipher), deadline)
    except SSL.Error as error:
        raise Failure(f"the TLS connection failed: {_reason(error)}") from error
    except OSError as error:
        raise Failure(f"the front-end at port {port} cannot be reached: {error}") from error


def _connection(plain: socket.socket, authority: Path, cipher: str | None) -> SSL.Connection:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.load_verify_locations(str(authority))
    context.set_verify(SSL.VERIFY_PEER)
    if cipher is not None:
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        context.set_cipher_list(cipher.encode())
    plain.setblocking(False)
    connection = SSL.Connection(context, plain)
    connection.set_tlsext_host_name(b"localhost")
    connection.set_connect_state()
    return connection


def _talk(connection: SSL.Connection, deadline: float) -> Visit:
    started = time.perf_counter()
    _patiently(connection, connection.do_handshake, deadline)
    seconds = time.perf_counter() - started
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    _patiently(connection, lambda: connection.send(request), deadline)
    status, body = _parsed(_all(connection, deadline))
    key = _key(connection)
    return Visit(
        protocol=connection.get_protocol_version_name(),
        group=connection.get_group_name() or "unknown",
        cipher=connection.get_cipher_name() or "unknown",
        certificate=_kind(key),
        ski=x509.SubjectKeyIdentifier.from_public_key(key).digest.hex(),
        seconds=seconds,
        status=status,
        body=body,
    )


def _patiently(
    connection: SSL.Connection, operation: Callable[[], _Result], deadline: float
) -> _Result:
    while True:
        try:
            return operation()
        except SSL.WantReadError:
            ready = select.select([connection], [], [], max(0, deadline - time.monotonic()))
            if not any(ready):
                raise Failure(f"the front-end did not answer within {_SECONDS:.0f} s") from None


def _all(connection: SSL.Connection, deadline: float) -> bytes:
    received = bytearray()
    with suppress(SSL.ZeroReturnError):
        while True:
            received += _patiently(connection, lambda: connection.recv(65_536), deadline)
    return bytes(received)


def _reason(error: SSL.Error) -> str:
    """The library's own words; SysCallError has an errno and a text, others a list of entries."""
    if isinstance(error, SSL.SysCallError) or not error.args:
        return "the front-end closed the connection"
    return ", ".join(str(entry[-1]) for entry in error.args[0])


def _parsed(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    if len(words) < 2 or not words[1].isdigit():
        raise Failure("the website's answer is not HTTP")
    return int(words[1]), body.decode(errors="replace")


def _key(connection: SSL.Connection) -> CertificatePublicKeyTypes:
    """The certificate's key; raises Failure if it is not for localhost."""
    certificate = connection.get_peer_certificate(as_cryptography=True)
    if certificate is None:
        raise Failure("the front-end showed no certificate")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if "localhost" not in names.get_values_for_type(x509.DNSName):
        raise Failure("the certificate is not for localhost")
    return certificate.public_key()


def _kind(key: CertificatePublicKeyTypes) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA-{key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ECDSA on {key.curve.name}"
    return type(key).__name__.removesuffix("PublicKey")
