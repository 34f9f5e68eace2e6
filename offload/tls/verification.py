"""Which signatures are checked against the certificate's public key before a client sees them."""

from random import Random
from typing import Literal

from offload.keys.algorithm import Algorithm

_FIRST = 16
_DOUBTED = 4
_SHARE = 1 / 64
_RSA = frozenset((Algorithm.RSA_2048, Algorithm.RSA_3072, Algorithm.RSA_4096))


class Verification:
    """The rule by which a process picks the signatures that it checks.

    RSA always: the check is cheap, and one faulty CRT signature gives the key away to the client
    that gets it (Boneh, DeMillo, Lipton 1997). Others cost more to check than to make: "all", or
    "sample", a worker's first ones and then a random share.
    """

    __slots__ = ("_all", "_random", "_seen")

    def __init__(self, mode: Literal["sample", "all"], random: Random) -> None:
        self._all = mode == "all"
        self._random = random
        self._seen: dict[str, int] = {}

    def is_due(self, worker: str, algorithm: Algorithm) -> bool:
        """Whether the next signature of `worker` is to be checked; counts it as seen."""
        if self._all or algorithm in _RSA:
            return True
        seen = self._seen.get(worker, 0)
        if seen < _FIRST:
            self._seen[worker] = seen + 1
            return True
        return self._random.random() < _SHARE

    def doubt(self, worker: str) -> None:
        """Check a few of the next signatures of `worker`: a client said that one was wrong.

        Few, because anyone can say so, and each costs more to check than to make.
        """
        self._seen[worker] = min(self._seen.get(worker, 0), _FIRST - _DOUBTED)

    def distrust(self, worker: str) -> None:
        """Check the next signatures of `worker` again: one of its was wrong."""
        self._seen[worker] = 0
