"""When a dead process is started again."""

from __future__ import annotations

from offload.frontend.backoff import Backoff


def test_one_death_is_mended_at_once() -> None:
    assert Backoff().died(0.01) == 0.0
    assert Backoff().died(3600.0) == 0.0


def test_early_deaths_in_a_row_make_the_pauses_longer_up_to_a_limit() -> None:
    backoff = Backoff(stable=5.0, first=0.25, longest=3.0)
    assert [backoff.died(0.1) for _ in range(7)] == [0.0, 0.25, 0.5, 1.0, 2.0, 3.0, 3.0]


def test_a_long_life_is_forgiving() -> None:
    backoff = Backoff(stable=5.0, first=0.25)
    for _ in range(5):
        backoff.died(4.9)
    assert backoff.died(5.0) == 0.0
    assert [backoff.died(0.1), backoff.died(0.1)] == [0.0, 0.25]


def test_pause_stays_finite() -> None:
    backoff = Backoff(longest=15.0)
    assert {backoff.died(0.0) for _ in range(3000)} >= {15.0}
