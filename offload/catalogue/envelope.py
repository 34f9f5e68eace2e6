"""Values signed by the member that wrote them.

Who runs the store could otherwise grant a key to another front-end, wake a suspended key or invent
a member. What is signed includes the path, so that a value cannot be moved either.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection

import orjson
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from offload.catalogue.verified import Verified

_DOMAIN = b"offload catalogue 1\0"
_HASH = ec.ECDSA(hashes.SHA256())


class Untrusted(Exception):
    """A value that no present member signed for that path."""


class Signer:
    """Signs what the member `name` writes with the key of its identity (P-256)."""

    __slots__ = ("_key", "name")

    def __init__(self, name: str, key: ec.EllipticCurvePrivateKey) -> None:
        self.name, self._key = name, key

    def seal(self, path: str, body: bytes) -> bytes:
        """The value to put at `path`; `body` is UTF-8 text."""
        signature = self._key.sign(_signed(path, body), _HASH)
        envelope = {
            "by": self.name,
            "signature": base64.b64encode(signature).decode(),
            "body": body.decode(),
        }
        return json.dumps(envelope, separators=(",", ":")).encode()


class Verifier:
    """Opens values that present members of the cluster signed."""

    def __init__(
        self,
        authority: x509.Certificate,
        revoked: Collection[str] = (),
        verified: Verified | None = None,
    ) -> None:
        """`authority` issued the certificates of all members; it comes from a local file.

        revoked: see there, of an earlier run; verified: what need not be verified again.
        """
        self._authority = authority
        self._revoked = set(revoked)
        self._verified = verified
        self._keys: dict[str, tuple[bytes, ec.EllipticCurvePublicKey]] = {}

    @property
    def revoked(self) -> frozenset[str]:
        """Certificates that were revoked: SHA-256 of DER, in hexadecimal."""
        return frozenset(self._revoked)

    def revoke(self, certificate: x509.Certificate) -> None:
        """Trust who has that certificate never again, whatever he says of himself.

        It is a removed member's, valid for years. Records of members vouch for each other, so one
        that it signed for itself would look like any other to who reads it for the first time.
        """
        identity = certificate.fingerprint(hashes.SHA256())
        self._revoked.add(identity.hex())
        for name in [name for name, known in self._keys.items() if known[0] == identity]:
            del self._keys[name]

    def admit(self, name: str, certificate: x509.Certificate) -> None:
        """Trust the member's signatures from now on; raises Untrusted."""
        identity = certificate.fingerprint(hashes.SHA256())
        if identity.hex() in self._revoked:
            raise Untrusted(f"the certificate of {name!r} is that of a member that was removed")
        known = self._keys.get(name)
        if known is not None and known[0] == identity:
            return
        self._keys[name] = identity, _member_key(self._authority, name, certificate)

    def dismiss(self, name: str) -> None:
        """Trust the member's signatures no longer."""
        self._keys.pop(name, None)

    def signer(self, value: bytes) -> str:
        """Who claims to have signed it; raises Untrusted."""
        return _parse(value)[0]

    def open(self, path: str, value: bytes) -> bytes:
        """The body of a value found at `path`; raises Untrusted."""
        return self.open_signed(path, value)[1]

    def open_signed(self, path: str, value: bytes) -> tuple[str, bytes]:
        """Who signed the value found at `path`, and its body; raises Untrusted."""
        name, signature, body = _parse(value)
        if name not in self._keys:
            raise Untrusted(f"{path} was written by {name!r}, which is no member")
        identity, key = self._keys[name]
        verified = self._verified
        if verified is None or not verified.holds(path, value, identity):
            try:
                key.verify(signature, _signed(path, body), _HASH)
            except InvalidSignature:
                raise Untrusted(f"{path} was not written by {name!r} as it stands") from None
        if verified is not None:
            verified.add(path, value, identity)
        return name, body


def _signed(path: str, body: bytes) -> bytes:
    return _DOMAIN + path.encode() + b"\0" + body


def _parse(value: bytes) -> tuple[str, bytes, bytes]:
    try:
        envelope = orjson.loads(value)
        text = str(envelope["signature"])
        signature = base64.b64decode(text, validate=True)
        if base64.b64encode(signature).decode() != text:
            raise ValueError("other characters for the same signature")
        return str(envelope["by"]), signature, str(envelope["body"]).encode()
    except (ValueError, KeyError, TypeError):
        raise Untrusted("a value that is not signed at all") from None


def _member_key(
    authority: x509.Certificate, name: str, certificate: x509.Certificate
) -> ec.EllipticCurvePublicKey:
    try:
        certificate.verify_directly_issued_by(authority)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        raise Untrusted(f"{name!r} has no certificate of this cluster") from None
    key = certificate.public_key()
    # Front-ends and users have certificates of the same authority, but not for this use.
    if (
        name not in names.value.get_values_for_type(x509.DNSName)
        or ExtendedKeyUsageOID.SERVER_AUTH not in usage.value
        or not isinstance(key, ec.EllipticCurvePublicKey)
    ):
        raise Untrusted(f"the certificate of {name!r} is not that of a worker of that name")
    return key
