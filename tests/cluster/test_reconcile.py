"""What a member has to do about a key."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cluster import NOW
from support.still_view import StillView, managed

from offload.cluster.changes import writing
from offload.cluster.reconcile import GRACE, IN_TOKEN, STEPS, Do, Plan, Standpoint, plan
from offload.keys.state import State

HOUR = timedelta(hours=1)
SKI = managed().ski


def look(
    still: StillView,
    me: str = "a",
    *,
    held: bool = True,
    cluster_keys: tuple[int, ...] = (1,),
    late: bool = False,
    after: timedelta = timedelta(),
) -> Plan:
    holding = {SKI} if held else set()
    return plan(Standpoint(still.view, me, holding, cluster_keys, NOW + after, late), SKI)


def test_nothing_is_to_be_done_about_a_key_that_is_not_there() -> None:
    assert look(StillView()) == Plan()


def test_what_the_token_lacks_is_unwrapped_if_its_cluster_key_is_there() -> None:
    still = StillView([managed()], {1: ["a"]})
    assert look(still, "b", held=False) == Plan((Do.UNWRAP,))
    assert look(still, "b", held=False, cluster_keys=(2,)) == Plan()
    local = StillView([managed(replicated=False)], {1: ["a"]})
    assert look(local, "b", held=False).actions == ()


def test_what_the_token_holds_is_reported_once() -> None:
    still = StillView([managed(state=State.ACTIVE)], {1: ["a"]})
    assert look(still, "b") == Plan((Do.REPORT,))
    still.hold(1, "b")
    assert look(still, "b") == Plan()


def test_what_the_token_lost_is_retracted_and_taken_in_again() -> None:
    still = StillView([managed(state=State.ACTIVE)], {1: ["b"]})
    assert look(still, "b", held=False) == Plan((Do.RETRACT, Do.UNWRAP))


def test_what_is_destroyed_is_erased_and_confirmed() -> None:
    still = StillView([managed(state=State.DESTROYED)], {1: ["b"]})
    assert look(still, "b") == Plan((Do.ERASE, Do.CONFIRM))
    assert look(still, "b", held=False) == Plan((Do.CONFIRM,))
    still.hold(1, "b", "erased")
    assert look(still, "b", held=False) == Plan()
    assert look(still, "c", held=False) == Plan()


def test_enough_copies_make_a_key_active_and_its_home_says_so() -> None:
    still = StillView([managed()], {1: ["a"]})
    assert look(still).actions == ()
    still.hold(1, "b")
    assert look(still) == Plan((Do.ACTIVATE,))
    assert look(still, "b") == Plan((), NOW + GRACE)
    assert look(still, "b", after=GRACE) == Plan((Do.ACTIVATE,))


def test_another_takes_the_turn_of_a_home_that_is_gone() -> None:
    still = StillView([managed()], {1: ["a", "b", "c"]}, alive="bc")
    assert look(still, "b") == Plan((Do.ACTIVATE,))
    assert look(still, "c") == Plan((), NOW + GRACE)


@pytest.mark.parametrize(
    ("fields", "when", "do"),
    [
        ({"activates": NOW + HOUR}, HOUR, Do.ACTIVATE),
        ({"state": State.ACTIVE, "deactivates": NOW + HOUR}, HOUR, Do.DEACTIVATE),
        ({"state": State.SUSPENDED, "deactivates": NOW + HOUR}, HOUR, Do.DEACTIVATE),
        ({"state": State.SUSPENDED, "destroy_at": NOW + HOUR}, HOUR, Do.DESTROY),
        ({"state": State.COMPROMISED, "destroy_at": NOW + HOUR}, HOUR, Do.DESTROY),
        ({"destroy_at": NOW + HOUR}, HOUR, Do.DESTROY),
    ],
)
def test_dates_are_kept(fields: dict[str, Any], when: timedelta, do: Do) -> None:
    still = StillView([managed(**fields)], {1: ["a", "b"]})
    early = timedelta(microseconds=1)
    assert look(still, after=when - early) == Plan((), NOW + when)
    assert look(still, after=when) == Plan((do,))


def test_a_key_past_its_time_is_never_activated() -> None:
    still = StillView([managed(deactivates=NOW + HOUR)], {1: ["a", "b"]})
    assert look(still, after=2 * HOUR) == Plan()
    late = StillView([managed(activates=NOW + HOUR, deactivates=NOW + HOUR)], {1: ["a", "b"]})
    assert look(late, after=HOUR) == Plan()


def test_the_clock_of_who_made_a_key_may_be_ahead() -> None:
    still = StillView([managed(changed=NOW + HOUR)], {1: ["a", "b"]})
    assert look(still) == Plan((Do.ACTIVATE,))


def test_holders_share_the_work_of_wrapping_anew() -> None:
    keys = [managed(number, state=State.ACTIVE) for number in range(1, 10)]
    still = StillView(keys, dict.fromkeys(range(1, 10), "abc"), cluster_key=2)
    doing = [
        [
            name
            for name in "abc"
            if Do.WRAP
            in plan(Standpoint(still.view, name, {key.ski}, (1, 2), NOW), key.ski).actions
        ]
        for key in keys
    ]
    assert all(len(names) == 1 for names in doing)
    assert len({name for names in doing for name in names}) == 3


def test_nobody_waits_for_ever_for_others_to_wrap() -> None:
    still = StillView([managed(state=State.ACTIVE)], {1: "abc"}, cluster_key=2)
    idle = next(name for name in "abc" if not look(still, name, cluster_keys=(1, 2)).actions)
    assert look(still, idle, cluster_keys=(1, 2), late=True) == Plan((Do.WRAP,))
    assert look(still, idle, cluster_keys=(1,), late=True) == Plan()
    assert look(still, idle, cluster_keys=(1, 2), late=True, held=False) == Plan(
        (Do.RETRACT, Do.UNWRAP)
    )


@given(
    state=st.sampled_from(State),
    holding=st.sets(st.sampled_from("abc")),
    me=st.sampled_from("abc"),
    held=st.booleans(),
    hours=st.integers(-1, 3),
    dates=st.tuples(*[st.none() | st.integers(0, 2)] * 3),
)
def test_whatever_is_planned_can_be_written_and_keeps_the_promise(
    state: State,
    holding: set[str],
    me: str,
    held: bool,
    hours: int,
    dates: tuple[int | None, ...],
) -> None:
    activates, deactivates, destroy_at = (
        None if hour is None else NOW + hour * HOUR for hour in dates
    )
    key = managed(
        state=state,
        activates=activates,
        deactivates=deactivates,
        destroy_at=None if state is State.ACTIVE else destroy_at,
    )
    still = StillView([key], {1: holding})
    now = NOW + hours * HOUR
    planned = plan(Standpoint(still.view, me, {SKI} if held else set(), (1,), now), SKI)
    assert len(set(planned.actions) & set(STEPS)) <= 1
    for do in planned.actions:
        if do not in IN_TOKEN:
            assert writing(still.view, me, do, SKI, now).changes
    if Do.ACTIVATE in planned.actions:
        assert len(holding) >= 2
        assert destroy_at is None
        assert activates is None or activates <= now
    if planned.again is not None:
        assert planned.again > now
