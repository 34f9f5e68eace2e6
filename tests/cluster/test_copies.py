"""How many members hold a key, and how many must."""

from __future__ import annotations

import pytest
from support.cluster import member_record
from support.still_view import StillView, managed

from offload.cluster.copies import expected, holders, is_short, needed
from offload.keys.state import State

KEY = managed()


def test_only_present_members_that_hold_it_count() -> None:
    still = StillView([KEY], {1: ["a", "b", "c"]})
    assert holders(still.view, KEY.ski) == ("a", "b", "c")
    still.put("members/b", member_record("b", state="removed"))
    still.hold(1, "c", "erased")
    assert holders(still.view, KEY.ski) == ("a",)
    assert holders(still.view, b"none") == ()


@pytest.mark.parametrize(
    ("copies", "members", "replicated", "want"),
    [(2, "abc", True, 2), (3, "ab", True, 2), (2, "a", True, 1), (3, "abc", False, 1)],
)
def test_as_many_as_promised_and_as_there_are(
    copies: int, members: str, replicated: bool, want: int
) -> None:
    key = managed(replicated=replicated)
    assert needed(StillView([key], members=members, copies=copies).view, key) == want


@pytest.mark.parametrize("state", State)
def test_a_key_is_short_while_it_may_be_wanted(state: State) -> None:
    key = managed(state=state)
    promised = state in (State.PRE_ACTIVE, State.ACTIVE, State.SUSPENDED)
    assert is_short(StillView([key], {1: ["a"]}).view, key) is promised
    assert not is_short(StillView([key], {1: ["a", "b"]}).view, key)


def test_who_is_to_hold_a_key() -> None:
    view = StillView().view
    assert expected(view, managed()) == ("a", "b", "c")
    assert expected(view, managed(replicated=False)) == ("a",)
    assert expected(view, managed(replicated=False, home="gone")) == ()
    assert expected(view, managed(state=State.DESTROYED)) == ()
