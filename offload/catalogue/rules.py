"""What all catalogues check before they ask their store, so that all refuse the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from offload.catalogue.base import (
    MAX_COMMIT,
    MAX_VALUE,
    MAX_WRITES,
    Delete,
    Put,
    Unchanged,
    Write,
)

_LAST = "\U0010ffff"
_BEFORE_SURROGATES = "\ud7ff"
_AFTER_SURROGATES = "\ue000"


def check_commit(writes: Sequence[Write], checks: Sequence[Unchanged]) -> None:
    """Raise ValueError for a commit that some store would refuse."""
    if len(writes) > MAX_WRITES or len(checks) > MAX_WRITES:
        raise ValueError(f"a commit has at most {MAX_WRITES} writes and as many checks")
    _check_keys([write.key for write in writes], "writes to")
    _check_keys([check.key for check in checks], "checks of")
    size = sum(map(_size, writes))
    if size > MAX_COMMIT:
        raise ValueError(f"a commit has at most {MAX_COMMIT} bytes, not {size}: make several")


def check_key(key: str) -> None:
    """Raise ValueError for what is no key."""
    if not key or "\0" in key:
        raise ValueError(f"{key!r} is no key: it is empty or has a NUL")
    key.encode()


def range_end(prefix: str) -> str:
    """The least text that is greater than all that begin with `prefix`; '' if there is none.

    The order is that of code points, which is also the order of UTF-8.
    """
    stem = prefix.rstrip(_LAST)
    if not stem:
        return ""
    last = stem[-1]
    return stem[:-1] + (_AFTER_SURROGATES if last == _BEFORE_SURROGATES else chr(ord(last) + 1))


def range_start(prefix: str, after: str) -> str:
    """The least text that is under `prefix` and, unless it is '', greater than `after`."""
    return max(prefix, after + "\0") if after else prefix


def _check_keys(keys: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for key in keys:
        check_key(key)
        if key in seen:
            raise ValueError(f"two {what} {key!r} in one commit")
        seen.add(key)


def _size(write: Write) -> int:
    match write:
        case Delete(key):
            return len(key.encode())
        case Put(key, value, _):
            if len(value) > MAX_VALUE:
                raise ValueError(f"{key} has {len(value)} bytes: at most {MAX_VALUE} are kept")
            return len(key.encode()) + len(value)
