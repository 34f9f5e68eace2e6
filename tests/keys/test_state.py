"""The table of states: walks through it, and the document that shows it."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.keys.state import TRANSITIONS, IllegalStep, State, Step, after, steps

USABLE = {State.PRE_ACTIVE, State.ACTIVE, State.SUSPENDED}
"""From which a key signs, or may come to sign."""


def walk(path: list[Step]) -> list[State]:
    """The states that a new key goes through; a step that is not allowed leaves it where it is."""
    states = [State.PRE_ACTIVE]
    for step in path:
        allowed = step in steps(states[-1])
        if allowed:
            states.append(after(states[-1], step))
        else:
            with pytest.raises(IllegalStep):
                after(states[-1], step)
    return states


@given(st.lists(st.sampled_from(Step), max_size=30))
def test_no_walk_leads_back_to_use(path: list[Step]) -> None:
    states = walk(path)
    for before, now in pairwise(states):
        if before not in USABLE:
            assert now not in USABLE
        if before in (State.COMPROMISED, State.DESTROYED):
            assert now is State.DESTROYED
        if now is State.ACTIVE:
            assert before in (State.PRE_ACTIVE, State.SUSPENDED)


@given(st.lists(st.sampled_from(Step), max_size=30))
def test_what_is_destroyed_stays_so(path: list[Step]) -> None:
    states = walk(path)
    assert State.DESTROYED not in states[:-1]


def test_a_key_that_signs_is_not_destroyed_under_way() -> None:
    with pytest.raises(IllegalStep, match=r"an active key .* possible is suspend, deactivate"):
        after(State.ACTIVE, Step.DESTROY)
    with pytest.raises(IllegalStep, match=r"a destroyed key .* possible is nothing more"):
        after(State.DESTROYED, Step.RESUME)


def test_every_state_is_reached_and_ends_in_destruction() -> None:
    assert set(TRANSITIONS.values()) | {State.PRE_ACTIVE} == set(State)
    for state in State:
        seen, todo = {state}, [state]
        while todo:
            now = todo.pop()
            following = {after(now, step) for step in steps(now)} - seen
            seen |= following
            todo += following
        assert State.DESTROYED in seen


def test_the_document_shows_this_table(repository: Path) -> None:
    text = (repository / "docs" / "architecture.md").read_text()
    section = text.split("<!-- states -->")[1]
    rows = [re.findall(r"[a-z-]+", row) for row in section.splitlines() if row.startswith("| ")]
    shown = {(State(start), Step(step)): State(end) for start, step, end in rows[1:]}
    assert shown == TRANSITIONS
