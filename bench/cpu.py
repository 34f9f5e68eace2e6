"""Processor time and memory of a process tree, from /proc, and pinning to cores."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

PROC = Path("/proc")


class Vanished(Exception):
    """A process of the measured tree ended, or a new one appeared, during the measure."""


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Run the body, and every process started in it, on one core where the machine has it."""
    before = os.sched_getaffinity(0)
    if core in before:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def tree(pid: int) -> tuple[int, ...]:
    """The process and all its living descendants, ascending."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (parent := _parent(entry)) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    found, queue = [], [pid]
    while queue:
        found.append(queue.pop())
        queue.extend(children.get(found[-1], ()))
    return tuple(sorted(found))


def _parent(entry: Path) -> int | None:
    try:
        stat = (entry / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name stands in parentheses and may hold spaces and parentheses itself.
    return int(stat.rpartition(")")[2].split()[1])


def cpu_seconds(pids: Iterable[int]) -> float:
    """Processor seconds, user and system, that these processes' living threads have spent.

    Raises Vanished if one of them is gone.
    """
    return sum(_cpu_seconds(pid) for pid in pids)


def _cpu_seconds(pid: int) -> float:
    try:
        tasks = list((PROC / str(pid) / "task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except (FileNotFoundError, ProcessLookupError) as error:
        raise Vanished(f"process {pid} is gone") from error


def proportional_bytes(pids: Iterable[int]) -> int:
    """Memory of these processes in bytes, pages shared among processes counted in parts (PSS).

    Raises Vanished if one of them is gone.
    """
    return sum(_proportional_bytes(pid) for pid in pids)


def _proportional_bytes(pid: int) -> int:
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise Vanished(f"process {pid} is gone") from error
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


class Stopwatch:
    """Processor time of a tree from construction or the last restart; the tree must not change."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._pids = tree(pid)
        self.restart()

    def restart(self) -> None:
        """Count from now on."""
        self._before = cpu_seconds(self._pids)

    def seconds(self) -> float:
        """Processor seconds spent since then; raises Vanished if the tree changed."""
        spent = cpu_seconds(self._pids) - self._before
        if tree(self._pid) != self._pids:
            raise Vanished(f"the processes under {self._pid} changed during the measure")
        return spent
