import signal
import time
from collections.abc import Iterator
from typing import cast

import pytest

from bench import __main__ as main
from bench.report import Row
from bench.run import Bench, OutOfTime


class Missing:
    """The part of a run that is told what is missing."""

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}

    def note_missing(self, what: str, why: str) -> None:
        self.missing[what] = why


def test_when_time_is_up_what_was_measured_is_kept_and_the_rest_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = Row("quick", "offload", "key", 1.0, "us", None)

    def slow(_: Bench) -> Iterator[Row]:
        yield row
        main._end_after(0.05)
        time.sleep(30)

    monkeypatch.setattr(main, "MEASURES", {"quick": lambda _: [row], "slow": slow, "last": slow})
    run = Missing()
    before = signal.getsignal(signal.SIGALRM)
    try:
        assert main._measure(cast(Bench, run), ["quick", "slow", "last"]) == [row, row]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    reason = "the 0.05 s of the run were over"
    assert run.missing == {"slow": f"{reason}; it lacks what is not above", "last": reason}


def test_out_of_time_is_not_taken_for_a_failed_load() -> None:
    # `interleaved` goes on with the next subject after those.
    assert not issubclass(OutOfTime, OSError)
