"""A case: what is done to running processes, what is expected, what was seen."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import NamedTuple

from support.etcd import EtcdCluster, etcd_cluster
from support.pki import PKI
from support.processes import Spawner


class Seen(NamedTuple):
    """Whether it was as expected, and what it was, with figures."""

    ok: bool
    text: str


class Scene:
    """Where a case runs: a directory, processes that end with it, chance from a known seed."""

    def __init__(self, directory: Path, random: Random, *, quick: bool) -> None:
        self.directory, self.random, self.quick = directory, random, quick
        self._stack = ExitStack()
        self.spawner = Spawner(directory)
        self._stack.callback(self.spawner.stop)

    def etcd(self, size: int = 3) -> EtcdCluster:
        """A real etcd cluster."""
        directory = self.directory / "etcd"
        directory.mkdir()
        return self._stack.enter_context(etcd_cluster(directory, PKI(directory), size))

    def close(self) -> None:
        """End everything."""
        self._stack.close()


class Case(NamedTuple):
    """`run` returns what it saw; what it raises counts as a failure."""

    name: str
    expected: str
    run: Callable[[Scene], Seen]


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of them are (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
