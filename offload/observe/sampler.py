"""Keeps a message that may come thousands of times a second from flooding the log."""

from collections import OrderedDict


class Sampler:
    """Admits each key once per `interval` seconds and counts what it held back.

    At most `capacity` keys are remembered; the one that was admitted longest ago goes first.
    """

    def __init__(self, interval: float = 1.0, capacity: int = 1024) -> None:
        self._interval = interval
        self._capacity = capacity
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def admit(self, key: str, now: float) -> int | None:
        """Return how many of `key` were held back since the last one admitted, None to hold back.

        `now` is monotonic, in seconds.
        """
        last, held = self._seen.get(key, (None, 0))
        if last is not None and now - last < self._interval:
            self._seen[key] = (last, held + 1)
            return None
        self._seen[key] = (now, 0)
        self._seen.move_to_end(key)
        if len(self._seen) > self._capacity:
            self._seen.popitem(last=False)
        return held
