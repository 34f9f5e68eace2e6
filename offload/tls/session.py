"""One client connection's TLS, without I/O: bytes in, bytes out, a key operation in between."""

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from offload.config import GROUPS
from offload.provider._native import CLOSED, FAILED, WANT_READ, Stream
from offload.tls.openssl import error_reasons
from offload.tls.signature import SignatureRequest, signature_request
from offload.tls.suspension import Aborted, KeyOperation, Suspended

if TYPE_CHECKING:
    from offload.tls.site import Site

MAX_PENDING = 65536
"""Bytes that a client may send while its signature is under way: nothing in TLS makes it send any.
"""
_DECRYPT_ERROR = "tlsv1 alert decrypt error"
"""As OpenSSL words it, for TLS 1.2 and 1.3."""


class State(Enum):
    """Where a session stands.

    HANDSHAKE -> SIGNING -> HANDSHAKE -> OPEN -> CLOSED, with SIGNING left out by resumption, and
    CLOSED reached from anywhere.
    """

    HANDSHAKE = "handshake"
    SIGNING = "signing"
    OPEN = "open"
    CLOSED = "closed"


class TLSError(Exception):
    """The session failed. `reasons` are OpenSSL's, oldest first."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        super().__init__("; ".join(reasons) or "unknown TLS error")
        self.reasons = reasons

    @property
    def is_decrypt_error(self) -> bool:
        """Whether the client said decrypt_error: a signature did not verify (RFC 8446, 6.2)."""
        return _DECRYPT_ERROR in self.reasons


class WrongState(Exception):
    """The session was asked for what its state does not allow."""


class Facts(NamedTuple):
    """What a completed handshake agreed on; `group` is "" where OpenSSL names none."""

    version: str
    cipher: str
    group: str
    resumed: bool
    alpn: str


class Session:
    """The server's side of one TLS connection.

    `output` holds what is to be sent to the client after each of `handshake`, `resume` and `abort`;
    `request` what is to be signed while `state` is SIGNING. Whoever drops a session that is
    SIGNING must `abort` it. `stream` is the engine's connection: once the session is open, its
    `receive` and `send` may be called directly, where one call more would count.
    """

    __slots__ = (
        "_keys",
        "_pending",
        "_suspended",
        "output",
        "request",
        "state",
        "stream",
    )

    def __init__(self, site: "Site") -> None:
        # Those of this moment, as the SSL object has the certificates of this moment.
        self._keys = site.keys
        self.state = State.HANDSHAKE
        self.output = b""
        self.request: SignatureRequest | None = None
        self.stream = Stream(site.address, site.context, True)
        self._suspended: Suspended | None = Suspended()
        self._pending = b""

    def handshake(self, data: bytes | memoryview) -> None:
        """Take bytes of the client. Raises TLSError, with the alert to be sent in `output`."""
        if self.state is State.SIGNING:
            self._pending += data
            if len(self._pending) > MAX_PENDING:
                self.abort()
                raise TLSError(("the client sends without waiting for the server",))
            return
        self._require(State.HANDSHAKE)
        if self._suspended is None:  # signed already: nothing can suspend it again
            self._advance(self.stream.handshake(data))
        else:
            self._advance(self._suspended.run(self.stream.handshake, data))

    def resume(self, signature: bytes) -> None:
        """Go on with the signature that `request` asked for. Raises TLSError, as `handshake`."""
        self._require(State.SIGNING)
        assert self._suspended is not None
        suspended, self._suspended = self._suspended, None
        self.request = None
        self.state = State.HANDSHAKE
        try:
            result = suspended.resume(signature)
        except ValueError as error:  # of the hook, which looks at nothing but the length
            self.state = State.CLOSED
            self.output = self.stream.shutdown()
            raise TLSError((str(error),)) from error
        self._advance(result)
        if self._pending and self.state is State.HANDSHAKE:
            flight, pending = self.output, self._pending
            self._pending = b""
            self.handshake(pending)
            self.output = flight + self.output

    def abort(self) -> None:
        """End the session at once; a suspended handshake unwinds. Harmless when it has ended
        already.
        """
        if self.state is State.SIGNING:
            assert self._suspended is not None
            suspended, self._suspended = self._suspended, None
            suspended.abort(Aborted())
            self.request = None
            self._pending = b""
            self.output = self.stream.shutdown()
        self.state = State.CLOSED

    def is_open(self) -> bool:
        """Whether the client may still send data."""
        return self.state is State.OPEN

    def receive(self, data: bytes | memoryview) -> tuple[bytes, bytes]:
        """Decrypt; returns plaintext for the backend and bytes for the client.

        `is_open()` ends when the client has said that it sends no more. Raises TLSError.
        """
        self._require(State.OPEN)
        status, plaintext, output = self.stream.receive(data)
        self.received(status, output)
        return plaintext, output

    def received(self, status: int, output: bytes) -> None:
        """Take note of what `stream.receive` returned, for who calls that directly.

        Raises TLSError as `receive` does.
        """
        if status != WANT_READ:
            self.state = State.CLOSED
            if status == FAILED:
                self.output = output
                raise TLSError(error_reasons())

    def send(self, plaintext: bytes | memoryview) -> bytes | bytearray:
        """Encrypt at most 256 KiB. Raises ConnectionError when the session can send no more."""
        return self.stream.send(plaintext)

    def shutdown(self) -> bytes:
        """The close_notify alert to be sent, where one still can be."""
        return self.stream.shutdown()

    def facts(self) -> Facts:
        """What the handshake agreed on. Call it once it is complete."""
        version, cipher, group, resumed, alpn = self.stream.facts()
        return Facts(version, cipher, _group_name(group), resumed, alpn)

    def _advance(self, result: KeyOperation | tuple[int, bytes]) -> None:
        if isinstance(result, KeyOperation):
            self.output = b""
            self.state = State.SIGNING
            self.request = signature_request(self._keys[result.key_id], result)
            return
        status, self.output = result
        if status == WANT_READ:
            return
        if status in (FAILED, CLOSED):
            self.state = State.CLOSED
            raise TLSError(error_reasons())
        self.state = State.OPEN
        self._suspended = None

    def _require(self, state: State) -> None:
        if self.state is not state:
            raise WrongState(f"the session is {self.state.value}, not {state.value}")


def _group_name(name: str) -> str:
    """The name by which the configuration calls a group: OpenSSL has several for some."""
    return GROUPS.get(name.lower(), name)
