"""The processes of the demonstration: started together, ended together whatever happens."""

from __future__ import annotations

import ctypes
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from offload.cli.failure import Failure

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_INTERVAL = 0.05
_AGAIN = 5.0
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


@dataclass(frozen=True, slots=True)
class Child:
    """A process of ours, and the file that gets what it says. abrupt: it is killed at the end."""

    name: str
    process: subprocess.Popen[bytes]
    descriptor: int
    log: Path
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    abrupt: bool = False

    @property
    def pid(self) -> int:
        return self.process.pid

    def last_words(self) -> str:
        """The last line of its log, or how it ended."""
        lines = self.log.read_text(errors="replace").split("\n")
        said = [line for line in lines if line.strip()]
        return said[-1] if said else f"exit code {self.process.poll()}, nothing said"


class Children:
    """Context manager: leaving it ends every child, and waits for all."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        self._logs.mkdir(mode=0o700, exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # An impatient second Ctrl-C must not leave processes behind.
        kept = {number: signal.signal(number, signal.SIG_IGN) for number in _INTERRUPTS}
        try:
            self._end_all()
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)

    def _end_all(self) -> None:
        """The last one started is told first, and those who serve the others end last."""
        told = [child for child in reversed(self._children) if not child.abrupt]
        for child in told:
            child.process.terminate()
        for child in told:
            _await_end(child)
        for child in self._children:
            if child.abrupt:
                _kill_all(child)
                os.close(child.descriptor)

    def start(
        self, name: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> Child:
        """`run` for `python -m arguments...`."""
        return self.run(name, sys.executable, "-m", *arguments, environment=environment)

    def run(
        self,
        name: str,
        *command: str,
        environment: Mapping[str, str] | None = None,
        abrupt: bool = False,
    ) -> Child:
        """Start a command; what it says goes to a log file of its name; `environment` is added to
        ours.
        """
        extra = dict(environment or {})
        log = self._logs / f"{name}.log"
        parent, end = os.getpid(), signal.SIGKILL if abrupt else signal.SIGTERM
        # An interrupt between the start and the list would leave a process that nobody ends.
        with _uninterrupted() as mask, log.open("ab") as output:
            process = subprocess.Popen(
                command,
                env={**os.environ, **extra},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=lambda: _end_with(parent, mask, end),  # noqa: PLW1509 - no threads here
            )
            child = Child(name, process, os.pidfd_open(process.pid), log, command, extra, abrupt)
            self._children.append(child)
        return child

    def kill(self, child: Child) -> None:
        """End it at once with all its processes, as a power cut would; nobody misses it then."""
        self._children.remove(child)
        _kill_all(child)
        os.close(child.descriptor)

    def again(self, child: Child) -> Child:
        """Start one that has ended once more."""
        return self.run(
            child.name, *child.command, environment=child.environment, abrupt=child.abrupt
        )

    def wait_until(
        self, ready: Callable[[], bool], what: str, *, interval: float = _INTERVAL
    ) -> None:
        """Return once `ready()`, which is asked every `interval` (seconds); raises Failure if a
        child ends first or it takes too long.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not ready():
            if time.monotonic() > deadline:
                raise Failure(
                    f"{what} did not come about within {_START_SECONDS:.0f} s", self._hint()
                )
            self._watch(interval)

    def watch(self, restarted: Callable[[Child], None], *expendable: str) -> None:
        """Wait for ever; raises Failure when a child ends.

        One whose name is in `expendable` is started again, and `restarted` is told of it, unless it
        had been started less than a moment ago: then it cannot work.
        """
        began: dict[str, float] = {}
        while True:
            child = self._next_end(None)
            now = time.monotonic()
            if child is None:
                continue
            if child.name not in expendable or now - began.get(child.name, -math.inf) < _AGAIN:
                raise self._ended(child)
            began[child.name] = now
            self._children.remove(child)
            child.process.wait()
            os.close(child.descriptor)
            restarted(self.again(child))

    def _watch(self, seconds: float) -> None:
        """Wait that long, or less if a child ends, which is a Failure."""
        child = self._next_end(seconds)
        if child is not None:
            raise self._ended(child)

    def _next_end(self, seconds: float | None) -> Child | None:
        """The next child that ends within so many seconds, or ever (None)."""
        ends = select.poll()
        by_descriptor = {child.descriptor: child for child in self._children}
        for descriptor in by_descriptor:
            ends.register(descriptor, select.POLLIN)
        for descriptor, _ in ends.poll(None if seconds is None else seconds * 1000):
            return by_descriptor[descriptor]
        return None

    def _ended(self, child: Child) -> Failure:
        return Failure(f"{child.name} ended: {child.last_words()}", self._hint())

    def _hint(self) -> str:
        return f"with '--directory DIR' the logs stay in DIR/{self._logs.name}"


_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


def _await_end(child: Child) -> None:
    try:
        child.process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        _kill_all(child)
    os.close(child.descriptor)


def _kill_all(child: Child) -> None:
    """The child leads a session of its own, which nothing but its own children belongs to."""
    with suppress(ProcessLookupError):  # ended, and waited for
        os.killpg(child.pid, signal.SIGKILL)
    child.process.wait()


@contextmanager
def _uninterrupted() -> Iterator[set[signal.Signals]]:
    """Interrupts wait until the end of the block; the mask of signals is as it was before."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
    try:
        yield {signal.Signals(number) for number in mask}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _end_with(parent: int, mask: set[signal.Signals], end: signal.Signals) -> None:
    """In the child: end when the demonstration does, even when that is killed."""
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, end, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), end)


def family(pid: int) -> list[int]:
    """`pid` and all its descendants, itself first."""
    parents = _parents()
    members = [pid]
    for member in members:
        members += [child for child, parent in parents.items() if parent == member]
    return members


def _parents() -> dict[int, int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            # The command's name stands in brackets and may hold anything, see proc(5).
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    return parents
