"""How many connections a process can bear: by number, by descriptors and by memory.

Sans-IO. Memory is reckoned, not measured: what a process has freed its allocator may keep, so that
a measure would not sink when connections end, and nobody would be let in again.
"""

from __future__ import annotations

import math

HANDSHAKE_BYTES = 40 * 1024
RELAY_BYTES = 40 * 1024
"""Of a relay with its backend's side, nothing buffered; measured: 24 KiB for the client's."""
STALLED_BYTES = 384 * 1024
"""More, of a relay with a side that does not read: a full buffer and one read beyond it."""
_RESERVED = 256
"""Descriptors for listeners, links to workers, files and pipes."""


def bearable(descriptors: int) -> int:
    """How many connections these descriptors are enough for: two for each, and some are others'."""
    return max(1, (descriptors - min(_RESERVED, descriptors // 4)) // 2)


class Capacity:
    """The bounds of one process; 0 for no bound. `memory` is in bytes."""

    def __init__(self, connections: int, memory: int) -> None:
        self.connections = connections
        self.memory = memory

    def room(self, handshakes: int, relays: int, stalled: int) -> int:
        """How many more connections can be borne; negative when there are too many."""
        room = self.connections - handshakes - relays if self.connections else 1 << 30
        if self.memory:
            used = handshakes * HANDSHAKE_BYTES + relays * RELAY_BYTES + stalled * STALLED_BYTES
            room = min(room, math.floor((self.memory - used) / RELAY_BYTES))
        return room

    @property
    def step(self) -> int:
        """How many are let go of at once when it is full, and let in again together."""
        return max(1, min(64, self.connections // 64)) if self.connections else 16
