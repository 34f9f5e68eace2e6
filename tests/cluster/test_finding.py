"""The key that somebody means."""

from __future__ import annotations

import pytest
from support.still_view import StillView, managed

from offload.catalogue.records import LabelRecord
from offload.cluster.failures import NotFound, WrongState
from offload.cluster.finding import find, find_owned, is_current, name_of
from offload.keys.managed import Purpose

FIRST, SECOND = managed(1, label="www"), managed(2, label="www", generation=2)


def view(current: str = "") -> StillView:
    still = StillView([FIRST, SECOND, managed(3, purpose=Purpose.AUTHORITY)])
    generations = (FIRST.ski.hex(), SECOND.ski.hex())
    still.labels["www"] = LabelRecord(label="www", generations=generations, current=current)
    still.labels["empty"] = LabelRecord(label="empty", generations=(), current="")
    return still


def test_by_identifier_label_and_generation() -> None:
    still = view(FIRST.ski.hex()).view
    assert find(still, SECOND.ski.hex().upper()) == SECOND
    assert find(still, "www") == FIRST
    assert find(still, "www@2") == SECOND
    assert name_of(SECOND) == "www@2"
    assert is_current(still, FIRST)
    assert not is_current(still, SECOND)


def test_a_label_without_a_current_generation_means_the_last() -> None:
    assert find(view().view, "www") == SECOND


@pytest.mark.parametrize("text", ["none", "www@3", "www@", "@1", "none@1", "00" * 20, "empty", ""])
def test_what_is_not_there_is_not_found(text: str) -> None:
    with pytest.raises(NotFound, match="see the list"):
        find(view().view, text)


def test_the_authority_is_nobodys_key() -> None:
    assert find(view().view, "key-3").purpose is Purpose.AUTHORITY
    with pytest.raises(WrongState, match="the cluster alone"):
        find_owned(view().view, "key-3")
