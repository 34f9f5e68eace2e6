"""The cluster keys' files."""

import shutil
from pathlib import Path

import pytest

from offload.token.base import ClusterKeyMissing, TokenError
from offload.token.cluster_keys import ClusterKeys
from offload.token.sealing import Sealer

KEY = bytes(range(32))


@pytest.fixture
def keys(tmp_path: Path) -> ClusterKeys:
    return ClusterKeys(tmp_path, Sealer(bytes(32)))


def test_a_generation_is_kept_until_it_is_removed(keys: ClusterKeys, tmp_path: Path) -> None:
    assert keys.generations() == frozenset()
    keys.add(1, KEY)
    keys.add(12, KEY[::-1])
    assert keys.generations() == {1, 12}
    assert (keys.get(1), keys.get(12)) == (KEY, KEY[::-1])
    for path in tmp_path.iterdir():
        assert KEY not in path.read_bytes()
    with pytest.raises(TokenError, match="already"):
        keys.add(1, KEY)
    keys.remove(1)
    assert keys.generations() == {12}
    for missing in (keys.get, keys.remove):
        with pytest.raises(ClusterKeyMissing):
            missing(1)


def test_one_generation_is_not_taken_for_another(keys: ClusterKeys, tmp_path: Path) -> None:
    keys.add(1, KEY)
    shutil.copy(tmp_path / "cluster-key-1.json", tmp_path / "cluster-key-2.json")
    with pytest.raises(TokenError, match="damaged"):
        keys.get(2)


def test_a_damaged_file_is_told(keys: ClusterKeys, tmp_path: Path) -> None:
    keys.add(1, KEY)
    (tmp_path / "cluster-key-1.json").write_text("{}")
    with pytest.raises(TokenError, match="damaged"):
        keys.get(1)
