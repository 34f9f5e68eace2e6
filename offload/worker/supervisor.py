"""Keeps the worker's processes running and spreads the links over them.

The supervisor itself accepts each connection and hands it to the serving process with the fewest
links. Front-ends hold few links for a long time, so an even spread matters more than the cost of
accepting; the kernel's own spread (a shared socket or SO_REUSEPORT) is uneven for few.

It has neither event loop nor threads, so that it can fork again whenever a process dies.
"""

import os
import selectors
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from offload.observe import metrics, multiprocess
from offload.observe.log import get_logger
from offload.worker.board import Board, State
from offload.worker.hardening import end_with_parent, name_process
from offload.worker.serving import hand_over

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
# A process that died is brought back at most this often, in seconds.
_RESTART_SECONDS = 1.0
# What a process gets beyond its own drain before it is killed, in seconds.
_GRACE_SECONDS = 2.0
_TICK_SECONDS = 0.2

_log = get_logger(__name__)


@dataclass(slots=True)
class Child:
    """A process to keep running: its role, what it runs, and its id while it runs."""

    role: str
    run: Callable[[], None]
    pid: int = 0
    started: float = float("-inf")


class Supervisor:
    """Runs until TERM or INT and then until the processes have drained; see the module."""

    def __init__(
        self,
        listener: socket.socket,
        serve: Callable[[socket.socket, int], None],
        board: Board,
        *,
        processes: int,
        drain_timeout: float,
        admin: Callable[[], None] | None = None,
        manage: Callable[[], None] | None = None,
    ) -> None:
        """`serve(outlet, row)` is run in each serving process, `admin()` and `manage()` in one of
        their own each.
        """
        self._listener = listener
        self._board = board
        self._drain_timeout = drain_timeout
        self._intakes: list[socket.socket] = []
        self.outlets: list[socket.socket] = []
        self._handed = [0] * processes
        self._serving = [self._serving_child(serve, row) for row in range(processes)]
        self._admin = [Child("admin", admin)] if admin is not None else []
        self._manager = [Child("manager", manage)] if manage is not None else []
        self._stop_by: float | None = None
        self._received: list[int] = []

    @property
    def _children(self) -> list[Child]:
        return [*self._serving, *self._manager, *self._admin]

    def _serving_child(self, serve: Callable[[socket.socket, int], None], row: int) -> Child:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._intakes.append(ours)
        # Kept for the process that may follow this one: what was handed over meanwhile waits here.
        self.outlets.append(theirs)
        return Child("serving", lambda: serve(theirs, row))

    def run(self) -> int:
        """Supervise; returns the exit code."""
        with self._catching_signals() as woken, selectors.DefaultSelector() as self._selector:
            self._selector.register(woken, selectors.EVENT_READ)
            self._selector.register(self._listener, selectors.EVENT_READ)
            self._start_due(monotonic())
            while self._running() or self._stop_by is None:
                for key, _ in self._selector.select(_TICK_SECONDS):
                    if key.fileobj is self._listener:
                        self.accept()
                    else:
                        self._handle_signals(woken)
                self._reap()
                self._keep(monotonic())
        self.close()
        return 0

    def close(self) -> None:
        """Close what connections were handed over through."""
        for end in [*self._intakes, *self.outlets]:
            end.close()

    @contextmanager
    def _catching_signals(self) -> Iterator[socket.socket]:
        woken, waker = socket.socketpair()
        woken.setblocking(False)
        waker.setblocking(False)
        before = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        try:
            yield woken
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            woken.close()
            waker.close()

    # Links

    def accept(self) -> None:
        """Take one connection and hand it over."""
        try:
            connection, _ = self._listener.accept()
        except OSError:
            # The peer gave up, or descriptors ran out; either passes.
            return
        with connection:
            rows = sorted(range(len(self._intakes)), key=self._burden)
            for row in rows:
                if hand_over(self._intakes[row], connection):
                    self._handed[row] += 1
                    return

    def _burden(self, row: int) -> tuple[bool, int, int]:
        # Links that were handed over just now are not on the board yet, hence the last part.
        down = self._board.state(row) is not State.SERVING
        return down, self._board.links(row), self._handed[row]

    # Signals

    def _handle_signals(self, woken: socket.socket) -> None:
        for number in woken.recv(4096):
            if number == signal.SIGHUP:
                self._send(self._serving, signal.SIGHUP)
            elif number in (signal.SIGTERM, signal.SIGINT):
                self._stop()

    def _stop(self) -> None:
        if self._stop_by is not None:
            _log.warning("stopping now")
            self._send(self._children, signal.SIGKILL)
            return
        _log.info("draining", seconds=self._drain_timeout)
        self._stop_by = monotonic() + self._drain_timeout + _GRACE_SECONDS
        self._selector.unregister(self._listener)
        self._listener.close()
        for row in range(len(self._serving)):
            # The admin endpoint must call us not ready before the first link is closed.
            self._board.set_state(row, State.DRAINING)
        # First who says to the cluster that we are here.
        self._send(self._manager, signal.SIGTERM)
        self._send(self._serving, signal.SIGTERM)

    def _send(self, children: list[Child], number: signal.Signals) -> None:
        for child in children:
            if child.pid:
                os.kill(child.pid, number)

    # Processes

    def _running(self) -> bool:
        return any(child.pid for child in self._children)

    def _keep(self, now: float) -> None:
        """Bring back what died; when stopping, end what is left."""
        if self._stop_by is None:
            self._start_due(now)
        elif now > self._stop_by:
            self._send(self._children, signal.SIGKILL)
        elif not any(child.pid for child in [*self._serving, *self._manager]):
            self._send(self._admin, signal.SIGTERM)

    def _start_due(self, now: float) -> None:
        for child in self._children:
            if not child.pid and now - child.started >= _RESTART_SECONDS:
                child.started = now
                child.pid = self._fork(child)

    def _fork(self, child: Child) -> int:
        parent = os.getpid()
        # A signal between the fork and the child's own handlers must not run the supervisor's.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if pid == 0:
            self._become(child, parent)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        return pid

    def _become(self, child: Child, parent: int) -> None:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number in (signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            end_with_parent(parent, signal.SIGTERM)
            name_process(child.role)
            self._selector.close()
            self._listener.close()
            child.run()
            code = 0
        except BaseException:
            _log.exception("process failed", role=child.role)
        finally:
            # Nothing of the supervisor's may be unwound here, nor threads waited for.
            os._exit(code)

    def _reap(self) -> None:
        for child in self._children:
            if not child.pid or os.waitpid(child.pid, os.WNOHANG) == (0, 0):
                continue
            multiprocess.mark_dead(child.pid)
            child.pid = 0
            if child in self._serving:
                row = self._serving.index(child)
                self._board.clear(row)
            if self._stop_by is None:
                _log.error("process died", role=child.role)
                metrics.PROCESS_RESTARTS.labels(child.role).inc()
                metrics.flush()
