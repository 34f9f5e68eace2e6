"""Mutual TLS 1.3 between the product's own processes: contexts, and one side of one connection.

Sans-IO, and of the same engine as the clients' connections: one TLS library in each process, and
post-quantum key exchange between them too.
"""

from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

from offload.config import Identity
from offload.provider._native import DONE, FAILED, WANT_READ, Stream
from offload.tls.openssl import address, error_reasons, ffi, lib

_IDENTITY_KEYS = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey)
_GROUPS = b"X25519MLKEM768:X25519:P-256:P-384"
_CIPHERS = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"


class CredentialsUnusable(Exception):
    """A certificate, key or trusted authority cannot be used; the text names file and remedy."""


class PeerRejected(Exception):
    """The handshake failed: the peer is not whom we trust, or does not trust us."""


class ProtocolViolation(Exception):
    """The peer has sent what TLS does not allow; the connection is over."""


def client_context(identity: Identity, trust: Path) -> SSL.Context:
    """For the side that connects. Raises CredentialsUnusable."""
    return _context(SSL.TLS_CLIENT_METHOD, identity, trust)


def server_context(identity: Identity, trust: Path) -> SSL.Context:
    """For the side that is connected to: takes only peers with a certificate that `trust` signed.

    A resumed session would outlive a grant that was withdrawn, so none can be. Raises
    CredentialsUnusable.
    """
    context = _context(SSL.TLS_SERVER_METHOD, identity, trust)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    return context


def _context(method: int, identity: Identity, trust: Path) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_tls13_ciphersuites(_CIPHERS)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    lib.SSL_CTX_set1_curves_list(context._context, _GROUPS)
    _use(trust, "name the authority's PEM file", lambda: context.load_verify_locations(trust))
    _use(
        identity.certificate,
        "name a PEM certificate, leaf first",
        lambda: context.use_certificate_chain_file(identity.certificate),
    )
    _use(
        identity.key,
        f"name the unencrypted PEM key of {identity.certificate}",
        lambda: _use_key(context, identity.key),
    )
    return context


def _use_key(context: SSL.Context, path: Path) -> None:
    key = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, _IDENTITY_KEYS):
        raise ValueError("an identity's key is RSA, ECDSA or Ed25519")
    context.use_privatekey(key)
    context.check_privatekey()


def _use(path: Path, remedy: str, load: Callable[[], None]) -> None:
    try:
        with path.open("rb"):  # OpenSSL's own words for a missing file are hard to read
            load()
    except OSError as error:
        words = (error.strerror or str(error)).lower()
        raise CredentialsUnusable(f"{path}: {words}; {remedy}") from error
    except (SSL.Error, crypto.Error, ValueError, TypeError) as error:
        raise CredentialsUnusable(f"{path}: not usable: {_reason(error)}; {remedy}") from error


def _reason(error: Exception) -> str:
    if not isinstance(error, SSL.Error | crypto.Error):
        return str(error).lower()
    entries = error.args[0] if error.args else []
    return "; ".join(entry[-1] for entry in entries) or "no PEM content"


class MutualSession:
    """One side of one connection: bytes in, bytes out.

    `open` is True between the end of the handshake and the end of the connection.
    """

    __slots__ = ("_stream", "open")

    def __init__(self, context: SSL.Context, server_name: str | None) -> None:
        """`server_name`: the peer's name, which its certificate must have; None on the server."""
        self._stream = Stream(address(context._context), context, server_name is None)
        self.open = False
        if server_name is not None:
            self._expect(server_name.encode("ascii"))

    def handshake(self, data: bytes | memoryview) -> bytes:
        """Take bytes of the peer (none to begin) and return the bytes for it. Raises PeerRejected.

        What the peer is told when it is rejected is the exception's second argument.
        """
        status, output = self._stream.handshake(data)
        if status == DONE:
            self.open = True
        elif status != WANT_READ:
            raise PeerRejected(self._why(), output)
        return output

    def receive(self, data: bytes | memoryview) -> tuple[bytes, bytes]:
        """Decrypt: (plaintext, bytes for the peer); `open` ends with the peer's close_notify.

        Raises ProtocolViolation.
        """
        status, plaintext, output = self._stream.receive(data)
        if status != WANT_READ:
            self.open = False
            if status == FAILED:
                raise ProtocolViolation("; ".join(error_reasons()) or "malformed record")
        return plaintext, output

    def send(self, plaintext: bytes) -> bytes | bytearray:
        """Encrypt at most 256 KiB."""
        return self._stream.send(plaintext)

    def shutdown(self) -> bytes:
        """Say close_notify."""
        return self._stream.shutdown()

    def peer_certificate(self) -> bytes:
        """The peer's certificate in DER."""
        certificate = lib.SSL_get_peer_certificate(self._ssl)
        if certificate == ffi.NULL:
            return b""
        bio = lib.BIO_new(lib.BIO_s_mem())
        try:
            lib.i2d_X509_bio(bio, certificate)
            data = ffi.new("char **")
            length = lib.BIO_get_mem_data(bio, data)
            return bytes(ffi.buffer(data[0], length))
        finally:
            lib.BIO_free(bio)
            lib.X509_free(certificate)

    @property
    def _ssl(self) -> object:
        return ffi.cast("SSL *", self._stream.address)

    def _expect(self, name: bytes) -> None:
        """Ask for the peer by name, and take no other's certificate (RFC 9525)."""
        parameters = lib.SSL_get0_param(self._ssl)
        lib.X509_VERIFY_PARAM_set_hostflags(parameters, lib.X509_CHECK_FLAG_NEVER_CHECK_SUBJECT)
        lib.SSL_set_tlsext_host_name(self._ssl, name)
        if lib.X509_VERIFY_PARAM_set1_host(parameters, name, len(name)) != 1:
            raise ValueError(f"{name.decode()!r} cannot be asked for in TLS; use a DNS name")

    def _why(self) -> str:
        reasons = "; ".join(error_reasons()) or "connection closed"
        result = lib.SSL_get_verify_result(self._ssl)
        if result:
            return f"{reasons}: {ffi.string(lib.X509_verify_cert_error_string(result)).decode()}"
        return reasons
