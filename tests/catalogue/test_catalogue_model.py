"""SQLite does what the fake does, whatever the order of things."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from offload.catalogue.base import (
    CatalogueError,
    Delete,
    Event,
    Put,
    Unchanged,
    Write,
)
from offload.catalogue.database import Database
from offload.catalogue.fake import FakeCatalogue

T = TypeVar("T")

NAMES = st.sampled_from(["a", "a/b", "a/é", "a0", "b", "b/c", "\U0010ffff"])
VALUES = st.binary(max_size=3)
PICKS = st.integers(0, 3)
PREFIXES = st.sampled_from(["", "a", "a/", "b/", "c", "\U0010ffff"])


def finished(awaitable: Awaitable[T]) -> T:
    """The result of what never waits, as the fake's methods."""
    try:
        next(awaitable.__await__())
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("it waits")


async def watched(fake: FakeCatalogue, prefix: str, after: int) -> tuple[Event, ...]:
    async with aclosing(fake.watch(prefix, after)) as batches:
        return (await anext(batches)).events


class Comparison(RuleBasedStateMachine):
    """The same acts on both; `self.now` is the time of leases."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.directory = tempfile.TemporaryDirectory()
        path = Path(self.directory.name) / "catalogue.db"
        self.fake = FakeCatalogue(clock=lambda: self.now)
        self.databases = [Database(path, clock=lambda: self.now) for _ in range(2)]
        self.leases: list[int] = []
        self.revisions = [1]

    def teardown(self) -> None:
        for database in self.databases:
            database.close()
        self.directory.cleanup()

    @rule(
        puts=st.dictionaries(NAMES, st.tuples(VALUES, PICKS) | st.none(), max_size=4),
        checked=st.dictionaries(NAMES, st.none() | st.integers(0, 2), max_size=2),
        which=st.integers(0, 1),
    )
    def commit(
        self,
        puts: dict[str, tuple[bytes, int] | None],
        checked: dict[str, int | None],
        which: int,
    ) -> None:
        writes: list[Write] = [
            Delete(name) if put is None else Put(name, put[0], self._lease(put[1]))
            for name, put in puts.items()
        ]
        checks = [Unchanged(name, self._revision(name, old)) for name, old in checked.items()]
        try:
            revision = finished(self.fake.commit(writes, checks))
        except CatalogueError as error:
            with pytest.raises(type(error)):
                self.databases[which].commit(writes, checks)
            return
        assert self.databases[which].commit(writes, checks) == revision
        self.revisions.append(revision)

    def _lease(self, pick: int) -> int:
        return (0, 0, *self.leases[-2:])[pick] if pick < 2 + len(self.leases[-2:]) else 0

    def _revision(self, name: str, old: int | None) -> int:
        entry = finished(self.fake.get(name))
        return (entry.revision if entry else 0) if old is None else old

    @rule(seconds=st.integers(1, 5), which=st.integers(0, 1))
    def lease(self, seconds: int, which: int) -> None:
        lease = finished(self.fake.lease(seconds))
        assert self.databases[which].lease(seconds) == lease
        self.leases.append(lease)

    @precondition(lambda self: self.leases)
    @rule(pick=PICKS, which=st.integers(0, 1), revoke=st.booleans())
    def keep_or_revoke(self, pick: int, which: int, revoke: bool) -> None:
        lease = self.leases[-1 - pick % len(self.leases)]
        if revoke:
            finished(self.fake.revoke(lease))
            self.databases[which].revoke(lease)
            return
        try:
            finished(self.fake.keep_alive(lease))
        except CatalogueError as error:
            with pytest.raises(type(error)):
                self.databases[which].keep_alive(lease)
        else:
            self.databases[which].keep_alive(lease)

    @rule(seconds=st.integers(1, 3))
    def wait(self, seconds: int) -> None:
        # Both at once: what ends at different times would have different revisions.
        for _ in range(seconds):
            self.now += 1
            self.fake.tick()
            assert self.databases[0].changes("", 1).expiry >= self.now

    @rule(prefix=PREFIXES, after=st.just("") | NAMES, limit=st.integers(0, 3), which=PICKS)
    def list_then(self, prefix: str, after: str, limit: int, which: int) -> None:
        revision = self.revisions[-1 - which % len(self.revisions)]
        for at in (0, revision):
            expected = finished(self.fake.list(prefix, after=after, limit=limit, revision=at))
            for database in self.databases:
                assert database.list(prefix, after, limit, at) == expected

    @rule(prefix=PREFIXES, which=PICKS)
    def watch(self, prefix: str, which: int) -> None:
        after = self.revisions[-1 - which % len(self.revisions)]
        found = self.databases[which % 2].changes(prefix, after)
        if found.events:
            assert finished(watched(self.fake, prefix, after)) == found.events

    @invariant()
    def same(self) -> None:
        expected = finished(self.fake.list(""))
        for database in self.databases:
            assert database.list("", "", 0, 0) == expected
        assert self.databases[0].changes("", 1).expiry > self.now


Comparison.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestComparison = Comparison.TestCase
