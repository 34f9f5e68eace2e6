"""Private files; the token's use of them is tested in test_software.py."""

import os
from pathlib import Path

import pytest

from offload.token.base import TokenError, TokenInsecure, TokenNotFound
from offload.token.storage import (
    MAX_FILE,
    locked,
    make_private_directory,
    modified,
    read_private,
    write_new,
)


def test_a_new_file_is_whole_private_and_never_replaces(tmp_path: Path) -> None:
    write_new(tmp_path, "name", b"content")
    assert read_private(tmp_path / "name") == b"content"
    assert (tmp_path / "name").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        write_new(tmp_path, "name", b"other")
    assert read_private(tmp_path / "name") == b"content"
    assert [path.name for path in tmp_path.iterdir()] == ["name"]


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TokenError, match=r"cannot write .*name: No space left"):
        write_new(tmp_path, "name", b"content")
    assert list(tmp_path.iterdir()) == []


def test_only_regular_files_of_a_sensible_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(TokenError, match="not a regular file"):
        read_private(tmp_path / "pipe")
    write_new(tmp_path, "large", bytes(MAX_FILE + 1))
    with pytest.raises(TokenError, match="is larger than"):
        read_private(tmp_path / "large")
    with pytest.raises(TokenNotFound):
        read_private(tmp_path / "absent")


def test_directories_are_made_private_or_refused(tmp_path: Path) -> None:
    make_private_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    make_private_directory(tmp_path / "a" / "b")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)
    with pytest.raises(TokenInsecure):
        make_private_directory(tmp_path / "open")
    (tmp_path / "file").touch()
    with pytest.raises(TokenError, match="cannot create"):
        make_private_directory(tmp_path / "file")


def test_additions_show_in_the_time_of_change(tmp_path: Path) -> None:
    os.utime(tmp_path, ns=(0, 0))
    assert modified(tmp_path) == 0
    write_new(tmp_path, "name", b"")
    assert modified(tmp_path) > 0
    with pytest.raises(TokenError, match="cannot open"):
        modified(tmp_path / "absent")


def test_a_lock_that_cannot_be_had_is_told(tmp_path: Path) -> None:
    with pytest.raises(TokenError, match="cannot lock"), locked(tmp_path / "absent"):
        pass
