"""The listening sockets, bound by the supervisor and handed to the serving processes.

Each serving process has a TCP socket of its own per address (SO_REUSEPORT), so that the kernel
spreads connections evenly and nobody wakes in vain. The supervisor keeps all of them open: a
restarted process takes over the same socket with the connections queued on it, which would be
reset if it were closed. A Unix socket has no SO_REUSEPORT and is shared by all.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from offload.config import Address, Listener

# A client that never sends its ClientHello is the handshake timeout's business; like nginx and
# HAProxy by default, we do without TCP_DEFER_ACCEPT, which makes such clients invisible.
_UNIX_MODE = 0o660

_REMEDIES = {
    errno.EADDRINUSE: "stop the process that uses it, or choose another address",
    errno.EACCES: "choose a port above 1023, or grant CAP_NET_BIND_SERVICE; for a Unix socket, "
    "make its directory writable",
    errno.EPERM: "choose another address, or lift the restriction",
    errno.EADDRNOTAVAIL: "choose an address of this machine",
    errno.EAFNOSUPPORT: "choose an IPv4 address, or enable IPv6",
    errno.ENOENT: "create the directory of the socket",
}


class ListenError(Exception):
    """An address cannot be listened on; the text has the address, the reason and the remedy."""


class Bound(NamedTuple):
    """A listening socket and what is configured for it."""

    socket: socket.socket
    settings: Listener


class Listeners:
    """`count` sets of listening, non-blocking sockets, one set for each serving process."""

    def __init__(self) -> None:
        self._shared: list[socket.socket] = []
        self._places: tuple[list[int], list[int]] = [], []
        self._own: list[list[socket.socket]] = []
        self._paths: list[Path] = []
        self._backlog = 0

    @classmethod
    def bind(cls, addresses: Sequence[Address], count: int, backlog: int) -> Listeners:
        """Listen on every address, or on none: raises ListenError."""
        listeners = cls()
        listeners._backlog = backlog
        listeners._own = [[] for _ in range(count)]
        try:
            for place, address in enumerate(addresses):
                listeners._add(address)
                own, shared = listeners._places
                own += [place] * (len(listeners._own[0]) - len(own))
                shared += [place] * (len(listeners._shared) - len(shared))
        except BaseException:
            listeners.close()
            raise
        return listeners

    def of(self, index: int) -> list[socket.socket]:
        """The sockets that serving process `index` accepts from."""
        return [*self._own[index], *self._shared]

    def bound(self, index: int, listen: Sequence[Listener]) -> list[Bound]:
        """As `of`, each with its settings in `listen`: the addresses that were bound."""
        own, shared = self._places
        return [
            Bound(each, listen[place])
            for each, place in zip(self.of(index), [*own, *shared], strict=True)
        ]

    @property
    def names(self) -> list[str]:
        """The addresses as bound, with the port that the kernel chose for port 0."""
        return [_name(listener) for listener in self.of(0)]

    def keep(self, index: int | None) -> None:
        """Close all but the sockets of process `index` (None: all); for that process itself.

        A socket that stays open anywhere goes on queueing connections that nobody will accept.
        """
        for owner, own in enumerate(self._own):
            if owner != index:
                _close(own)
        if index is None:
            _close(self._shared)

    def pause(self, index: int) -> None:
        """Let the others take the connections meant for process `index`; resets those queued.

        The sockets keep their port; `listen`, in whichever process, puts them back to work.
        """
        for listener in self._own[index]:
            # Shutting a listener down takes it out of the SO_REUSEPORT group; it fails only when
            # the listener is paused already.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """Stop listening and remove Unix sockets from the file system; for the supervisor."""
        self.keep(None)
        for path in self._paths:
            path.unlink(missing_ok=True)
        self._paths.clear()

    def _add(self, address: Address) -> None:
        try:
            if address.path is not None:
                self._shared.append(_listen_unix(address.path, self._backlog))
                self._paths.append(address.path)
            else:
                self._add_tcp(address)
        except OSError as error:
            raise _listen_error(str(address), error) from error

    def _add_tcp(self, address: Address) -> None:
        failure: OSError | None = None
        bound = 0
        for family, sockaddr in _resolve(address.host, address.port):
            try:
                self._bind_group(family, sockaddr)
                bound += 1
            except OSError as error:
                # A name such as localhost may have an IPv6 address on a machine without IPv6.
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                failure = error
        if not bound and failure is not None:
            raise failure

    def _bind_group(self, family: socket.AddressFamily, sockaddr: tuple[str, int]) -> None:
        # Without SO_REUSEPORT the first bind fails if anyone else is listening there, a second
        # instance of ours included, which would otherwise take half of the connections unnoticed.
        with _tcp_socket(family) as guard:
            guard.bind(sockaddr)
            guard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            # A port that the kernel chose is given up by `pause` unless it is bound by number.
            port = guard.getsockname()[1]
            for own in self._own:
                listener = _tcp_socket(family)
                own.append(listener)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                listener.bind((sockaddr[0], port, *sockaddr[2:]))
                listener.listen(self._backlog)


def _resolve(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    pairs = [
        (family, (str(address[0]), int(address[1]), *address[2:])) for family, *_, address in found
    ]
    return list(dict.fromkeys(pairs))


def _tcp_socket(family: socket.AddressFamily) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setblocking(False)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        # So that [::] and 0.0.0.0 can both be listened on, and clients keep their own family.
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return listener


def _listen_unix(path: Path, backlog: int) -> socket.socket:
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.bind(str(path))
        path.chmod(_UNIX_MODE)
        listener.listen(backlog)
    except BaseException:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens on any more; raises OSError if somebody does."""
    if not path.exists() or not stat.S_ISSOCK(path.stat().st_mode):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _listen_error(name: str, error: OSError) -> ListenError:
    if isinstance(error, socket.gaierror):
        return ListenError(f"cannot listen on {name}: no such host; write an IP address")
    reason = (error.strerror or str(error)).lower()
    remedy = _REMEDIES.get(error.errno or 0, "choose another address")
    return ListenError(f"cannot listen on {name}: {reason}; {remedy}")


def _name(listener: socket.socket) -> str:
    if listener.family == socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    host, port, *_ = listener.getsockname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _close(listeners: list[socket.socket]) -> None:
    for listener in listeners:
        listener.close()
    listeners.clear()
