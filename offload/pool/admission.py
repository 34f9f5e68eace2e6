"""Whether an operation can still be signed in time, or is better refused at once.

A handshake that is let in and fails at its deadline has cost a place in the queue, and its client
all that time; one that is refused costs nothing. So who would come too late is not let in.
"""

from typing import Final

# The rate is a measurement, and answers come in bursts: this much of the time left may be planned.
PLANNED: Final = 0.8
# A token that takes long does many at a time, and its rate is not known before there were many. So
# a backlog is believed only when something has waited for this part of an operation's time.
WAITED: Final = 0.2


def is_strained(oldest: float, now: float, time_to_live: float) -> bool:
    """Whether a worker has a backlog: `oldest` is when its longest waiting operation was sent."""
    return now - oldest > WAITED * time_to_live


def comes_too_late(expected: float, left: float) -> bool:
    """Whether an operation with `left` seconds to go is refused, if it will take that long."""
    return expected > PLANNED * left
