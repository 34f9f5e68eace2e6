"""Free TCP ports on the loopback address."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import SystemRandom

LOOPBACK = "127.0.0.1"

_FIRST = 10_000
_ATTEMPTS = 1_000
# Linux's own default, where it does not say.
_EPHEMERAL = 32_768


def free_ports(count: int) -> list[int]:
    """`count` different ports that nobody listened on a moment ago.

    None is of the range that the kernel takes ports of outgoing connections from: such a port
    would be somebody's before what it was chosen for listens on it.
    """
    found: list[int] = []
    with ExitStack() as stack:
        for port in _candidates():
            bound = stack.enter_context(socket.socket())
            try:
                bound.bind((LOOPBACK, port))
            except OSError:
                continue
            found.append(int(bound.getsockname()[1]))
            if len(found) == count:
                break
    return found


def _candidates() -> Iterator[int]:
    below = range(_FIRST, _first_ephemeral())
    if len(below) >= _ATTEMPTS:
        yield from SystemRandom().sample(below, _ATTEMPTS)
    while True:
        yield 0  # the kernel's choice


def _first_ephemeral() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        return _EPHEMERAL
