"""A side of a relay that does not take what waits for it."""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offload.frontend.relay import Relay


class Stall:
    """`left` is how many bytes waited when it was last looked at."""

    __slots__ = ("left", "relay", "side")

    def __init__(self, relay: Relay, side: asyncio.Transport) -> None:
        self.relay = relay
        self.side = side
        self.left = _waiting(side)

    def moved(self) -> int:
        """Bytes that the side has taken since it was last asked."""
        before, self.left = self.left, _waiting(self.side)
        return before - self.left


def _waiting(side: asyncio.Transport) -> int:
    """Bytes that the peer has not acknowledged, ours and the kernel's.

    The kernel alone holds megabytes, and takes more only when a third of them is gone: a slow
    reader would seem to be none.
    """
    size = side.get_write_buffer_size()
    connection = side.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            queued = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
            (count,) = struct.unpack("i", queued)
            size += count
    return size
