"""One forked child, from its start to its exit code."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterator

import pytest

from offload.frontend.process import Entry, Process
from offload.frontend.signals import Signals

Fork = Callable[[Entry], Process]


@pytest.fixture
def fork() -> Iterator[Fork]:
    signals = Signals((signal.SIGTERM, signal.SIGINT))
    yield lambda entry: Process.fork(entry, signals, 12.5, lambda: None)
    signals.close()


def wait(descriptor: int | None) -> None:
    assert descriptor is not None
    assert select.select([descriptor], [], [], 10)[0]


def sleep_until_killed(ready_fd: int) -> int:
    os.write(ready_fd, b"\1")
    while True:
        signal.pause()


def test_exit_code_is_what_the_entry_returns(fork: Fork) -> None:
    process = fork(lambda _ready_fd: 7)
    wait(process.pidfd)
    assert process.started == 12.5
    assert process.reap() == 7


def test_readiness_is_told_once(fork: Fork) -> None:
    process = fork(sleep_until_killed)
    wait(process.ready_fd)
    assert process.take_ready()
    assert process.ready_fd is None
    process.signal(signal.SIGKILL)
    assert process.reap() == -signal.SIGKILL


def test_process_that_ends_without_a_word_was_not_ready(fork: Fork) -> None:
    process = fork(lambda _ready_fd: 0)
    wait(process.ready_fd)
    assert not process.take_ready()
    assert process.reap() == 0


def test_child_ignores_the_terminal_but_not_term(fork: Fork) -> None:
    process = fork(sleep_until_killed)
    wait(process.ready_fd)
    process.signal(signal.SIGINT)
    process.signal(signal.SIGTERM)
    assert process.reap() == -signal.SIGTERM


def test_exception_is_logged_and_gives_exit_code_1(
    fork: Fork, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(_ready_fd: int) -> int:
        raise RuntimeError("out of luck")

    assert fork(fail).reap() == 1
    assert "out of luck" in "".join(capfd.readouterr())


def test_what_must_not_be_inherited_is_closed_first() -> None:
    signals = Signals((signal.SIGTERM,))
    read, write = os.pipe()
    process = Process.fork(lambda _: 0, signals, 0.0, lambda: os.close(write))
    assert process.reap() == 0
    os.close(write)
    assert os.read(read, 1) == b""
    os.close(read)
    signals.close()


def test_signal_to_an_ended_process_is_harmless(fork: Fork) -> None:
    process = fork(lambda _ready_fd: 0)
    wait(process.pidfd)
    process.signal(signal.SIGTERM)
    assert process.reap() == 0
