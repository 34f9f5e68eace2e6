"""Core dumps off; following the parent's end. In children, since both last for the process."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from offload.worker import hardening

# From Python 3.12 on, forking beside threads that other tests left warns.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def in_child(action: Callable[[], object]) -> int:
    """Run `action` in a forked child; its wait status."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if action() in (None, True) else 2
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


def test_dumps_are_forbidden() -> None:
    def check() -> bool:
        hardening.forbid_dumps()
        limits = Path("/proc/self/limits").read_text().splitlines()
        (core,) = [line.split() for line in limits if line.startswith("Max core")]
        pr_get_dumpable = 3
        return core[4:6] == ["0", "0"] and _prctl(pr_get_dumpable) == 0

    assert in_child(check) == 0


def test_a_process_is_called_by_its_role() -> None:
    def check() -> bool:
        hardening.name_process("manager")
        return Path("/proc/self/comm").read_text() == "offload-manager\n"

    assert in_child(check) == 0


def _prctl(option: int) -> int:
    import ctypes

    return int(ctypes.CDLL(None).prctl(option, 0, 0, 0, 0))


def test_a_refusal_of_the_kernel_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardening, "_PR_SET_DUMPABLE", -1)

    def check() -> bool:
        try:
            hardening.forbid_dumps()
        except hardening.HardeningError as error:
            return "cannot forbid core dumps" in str(error)
        return False

    assert in_child(check) == 0


def test_a_child_whose_parent_is_gone_already_ends() -> None:
    status = in_child(lambda: hardening.end_with_parent(1, signal.SIGTERM))
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGTERM


def test_a_child_lives_as_long_as_its_parent() -> None:
    parent = os.getpid()
    assert in_child(lambda: hardening.end_with_parent(parent, signal.SIGTERM)) == 0
