"""The health of a worker against a clock of our own."""

import pytest

from offload.pool import health as module
from offload.pool.health import Health, Phase, Reason, may_eject


@pytest.fixture
def health() -> Health:
    return Health()


def probe(health: Health, now: float) -> float:
    """Answer well the next probe; returns when that was."""
    while not health.probe_due(now):
        now += 0.05
    health.probed(now)
    health.succeeded(now)
    return now


def bring_back(health: Health, now: float) -> float:
    for _ in range(module.PROBES):
        assert not health.step(now)
        now = probe(health, now)
    assert health.step(now)
    return now


def test_only_failures_in_a_row_count(health: Health) -> None:
    for _ in range(3):
        for _ in range(module.FAILURES - 1):
            assert not health.failed(1.0)
        assert health.eventful
        health.succeeded(1.0)
        assert not health.eventful
    assert [health.failed(1.0) for _ in range(module.FAILURES)][-1]


def test_one_slow_look_is_not_enough(health: Health) -> None:
    assert not any(health.seen(slow) for slow in [True, False] * 5)
    assert [health.seen(True) for _ in range(module.SLOW_LOOKS)][-1]


def test_an_ejected_one_gets_probes_then_a_growing_share_then_all(health: Health) -> None:
    health.eject(Reason.FAILURES, 10.0)
    assert (health.share, health.phase, health.reason) == (0.0, Phase.EJECTED, Reason.FAILURES)
    assert not health.probe_due(10.0 + module.EJECTED_SECONDS - 0.01)
    assert health.probe_due(10.0 + module.EJECTED_SECONDS)
    health.probed(10.0 + module.EJECTED_SECONDS)
    assert not health.probe_due(10.0 + module.EJECTED_SECONDS)
    now = bring_back(health, 10.0 + module.EJECTED_SECONDS)
    shares = []
    while health.phase is Phase.RETURNING:
        shares.append(health.share)
        now += 0.5
        health.step(now)
    assert shares == sorted(shares)
    assert shares[0] == module.LEAST_SHARE
    assert (health.share, health.eventful) == (1.0, False)
    assert now - 10.0 < 10.0


def test_answers_to_what_was_sent_before_the_ejection_are_no_probes(health: Health) -> None:
    health.eject(Reason.FAILURES, 10.0)
    for _ in range(2 * module.PROBES):
        health.succeeded(9.9)
    assert not health.step(10.1)


def test_a_failed_probe_begins_the_wait_anew(health: Health) -> None:
    health.eject(Reason.FAILURES, 10.0)
    now = probe(health, 10.0)
    assert not health.failed(now)
    assert not health.probe_due(now + module.PROBE_SECONDS)
    assert health.probe_due(now + module.EJECTED_SECONDS)
    bring_back(health, now)


def test_each_ejection_that_follows_soon_lasts_twice_as_long(health: Health) -> None:
    now, waits = 10.0, []
    for _ in range(8):
        health.eject(Reason.LATENCY, now)
        began = now
        while not health.probe_due(now):
            now += 0.25
        waits.append(now - began)
        now = bring_back(health, now)
    assert waits[:3] == [2.0, 4.0, 8.0]
    assert waits[-1] == module.EJECTED_LIMIT
    now += module.RAMP_SECONDS
    health.step(now)
    health.eject(Reason.LATENCY, now + module.FORGIVEN_SECONDS + 1)
    assert health.probe_due(now + module.FORGIVEN_SECONDS + 1 + module.EJECTED_SECONDS)


def test_a_wrong_signature_is_remembered_longer(health: Health) -> None:
    health.eject(Reason.WRONG_SIGNATURE, 10.0)
    assert not health.probe_due(10.0 + module.DISTRUSTED_SECONDS - 0.01)
    assert health.probe_due(10.0 + module.DISTRUSTED_SECONDS)


def test_while_it_returns_less_is_forgiven(health: Health) -> None:
    health.come_back(10.0)
    assert (health.phase, health.share) == (Phase.RETURNING, module.LEAST_SHARE)
    failures = [health.failed(10.0) for _ in range(module.FAILURES_WHILE_RETURNING)]
    assert failures[-1]
    assert not any(failures[:-1])


def test_a_new_link_does_not_bring_back_an_ejected_one(health: Health) -> None:
    health.eject(Reason.WRONG_SIGNATURE, 10.0)
    health.come_back(11.0)
    assert health.phase is Phase.EJECTED


@pytest.mark.parametrize(
    ("others", "most", "may"),
    [
        ([], 1.0, False),
        ([(Phase.SOUND, False)], 1.0, False),
        ([(Phase.SOUND, True)], 0.5, True),
        ([(Phase.SOUND, True)], 0.4, False),
        ([(Phase.EJECTED, True), (Phase.SOUND, True)], 0.5, False),
        ([(Phase.EJECTED, True), (Phase.RETURNING, True)], 0.7, True),
        ([(Phase.EJECTED, True), (Phase.EJECTED, True)], 1.0, False),
        ([(Phase.EJECTED, True), (Phase.SOUND, True), (Phase.SOUND, True)], 0.5, True),
        ([(Phase.SOUND, True)] * 3, 0.0, False),
    ],
)
def test_never_more_than_a_share_and_never_the_last(
    others: list[tuple[Phase, bool]], most: float, may: bool
) -> None:
    assert may_eject(others, most) is may
