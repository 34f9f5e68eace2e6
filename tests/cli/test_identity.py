from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from offload.cli.failure import Failure
from offload.cli.identity import issued, requested
from offload.cli.refusal import NeedsApproval
from offload.cluster.request import requested_key


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_the_key_is_made_here_and_stays(tmp_path: Path) -> None:
    place = tmp_path / "petra"
    with requested(place, "petra") as request:
        key = load_pem_private_key((place / "petra.key").read_bytes(), None)
        assert requested_key(request) == key.public_key()
    issued(place, "petra", "certificate", "authority")
    assert names(place) == {"petra.key", "petra.pem", "authority.pem"}
    assert (place / "petra.key").stat().st_mode & 0o777 == 0o600


def test_who_waits_for_officers_asks_with_the_same_request(tmp_path: Path) -> None:
    place = tmp_path / "petra"
    with pytest.raises(NeedsApproval), requested(place, "petra") as first:
        raise NeedsApproval("two officers", "a" * 32)
    with pytest.raises(Failure, match="down"), requested(place, "petra") as second:
        raise Failure("down")
    assert first == second
    assert names(place) == {"petra.key", "request.pem"}


def test_a_refusal_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="taken"), requested(tmp_path / "petra", "petra"):
        raise Failure("taken")
    assert names(tmp_path) == set()


def test_what_is_there_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    with pytest.raises(Failure, match="exists already"), requested(tmp_path, "petra"):
        pass
    assert names(tmp_path) == {"other"}
