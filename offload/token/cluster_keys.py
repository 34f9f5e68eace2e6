"""The cluster keys of the software token: a sealed file for each generation, read when needed."""

from pathlib import Path

from offload.token.base import ClusterKeyMissing, TokenError, TokenNotFound
from offload.token.sealed_file import open_file, seal_file
from offload.token.sealing import Sealer
from offload.token.storage import erase, read_private, write_new

_PREFIX = "cluster-key-"
_SUFFIX = ".json"


class ClusterKeys:
    """The generations in a directory; who changes them holds the directory's lock."""

    def __init__(self, directory: Path, sealer: Sealer) -> None:
        self._directory, self._sealer = directory, sealer

    def generations(self) -> frozenset[int]:
        """Those that are there."""
        numbers = (
            path.name.removeprefix(_PREFIX).removesuffix(_SUFFIX)
            for path in self._directory.glob(f"{_PREFIX}*{_SUFFIX}")
        )
        return frozenset(int(number) for number in numbers if number.isdecimal())

    def get(self, generation: int) -> bytes:
        """The AES-256 key; raises ClusterKeyMissing, TokenError if its file was altered."""
        path = self._directory / _name(generation)
        try:
            public, secret = open_file(read_private(path), self._sealer)
            if public["generation"] != generation:
                raise ValueError("the file of another generation")
            return secret.reveal()
        except TokenNotFound as error:
            raise ClusterKeyMissing(
                f"the token has no cluster key of generation {generation}: let a member that has"
                " it enclose it to this token"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise TokenError(f"{path} is damaged: restore it from a backup") from error

    def add(self, generation: int, key: bytes) -> None:
        """Raises TokenError if the generation is there."""
        public = {"format": 1, "generation": generation}
        try:
            write_new(self._directory, _name(generation), seal_file(public, key, self._sealer))
        except FileExistsError as error:
            raise TokenError(
                f"there is a cluster key of generation {generation} already"
            ) from error

    def remove(self, generation: int) -> None:
        """Erase it; raises ClusterKeyMissing."""
        try:
            erase(self._directory, _name(generation))
        except TokenNotFound as error:
            raise ClusterKeyMissing(f"no cluster key of generation {generation}") from error


def _name(generation: int) -> str:
    return f"{_PREFIX}{generation}{_SUFFIX}"
