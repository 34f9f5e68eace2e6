"""Sockets bound before anything forks, so that a port in use is found at the start."""

import errno
import socket
import stat
from pathlib import Path

from offload.config import Address

_BACKLOG = 512


class ListenError(Exception):
    """The address cannot be bound; the text has the remedy."""


def listen(address: Address) -> socket.socket:
    """A listening socket, not blocking; a stale Unix socket is replaced. Raises ListenError."""
    try:
        listener = _bound(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        raise ListenError(f"cannot listen on {address}: {_reason(error)}") from error
    listener.setblocking(False)
    return listener


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the address is in use: end who uses it or choose another one"
    if error.errno == errno.EACCES:
        return "permission denied: choose a port above 1023 or grant CAP_NET_BIND_SERVICE"
    return (error.strerror or str(error)).lower()


def _bound(address: Address) -> socket.socket:
    if address.path is not None:
        return _bound_path(address.path)
    family, kind, protocol, _, where = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
    except OSError:
        listener.close()
        raise
    return listener


def _bound_path(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_stale(path):
            path.unlink()
        listener.bind(str(path))
        path.chmod(0o660)
    except OSError:
        listener.close()
        raise
    return listener


def _is_stale(path: Path) -> bool:
    """Whether there is a socket at `path` on which nobody listens."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(str(path))
    except ConnectionRefusedError:
        return True
    except FileNotFoundError:
        return False
    return False
