"""What a planned step writes, and what it was decided on."""

from __future__ import annotations

from datetime import timedelta

from support.cluster import NOW, member_record
from support.still_view import StillView, managed

from offload.catalogue.base import Unchanged
from offload.catalogue.records import HoldingRecord, LabelRecord
from offload.cluster.changes import decided, held, merged, writing
from offload.cluster.reconcile import Do
from offload.keys.managed import ManagedKey
from offload.keys.state import State

KEY = managed()
HEX = KEY.ski.hex()
PATH = f"keys/{HEX}"


def test_an_activation_rests_on_the_copies_and_on_the_members() -> None:
    still = StillView([KEY], {1: "abc"})
    still.revisions = {PATH: 3, "cluster": 1, f"holdings/{HEX}/a": 4, f"holdings/{HEX}/b": 5}
    made = writing(still.view, "a", Do.ACTIVATE, KEY.ski, NOW)
    key = made.changes[PATH]
    assert isinstance(key, ManagedKey)
    assert key.state is State.ACTIVE
    label = made.changes["labels/key-1"]
    assert isinstance(label, LabelRecord)
    assert label.current == HEX
    assert set(made.checks) == {
        Unchanged(PATH, 3),
        Unchanged("labels/key-1", 0),
        Unchanged("cluster", 1),
        Unchanged(f"holdings/{HEX}/a", 4),
        Unchanged(f"holdings/{HEX}/b", 5),
    }


def test_a_further_generation_does_not_become_current_by_itself() -> None:
    old, new = managed(2, state=State.ACTIVE), managed(1)
    still = StillView([old, new], {1: "ab"})
    still.labels["key-1"] = LabelRecord(
        label="key-1", generations=(old.ski.hex(), HEX), current=old.ski.hex()
    )
    assert "labels/key-1" not in writing(still.view, "a", Do.ACTIVATE, KEY.ski, NOW).changes
    still.keys[old.ski] = managed(2, state=State.DESTROYED)
    assert "labels/key-1" in writing(still.view, "a", Do.ACTIVATE, KEY.ski, NOW).changes


def test_a_destruction_leaves_no_wrapped_key() -> None:
    still = StillView([managed(state=State.SUSPENDED, destroy_at=NOW)])
    key = writing(still.view, "a", Do.DESTROY, KEY.ski, NOW).changes[PATH]
    assert isinstance(key, ManagedKey)
    assert (key.state, key.wrapped, key.wrapped_under) == (State.DESTROYED, b"", 0)
    assert ManagedKey.from_json(key.to_json()) == key


def test_holdings_come_and_go() -> None:
    still = StillView([KEY], {1: "a"})
    path = f"holdings/{HEX}/b"
    later = NOW + timedelta(seconds=2.5)
    reported = writing(still.view, "b", Do.REPORT, KEY.ski, later).changes[path]
    assert reported == HoldingRecord(member="b", ski=HEX, state="held", lag_seconds=2.5)
    assert writing(still.view, "b", Do.RETRACT, KEY.ski, later).changes == {path: None}
    confirmed = writing(still.view, "b", Do.CONFIRM, KEY.ski, later).changes[path]
    assert isinstance(confirmed, HoldingRecord)
    assert confirmed.state == "erased"


def test_a_newcomer_is_not_late_for_what_was_there_before_it() -> None:
    still = StillView([KEY])
    joined = NOW + timedelta(days=1)
    still.put("members/b", member_record("b", joined=joined))
    assert held(still.view, KEY.ski, "b", joined + timedelta(seconds=1)).lag_seconds == 1.0
    assert held(still.view, KEY.ski, "b", NOW).lag_seconds == 0.0


def test_what_was_decided_on_different_things_fails_together() -> None:
    still = StillView([KEY])
    still.revisions = {"cluster": 7}
    first = decided(still.view, {"labels/x": None}, "cluster")
    still.revisions = {"cluster": 8}
    both = merged([first, decided(still.view, {"labels/y": None}, "cluster")])
    assert list(both.changes) == ["labels/x", "labels/y"]
    assert Unchanged("cluster", 7) in both.checks
    assert len(both.checks) == 3
