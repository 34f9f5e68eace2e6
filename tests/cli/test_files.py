import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from offload.cli.failure import Failure
from offload.cli.files import write_public, write_secret


@pytest.fixture(autouse=True)
def open_handed() -> Iterator[None]:
    """A umask that takes nothing away: a secret must not depend on it."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_secret_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_secret(path, b"x")
    assert path.read_bytes() == b"x"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_public_file_is_everybodys_to_read(tmp_path: Path) -> None:
    path = tmp_path / "public"
    write_public(path, b"x")
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("write", [write_secret, write_public])
def test_nothing_is_overwritten_and_no_link_followed(tmp_path: Path, write: object) -> None:
    assert callable(write)
    (tmp_path / "file").write_bytes(b"precious")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for name in ("file", "link"):
        with pytest.raises(Failure, match="exists already"):
            write(tmp_path / name, b"x")
    assert (tmp_path / "file").read_bytes() == b"precious"
    assert not (tmp_path / "target").exists()
