"""A certificate chain in an OpenSSL context, with a reference to its key in place of the key."""

import os
import warnings
from datetime import UTC, datetime
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto

from offload.keys.algorithm import PublicKey, UnsupportedKey, algorithm_of
from offload.keys.identifier import subject_key_identifier
from offload.provider import key_reference
from offload.tls.signature import SiteKey

_MAKERS: dict[type, Any] = {
    ed25519.Ed25519PublicKey: ed25519.Ed25519PrivateKey,
    mldsa.MLDSA44PublicKey: mldsa.MLDSA44PrivateKey,
    mldsa.MLDSA65PublicKey: mldsa.MLDSA65PrivateKey,
    mldsa.MLDSA87PublicKey: mldsa.MLDSA87PrivateKey,
}


class ChainError(Exception):
    """A chain cannot be used; the text has the reason."""


class Chain:
    """A chain that can be used: PEM, leaf first, and the key that the leaf certifies.

    slot: the place that it takes in a context: OpenSSL has one for each type of key.
    """

    __slots__ = ("key", "pem", "slot")

    def __init__(self, pem: bytes) -> None:
        """Raises ChainError."""
        try:
            certified = x509.load_pem_x509_certificate(pem).public_key()
            algorithm = algorithm_of(certified)
            public_key = cast(PublicKey, certified)
            self.key = SiteKey(subject_key_identifier(public_key), algorithm, public_key)
        except (ValueError, UnsupportedKey) as error:
            raise ChainError(str(error)) from error
        self.pem = pem
        self.slot = _slot(self.key)
        # A context that is served with is no place to find out.
        self.use(SSL.Context(SSL.TLS_SERVER_METHOD))

    def use(self, context: SSL.Context) -> None:
        """Put it into a context in which its key is not used yet. Raises ChainError."""
        try:
            _use_file(context, self.pem)
            _use_key_reference(context, key_reference(self.key.public_key))
            context.check_privatekey()
        except (OSError, ValueError, SSL.Error, crypto.Error) as error:
            raise ChainError(_words(error)) from error

    def vacate(self, context: SSL.Context) -> None:
        """Make room in a context for another chain of the same key.

        Before OpenSSL takes a certificate, it compares the key that it has with the new one. Where
        both are the same, but of different providers, it is content and forgets an error in its
        queue, at which it then fails. A certificate of another key makes it drop the key.
        """
        _use_file(context, _stranger(self.key.public_key).public_bytes(Encoding.PEM))


def _slot(key: SiteKey) -> str:
    if isinstance(key.public_key, ec.EllipticCurvePublicKey):
        return "ECDSA"
    if isinstance(key.public_key, rsa.RSAPublicKey):
        return "RSA"
    return key.algorithm.value


def _use_file(context: SSL.Context, chain: bytes) -> None:
    # OpenSSL keeps a chain with its own certificate only where it read both from one file.
    descriptor = os.memfd_create("chain")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(chain)
        context.use_certificate_chain_file(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _stranger(key: PublicKey) -> x509.Certificate:
    """A certificate of nobody, for a key of the same type as `key`."""
    name = x509.Name([])
    always = datetime(2000, 1, 1, tzinfo=UTC)
    return x509.CertificateBuilder(name, name, _another(key), 1, always, always).sign(
        ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()
    )


def _another(key: PublicKey) -> Any:
    if isinstance(key, rsa.RSAPublicKey):  # no private key is needed, and none would be quick
        numbers = key.public_numbers()
        return rsa.RSAPublicNumbers(numbers.e, numbers.n - 2).public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return ec.generate_private_key(key.curve).public_key()
    return _MAKERS[next(kind for kind in _MAKERS if isinstance(key, kind))].generate().public_key()


def _use_key_reference(context: SSL.Context, reference: bytes) -> None:
    with warnings.catch_warnings():
        # pyOpenSSL would rather have a key object of cryptography's, which none but a whole private
        # key can be. The wheel's own function is the way out if it ever refuses its own PKey.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_PEM, reference))


def _words(error: Exception) -> str:
    """What went wrong with a certificate, with OpenSSL's reasons where they are its own."""
    if isinstance(error, SSL.Error | crypto.Error):
        reasons = [entry[-1] for entry in error.args[0]] if error.args else []
        return f"OpenSSL does not take the certificate: {'; '.join(reasons)}"
    return str(error)
