"""A token's transport keys, as the catalogue and the network carry them."""

from __future__ import annotations

import base64
import binascii
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from offload.catalogue.records import TransportKeys as PublishedKeys
from offload.cluster.failures import Invalid
from offload.token.base import ReplicatedToken, TransportKeys

RSA_BITS = 3072
_HPKE_SIZE = 32


def published(keys: TransportKeys) -> PublishedKeys:
    """As records have them."""
    hpke = None if keys.hpke is None else base64.b64encode(keys.hpke).decode()
    return PublishedKeys(rsa=base64.b64encode(keys.rsa).decode(), hpke=hpke)


def usable(keys: PublishedKeys) -> TransportKeys:
    """As tokens take them; raises Invalid for keys that nothing could be enclosed to."""
    try:
        raw = base64.b64decode(keys.rsa, validate=True)
        hpke = None if keys.hpke is None else base64.b64decode(keys.hpke, validate=True)
        public = load_der_public_key(raw)
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        raise Invalid("the transport keys are not readable: make the token anew") from None
    if not isinstance(public, rsa.RSAPublicKey) or public.key_size < RSA_BITS:
        raise Invalid(f"the transport key is no RSA key of {RSA_BITS} bits: make the token anew")
    if hpke is not None and len(hpke) != _HPKE_SIZE:
        raise Invalid("the HPKE key is no X25519 key: make the token anew")
    return TransportKeys(raw, hpke)


def token_kind(token: ReplicatedToken) -> Literal["software", "pkcs11"]:
    """The token's kind, as records have it."""
    return "pkcs11" if token.kind == "pkcs11" else "software"
