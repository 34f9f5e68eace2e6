"""TLS handshakes in memory: a real OpenSSL client against a `Session`, keys signed with locally."""

from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from OpenSSL import SSL

from offload.config import Backend
from offload.config import Site as SiteSettings
from offload.tls.session import Session, State
from offload.tls.signature import SignatureRequest
from offload.tls.site import Site
from support.pki import Issued

BACKEND = Backend.parse("tcp://127.0.0.1:1")
_HASHES = {"SHA2-256": hashes.SHA256(), "SHA2-384": hashes.SHA384(), "SHA2-512": hashes.SHA512()}
_PSS = 6


def site(*issued: Issued, **settings: Any) -> Site:
    """A site of these certificates, the default one unless it is given names."""
    settings.setdefault("default", not settings.get("names"))
    return Site(
        SiteSettings(
            certificates=tuple(each.certificate_path for each in issued),
            backends=(BACKEND,),
            **settings,
        )
    )


def sign(key: Any, request: SignatureRequest) -> bytes:
    """What an honest worker answers."""
    operation = request.operation
    if isinstance(key, rsa.RSAPrivateKey):
        digest = _HASHES[operation.digest]
        pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
        return key.sign(
            operation.content, pss if operation.padding == _PSS else padding.PKCS1v15(), digest
        )
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(operation.content, ec.ECDSA(_HASHES[operation.digest]))
    signature: bytes = key.sign(operation.content)
    return signature


class Client:
    """A real client without a socket; `alert` is what OpenSSL said when its handshake failed."""

    def __init__(
        self,
        *,
        trust: Any = None,
        version: int = SSL.TLS1_3_VERSION,
        server_name: bytes | None = b"site.test",
        alpn: list[bytes] | None = None,
        session: SSL.Session | None = None,
        context: SSL.Context | None = None,
        prepare: Callable[[SSL.Context], None] | None = None,
    ) -> None:
        if context is None:
            context = SSL.Context(SSL.TLS_CLIENT_METHOD)
            context.set_min_proto_version(version)
            context.set_max_proto_version(version)
            if trust is not None:
                store = context.get_cert_store()
                assert store is not None
                store.add_cert(_openssl_certificate(trust))
                context.set_verify(SSL.VERIFY_PEER, lambda *arguments: bool(arguments[-1]))
        if prepare is not None:
            prepare(context)
        self.context = context
        self.tls = SSL.Connection(context, None)
        self.tls.set_connect_state()
        if server_name is not None:
            self.tls.set_tlsext_host_name(server_name)
        if alpn is not None:
            self.tls.set_alpn_protos(alpn)
        if session is not None:
            self.tls.set_session(session)
        self.complete = False

    def step(self, data: bytes = b"") -> bytes:
        """Take bytes of the server, and return the bytes for it. Raises SSL.Error."""
        if data:
            self.tls.bio_write(data)
        if not self.complete:
            try:
                self.tls.do_handshake()
                self.complete = True
            except SSL.WantReadError:
                pass
        return self.output()

    def output(self) -> bytes:
        """What waits to be sent to the server."""
        output = b""
        while True:
            try:
                output += self.tls.bio_read(1 << 20)
            except SSL.WantReadError:
                return output

    def read(self, data: bytes | bytearray) -> bytes:
        """Decrypt all of the server's bytes."""
        self.tls.bio_write(data)
        plaintext = b""
        while True:
            try:
                plaintext += self.tls.recv(1 << 20)
            except SSL.WantReadError:
                return plaintext


def _openssl_certificate(certificate: Any) -> Any:
    from OpenSSL import crypto

    return crypto.X509.from_cryptography(certificate)


def shake(session: Session, client: Client, key: Any) -> int:
    """Bring both sides to the end of the handshake; returns how many signatures it took."""
    signatures = 0
    data = client.step()
    while True:
        session.handshake(data)
        while session.state is State.SIGNING:
            assert session.request is not None
            signatures += 1
            session.resume(sign(key, session.request))
        output, session.output = session.output, b""
        data = client.step(output)
        if session.state is State.OPEN and client.complete:
            assert not data
            return signatures
        assert data, "both sides wait for the other"
