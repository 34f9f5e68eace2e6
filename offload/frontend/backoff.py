"""When a process that has died is started again."""

from __future__ import annotations


class Backoff:
    """At once after a long life; after ever longer pauses when it keeps dying young.

    `stable`, `first` and `longest` are in seconds: a life of `stable` counts as long, `first` is
    the pause after the second early death, doubled with each further one up to `longest`.
    """

    __slots__ = ("_early", "_first", "_longest", "_stable")

    def __init__(self, *, stable: float = 5.0, first: float = 0.25, longest: float = 15.0) -> None:
        self._stable = stable
        self._first = first
        self._longest = longest
        self._early = 0

    def died(self, lived: float) -> float:
        """Note a death after `lived` seconds; return the pause before the next start (seconds)."""
        if lived >= self._stable:
            self._early = 0
            return 0.0
        self._early += 1
        if self._early == 1:
            return 0.0
        # The exponent is bounded so that a process dying for weeks does not overflow a float.
        return min(self._longest, self._first * 2.0 ** min(self._early - 2, 32))
