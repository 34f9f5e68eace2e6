"""Keys in a directory, each file sealed under the token's passphrase.

The directory (0700) holds `token.json`, which says how the passphrase becomes the sealing key, a
file for each key, named by its subject key identifier, one for each generation of the cluster key,
and `transport.json`, the keys that others enclose to. The part of a file that can be read is bound
to the sealed part: a file whose label or algorithm was edited does not open.
"""

import hmac
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm

from offload.keys.algorithm import Algorithm, UnsupportedKey
from offload.keys.record import KeyRecord
from offload.keys.scheme import SignatureScheme
from offload.token import enclosing
from offload.token.base import (
    KeyNotFound,
    LabelTaken,
    NotExtractable,
    SchemeNotAllowed,
    TokenError,
    TokenNotFound,
    TransportKeys,
    WrappedKeyInvalid,
)
from offload.token.cluster_keys import ClusterKeys
from offload.token.enclosing import TransportSecrets
from offload.token.key_file import HeldKey, open_key, seal_key
from offload.token.label import check_label
from offload.token.private_key import PrivateKey, Sign
from offload.token.proof import identify, prove
from offload.token.sealed_file import open_file, seal_file
from offload.token.sealing import Cost, Sealer, encode, new_header, open_header
from offload.token.storage import (
    clear_remnants,
    erase,
    locked,
    make_private_directory,
    mark_changed,
    modified,
    names,
    read_private,
    require_private_directory,
    write_new,
)

_HEADER = "token.json"
_TRANSPORT = "transport.json"
_SUFFIX = ".key"
# A file that appears within this time of a scan may bear the same directory time stamp.
_TIMESTAMP_GRAIN = 1_000_000_000

_ALL = frozenset(Algorithm)


class SoftwareToken:
    """A `ReplicatedToken` in a directory; see the module."""

    def __init__(self, directory: Path, sealer: Sealer) -> None:
        """For `create` and `open`."""
        self._directory = directory
        self._sealer = sealer
        # Changed under the guard, read by other threads meanwhile: go through a list of it.
        self._held: dict[bytes, HeldKey] = {}
        self._labels: set[str] = set()
        self._cluster = ClusterKeys(directory, sealer)
        self._transport: TransportKeys | None = None
        self._scanned = 0
        self._cleared = 0
        self._closed = False
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

    @property
    def kind(self) -> str:
        return "software"

    @property
    def transport(self) -> TransportKeys:
        if self._transport is None:
            self._transport = self._secrets().public
        return self._transport

    def keys(self) -> Sequence[KeyRecord]:
        return sorted((held.record for held in list(self._held.values())), key=attrgetter("label"))

    def sign(self, ski: bytes, scheme: SignatureScheme, content: bytes) -> bytes:
        try:
            sign = self._held[ski].private.sign[scheme]
        except KeyError:
            raise self._cannot(ski, scheme) from None
        try:
            return sign(content)
        except ValueError as error:
            raise TokenError(f"signing failed: {error}") from error

    def sign_digest(self, ski: bytes, scheme: SignatureScheme, digest: bytes) -> bytes:
        sign: Sign
        try:
            sign = self._held[ski].private.sign_digest[scheme]
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
        return SchemeNotAllowed(f"a {held.record.algorithm} key does not sign with {scheme:#06x}")

    def generate(self, label: str, algorithm: Algorithm, *, extractable: bool = True) -> KeyRecord:
        check_label(label)
        key = PrivateKey.generate(algorithm)
        with self._changing():
            self._require_free(label)
            return self._add(label, key, extractable)

    def destroy(self, ski: bytes) -> None:
        with self._changing():
            label = self._get(ski).record.label
            erase(self._directory, _file_name(ski))
            with self._guard:
                self._held.pop(ski, None)
                self._labels.discard(label)

    def wrap(self, ski: bytes, generation: int) -> bytes:
        return enclosing.wrap(self._cluster_key(generation), self._leaving(ski))

    def unwrap(self, label: str, public_key: bytes, wrapped: bytes, generation: int) -> KeyRecord:
        key = self._cluster_key(generation)
        return self._take_in(label, public_key, lambda: enclosing.unwrap_pkcs8(key, wrapped))

    def export(self, ski: bytes, recipient: bytes) -> bytes:
        return enclosing.enclose(self._leaving(ski), recipient)

    def import_enclosed(self, label: str, public_key: bytes, enclosed: bytes) -> KeyRecord:
        opened = self._secrets().open
        return self._take_in(label, public_key, lambda: opened(enclosed), strange=True)

    def cluster_keys(self) -> frozenset[int]:
        return self._cluster.generations()

    def generate_cluster_key(self, generation: int) -> None:
        with self._changing():
            self._cluster.add(generation, os.urandom(enclosing.AES_KEY))

    def enclose_cluster_key(self, generation: int, recipient: TransportKeys) -> bytes:
        key = self._cluster_key(generation)
        return enclosing.enclose_cluster_key(key, generation, recipient)

    def accept_cluster_key(self, generation: int, enclosed: bytes) -> None:
        key = self._secrets().open_cluster_key(enclosed, generation)
        with self._changing():
            if generation not in self._cluster.generations():
                self._cluster.add(generation, key)
            elif not hmac.compare_digest(key, self._cluster.get(generation)):
                raise WrappedKeyInvalid(f"another cluster key of generation {generation} is held")

    def destroy_cluster_key(self, generation: int) -> None:
        with self._changing():
            self._cluster.remove(generation)

    def reload(self) -> bool:
        """See Token; looks at the files only if the directory changed."""
        with self._guard:
            changed = modified(self._directory)
            if changed == self._scanned or self._closed:
                return False
            grain = datetime.now(UTC).timestamp() * 1e9 - _TIMESTAMP_GRAIN
            held = self._scan()
            self._scanned = changed if changed < grain else 0
            differs = held.keys() != self._held.keys()
            self._held, self._labels = held, {each.record.label for each in held.values()}
            return differs

    def close(self) -> None:
        self._closed = True
        self._held = {}

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Alone in the directory, with all keys seen; afterwards nothing new needs a look."""
        self._require_open()
        with locked(self._directory):
            # Nobody was here since our own last change, so nobody crashed here: thousands of names
            # need no look then.
            if not self._cleared or modified(self._directory) != self._cleared:
                clear_remnants(self._directory)
            self.reload()
            yield
            with self._guard:
                self._scanned = self._cleared = mark_changed(self._directory)

    def _require_open(self) -> None:
        if self._closed:
            raise TokenError("the token is closed: open it again")

    def _get(self, ski: bytes) -> HeldKey:
        try:
            return self._held[ski]
        except KeyError:
            raise KeyNotFound(f"no key {ski.hex()} in the token") from None

    def _leaving(self, ski: bytes) -> bytes:
        """The PKCS #8 key, if it may leave."""
        held = self._get(ski)
        if not held.extractable:
            raise NotExtractable(
                f"key {held.record.label!r} was made never to leave this token: make another one"
            )
        return held.encoded()

    def _take_in(
        self, label: str, public_key: bytes, opened: Callable[[], bytes], *, strange: bool = False
    ) -> KeyRecord:
        check_label(label)
        algorithm, ski = identify(public_key)
        if ski in self._held:
            return self._get(ski).record
        key = _proven(public_key, algorithm, opened(), strange)
        with self._changing():
            if ski in self._held:
                return self._held[ski].record
            self._require_free(label)
            return self._add(label, key, extractable=True)

    def _require_free(self, label: str) -> None:
        if label in self._labels:
            raise LabelTaken(f"there is a key {label!r} already: choose another label")

    def _add(self, label: str, key: PrivateKey, extractable: bool) -> KeyRecord:
        record = _record(label, key)
        content = seal_key(record, key, extractable, self._sealer)
        write_new(self._directory, _file_name(record.ski), content)
        held = open_key(content, self._sealer, record.label, key)
        with self._guard:
            self._held[record.ski] = held
            self._labels.add(label)
        return record

    def _cluster_key(self, generation: int) -> bytes:
        self._require_open()
        return self._cluster.get(generation)

    def _secrets(self) -> TransportSecrets:
        """The transport keys; they are made when they are first asked for."""
        self._require_open()
        try:
            return self._read_secrets()
        except TokenNotFound:
            with self._changing():
                if not (self._directory / _TRANSPORT).exists():
                    self._write_secrets(TransportSecrets.generate())
                return self._read_secrets()

    def _read_secrets(self) -> TransportSecrets:
        path = self._directory / _TRANSPORT
        try:
            _, secret = open_file(read_private(path), self._sealer)
            return TransportSecrets.load(secret.reveal())
        except (ValueError, KeyError, TypeError) as error:
            raise TokenError(f"{path} is damaged: restore it from a backup") from error

    def _write_secrets(self, secrets: TransportSecrets) -> None:
        public = {
            "format": 1,
            "rsa": encode(secrets.public.rsa),
            "hpke": encode(secrets.public.hpke or b""),
        }
        content = seal_file(public, secrets.encode(), self._sealer)
        write_new(self._directory, _TRANSPORT, content)

    def _scan(self) -> dict[bytes, HeldKey]:
        held: dict[bytes, HeldKey] = {}
        for name in names(self._directory):
            if name.endswith(_SUFFIX):
                ski = _ski_of(self._directory, name)
                # Thousands are held already: their paths are not even made.
                key = self._held.get(ski) or _read_key(self._directory / name, ski, self._sealer)
                if key is not None:
                    held[ski] = key
        return held


def _proven(public_key: bytes, algorithm: Algorithm, encoded: bytes, strange: bool) -> PrivateKey:
    try:
        key = PrivateKey.load(encoded, strange=strange)
    except (ValueError, UnsupportedAlgorithm, UnsupportedKey):
        # What the library says of a damaged key may hold some of it.
        raise WrappedKeyInvalid("what was wrapped is no private key") from None
    if (key.algorithm, key.public_key) != (algorithm, public_key):
        raise WrappedKeyInvalid("the private key is not the one of the public key")
    prove(public_key, lambda scheme, content: key.sign[scheme](content))
    return key


def _record(label: str, key: PrivateKey) -> KeyRecord:
    created = datetime.now(UTC).replace(microsecond=0)
    return KeyRecord(key.ski, label, key.algorithm, key.public_key, created)


def _file_name(ski: bytes) -> str:
    return ski.hex() + _SUFFIX


def _ski_of(directory: Path, name: str) -> bytes:
    try:
        return bytes.fromhex(name.removesuffix(_SUFFIX))
    except ValueError as error:
        raise TokenError(
            f"{directory / name} is no key file of a token: move it elsewhere"
        ) from error


def _read_key(path: Path, ski: bytes, sealer: Sealer) -> HeldKey | None:
    """The key of a file; None if another process erased it meanwhile."""
    try:
        content = read_private(path)
    except TokenNotFound:
        return None
    held = open_key(content, sealer, path)
    if held.record.ski != ski:
        raise TokenError(f"{path} is not the key file that its name says: restore it from a backup")
    return held
