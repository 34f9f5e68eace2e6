"""A certificate authority for one run: every certificate of the benchmark comes from it."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def generate(key: str) -> PrivateKey:
    """A new private key: "rsa-BITS" or "p-256"."""
    if key.startswith("rsa-"):
        return rsa.generate_private_key(65537, int(key.removeprefix("rsa-")))
    return ec.generate_private_key(ec.SECP256R1())


def write_key(path: Path, key: PrivateKey) -> Path:
    """Write a private key as PKCS#8 PEM, readable by its owner alone."""
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


class Authority:
    """A P-256 root that lives as long as the run."""

    def __init__(self, directory: Path) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("bench root")
        root = self._builder(self._name, self._key.public_key())
        root = root.add_extension(x509.BasicConstraints(True, 0), True)
        root = root.add_extension(_key_usage(authority=True), True)
        self.file = directory / "root.pem"
        self.file.write_bytes(self._sign(root).public_bytes(Encoding.PEM))

    def issue(self, path: Path, name: str, public_key: CertificatePublicKeyTypes) -> Path:
        """Write a leaf certificate for a name, localhost and 127.0.0.1, for either side of TLS."""
        names = [x509.DNSName(name), x509.DNSName("localhost")]
        addresses = [x509.IPAddress(ip_address("127.0.0.1"))]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        leaf = self._builder(_name(name), public_key)
        leaf = leaf.add_extension(x509.BasicConstraints(False, None), True)
        leaf = leaf.add_extension(_key_usage(authority=False), True)
        leaf = leaf.add_extension(x509.ExtendedKeyUsage(usages), False)
        leaf = leaf.add_extension(x509.SubjectAlternativeName([*names, *addresses]), False)
        path.write_bytes(self._sign(leaf).public_bytes(Encoding.PEM))
        return path

    def _builder(
        self, subject: x509.Name, public_key: CertificatePublicKeyTypes
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), False)
            .add_extension(authority, False)
        )

    def _sign(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        return builder.sign(self._key, hashes.SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
