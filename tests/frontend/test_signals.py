"""Signals as data, in this very process."""

from __future__ import annotations

import select
import signal
from collections.abc import Iterator

import pytest

from offload.frontend.signals import Signals

NUMBERS = (signal.SIGUSR1, signal.SIGUSR2)


@pytest.fixture
def signals() -> Iterator[Signals]:
    signals = Signals(NUMBERS)
    yield signals
    signals.close()


def test_signals_are_read_in_their_order(signals: Signals) -> None:
    for number in (signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR1):
        signal.raise_signal(number)
    assert select.select([signals], [], [], 5)[0] == [signals]
    assert signals.taken() == [signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR1]
    assert signals.taken() == []


def test_held_signals_come_afterwards(signals: Signals) -> None:
    with signals.held():
        signal.raise_signal(signal.SIGUSR1)
        assert signals.taken() == []
    assert signals.taken() == [signal.SIGUSR1]


def test_close_restores_what_was_before() -> None:
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        Signals(NUMBERS).close()
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN
        assert signal.set_wakeup_fd(-1) == -1
    finally:
        signal.signal(signal.SIGUSR1, before)
