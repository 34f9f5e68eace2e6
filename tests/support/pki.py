"""A private certificate authority for tests, with keys made once per test run.

Key algorithms are named as in offload.keys.algorithm: "p-256", "rsa-2048", "ed25519", ...
"""

import datetime
import functools
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | mldsa.MLDSA44PrivateKey
    | mldsa.MLDSA65PrivateKey
    | mldsa.MLDSA87PrivateKey
)

_MAKERS: dict[str, Callable[[], PrivateKey]] = {
    "rsa-2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsa-3072": lambda: rsa.generate_private_key(65537, 3072),
    "rsa-4096": lambda: rsa.generate_private_key(65537, 4096),
    "p-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ml-dsa-44": mldsa.MLDSA44PrivateKey.generate,
    "ml-dsa-65": mldsa.MLDSA65PrivateKey.generate,
    "ml-dsa-87": mldsa.MLDSA87PrivateKey.generate,
}
ALGORITHMS = tuple(_MAKERS)


def generate_key(algorithm: str) -> PrivateKey:
    """Make a new private key."""
    return _MAKERS[algorithm]()


def shared_key(algorithm: str, number: int = 0) -> PrivateKey:
    """Return the test run's own key number `number`: RSA-4096 takes seconds to make."""
    return _shared_key(algorithm, number)


@functools.cache
def _shared_key(algorithm: str, _number: int) -> PrivateKey:
    return generate_key(algorithm)


def pem(key: PrivateKey) -> bytes:
    """Return the private key as unencrypted PKCS#8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@dataclass(frozen=True)
class Issued:
    """A certificate with its key, in memory and as files."""

    certificate: x509.Certificate
    key: PrivateKey
    certificate_path: Path
    key_path: Path

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER certificate, in hex."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def chain_pem(self) -> bytes:
        """What the certificate file holds: the leaf alone."""
        return self.certificate_path.read_bytes()


class PKI:
    """One root that issues leaves; everything it makes is written below `directory`."""

    def __init__(self, directory: Path, name: str = "test root") -> None:
        self._directory = directory
        self._key = generate_key("p-256")
        self._serial = 0
        self.root = self._self_sign(name)
        self.root_path = directory / "root.pem"
        self.root_path.write_bytes(self.root.public_bytes(serialization.Encoding.PEM))

    def site(self, *names: str, algorithm: str = "p-256", number: int = 0) -> Issued:
        """Issue a website's certificate for DNS names or IP addresses."""
        return self._issue(names, shared_key(algorithm, number), ExtendedKeyUsageOID.SERVER_AUTH)

    def identity(
        self, name: str, algorithm: str = "p-256", days: int = 30, *, common_name: bool = True
    ) -> Issued:
        """Issue a member's certificate for mutual TLS, good as client and as server.

        Negative `days` make one that has expired. Each call makes a key of its own. Without a
        common name the name is an alternative one alone, which etcd's gateway asks of clients.
        """
        return self._issue(
            (name, "127.0.0.1", "localhost"),
            generate_key(algorithm),
            ExtendedKeyUsageOID.SERVER_AUTH,
            ExtendedKeyUsageOID.CLIENT_AUTH,
            days=days,
            common_name=common_name,
        )

    def _self_sign(self, name: str) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        return (
            self._builder(subject, subject, self._key, 30)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(_key_usage(ca=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def _issue(
        self,
        names: tuple[str, ...],
        key: PrivateKey,
        *usages: x509.ObjectIdentifier,
        days: int = 30,
        common_name: bool = True,
    ) -> Issued:
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, names[0])] if common_name else []
        subject = x509.Name(attributes)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            self._builder(subject, self.root.subject, key, days)
            .add_extension(x509.SubjectAlternativeName(map(_general_name, names)), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(authority, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return self._write(names[0], certificate, key)

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: PrivateKey, days: int
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        self._serial += 1
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(self._serial)
            .not_valid_before(now - datetime.timedelta(days=60))
            .not_valid_after(now + datetime.timedelta(days=days))
        )

    def _write(self, name: str, certificate: x509.Certificate, key: PrivateKey) -> Issued:
        stem = f"{name.replace('*', 'wildcard')}-{self._serial}"
        certificate_path = self._directory / f"{stem}.pem"
        certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_path = self._directory / f"{stem}.key"
        key_path.touch(0o600)
        key_path.write_bytes(pem(key))
        return Issued(certificate, key, certificate_path, key_path)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
