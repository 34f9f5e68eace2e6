"""The file between the clerk and the others."""

from pathlib import Path

import pytest

from offload.frontend.directory.file import NAME, DirectoryFile, Saved


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    file = DirectoryFile(tmp_path)
    assert file.load() is None
    file.save({"members/a": b'{"by":"\xc3\xa9"}'}, {"b", "a"})
    assert file.load() == Saved({"members/a": b'{"by":"\xc3\xa9"}'}, ("a", "b"))
    file.save({}, ())
    assert file.load() == Saved({}, ())
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"format": 2, "values": {}, "alive": []}', '{"format": 1, "values": []}'],
)
def test_what_is_no_such_file_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / NAME).write_text(content)
    with pytest.raises(ValueError):
        DirectoryFile(tmp_path).load()


def test_what_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = DirectoryFile(tmp_path)
    file.save({"a": b"1"}, ())

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        file.save({"a": b"2"}, ())
    assert file.load() == Saved({"a": b"1"}, ())
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
