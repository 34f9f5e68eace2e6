"""Bytes of any length that are the same everywhere, never all in memory, and differ by place."""

import hashlib
import random
from collections.abc import Iterator

_BLOCK = 65536
_FILLING = random.Random(0).randbytes(_BLOCK - 8)


def blocks(size: int) -> Iterator[bytes]:
    """`size` bytes in pieces; each begins with its number, so that none can stand for another."""
    for number in range(-(-size // _BLOCK)):
        block = number.to_bytes(8, "big") + _FILLING
        yield block[: size - number * _BLOCK]


def digest(size: int) -> str:
    """SHA-256 of the first `size` bytes, in hex."""
    state = hashlib.sha256()
    for block in blocks(size):
        state.update(block)
    return state.hexdigest()
