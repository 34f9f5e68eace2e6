"""Which backend of a site gets the next connection: the one with the fewest, of this process.

Nouns: `Backend`, one destination with its count of connections; `Backends`, those of one site.
A connection's way: `choose` a backend, connect, and `release` it when the connection ends; when
the connect fails, `failed` instead, and `choose` again with the failed ones in `exclude`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from random import Random

from offload.config import Address


class Backend:
    """One destination, TCP (`host`, `port`) or a Unix socket (`path`), and its present state."""

    __slots__ = ("avoided_until", "connections", "host", "name", "path", "port")

    def __init__(self, destination: Address) -> None:
        self.host = destination.host
        self.port = destination.port
        self.path = None if destination.path is None else str(destination.path)
        self.name = str(destination)
        self.connections = 0
        self.avoided_until = float("-inf")

    def __repr__(self) -> str:
        return f"<Backend {self.name} connections={self.connections}>"


class Backends:
    """The backends of one site, chosen from by least connections with random tie-break.

    Counts belong to this process: with several processes each balances its own share. A backend
    that refused a connection is tried last for `avoidance` seconds: last rather than never,
    because when every backend has failed one of them may have come back.
    """

    __slots__ = ("_avoidance", "_backends", "_random")

    def __init__(
        self, destinations: Iterable[Address], random: Random, *, avoidance: float = 5.0
    ) -> None:
        self._backends = tuple(Backend(destination) for destination in destinations)
        self._random = random
        self._avoidance = avoidance

    def __len__(self) -> int:
        return len(self._backends)

    def __iter__(self) -> Iterator[Backend]:
        return iter(self._backends)

    def choose(self, now: float, exclude: Collection[Backend] = ()) -> Backend | None:
        """Count one more connection on the best backend outside `exclude` and return it.

        None when `exclude` holds them all. `now` is in monotonic seconds.
        """
        candidates = [backend for backend in self._backends if backend not in exclude]
        if not candidates:
            return None
        usable = [backend for backend in candidates if backend.avoided_until <= now]
        chosen = self._fewest(usable) if usable else self._longest_avoided(candidates)
        chosen.connections += 1
        return chosen

    def release(self, backend: Backend) -> None:
        """One connection of `backend` has ended. Raises ValueError if it had none."""
        if backend.connections == 0:
            raise ValueError(f"{backend.name} has no connection to release")
        backend.connections -= 1

    def failed(self, backend: Backend, now: float) -> None:
        """A connect to `backend` failed: release it, and try it last for a while."""
        self.release(backend)
        backend.avoided_until = now + self._avoidance

    def connected(self, backend: Backend) -> None:
        """A connect to `backend` succeeded: an earlier failure counts no more."""
        backend.avoided_until = float("-inf")

    def _fewest(self, backends: list[Backend]) -> Backend:
        if len(backends) == 1:
            return backends[0]
        fewest = min(backend.connections for backend in backends)
        tied = [backend for backend in backends if backend.connections == fewest]
        return tied[0] if len(tied) == 1 else self._random.choice(tied)

    def _longest_avoided(self, backends: list[Backend]) -> Backend:
        earliest = min(backend.avoided_until for backend in backends)
        return self._fewest([each for each in backends if each.avoided_until == earliest])
