"""What every catalogue refuses, and the ranges that prefixes are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.catalogue.base import MAX_COMMIT, MAX_VALUE, MAX_WRITES, Delete, Put, Unchanged, Write
from offload.catalogue.rules import check_commit, check_key, range_end, range_start

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)


@given(prefix=TEXTS, key=TEXTS.filter(bool))
def test_a_range_has_what_begins_with_its_prefix(prefix: str, key: str) -> None:
    end = range_end(prefix)
    inside = range_start(prefix, "") <= key and (not end or key < end)
    assert inside == key.startswith(prefix)


@given(prefix=TEXTS, after=TEXTS.filter(bool), key=TEXTS.filter(bool))
def test_a_range_begins_behind_a_key(prefix: str, after: str, key: str) -> None:
    end = range_end(prefix)
    inside = range_start(prefix, after) <= key and (not end or key < end)
    assert inside == (key.startswith(prefix) and key > after)


@given(texts=st.lists(TEXTS, min_size=2, max_size=2))
def test_texts_are_in_the_order_of_their_bytes(texts: list[str]) -> None:
    first, second = texts
    assert (first < second) == (first.encode() < second.encode())


@pytest.mark.parametrize("prefix", ["", "\U0010ffff", "\U0010ffff\U0010ffff"])
def test_some_prefixes_have_no_end(prefix: str) -> None:
    assert range_end(prefix) == ""


@pytest.mark.parametrize("key", ["", "a\0b", "\ud800"])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError):
        check_key(key)
    with pytest.raises(ValueError):
        check_commit([Put(key, b"")], [])
    with pytest.raises(ValueError):
        check_commit([], [Unchanged(key, 0)])


def test_the_greatest_commit_passes_and_no_greater() -> None:
    names = [f"k{number}" for number in range(MAX_WRITES + 1)]
    writes: list[Write] = [Delete(name) for name in names]
    checks = [Unchanged(name, 0) for name in names]
    full: list[Write] = [Put("a", bytes(MAX_VALUE)), Put("b", bytes(MAX_COMMIT - MAX_VALUE - 2))]

    check_commit(writes[1:], checks[1:])
    check_commit(full, [])
    refused: list[tuple[list[Write], list[Unchanged]]] = [
        (writes, []),
        ([], checks),
        ([*full, Delete("c")], []),
        ([Put("a", bytes(MAX_VALUE + 1))], []),
        ([Put("a", b""), Delete("a")], []),
        ([], [Unchanged("a", 0), Unchanged("a", 1)]),
    ]
    for commit in refused:
        with pytest.raises(ValueError):
            check_commit(*commit)
