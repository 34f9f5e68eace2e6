"""Which front-end may use which keys."""

from collections.abc import Iterable, Iterator
from hashlib import sha256

from offload.config import FrontendGrant
from offload.keys.record import KeyRecord


class Grant:
    """What one front-end may use: keys by label, by SKI in hexadecimal, or "*" for all."""

    __slots__ = ("_all", "_names", "fingerprint", "name")

    def __init__(self, name: str, fingerprint: str, keys: Iterable[str]) -> None:
        """`fingerprint` is the SHA-256 of the front-end's DER certificate, in hexadecimal."""
        names = frozenset(keys)
        self.name = name
        self.fingerprint = fingerprint.lower()
        self._all = "*" in names
        # An SKI may be written in either case, a label only as it is.
        self._names = names | {key.lower() for key in names if _is_ski(key)}

    def covers(self, record: KeyRecord) -> bool:
        """Whether the front-end may use that key."""
        return self._all or record.label in self._names or record.ski.hex() in self._names


class Grants:
    """All grants, by the front-end's certificate."""

    def __init__(self, frontends: Iterable[FrontendGrant]) -> None:
        grants = (Grant(each.name, each.fingerprint, each.keys) for each in frontends)
        self._by_fingerprint = {grant.fingerprint: grant for grant in grants}

    def __iter__(self) -> Iterator[Grant]:
        return iter(self._by_fingerprint.values())

    def of(self, certificate: bytes) -> Grant | None:
        """The grant of whoever holds that certificate (DER), None for a stranger."""
        return self._by_fingerprint.get(sha256(certificate).hexdigest())


def _is_ski(key: str) -> bool:
    return len(key) == 40 and all(digit in "0123456789abcdefABCDEF" for digit in key)
