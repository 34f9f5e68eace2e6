"""Keys in a directory, each file sealed under the token's passphrase.

The directory (0700) holds `token.json`, which says how the passphrase becomes the sealing key, and
a file for each key, named by its subject key identifier. The part of a key file that can be read
is bound to the sealed part: a file whose label or algorithm was edited does not open.
"""

import json
import re
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm

from offload.keys.algorithm import Algorithm, UnsupportedKey
from offload.keys.record import KeyRecord
from offload.keys.scheme import SignatureScheme
from offload.token.base import (
    KeyNotFound,
    LabelTaken,
    SchemeNotAllowed,
    TokenError,
    TokenNotFound,
)
from offload.token.private_key import PrivateKey, Sign
from offload.token.sealing import Cost, Sealer, decode, encode, new_header, open_header
from offload.token.storage import (
    locked,
    make_private_directory,
    modified,
    read_private,
    require_private_directory,
    write_new,
)

_HEADER = "token.json"
_SUFFIX = ".key"
_FORMAT = 1
# A file that appears within this time of a scan may bear the same directory time stamp.
_TIMESTAMP_GRAIN = 1_000_000_000

_ALL = frozenset(Algorithm)

_Held = tuple[KeyRecord, PrivateKey]


class SoftwareToken:
    """A `Token` in a directory; see the module."""

    def __init__(self, directory: Path, sealer: Sealer) -> None:
        """For `create` and `open`."""
        self._directory = directory
        self._sealer = sealer
        self._held: dict[bytes, _Held] = {}
        self._scanned = 0
        self._guard = threading.Lock()
        self.reload()

    @classmethod
    def create(
        cls, directory: Path, passphrase: bytes, cost: Cost | None = None
    ) -> "SoftwareToken":
        """Make an empty token; `cost` is for tests. Raises TokenError if there is one already."""
        make_private_directory(directory)
        header, sealer = new_header(passphrase, cost or Cost())
        try:
            write_new(directory, _HEADER, header)
        except FileExistsError as error:
            raise TokenError(f"{directory} holds a token already: choose another one") from error
        return cls(directory, sealer)

    @classmethod
    def open(cls, directory: Path, passphrase: bytes) -> "SoftwareToken":
        """Open a token; raises TokenNotFound, TokenInsecure, WrongPassphrase, TokenError."""
        require_private_directory(directory)
        try:
            header = read_private(directory / _HEADER)
        except TokenNotFound as error:
            raise TokenNotFound(
                f"{directory} holds no token: create one there with `offload init`"
            ) from error
        return cls(directory, open_header(header, passphrase))

    def __repr__(self) -> str:
        return f"<SoftwareToken {self._directory} keys={len(self._held)}>"

    @property
    def in_process(self) -> frozenset[Algorithm]:
        return _ALL

    def keys(self) -> Sequence[KeyRecord]:
        return sorted((record for record, _ in self._held.values()), key=lambda key: key.label)

    def sign(self, ski: bytes, scheme: SignatureScheme, content: bytes) -> bytes:
        try:
            sign = self._held[ski][1].sign[scheme]
        except KeyError:
            raise self._cannot(ski, scheme) from None
        try:
            return sign(content)
        except ValueError as error:
            raise TokenError(f"signing failed: {error}") from error

    def sign_digest(self, ski: bytes, scheme: SignatureScheme, digest: bytes) -> bytes:
        sign: Sign
        try:
            sign = self._held[ski][1].sign_digest[scheme]
        except KeyError:
            raise self._cannot(ski, scheme) from None
        try:
            return sign(digest)
        except ValueError as error:
            raise SchemeNotAllowed(
                f"{scheme:#06x} takes no digest of {len(digest)} bytes"
            ) from error

    def _cannot(self, ski: bytes, scheme: int) -> TokenError:
        held = self._held.get(ski)
        if held is None:
            return KeyNotFound(f"no key {ski.hex()} in the token")
        return SchemeNotAllowed(f"a {held[0].algorithm} key does not sign with {scheme:#06x}")

    def generate(self, label: str, algorithm: Algorithm) -> KeyRecord:
        check_label(label)
        key = PrivateKey.generate(algorithm)
        with locked(self._directory):
            self.reload(always=True)
            if any(record.label == label for record, _ in self._held.values()):
                raise LabelTaken(f"there is a key {label!r} already: choose another label")
            record = _record(label, key)
            write_new(self._directory, _file_name(record.ski), _key_file(record, key, self._sealer))
            with self._guard:
                self._held = {**self._held, record.ski: (record, key)}
        return record

    def reload(self, *, always: bool = False) -> bool:
        """See Token; looks at the files only if the directory changed, unless `always`."""
        with self._guard:
            changed = modified(self._directory)
            if changed == self._scanned and not always:
                return False
            grain = datetime.now(UTC).timestamp() * 1e9 - _TIMESTAMP_GRAIN
            held = self._scan()
            self._scanned = changed if changed < grain else 0
            differs = held.keys() != self._held.keys()
            self._held = held
            return differs

    def _scan(self) -> dict[bytes, _Held]:
        held: dict[bytes, _Held] = {}
        for path in self._directory.glob(f"*{_SUFFIX}"):
            ski = _ski_of(path)
            known = self._held.get(ski)
            held[ski] = known or _open_key_file(path, ski, self._sealer)
        return held

    def close(self) -> None:
        self._held = {}


def check_label(label: str) -> None:
    """Raise TokenError for a label that could not be told from something else in a grant."""
    if not label or not label.isprintable():
        raise TokenError("a key's label needs printable characters: choose another one")
    if label == "*" or re.fullmatch("[0-9a-fA-F]{40}", label):
        raise TokenError(f"{label!r} means something else where keys are granted: choose another")


def _record(label: str, key: PrivateKey) -> KeyRecord:
    created = datetime.now(UTC).replace(microsecond=0)
    return KeyRecord(key.ski, label, key.algorithm, key.public_key, created)


def _file_name(ski: bytes) -> str:
    return ski.hex() + _SUFFIX


def _ski_of(path: Path) -> bytes:
    try:
        return bytes.fromhex(path.stem)
    except ValueError as error:
        raise TokenError(f"{path} is no key file of a token: move it elsewhere") from error


def _key_file(record: KeyRecord, key: PrivateKey, sealer: Sealer) -> bytes:
    public = _public_part(record)
    sealed = sealer.seal(key.encode(), _bound(public))
    return json.dumps({**public, "sealed": encode(sealed)}, indent=1).encode() + b"\n"


def _public_part(record: KeyRecord) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "ski": record.ski.hex(),
        "label": record.label,
        "algorithm": str(record.algorithm),
        "public_key": encode(record.public_key),
        "created": record.created.isoformat(),
    }


def _bound(public: dict[str, Any]) -> bytes:
    return json.dumps(public, sort_keys=True).encode()


def _open_key_file(path: Path, ski: bytes, sealer: Sealer) -> _Held:
    content = read_private(path)
    try:
        public: dict[str, Any] = json.loads(content)
        sealed = decode(public.pop("sealed"))
        key = PrivateKey.load(sealer.unseal(sealed, _bound(public)))
        record = KeyRecord(
            ski=bytes.fromhex(public["ski"]),
            label=str(public["label"]),
            algorithm=Algorithm(public["algorithm"]),
            public_key=decode(public["public_key"]),
            created=datetime.fromisoformat(public["created"]),
        )
    except (ValueError, KeyError, TypeError, UnsupportedAlgorithm, UnsupportedKey) as error:
        raise TokenError(f"{path} is damaged: restore it from a backup") from error
    if record.ski != ski or record.public_key != key.public_key:
        raise TokenError(f"{path} is not the key file that its name says: restore it from a backup")
    return record, key
