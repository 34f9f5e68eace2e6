"""Which values were verified, told from one run to the next, so that none is verified twice.

Whether a signature is good depends on what was signed and on the key, on nothing else. So bytes
that were found good once, at the same path and under the same certificate, are good for ever; what
may change, whether the signer is a member still, is asked each time, and so is the version.
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256
from typing import Final

from offload.catalogue import paths

DIGEST: Final = 32
"""Bytes of a digest (SHA-256)."""

_PREFIXES: Final = (paths.KEYS, paths.LABELS, paths.HOLDINGS)


class Verified:
    """Digests by path, of what there is much of and what seldom changes; for any thread."""

    def __init__(self, known: Collection[bytes] = ()) -> None:
        """`known`: `digests` of an earlier run, from a file that nobody else can write."""
        self._known = frozenset(known)
        self._found: dict[str, bytes] = {}

    @property
    def digests(self) -> list[bytes]:
        """Of the value that was found good last at each path."""
        return list(self._found.values())

    def holds(self, path: str, value: bytes, certificate: bytes) -> bool:
        """Whether it was found good in an earlier run; certificate: the fingerprint (SHA-256) of
        the signer's. The value is JSON.
        """
        return path.startswith(_PREFIXES) and _digest(path, value, certificate) in self._known

    def add(self, path: str, value: bytes, certificate: bytes) -> None:
        """It was found good."""
        if path.startswith(_PREFIXES):
            self._found[path] = _digest(path, value, certificate)

    def forget(self) -> None:
        """Free the memory of the earlier run: everything was opened once."""
        self._known = frozenset()


def _digest(path: str, value: bytes, certificate: bytes) -> bytes:
    # JSON has no zero byte, so there is one way to take this apart.
    return sha256(certificate + path.encode() + b"\0" + value).digest()
