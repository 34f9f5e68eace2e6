from collections.abc import Iterator
from pathlib import Path

import pytest

from offload.catalogue.base import Delete, Event, Put
from offload.catalogue.database import Database
from offload.worker.replica import Replica

WHOLE = [Put("cluster", b"{}"), Put("keys/aa", b"1"), Put("keys/bb", b"2")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path / "replica.db"


@pytest.fixture
def replica(path: Path) -> Iterator[Replica]:
    replica = Replica(path)
    yield replica
    replica.close()


def seen(replica: Replica) -> dict[str, bytes | None]:
    return {path: value for path, value, _ in replica.poll()}


def write(path: Path, *writes: Put | Delete, history: int = 1000) -> None:
    database = Database(path, history=history)
    database.commit(writes, ())
    database.close()


def test_a_copy_that_is_not_there_yet_is_waited_for(replica: Replica, path: Path) -> None:
    assert replica.poll() == ()
    assert not replica.loaded
    write(path, *WHOLE)
    assert seen(replica) == {"cluster": b"{}", "keys/aa": b"1", "keys/bb": b"2"}
    assert replica.loaded


def test_an_empty_file_is_no_copy(replica: Replica, path: Path) -> None:
    Database(path).close()
    assert seen(replica) == {}
    assert not replica.loaded


def test_changes_are_told_once(replica: Replica, path: Path) -> None:
    write(path, *WHOLE)
    replica.poll()
    assert replica.poll() == ()
    write(path, Put("keys/aa", b"3"), Delete("keys/bb"))
    assert seen(replica) == {"keys/aa": b"3", "keys/bb": None}
    assert replica.poll() == ()


def test_what_went_while_nobody_looked_is_told(replica: Replica, path: Path) -> None:
    write(path, *WHOLE)
    replica.poll()
    write(path, Delete("keys/bb"), history=1)
    for number in range(300):  # until the history is cut
        write(path, Put("keys/aa", str(number).encode()), history=1)
    told = seen(replica)
    assert told["keys/aa"] == b"299"
    assert told["keys/bb"] is None


def test_another_file_in_its_place_is_read(replica: Replica, path: Path) -> None:
    write(path, *WHOLE)
    replica.poll()
    for file in path.parent.glob("replica.db*"):
        file.unlink()
    assert replica.poll() == ()
    write(path, Put("cluster", b"{}"), Put("keys/cc", b"3"))
    assert seen(replica) == {"cluster": b"{}", "keys/cc": b"3", "keys/aa": None, "keys/bb": None}


def test_what_cannot_be_read_changes_nothing(
    replica: Replica, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_bytes(b"x" * 4096)
    assert replica.poll() == ()
    assert replica.poll() == ()
    assert not replica.loaded
    path.unlink()
    write(path, *WHOLE)
    assert Event("keys/aa", b"1", 2) in replica.poll()
