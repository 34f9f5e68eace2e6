"""The SQLite file: who may open it, what is kept, and what damage looks like."""

from __future__ import annotations

import math
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from offload.catalogue.base import (
    CatalogueDenied,
    CatalogueError,
    CatalogueUnavailable,
    Compacted,
    Delete,
    Event,
    LeaseExpired,
    Put,
)
from offload.catalogue.database import Database, connect


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    made = Database(path)
    yield made
    made.close()


def keys(database: Database) -> list[str]:
    return [entry.key for entry in database.list("", "", 0, 0).entries]


def test_only_the_owner_can_read_its_files(path: Path, database: Database) -> None:
    database.commit([Put("a", b"")], [])

    files = list(path.parent.iterdir())
    assert {file.name for file in files} == {
        "catalogue.db",
        "catalogue.db-wal",
        "catalogue.db-shm",
    }
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_directory_that_others_can_read_is_refused(path: Path) -> None:
    path.parent.chmod(0o750)
    with pytest.raises(CatalogueError, match="chmod 700"):
        Database(path)
    assert not path.exists()


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="no such file"):
        Database(tmp_path / "absent" / "catalogue.db")


def test_a_file_that_is_not_there_is_not_made_for_reading(path: Path) -> None:
    with pytest.raises(CatalogueError, match="see that it exists"):
        Database(path, create=False)
    assert not path.exists()


def test_a_reader_sees_all_and_writes_nothing(path: Path, database: Database) -> None:
    reader = Database(path, create=False)
    revision = database.commit([Put("a", b"1")], [])

    assert reader.get("a") == ("a", b"1", revision)
    assert reader.changes("", 0).events == (Event("a", b"1", revision),)
    for write in (
        lambda: reader.commit([Put("b", b"")], []),
        lambda: reader.lease(1),
        lambda: reader.revoke(1),
        lambda: reader.keep_alive(1),
    ):
        with pytest.raises(CatalogueDenied):
            write()
    reader.close()
    assert keys(database) == ["a"]


@pytest.mark.parametrize("content", [b"", b"text", bytes(4096), b"SQLite format 3\0" + bytes(4080)])
def test_a_file_that_is_no_catalogue_is_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(CatalogueError, match=r"no catalogue|damaged"):
        Database(path)
    assert path.read_bytes() == content


def test_the_database_of_another_program_is_left_alone(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE mine (a)")
    other.close()
    with pytest.raises(CatalogueError, match="name another file"):
        Database(path)


def test_a_newer_format_is_refused(path: Path, database: Database) -> None:
    database.close()
    connection = connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(CatalogueError, match="newer version"):
        Database(path)


def test_a_damaged_file_is_found_when_it_is_opened(path: Path, database: Database) -> None:
    for number in range(40):
        database.commit([Put(f"key-{number}", bytes(1000))], [])
    database.close()
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 6] = os.urandom(4096 * 3)
    path.write_bytes(content)

    with pytest.raises(CatalogueError, match="restore a backup"):
        Database(path)


def test_a_commit_that_fails_leaves_everything_as_it_was(database: Database) -> None:
    revision = database.commit([Put("a", b"1"), Put("b", b"1")], [])

    with pytest.raises(LeaseExpired):
        database.commit([Delete("a"), Put("b", b"2"), Put("c", b"", 99)], [])
    listed = database.list("", "", 0, 0)
    assert [(entry.key, entry.value) for entry in listed.entries] == [("a", b"1"), ("b", b"1")]
    assert listed.revision == revision
    assert database.commit([Put("a", b"2")], []) == revision + 1


def test_a_full_disk_changes_nothing_and_can_be_mended(path: Path, database: Database) -> None:
    database.commit([Put("a", b"1")], [])
    database._connection.execute("PRAGMA max_page_count = 12")
    with pytest.raises(CatalogueUnavailable, match="make room"):
        database.commit([Put("a", bytes(1 << 18))], [])
    assert database.get("a") is not None
    database._connection.execute("PRAGMA max_page_count = 1000000")
    assert database.commit([Put("a", bytes(1 << 18))], [])


def test_a_busy_file_is_unavailable(path: Path, database: Database) -> None:
    other = connect(path)
    other.execute("BEGIN IMMEDIATE")
    database._connection.execute("PRAGMA busy_timeout = 0")
    with pytest.raises(CatalogueUnavailable, match="try again"):
        database.commit([Put("a", b"")], [])
    other.execute("ROLLBACK")
    other.close()
    database.commit([Put("a", b"")], [])


def test_history_is_bounded(path: Path) -> None:
    database = Database(path, history=10)
    revisions = [database.commit([Put("a", str(n).encode())], []) for n in range(600)]
    database.commit([Put("kept", b"")], [])

    with pytest.raises(Compacted):
        database.changes("", revisions[0])
    with pytest.raises(Compacted):
        database.list("", "", 0, revisions[0])
    assert len(database.changes("a", revisions[-9]).events) == 8
    assert keys(database) == ["a", "kept"]
    connection = connect(path)
    (rows,) = connection.execute("SELECT count(*) FROM versions").fetchone()
    connection.close()
    assert rows < 300
    database.close()


def test_every_process_ends_leases(path: Path) -> None:
    clock = Clock()
    first, second = (Database(path, clock=clock) for _ in range(2))
    lease = first.lease(5)
    revision = first.commit([Put("a", b"", lease), Put("b", b"")], [])
    assert second.changes("", revision).expiry == 105.0

    clock.now = 104.9
    second.keep_alive(lease)
    clock.now = 109.8
    assert keys(second) == ["a", "b"]
    clock.now = 109.9
    assert second.changes("", revision).events == (Event("a", None, revision + 1),)
    assert second.changes("", revision).expiry == math.inf
    with pytest.raises(LeaseExpired):
        first.keep_alive(lease)
    first.close()
    second.close()


def test_leases_end_when_the_machine_starts_again(path: Path) -> None:
    first = Database(path, boot="one")
    first.commit([Put("a", b"", first.lease(3600)), Put("b", b"")], [])
    first.close()

    second = Database(path, boot="two")
    assert keys(second) == ["b"]
    second.close()
