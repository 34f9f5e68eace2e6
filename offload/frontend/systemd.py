"""Telling systemd how the service is: sd_notify(3), without libsystemd."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> bool:
    """Send `state` ("READY=1", "STOPPING=1", ...) to the service manager.

    False if there is none, or if it does not listen: a service runs on without its manager.
    """
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return False
    # A leading "@" stands for the zero byte of Linux's abstract namespace.
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
            manager.sendto(state.encode(), address)
    except OSError:
        return False
    return True


def watchdog_interval() -> float | None:
    """How often, in seconds, to send "WATCHDOG=1"; None when the manager does not ask for it."""
    period = os.environ.get("WATCHDOG_USEC", "")
    owner = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not period.isdigit() or int(period) == 0 or owner != str(os.getpid()):
        return None
    # sd_watchdog_enabled(3) recommends half of the period.
    return int(period) / 1_000_000 / 2
