import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.cpu import Stopwatch, Vanished, cpu_seconds, pinned, proportional_bytes, tree

# Spends this much processor time by its own account, says so, and waits to be told to end.
BURNER = """
import sys, time
while time.process_time() < 0.3: pass
print(time.process_time(), flush=True)
sys.stdin.read()
"""

PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {BURNER!r}], stdin=subprocess.PIPE)
sys.stdin.read()
child.communicate()
"""


@contextmanager
def running(program: str) -> Iterator[tuple[int, float]]:
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.pid, float(process.stdout.readline())
        process.communicate()


def test_processor_time_is_what_the_process_itself_counts() -> None:
    with running(BURNER) as (pid, spent):
        assert tree(pid) == (pid,)
        assert cpu_seconds((pid,)) == pytest.approx(spent, abs=0.05)


def test_a_tree_includes_children() -> None:
    with running(PARENT) as (pid, spent):
        pids = tree(pid)
        assert len(pids) == 2
        assert pid in pids
        assert cpu_seconds(pids) >= spent


def test_a_stopwatch_counts_from_its_construction() -> None:
    watch = Stopwatch(os.getpid())
    start = time.process_time()
    while time.process_time() < start + 0.1:
        pass
    assert watch.seconds() == pytest.approx(time.process_time() - start, abs=0.05)
    watch.restart()
    assert watch.seconds() < 0.1


def test_a_stopwatch_refuses_a_tree_that_changed() -> None:
    watch = Stopwatch(os.getpid())
    with running(BURNER), pytest.raises(Vanished, match="changed"):
        watch.seconds()


def test_a_process_that_is_gone_has_no_figures() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(Vanished):
        cpu_seconds((process.pid,))
    with pytest.raises(Vanished):
        proportional_bytes((process.pid,))


def test_memory_follows_what_the_process_holds() -> None:
    before = proportional_bytes((os.getpid(),))
    held = b"x" * (32 << 20)
    assert proportional_bytes((os.getpid(),)) - before > len(held) * 0.9


def test_pinning_holds_within_the_body_only() -> None:
    before = os.sched_getaffinity(0)
    core = min(before)
    with pinned(core):
        assert os.sched_getaffinity(0) == {core}
    assert os.sched_getaffinity(0) == before


def test_a_core_that_the_machine_lacks_is_not_asked_for() -> None:
    before = os.sched_getaffinity(0)
    with pinned(max(before) + 1):
        assert os.sched_getaffinity(0) == before
