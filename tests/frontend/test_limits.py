"""Limits: never more than the caps allow, never a slot lost, and a table that stays small."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.config import Caps, SourceCaps
from offload.config import Limits as Settings
from offload.frontend import limits
from offload.frontend.limits import Account, Admission, Limits, Quota, Refusal, Sources


def opened(made: Limits, address: str | None, now: float = 0.0) -> Admission | Refusal:
    admission = Admission()
    return made.admit(admission, address, now) or admission


def test_without_limits_everybody_comes_in_and_nothing_is_counted() -> None:
    made = Limits(Settings(), 1)
    assert all(isinstance(opened(made, "192.0.2.1"), Admission) for _ in range(1000))
    assert made.site(Caps()) is None


def test_connections_of_a_source_are_capped_until_one_leaves() -> None:
    made = Limits(Settings(source=SourceCaps(connections=2)), 1)
    first, second = opened(made, "192.0.2.1"), opened(made, "192.0.2.1")
    assert opened(made, "192.0.2.1") == Refusal("source", "connections")
    assert isinstance(opened(made, "192.0.2.2"), Admission)
    assert isinstance(second, Admission)
    second.leave()
    second.leave()
    assert isinstance(opened(made, "192.0.2.1"), Admission)
    assert opened(made, "192.0.2.1") == Refusal("source", "connections")
    assert isinstance(first, Admission)


def test_handshakes_are_capped_until_one_is_over() -> None:
    made = Limits(Settings(handshakes=1), 1)
    first = opened(made, None)
    assert opened(made, None) == Refusal("global", "handshakes")
    assert isinstance(first, Admission)
    first.shaken()
    assert isinstance(opened(made, None), Admission)


def test_rate_allows_a_burst_and_then_so_many_a_second() -> None:
    made = Limits(Settings(source=SourceCaps(handshakes_per_second=2, burst=3)), 1)
    for _ in range(3):
        admission = opened(made, "192.0.2.1", 10.0)
        assert isinstance(admission, Admission)
        admission.leave()
    assert opened(made, "192.0.2.1", 10.25) == Refusal("source", "rate")
    assert isinstance(opened(made, "192.0.2.1", 10.5), Admission)
    assert opened(made, "192.0.2.1", 10.5) == Refusal("source", "rate")


def test_a_source_that_is_refused_takes_nothing_from_the_others() -> None:
    settings = Settings(handshakes_per_second=1, burst=2, source=SourceCaps(connections=1))
    made = Limits(settings, 1)
    assert isinstance(opened(made, "192.0.2.1"), Admission)
    for _ in range(10):
        assert opened(made, "192.0.2.1") == Refusal("source", "connections")
    assert isinstance(opened(made, "192.0.2.2"), Admission)
    assert opened(made, "192.0.2.3") == Refusal("global", "rate")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::", "0.0.0.0", False),
    ],
)
@pytest.mark.parametrize("bits", [32, 24])
def test_a_source_is_a_prefix(one: str, other: str, same: bool, bits: int) -> None:
    sources = Sources(SourceCaps(connections=1, ipv4_prefix=bits), 1)
    if bits == 24 and "." in one + other and ":" not in one + other:
        same = True
    found = sources.account(one, 0.0)
    found.enter(0.0)
    assert (sources.account(other, 0.0) is found) is same


def test_sources_that_have_gone_are_forgotten_once_their_bucket_is_full() -> None:
    made = Sources(SourceCaps(connections=5), 1)
    account = made.account("192.0.2.1", 0.0)
    account.enter(0.0)
    account.leave()
    assert len(made) == 0


def test_the_table_is_bounded_and_forgets_who_has_been_away_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAX_IDLE_SOURCES", 10)
    made = Sources(SourceCaps(handshakes_per_second=0.001), 1)
    for number in range(100):
        account = made.account(f"192.0.2.{number}", 0.0)
        assert account.enter(0.0) is None
        account.leave()
    assert len(made) == 10
    assert made.account("192.0.2.99", 0.0).enter(0.0) == Refusal("source", "rate")
    assert made.account("192.0.2.0", 0.0).enter(0.0) is None


def test_a_refused_source_without_connections_does_not_stay_among_the_busy() -> None:
    made = Sources(SourceCaps(handshakes_per_second=1), 1)
    account = made.account("192.0.2.1", 0.0)
    account.enter(0.0)
    account.leave()
    assert made.account("192.0.2.1", 0.0).enter(0.0) == Refusal("source", "rate")
    assert len(made) == 1
    again = made.account("192.0.2.1", 5.0)
    again.enter(5.0)
    again.leave()
    assert len(made) == 1


def test_each_process_has_its_share_rounded_up() -> None:
    caps = Caps(connections=5, handshakes=1, handshakes_per_second=8, burst=0)
    assert Quota.share(caps, 4) == Quota(2, 1, 2.0, 2.0)
    assert Quota.share(Caps(), 4) == Quota(0, 0, 0.0, 1.0)
    assert not Quota.share(Caps(), 4).is_any


def test_a_site_has_an_account_of_its_own() -> None:
    account = Limits(Settings(), 2).site(Caps(handshakes=2))
    assert account is not None
    first, second = Admission(), Admission()
    assert first.enter(account, 0.0) is None
    assert second.enter(account, 0.0) == Refusal("site", "handshakes")
    second.leave()
    first.leave()
    assert (account.connections, account.handshakes) == (0, 0)


@given(st.lists(st.tuples(st.sampled_from("esl"), st.integers(0, 5)), max_size=200))
def test_counts_never_pass_the_caps_nor_fall_below_zero(events: list[tuple[str, int]]) -> None:
    account = Account("global", Quota(4, 2, 0.0, 1.0))
    inside: list[Admission] = []
    for kind, place in events:
        if kind == "e":
            admission = Admission()
            if admission.enter(account, 0.0) is None:
                inside.append(admission)
        elif inside and kind == "s":
            inside[place % len(inside)].shaken()
        elif inside:
            inside.pop(place % len(inside)).leave()
        assert account.connections == len(inside) <= 4
        assert 0 <= account.handshakes <= 2
