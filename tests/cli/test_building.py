from pathlib import Path

import pytest

from offload.cli.building import built_beside, write_configuration, write_identity
from offload.cli.failure import Failure
from offload.cluster.authority import Identity


def test_a_directory_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "new" / "directory"
    with built_beside(place) as draft:
        (draft / "file").write_text("x")
        assert not place.exists()
    assert (place / "file").read_text() == "x"
    assert place.stat().st_mode & 0o777 == 0o700
    with pytest.raises(RuntimeError), built_beside(tmp_path / "other") as draft:
        (draft / "file").write_text("x")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    with pytest.raises(Failure, match="exists already"), built_beside(tmp_path):
        pass
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(Failure, match="exists already"), built_beside(link):
        pass


def test_a_key_is_its_owners_alone(tmp_path: Path) -> None:
    (tmp_path / "users").mkdir()
    write_identity(tmp_path, "users", "alice", Identity(b"certificate", b"key"))
    assert (tmp_path / "users/alice.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "users/alice.pem").read_bytes() == b"certificate"


def test_a_configuration_says_who_made_it(tmp_path: Path) -> None:
    write_configuration(tmp_path / "a.toml", {"b": 1}, "offload init")
    text = (tmp_path / "a.toml").read_text()
    assert text.startswith("# Made by 'offload init'.")
    assert text.endswith("b = 1\n")
