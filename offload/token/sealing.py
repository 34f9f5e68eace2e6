"""Keys at rest: Argon2id (RFC 9106) derives a sealing key, AES-256-GCM seals under it."""

import base64
import binascii
import json
import os
from dataclasses import asdict, dataclass
from typing import Any, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from offload.token.base import TokenError, WrongPassphrase

_FORMAT = 1
_NONCE = 12
_SALT = 16
_VERIFIED = b"offload token"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one guess at the passphrase costs; the default is RFC 9106 4's for 64 MiB."""

    memory_kib: int = 65536
    iterations: int = 3
    lanes: int = 4

    def check(self) -> Self:
        """Raise TokenError outside the bounds that a start-up can afford."""
        if not (
            1 <= self.lanes <= 64
            and 1 <= self.iterations <= 64
            and 8 * self.lanes <= self.memory_kib <= 4 << 20
        ):
            raise TokenError("the token's header asks for an unreasonable key derivation")
        return self


class Sealer:
    """Seals and unseals under one key; holds it in memory and shows it to nobody."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        """`key` is 32 bytes."""
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, bound: bytes) -> bytes:
        """Nonce and ciphertext; `bound` is not kept but must be shown again to unseal."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, plain, bound)

    def unseal(self, sealed: bytes, bound: bytes) -> bytes:
        """Raises ValueError if `sealed` or `bound` differ in a bit from what was sealed."""
        if len(sealed) < _NONCE:
            raise ValueError("sealed content too short")
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], bound)
        except InvalidTag:
            raise ValueError("sealed content was altered") from None


def new_header(passphrase: bytes, cost: Cost) -> tuple[bytes, Sealer]:
    """A token's header file, with a salt of its own, and the sealer that it stands for."""
    salt = os.urandom(_SALT)
    sealer = _derive(passphrase, salt, cost.check())
    bound = _bound(salt, cost)
    header = {
        "format": _FORMAT,
        "kdf": "argon2id",
        "salt": encode(salt),
        **asdict(cost),
        "verifier": encode(sealer.seal(_VERIFIED, bound)),
    }
    return json.dumps(header, indent=1).encode() + b"\n", sealer


def open_header(header: bytes, passphrase: bytes) -> Sealer:
    """The sealer of a token; raises WrongPassphrase, or TokenError if the header is damaged."""
    salt, cost, verifier = _parse_header(header)
    sealer = _derive(passphrase, salt, cost)
    try:
        sealer.unseal(verifier, _bound(salt, cost))
    except ValueError:
        raise WrongPassphrase("wrong passphrase for the token: check the passphrase file") from None
    return sealer


def _parse_header(header: bytes) -> tuple[bytes, Cost, bytes]:
    try:
        fields: dict[str, Any] = json.loads(header)
        if fields["format"] != _FORMAT or fields["kdf"] != "argon2id":
            raise TokenError("the token was written by a newer version: upgrade this one")
        cost = Cost(int(fields["memory_kib"]), int(fields["iterations"]), int(fields["lanes"]))
        return decode(fields["salt"]), cost.check(), decode(fields["verifier"])
    except (ValueError, KeyError, TypeError) as error:
        raise TokenError("the token's header is damaged: restore it from a backup") from error


def _derive(passphrase: bytes, salt: bytes, cost: Cost) -> Sealer:
    try:
        derivation = Argon2id(
            salt=salt,
            length=32,
            iterations=cost.iterations,
            lanes=cost.lanes,
            memory_cost=cost.memory_kib,
        )
        return Sealer(derivation.derive(passphrase))
    except (ValueError, MemoryError) as error:
        raise TokenError(f"cannot derive the token's sealing key: {error}") from error


def _bound(salt: bytes, cost: Cost) -> bytes:
    return json.dumps([_FORMAT, salt.hex(), asdict(cost)], sort_keys=True).encode()


def encode(value: bytes) -> str:
    """Bytes as the token's files write them."""
    return base64.b64encode(value).decode()


def decode(text: str) -> bytes:
    """The bytes of `encode`; raises ValueError."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
