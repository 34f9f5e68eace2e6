"""One forked child: how it starts, tells that it is ready, is signalled and ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

from offload.frontend.signals import Signals
from offload.observe.log import get_logger

# prctl(2), from linux/prctl.h.
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

Entry = Callable[[int], int]
"""Given the descriptor to write one byte to when ready, returns its exit code."""


class Process:
    """A running child. `pidfd` is readable when it has ended, `ready_fd` when it has a message."""

    __slots__ = ("_ready_fd", "pid", "pidfd", "started")

    def __init__(self, pid: int, ready_fd: int, started: float) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.started = started
        self._ready_fd = ready_fd

    @classmethod
    def fork(
        cls, entry: Entry, signals: Signals, now: float, in_child: Callable[[], None]
    ) -> Process:
        """Start a child that runs `entry` after `in_child` has closed what it must not inherit.

        The child is killed when its parent dies. Raises OSError when there can be no more.
        """
        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        parent = os.getpid()
        _flush()
        try:
            with signals.held():
                pid = os.fork()
                if pid == 0:
                    os.close(read)
                    _run(entry, write, signals, parent, in_child)
        except OSError:
            os.close(read)
            raise
        finally:
            os.close(write)
        try:
            return cls(pid, read, now)
        except OSError:
            os.close(read)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise

    @property
    def ready_fd(self) -> int | None:
        """The descriptor to wait on for readiness; None once that is known."""
        return None if self._ready_fd < 0 else self._ready_fd

    def take_ready(self) -> bool:
        """Read the child's message; False if it closed its end without one."""
        message = os.read(self._ready_fd, 1)
        self._close_ready()
        return message != b""

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; harmless when it has ended."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def reap(self) -> int:
        """Wait for its end and return its exit code, negative for the signal that ended it."""
        _, status = os.waitpid(self.pid, 0)
        self.forget()
        return os.waitstatus_to_exitcode(status)

    def forget(self) -> None:
        """Close its descriptors."""
        os.close(self.pidfd)
        self._close_ready()

    def _close_ready(self) -> None:
        if self._ready_fd >= 0:
            os.close(self._ready_fd)
            self._ready_fd = -1


def _run(
    entry: Entry, ready_fd: int, signals: Signals, parent: int, in_child: Callable[[], None]
) -> None:
    """The child's whole life; never returns, whatever happens."""
    code = 1
    try:
        _die_with(parent)
        in_child()
        signals.disown()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        code = entry(ready_fd)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        get_logger("supervisor").exception("process failed", pid=os.getpid())
    finally:
        _flush()
        # The parent's exit handlers are not the child's to run.
        os._exit(code)


def _die_with(parent: int) -> None:
    if _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot tie the process to its supervisor")
    # The parent may have died before the call.
    if os.getppid() != parent:
        raise SystemExit(1)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
