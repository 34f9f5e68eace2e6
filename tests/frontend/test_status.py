"""Readiness as the admin process sees it."""

from __future__ import annotations

import os

from offload.frontend.status import Status


def test_ready_only_when_every_process_is() -> None:
    status = Status(2)
    status.set_ready(0, True)
    assert not status.accepting()
    status.set_ready(1, True)
    assert status.accepting()
    status.set_ready(0, False)
    assert not status.accepting()


def test_draining_ends_acceptance_though_processes_are_ready() -> None:
    status = Status(1)
    status.set_ready(0, True)
    status.set_draining()
    assert status.all_ready()
    assert not status.accepting()


def test_a_forked_process_sees_later_changes() -> None:
    status = Status(1)
    go_read, go_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(go_read, 1)
        os._exit(0 if status.accepting() else 1)
    status.set_ready(0, True)
    os.write(go_write, b"x")
    _, code = os.waitpid(pid, 0)
    os.close(go_read)
    os.close(go_write)
    assert os.waitstatus_to_exitcode(code) == 0
