"""What a worker signs for a front-end: TLS server handshakes, with keys granted, and nothing else.

The front-end is not trusted. So that a stolen one is no signing oracle, the worker builds what it
signs: in TLS 1.3 the front-end gives the transcript hash alone, in TLS 1.2 the worker parses the
key exchange. A client's CertificateVerify, a certificate or a token of some other protocol is
neither.
"""

from collections.abc import Mapping
from typing import Any

from offload.audit.batching import signature_fields
from offload.keys.scheme import SignatureScheme
from offload.wire.error import ErrorCode
from offload.wire.message import Decrypt, PlainSign, TlsSign, Unknown
from offload.wire.opcode import Opcode
from offload.worker.ecdh_params import is_ecdh_params
from offload.worker.order import Order, Refusal
from offload.worker.use import TLS_1_2, TLS_1_3, Use

# RFC 8446 4.4.3
SERVER_CONTEXT = b" " * 64 + b"TLS 1.3, server CertificateVerify\0"
# SHA-256 and SHA-384, the hashes of the TLS 1.3 cipher suites (RFC 8446 B.4).
_TRANSCRIPT_HASH_LENGTHS = (32, 48)
_RANDOM = 32
_RANDOMS = 2 * _RANDOM

_DIGEST_LENGTHS = {"sha256": 32, "sha384": 48, "sha512": 64}

# The opcodes on MD5, SHA-1 and SHA-224 are left out: no TLS that we speak signs with them.
_PLAIN_SCHEMES = {
    Opcode.RSA_SIGN_SHA256: SignatureScheme.RSA_PKCS1_SHA256,
    Opcode.RSA_SIGN_SHA384: SignatureScheme.RSA_PKCS1_SHA384,
    Opcode.RSA_SIGN_SHA512: SignatureScheme.RSA_PKCS1_SHA512,
    Opcode.RSA_PSS_SIGN_SHA256: SignatureScheme.RSA_PSS_RSAE_SHA256,
    Opcode.RSA_PSS_SIGN_SHA384: SignatureScheme.RSA_PSS_RSAE_SHA384,
    Opcode.RSA_PSS_SIGN_SHA512: SignatureScheme.RSA_PSS_RSAE_SHA512,
    Opcode.ECDSA_SIGN_SHA256: SignatureScheme.ECDSA_SECP256R1_SHA256,
    Opcode.ECDSA_SIGN_SHA384: SignatureScheme.ECDSA_SECP384R1_SHA384,
    Opcode.ECDSA_SIGN_SHA512: SignatureScheme.ECDSA_SECP521R1_SHA512,
    Opcode.ED25519_SIGN: SignatureScheme.ED25519,
}

Request = TlsSign | PlainSign | Decrypt | Unknown

# A front-end is not told whether a key that it may not use exists.
_UNKNOWN_KEY = Refusal(ErrorCode.KEY_NOT_FOUND, "unknown_key")
_BAD_SCHEME = Refusal(ErrorCode.FORMAT, "scheme")
_BAD_VERSION = Refusal(ErrorCode.FORMAT, "version")
_BAD_PAYLOAD = Refusal(ErrorCode.FORMAT, "payload")
_PLAIN_DIGEST = Refusal(ErrorCode.BAD_OPCODE, "plain_digest")
_DECRYPTION = Refusal(ErrorCode.BAD_OPCODE, "decryption")
_UNKNOWN_OPCODE = Refusal(ErrorCode.BAD_OPCODE, "opcode")


class Policy:
    """What one front-end may have signed.

    frontend: its name. uses: what may be done with each key, by SKI; the table may change.
    """

    __slots__ = ("_plain_digests", "frontend", "uses")

    def __init__(self, frontend: str, uses: Mapping[bytes, Use], *, plain_digests: bool) -> None:
        self.frontend = frontend
        self.uses = uses
        self._plain_digests = plain_digests

    def decide(self, request: Request) -> Order | Refusal:
        """What to sign for `request`, or why not."""
        if type(request) is TlsSign:
            return self._tls_sign(request)
        if type(request) is PlainSign:
            return self._plain_sign(request)
        return _DECRYPTION if type(request) is Decrypt else _UNKNOWN_OPCODE

    def _tls_sign(self, request: TlsSign) -> Order | Refusal:
        use = self.uses.get(request.ski)
        if use is None:
            return _UNKNOWN_KEY
        limits = use.limits
        if limits is not None and (refusal := limits.refuse(self.frontend, request.server_name)):
            return refusal
        scheme = use.legal.get((request.version, request.scheme))
        if scheme is None:
            return _BAD_SCHEME if request.version in (TLS_1_2, TLS_1_3) else _BAD_VERSION
        payload = request.payload
        if request.version == TLS_1_3:
            if len(payload) not in _TRANSCRIPT_HASH_LENGTHS:
                return _BAD_PAYLOAD
            payload = SERVER_CONTEXT + payload
        elif not _is_key_exchange(payload):
            return _BAD_PAYLOAD
        record = self._record(use, request, scheme) if use.audited else None
        return Order(request.ski, use.algorithm, scheme, payload, False, record)

    def _plain_sign(self, request: PlainSign) -> Order | Refusal:
        if not self._plain_digests:
            return _PLAIN_DIGEST
        scheme = _PLAIN_SCHEMES.get(Opcode(request.opcode))
        if scheme is None:
            return _UNKNOWN_OPCODE
        use = self.uses.get(request.ski)
        if use is None:
            return _UNKNOWN_KEY
        limits = use.limits
        if limits is not None and (refusal := limits.refuse(self.frontend, request.server_name)):
            return refusal
        if scheme not in use.legal.values():
            return _BAD_SCHEME
        if not _is_plain_payload(scheme, request.payload):
            return _BAD_PAYLOAD
        record = self._record(use, request, scheme) if use.audited else None
        prehashed = scheme.hash_name is not None
        return Order(request.ski, use.algorithm, scheme, request.payload, prehashed, record)

    def _record(
        self, use: Use, request: TlsSign | PlainSign, scheme: SignatureScheme
    ) -> Mapping[str, Any]:
        """What the audit log keeps of the signature, besides when."""
        fields = signature_fields(
            site=request.server_name,
            frontend=self.frontend,
            ski=request.ski,
            generation=use.audited,
            scheme=scheme.name.lower(),
        )
        return {**fields, **_handshake(request)}


def _handshake(request: TlsSign | PlainSign) -> Mapping[str, str]:
    """What identifies the handshake. TLS 1.3 shows a worker no more than the transcript's hash: the
    client random is what the front-end says there.
    """
    if type(request) is not TlsSign:
        return {"digest": request.payload.hex()}
    if request.version == TLS_1_2:
        return {"client_random": request.payload[:_RANDOM].hex()}
    told = {"client_random": request.client_random.hex()} if request.client_random else {}
    return {"transcript_hash": request.payload.hex(), **told}


def _is_key_exchange(payload: bytes) -> bool:
    """Whether it is what a TLS 1.2 server signs: both randoms and the ECDHE parameters."""
    return is_ecdh_params(payload[_RANDOMS:])


def _is_plain_payload(scheme: SignatureScheme, payload: bytes) -> bool:
    if scheme.hash_name is not None:
        return len(payload) == _DIGEST_LENGTHS[scheme.hash_name]
    # A scheme that hashes by itself shows what it signs, so that it can be held to TLS even here.
    if payload.startswith(SERVER_CONTEXT):
        return len(payload) - len(SERVER_CONTEXT) in _TRANSCRIPT_HASH_LENGTHS
    return _is_key_exchange(payload)
