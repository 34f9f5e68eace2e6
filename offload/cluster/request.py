"""Certification requests of newcomers, users and front-ends: what we take from them."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from offload.cluster.failures import Invalid
from offload.cluster.profile import subject
from offload.keys.algorithm import UnsupportedKey, algorithm_of

RequestedKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

MAX_REQUEST = 8192
"""Characters of a request in PEM; one of a P-256 key has 500."""

_KINDS = (ec.EllipticCurvePublicKey, rsa.RSAPublicKey, ed25519.Ed25519PublicKey)
_REMEDY = "make it with `openssl req -new` and a key on P-256"


def requested_key(request: str) -> RequestedKey:
    """The public key of a request (PEM, RFC 2986) and nothing else of it: names are ours to give.

    The request is signed with the private half: who asks has the key. Raises Invalid.
    """
    if len(request) > MAX_REQUEST:
        raise Invalid(f"a request of {len(request)} characters is too long: {_REMEDY}")
    try:
        parsed = x509.load_pem_x509_csr(request.encode())
        public = parsed.public_key()
        algorithm_of(public)
        proven = parsed.is_signature_valid
    except UnsupportedKey as error:
        raise Invalid(f"the request is for a key that cannot be served: {error}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise Invalid(f"this is no certification request in PEM: {_REMEDY}") from None
    if not isinstance(public, _KINDS):
        raise Invalid(f"the request is for another kind of key than EC, RSA or Ed25519: {_REMEDY}")
    if not proven:
        raise Invalid(f"the request is not signed with its own key: {_REMEDY}")
    return public


def requested_member_key(request: str) -> ec.EllipticCurvePublicKey:
    """As `requested_key`; members sign what they write to the catalogue with it: P-256."""
    public = requested_key(request)
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != "secp256r1":
        raise Invalid(f"the request is for another kind of key than P-256: {_REMEDY}")
    return public


def make_request(name: str, key: ec.EllipticCurvePrivateKey) -> str:
    """A request for the key's certificate, in PEM; `name` is for people only."""
    made = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject(name))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()
