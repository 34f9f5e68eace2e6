"""A key of the software token and the file that it lives in.

The sealed part vouches for the readable one, so opening a token unseals each file once, to see
that it is whole, and neither keeps the private key nor derives the public key again: a private
key is unsealed for good by the first signature that it is asked for.
"""

from datetime import datetime
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm

from offload.keys.algorithm import Algorithm, UnsupportedKey
from offload.keys.record import KeyRecord
from offload.token.base import TokenError
from offload.token.private_key import PrivateKey
from offload.token.sealed_file import SealedSecret, open_file, seal_file
from offload.token.sealing import Sealer, decode, encode

_FORMAT = 1


class HeldKey:
    """One key: what everyone may know of it, and its private half, unsealed when it is used."""

    __slots__ = ("_key", "_secret", "extractable", "record")

    def __init__(
        self, record: KeyRecord, extractable: bool, secret: SealedSecret, key: PrivateKey | None
    ) -> None:
        self.record, self.extractable = record, extractable
        self._secret, self._key = secret, key

    @property
    def private(self) -> PrivateKey:
        """The private half; raises TokenError if the loaded OpenSSL cannot read it."""
        if self._key is None:
            try:
                self._key = PrivateKey.load(self._secret.reveal())
            except (ValueError, UnsupportedAlgorithm, UnsupportedKey) as error:
                raise TokenError(
                    f"the loaded OpenSSL reads no {self.record.algorithm} keys: use another build"
                ) from error
        return self._key

    def encoded(self) -> bytes:
        """PKCS #8 DER, not encrypted."""
        return self._secret.reveal()


def seal_key(record: KeyRecord, key: PrivateKey, extractable: bool, sealer: Sealer) -> bytes:
    """The content of a key's file."""
    public: dict[str, Any] = {
        "format": _FORMAT,
        "ski": record.ski.hex(),
        "label": record.label,
        "algorithm": str(record.algorithm),
        "public_key": encode(record.public_key),
        "created": record.created.isoformat(),
        "extractable": extractable,
    }
    return seal_file(public, key.encode(), sealer)


def open_key(
    content: bytes, sealer: Sealer, place: object, key: PrivateKey | None = None
) -> HeldKey:
    """The key of a file's content; `key`, if it is known already, spares the unsealing.

    Raises TokenError, which names `place`, if the file was altered.
    """
    try:
        public, secret = open_file(content, sealer)
        if key is None:
            secret.reveal()
        record = KeyRecord(
            ski=bytes.fromhex(public["ski"]),
            label=str(public["label"]),
            algorithm=Algorithm(public["algorithm"]),
            public_key=decode(public["public_key"]),
            created=datetime.fromisoformat(public["created"]),
        )
        # Files of before there were clusters do not say: nothing had been promised for them.
        extractable = bool(public.get("extractable", True))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TokenError(f"{place} is damaged: restore it from a backup") from error
    return HeldKey(record, extractable, secret, key)
