"""Two pyOpenSSL connections joined in memory: a server with a key reference, a verifying client."""

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.bindings._rust import _openssl
from OpenSSL import SSL, crypto

from offload.provider import key_reference
from support.pki import PKI

VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
_FLIGHTS = 4


class Site:
    """A server for localhost whose certificate is good and whose key is a reference."""

    def __init__(self, algorithm: str) -> None:
        with TemporaryDirectory() as directory:
            pki = PKI(Path(directory))
            issued = pki.site("localhost", algorithm=algorithm)
        self.key = issued.key
        self.certificate = issued.certificate
        self.root = crypto.X509.from_cryptography(pki.root)
        reference = key_reference(self.key.public_key())
        self.pkey = crypto.load_privatekey(crypto.FILETYPE_PEM, reference)
        self.context = SSL.Context(SSL.TLS_SERVER_METHOD)
        self.context.use_certificate(self.certificate)
        with warnings.catch_warnings():
            # pyOpenSSL would rather have a key of cryptography's, which a key reference cannot be.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.context.use_privatekey(self.pkey)
        self.context.check_privatekey()

    def accept(self) -> SSL.Connection:
        """A connection that waits for a ClientHello."""
        connection = SSL.Connection(self.context, None)
        connection.set_accept_state()
        return connection

    def connect(self, version: str, signature_algorithms: bytes | None = None) -> SSL.Connection:
        """A client of one protocol version that verifies the chain and the name."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(VERSIONS[version])
        context.set_max_proto_version(VERSIONS[version])
        store = context.get_cert_store()
        assert store is not None
        store.add_cert(self.root)
        context.set_verify(SSL.VERIFY_PEER, lambda *arguments: bool(arguments[-1]))
        if signature_algorithms is not None:
            assert (
                _openssl.lib.SSL_CTX_set1_sigalgs_list(context._context, signature_algorithms) == 1
            )
        connection = SSL.Connection(context, None)
        connection.set_connect_state()
        connection.set_tlsext_host_name(b"localhost")
        return connection


def handshake(client: SSL.Connection, server: SSL.Connection) -> None:
    """Do a whole handshake; raises SSL.Error of the side that fails."""
    for _ in range(_FLIGHTS):
        for source, sink in ((client, server), (server, client)):
            _advance(source)
            move(source, sink)
    assert client.get_finished() is not None
    client.send(b"ping")
    move(client, server)
    assert server.recv(4) == b"ping"


def move(source: SSL.Connection, sink: SSL.Connection) -> None:
    """Bring what one side has to send to the other."""
    try:
        sink.bio_write(source.bio_read(1 << 18))
    except SSL.WantReadError:
        return


def _advance(connection: SSL.Connection) -> None:
    try:
        connection.do_handshake()
    except SSL.WantReadError:
        return
