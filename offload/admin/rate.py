"""How often something may be done: a bucket that fills up with time (no I/O)."""

from __future__ import annotations


class Bucket:
    """Holds `size` at most, and gets `rate` more each second; it begins full."""

    __slots__ = ("_content", "_rate", "_seen", "_size")

    def __init__(self, size: float, rate: float, now: float) -> None:
        self._size, self._rate = size, rate
        self._content, self._seen = size, now

    def take(self, now: float) -> float:
        """Take one out and return 0, or return the seconds until there is one to take."""
        self._content = min(self._size, self._content + (now - self._seen) * self._rate)
        self._seen = now
        if self._content < 1:
            return (1 - self._content) / self._rate
        self._content -= 1
        return 0.0
