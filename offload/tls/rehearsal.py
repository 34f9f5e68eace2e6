"""A client in the same process: a handshake with a session of ours, in memory.

It shows that a certificate works with the key that signs for it, before any client sees it.
"""

from OpenSSL import SSL

from offload.provider._native import DONE, WANT_READ, Stream
from offload.tls.openssl import address, error_reasons, ffi, lib
from offload.tls.session import Session, State, TLSError
from offload.tls.signature import SignatureRequest


class Rehearsal:
    """A whole handshake but for its signature; whoever drops it must `abort` it."""

    __slots__ = ("_client", "_session", "complete")

    def __init__(self, session: Session, server_name: str) -> None:
        """The session is new, and the rehearsal's from now on."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self._client = Stream(address(context._context), context, False)
        name = server_name.encode("ascii")
        lib.SSL_set_tlsext_host_name(ffi.cast("SSL *", self._client.address), name)
        self._session = session
        self.complete = False

    def begin(self) -> SignatureRequest | None:
        """What must be signed; None where the handshake is complete without. Raises TLSError."""
        return self._go_on()

    def resume(self, signature: bytes) -> SignatureRequest | None:
        """Go on with the signature; returns and raises as `begin` does."""
        self._session.resume(signature)
        return self._go_on()

    def abort(self) -> None:
        """End it, wherever it is."""
        self._session.abort()

    def _go_on(self) -> SignatureRequest | None:
        session = self._session
        while session.state is not State.SIGNING and not self.complete:
            output, session.output = session.output, b""
            status, answer = self._client.handshake(output)
            if status not in (DONE, WANT_READ):
                raise TLSError(error_reasons())
            if session.state is State.HANDSHAKE:
                session.handshake(answer)
            self.complete = status == DONE and session.state is State.OPEN
        return session.request
