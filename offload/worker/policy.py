"""What a worker signs for a front-end: TLS server handshakes, with keys granted, and nothing else.

The front-end is not trusted. So that a stolen one is no signing oracle, the worker builds what it
signs: in TLS 1.3 the front-end gives the transcript hash alone, in TLS 1.2 the worker parses the
key exchange. A client's CertificateVerify, a certificate or a token of some other protocol is
neither.
"""

from collections.abc import Iterable
from typing import NamedTuple

from offload.keys.algorithm import Algorithm
from offload.keys.record import KeyRecord
from offload.keys.scheme import SignatureScheme
from offload.wire.error import ErrorCode
from offload.wire.message import Decrypt, PlainSign, TlsSign, Unknown
from offload.wire.opcode import Opcode
from offload.worker.ecdh_params import is_ecdh_params
from offload.worker.grant import Grant

TLS_1_2 = 0x0303
TLS_1_3 = 0x0304

# RFC 8446 4.4.3
SERVER_CONTEXT = b" " * 64 + b"TLS 1.3, server CertificateVerify\0"
# SHA-256 and SHA-384, the hashes of the TLS 1.3 cipher suites (RFC 8446 B.4).
_TRANSCRIPT_HASH_LENGTHS = (32, 48)
_RANDOMS = 64

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


class Order(NamedTuple):
    """One signature to make; `content` is a digest if `prehashed`, else the whole to-be-signed."""

    ski: bytes
    algorithm: Algorithm
    scheme: SignatureScheme
    content: bytes
    prehashed: bool


class Refusal(NamedTuple):
    """Why a request is not served: the code for its sender, the reason for our metrics."""

    code: ErrorCode
    reason: str


# A front-end is not told whether a key that it may not use exists.
_UNKNOWN_KEY = Refusal(ErrorCode.KEY_NOT_FOUND, "unknown_key")
_NOT_GRANTED = Refusal(ErrorCode.KEY_NOT_FOUND, "not_granted")
_BAD_SCHEME = Refusal(ErrorCode.FORMAT, "scheme")
_BAD_VERSION = Refusal(ErrorCode.FORMAT, "version")
_BAD_PAYLOAD = Refusal(ErrorCode.FORMAT, "payload")
_PLAIN_DIGEST = Refusal(ErrorCode.BAD_OPCODE, "plain_digest")
_DECRYPTION = Refusal(ErrorCode.BAD_OPCODE, "decryption")
_UNKNOWN_OPCODE = Refusal(ErrorCode.BAD_OPCODE, "opcode")


class Policy:
    """What one front-end may have signed, given the keys that the token holds now."""

    def __init__(self, grant: Grant, records: Iterable[KeyRecord], *, plain_digests: bool) -> None:
        records = tuple(records)
        self._held = frozenset(record.ski for record in records)
        self._granted = {record.ski: record for record in records if grant.covers(record)}
        self._plain_digests = plain_digests
        self._legal = {
            (record.ski, version, int(scheme)): (record.algorithm, scheme)
            for record in self._granted.values()
            for version, schemes in (
                (TLS_1_2, record.algorithm.schemes_tls12),
                (TLS_1_3, record.algorithm.schemes),
            )
            for scheme in schemes
        }

    def decide(self, request: Request) -> Order | Refusal:
        """What to sign for `request`, or why not."""
        if type(request) is TlsSign:
            return self._tls_sign(request)
        if type(request) is PlainSign:
            return self._plain_sign(request)
        return _DECRYPTION if type(request) is Decrypt else _UNKNOWN_OPCODE

    def _tls_sign(self, request: TlsSign) -> Order | Refusal:
        legal = self._legal.get((request.ski, request.version, request.scheme))
        if legal is None:
            return self._not_legal(request)
        payload = request.payload
        if request.version == TLS_1_3:
            if len(payload) not in _TRANSCRIPT_HASH_LENGTHS:
                return _BAD_PAYLOAD
            payload = SERVER_CONTEXT + payload
        elif not _is_key_exchange(payload):
            return _BAD_PAYLOAD
        return Order(request.ski, legal[0], legal[1], payload, False)

    def _not_legal(self, request: TlsSign) -> Refusal:
        if request.ski not in self._granted:
            return self._no_key(request.ski)
        return _BAD_SCHEME if request.version in (TLS_1_2, TLS_1_3) else _BAD_VERSION

    def _no_key(self, ski: bytes) -> Refusal:
        return _NOT_GRANTED if ski in self._held else _UNKNOWN_KEY

    def _plain_sign(self, request: PlainSign) -> Order | Refusal:
        if not self._plain_digests:
            return _PLAIN_DIGEST
        scheme = _PLAIN_SCHEMES.get(Opcode(request.opcode))
        if scheme is None:
            return _UNKNOWN_OPCODE
        record = self._granted.get(request.ski)
        if record is None:
            return self._no_key(request.ski)
        if scheme not in record.algorithm.schemes | record.algorithm.schemes_tls12:
            return _BAD_SCHEME
        if not _is_plain_payload(scheme, request.payload):
            return _BAD_PAYLOAD
        prehashed = scheme.hash_name is not None
        return Order(request.ski, record.algorithm, scheme, request.payload, prehashed)


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
