"""Signals as data: a descriptor to wait on, and the signals that have come, read from it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType


class Signals:
    """Catches `numbers` from its making until `close`; one at a time in a process.

    Nothing happens in a handler, so no signal can come at a wrong moment; none is lost between a
    look and a wait either, because the wait ends when the descriptor has something to read.
    """

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._numbers = frozenset(numbers)
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._old_wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._old_handlers = {number: signal.signal(number, _ignore) for number in self._numbers}

    def fileno(self) -> int:
        """The descriptor that is readable when a signal has come."""
        return self._read

    def taken(self) -> list[signal.Signals]:
        """The signals that have come since the last call, in their order."""
        with suppress(BlockingIOError):
            return [signal.Signals(number) for number in os.read(self._read, 4096)]
        return []

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the signals waiting, so that a child forked within gets none by our handlers."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def disown(self) -> None:
        """In a forked child: let go of the supervisor's signals.

        TERM has its default effect until the child handles it. The others are ignored: a terminal
        sends INT and HUP to all processes alike, and what to do then is for the supervisor to say.
        """
        signal.set_wakeup_fd(-1)
        for number in self._numbers:
            default = number == signal.SIGTERM
            signal.signal(number, signal.SIG_DFL if default else signal.SIG_IGN)
        self._close_pipe()

    def close(self) -> None:
        """Restore what was before."""
        signal.set_wakeup_fd(self._old_wakeup)
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        self._close_pipe()

    def _close_pipe(self) -> None:
        os.close(self._read)
        os.close(self._write)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """What matters has been done by the wake-up descriptor."""
