"""How long to wait before the next attempt to connect."""

from random import Random


class Backoff:
    """Delays in seconds that double from `first` to `limit`, each with half of it at random.

    The random half keeps many front-ends from coming back to a restarted worker at one moment.
    """

    def __init__(self, random: Random, first: float = 0.05, limit: float = 5.0) -> None:
        self._random = random
        self._first = first
        self._limit = limit
        self._next = first

    def next(self) -> float:
        """The delay before the next attempt, the last one having failed."""
        delay = self._next
        self._next = min(self._next * 2, self._limit)
        return delay * (0.5 + 0.5 * self._random.random())

    def reset(self) -> None:
        """An attempt succeeded and lasted: begin from the first delay again."""
        self._next = self._first
