"""Our algorithms and schemes in PKCS#11's terms: mechanisms, templates, encodings. No I/O."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)
from pkcs11.attributes import AttributeMapper
from pkcs11.constants import Attribute, MechanismFlag, ObjectClass
from pkcs11.mechanisms import MGF, KeyType, Mechanism

from offload.keys.algorithm import Algorithm
from offload.keys.scheme import SignatureScheme
from offload.token.base import SchemeNotAllowed

Template = dict[Attribute, Any]

OAEP = (Mechanism.SHA_1, MGF.SHA1, None)
"""The parameters of RSA-OAEP that every module has; `enclosing` says why SHA-1 does here."""

KEY_WRAPS = (Mechanism.AES_KEY_WRAP_KWP, Mechanism.AES_KEY_WRAP_PAD)
"""What may be RFC 5649, in order of preference: before PKCS#11 3.1 the second was called so."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How a module makes keys of an algorithm: RSA of `bits`, or on the curve `parameters`."""

    key_type: KeyType
    generate: Mechanism
    bits: int = 0
    parameters: bytes = b""


_CURVES: dict[Algorithm, ec.EllipticCurve] = {
    Algorithm.P_256: ec.SECP256R1(),
    Algorithm.P_384: ec.SECP384R1(),
    Algorithm.P_521: ec.SECP521R1(),
}

# CKA_EC_PARAMS: the curve's object identifier in DER (RFC 5480 2.1.1.1, RFC 8410 3).
_EC = (KeyType.EC, Mechanism.EC_KEY_PAIR_GEN, 0)
_RSA = (KeyType.RSA, Mechanism.RSA_PKCS_KEY_PAIR_GEN)
KINDS: Mapping[Algorithm, Kind] = {
    Algorithm.RSA_2048: Kind(*_RSA, 2048),
    Algorithm.RSA_3072: Kind(*_RSA, 3072),
    Algorithm.RSA_4096: Kind(*_RSA, 4096),
    Algorithm.P_256: Kind(*_EC, bytes.fromhex("06082a8648ce3d030107")),
    Algorithm.P_384: Kind(*_EC, bytes.fromhex("06052b81040022")),
    Algorithm.P_521: Kind(*_EC, bytes.fromhex("06052b81040023")),
    Algorithm.ED25519: Kind(
        KeyType.EC_EDWARDS, Mechanism.EC_EDWARDS_KEY_PAIR_GEN, 0, bytes.fromhex("06032b6570")
    ),
}

# PKCS#11 3.0 2.3.5 also lets a module name the curve in words.
_EDWARDS_NAME = b"\x13\x0cedwards25519"

_HASHES: dict[str, tuple[Mechanism, MGF, bytes]] = {
    # The DigestInfo that RSASSA-PKCS1-v1_5 puts before a digest (RFC 8017 9.2, note 1).
    "sha256": (
        Mechanism.SHA256,
        MGF.SHA256,
        bytes.fromhex("3031300d060960864801650304020105000420"),
    ),
    "sha384": (
        Mechanism.SHA384,
        MGF.SHA384,
        bytes.fromhex("3041300d060960864801650304020205000430"),
    ),
    "sha512": (
        Mechanism.SHA512,
        MGF.SHA512,
        bytes.fromhex("3051300d060960864801650304020305000440"),
    ),
}


def kind_of(algorithm: Algorithm) -> Kind:
    """Raises SchemeNotAllowed for what no module is asked for."""
    try:
        return KINDS[algorithm]
    except KeyError:
        known = ", ".join(KINDS)
        raise SchemeNotAllowed(
            f"a PKCS#11 token holds no {algorithm} keys: use one of {known}, or a software token"
        ) from None


@dataclass(frozen=True, slots=True)
class Signing:
    """One call of C_Sign: what goes in, and by which mechanism."""

    mechanism: Mechanism
    parameters: Any
    data: bytes
    curve: ec.EllipticCurve | None = None

    def encoded(self, signature: bytes) -> bytes:
        """What the module made, as TLS carries it: ECDSA's r and s in DER (RFC 8446 4.2.3)."""
        if self.curve is None:
            return signature
        half = len(signature) // 2
        r, s = signature[:half], signature[half:]
        return encode_dss_signature(int.from_bytes(r), int.from_bytes(s))


def signing(algorithm: Algorithm, scheme: SignatureScheme, content: bytes) -> Signing:
    """How to sign `content`, the whole to-be-signed; raises SchemeNotAllowed."""
    _check(algorithm, scheme)
    if scheme.hash_name is None:
        return Signing(Mechanism.EDDSA, None, content)
    # Only the digest goes to the HSM: what is hashed is no secret, and it may be far away.
    return _of_digest(algorithm, scheme, hashlib.new(scheme.hash_name, content).digest())


def signing_digest(algorithm: Algorithm, scheme: SignatureScheme, digest: bytes) -> Signing:
    """How to sign a digest; raises SchemeNotAllowed."""
    _check(algorithm, scheme)
    if len(digest) != scheme.digest_length:
        raise SchemeNotAllowed(f"{scheme:#06x} takes no digest of {len(digest)} bytes")
    return _of_digest(algorithm, scheme, digest)


def _check(algorithm: Algorithm, scheme: SignatureScheme) -> None:
    if scheme not in algorithm.schemes | algorithm.schemes_tls12 or algorithm not in KINDS:
        raise SchemeNotAllowed(f"a {algorithm} key does not sign with {scheme:#06x}")


def _of_digest(algorithm: Algorithm, scheme: SignatureScheme, digest: bytes) -> Signing:
    mechanism, mask, prefix = _HASHES[scheme.hash_name or ""]
    if scheme.padding == "pss":
        return Signing(Mechanism.RSA_PKCS_PSS, (mechanism, mask, len(digest)), digest)
    if scheme.padding == "pkcs1":
        return Signing(Mechanism.RSA_PKCS, None, prefix + digest)
    curve = _CURVES[algorithm]
    # A longer digest is cut to the curve's order (FIPS 186-5 6.4.1); not every module does it.
    return Signing(Mechanism.ECDSA, None, digest[: (curve.key_size + 7) // 8], curve)


def public_key_of(attributes: Mapping[Attribute, Any]) -> bytes | None:
    """The SPKI (DER) of a public key object's attributes; None if it is of no use to us."""
    key_type = attributes.get(Attribute.KEY_TYPE)
    try:
        if key_type == KeyType.RSA:
            modulus = int.from_bytes(attributes[Attribute.MODULUS])
            exponent = int.from_bytes(attributes[Attribute.PUBLIC_EXPONENT])
            return _spki(rsa.RSAPublicNumbers(exponent, modulus).public_key())
        if key_type in (KeyType.EC, KeyType.EC_EDWARDS):
            return _spki(_on_curve(attributes[Attribute.EC_PARAMS], attributes[Attribute.EC_POINT]))
    except (KeyError, ValueError):
        return None
    return None


def _on_curve(parameters: bytes, point: bytes) -> ec.EllipticCurvePublicKey | Any:
    if parameters in (KINDS[Algorithm.ED25519].parameters, _EDWARDS_NAME):
        return ed25519.Ed25519PublicKey.from_public_bytes(point[-32:])
    curve = next(curve for name, curve in _CURVES.items() if KINDS[name].parameters == parameters)
    # Encoded in DER by the standard, bare by some modules.
    size = 1 + 2 * ((curve.key_size + 7) // 8)
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, point[-size:])


def _spki(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def public_template(public_key: bytes) -> Template:
    """The attributes that say which public key (SPKI, DER; RSA, EC or Ed25519) it is."""
    key = load_der_public_key(public_key)
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {
            Attribute.KEY_TYPE: KeyType.RSA,
            Attribute.MODULUS: numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8),
            Attribute.PUBLIC_EXPONENT: numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8),
        }
    if isinstance(key, ec.EllipticCurvePublicKey):
        point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        name = next(each for each, curve in _CURVES.items() if curve.name == key.curve.name)
    else:
        assert isinstance(key, ed25519.Ed25519PublicKey)
        point = key.public_bytes_raw()
        name = Algorithm.ED25519
    return {
        Attribute.KEY_TYPE: KINDS[name].key_type,
        Attribute.EC_PARAMS: KINDS[name].parameters,
        Attribute.EC_POINT: _octet_string(point),
    }


def _octet_string(value: bytes) -> bytes:
    # At most 133 bytes: a length of one byte, or of two (X.690 8.1.3).
    length = bytes([len(value)]) if len(value) < 0x80 else bytes([0x81, len(value)])
    return b"\x04" + length + value


class Mapper(AttributeMapper):
    """What python-pkcs11 sends to a module, mended.

    Unwrapping a private key it sends every capability there is; modules refuse those that private
    keys do not have (encrypting, verifying, wrapping).
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_handler(Attribute.START_DATE, _pack_date, _unpack_date)

    def generic_key_template(
        self,
        base_template: Template,
        *,
        capabilities: MechanismFlag | int,
        id_: bytes | None,
        label: str | None,
        store: bool,
    ) -> Template:
        arguments: dict[str, Any] = {
            "capabilities": capabilities, "id_": id_, "label": label, "store": store
        }  # fmt: skip
        if base_template.get(Attribute.CLASS) != ObjectClass.PRIVATE_KEY:
            return super().generic_key_template(base_template, **arguments)
        return {**self.private_key_template(**arguments), **base_template}


def _pack_date(value: date) -> bytes:
    return value.strftime("%Y%m%d").encode()


def _unpack_date(value: bytes) -> date | None:
    try:
        return date.fromisoformat(value.decode())
    except ValueError:
        return None
