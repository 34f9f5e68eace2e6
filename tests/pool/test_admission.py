"""Who is let in."""

from offload.pool.admission import PLANNED, WAITED, comes_too_late, is_strained


def test_a_backlog_is_something_that_has_waited() -> None:
    assert not is_strained(10.0, 10.0, 5.0)
    assert not is_strained(10.0, 10.0 + 5 * WAITED, 5.0)
    assert is_strained(10.0, 10.1 + 5 * WAITED, 5.0)


def test_what_would_just_be_done_in_time_comes_too_late() -> None:
    assert not comes_too_late(5 * PLANNED, 5.0)
    assert comes_too_late(5 * PLANNED + 0.1, 5.0)
