"""A case: what is done to running processes, what is expected, what was seen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import NamedTuple

from support.cluster_processes import Cluster, found
from support.etcd import EtcdCluster, etcd_cluster
from support.pki import PKI
from support.processes import Spawner

WORKERS = ("worker-1", "worker-2", "worker-3")


class Seen(NamedTuple):
    """Whether it was as expected, and what it was, with figures."""

    ok: bool
    text: str


class Scene:
    """Where cases run: a directory, processes that end with it, chance from a known seed.

    Cases may share `cluster`, which takes a while to start: each leaves it running.
    """

    def __init__(self, directory: Path, random: Random, *, quick: bool) -> None:
        self.directory, self.random, self.quick = directory, random, quick
        self._stack = ExitStack()
        self.spawner = Spawner(directory)
        self._stack.callback(self.spawner.stop)
        self._etcd: EtcdCluster | None = None
        self._cluster: Cluster | None = None

    @property
    def etcd(self) -> EtcdCluster:
        """A real etcd cluster of three members."""
        if self._etcd is None:
            directory = self.place("etcd")
            self._etcd = self._stack.enter_context(etcd_cluster(directory, PKI(directory), 3))
        return self._etcd

    async def cluster(self) -> Cluster:
        """Three workers on that etcd, running."""
        if self._cluster is None:
            etcd = await asyncio.to_thread(lambda: self.etcd)
            self._cluster = await found(
                self.place("cluster"), self.spawner, WORKERS, catalogue=etcd.table()
            )
            await asyncio.to_thread(self._cluster.start)
        return self._cluster

    def place(self, name: str) -> Path:
        """A directory of its own."""
        directory = self.directory / name
        directory.mkdir(0o700)
        return directory

    def close(self) -> None:
        """End everything."""
        self._stack.close()


class Case(NamedTuple):
    """`run` returns what it saw; what it raises counts as a failure."""

    name: str
    expected: str
    run: Callable[[Scene], Awaitable[Seen]]


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of them are (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
