"""Which worker lacks which key, learnt from its refusals."""

# A key that was added or granted must be found again soon; meanwhile each handshake for it would
# cost a useless round trip.
MEMORY_SECONDS = 10.0
CAPACITY = 4096


class Refusals:
    """Remembers for a while that a worker answered "key not found" for a key."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until: dict[tuple[bytes, str], float] = {}

    def __bool__(self) -> bool:
        return bool(self._until)

    def add(self, ski: bytes, worker: str, now: float) -> None:
        """`worker` has no key `ski`; the oldest memory goes when there are too many."""
        self._until.pop((ski, worker), None)
        if len(self._until) >= CAPACITY:
            del self._until[next(iter(self._until))]
        self._until[ski, worker] = now + MEMORY_SECONDS

    def lacks(self, ski: bytes, worker: str, now: float) -> bool:
        """Whether `worker` said of late that it lacks `ski`."""
        return self._until.get((ski, worker), now) > now

    def expire(self, now: float) -> None:
        """Forget what is too old; what was learnt first stands first."""
        while self._until:
            oldest = next(iter(self._until))
            if self._until[oldest] > now:
                break
            del self._until[oldest]
