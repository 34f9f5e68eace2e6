"""A scripted token: shows tests what was asked of it and answers what, and when, they say."""

import threading
from collections.abc import Iterable, Sequence

from offload.keys.algorithm import Algorithm
from offload.keys.record import KeyRecord
from offload.keys.scheme import SignatureScheme
from offload.token.base import KeyNotFound, TokenError


class FakeToken:
    """A `Token` without keys of its own: a signature is `b"signed:" + content`.

    `calls` has (ski, scheme, content) of every signature asked. While `hold()` is in force,
    signatures wait for `release()`; `fail_with(error)` makes all later ones raise.
    """

    def __init__(
        self, records: Iterable[KeyRecord] = (), in_process: Iterable[Algorithm] = ()
    ) -> None:
        self.in_process = frozenset(in_process)
        self.calls: list[tuple[bytes, SignatureScheme, bytes]] = []
        self.asked = threading.Event()
        self._records = {record.ski: record for record in records}
        self._free = threading.Event()
        self._free.set()
        self._error: Exception | None = None

    def hold(self) -> None:
        """Make signatures wait."""
        self._free.clear()

    def release(self) -> None:
        """Let those that wait go on."""
        self._free.set()

    def fail_with(self, error: Exception | None) -> None:
        """Raise `error` instead of signing; None ends it."""
        self._error = error

    def add(self, record: KeyRecord) -> None:
        """Hold another key."""
        self._records[record.ski] = record

    def keys(self) -> Sequence[KeyRecord]:
        return list(self._records.values())

    def sign(self, ski: bytes, scheme: SignatureScheme, content: bytes) -> bytes:
        self.calls.append((ski, scheme, content))
        self.asked.set()
        self._free.wait()
        if self._error is not None:
            raise self._error
        if ski not in self._records:
            raise KeyNotFound(f"no key {ski.hex()} in the token")
        return b"signed:" + content

    def sign_digest(self, ski: bytes, scheme: SignatureScheme, digest: bytes) -> bytes:
        return self.sign(ski, scheme, digest)

    def generate(self, label: str, algorithm: Algorithm) -> KeyRecord:
        raise TokenError(f"a fake token makes no {algorithm} key {label!r}: use add()")

    def reload(self) -> bool:
        return False

    def close(self) -> None:
        self._records.clear()
        self.release()
