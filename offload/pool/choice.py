"""Which worker gets an operation: a pure function over the state of the workers.

The worker with the least expected completion time: its outstanding work and this operation's,
over the rate at which it is seen to complete work, and for a worker in another zone the round
trip there. So the own zone's workers come first, and a further one gets what they could not do
sooner. A worker's capacity is its rate until one is measured (`rate`). Who must not be asked
(tried already, excluded by the caller) arrives as `excluded`; who is ejected, or whose turn it is
not while it comes back, is no candidate (`Pool`). A large pool would hand over two random ones.
"""

from collections.abc import Container, Sequence
from math import inf
from random import Random
from typing import Protocol, TypeVar


class Candidate(Protocol):
    """What the choice looks at: work in units of cost (CPU-µs), `rate` in cost per second,
    `distance` in seconds.
    """

    @property
    def name(self) -> str: ...

    @property
    def outstanding(self) -> float: ...

    @property
    def rate(self) -> float: ...

    @property
    def distance(self) -> float: ...


C = TypeVar("C", bound=Candidate)


def choose(
    candidates: Sequence[C], cost: float, excluded: Container[str], random: Random
) -> C | None:
    """The candidate that will be done first, any of several equal ones; None if none is left."""
    best: C | None = None
    least = inf
    equals = 1
    for candidate in candidates:
        if candidate.name in excluded:
            continue
        expected = (candidate.outstanding + cost) / candidate.rate + candidate.distance
        if expected < least:
            best, least, equals = candidate, expected, 1
        elif expected == least:
            equals += 1
            # The n-th of equals replaces with chance 1/n: each is as likely in the end.
            if random.random() * equals < 1:
                best = candidate
    return best
