"""A front-end in a cluster: workers and certificates come and go, and no handshake fails."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from OpenSSL import SSL
from support.catalogue_writer import CatalogueWriter, certificate, member, signer, ski
from support.chain import PROCESSES, TESTS, Endpoint, State, offload, until
from support.processes import Spawned, Spawner
from support.tls_client import SocketClient
from support.website import GREETING

LABEL = "web"
SITE = "web.test"
NAME = "frontend-1"
WORKERS = ("worker-1", "worker-2")


class Cluster:
    """Two workers, which know of no cluster, and a front-end that knows of nothing else."""

    def __init__(self, directory: Path, spawn: Spawner) -> None:
        self.state = State(directory / "state", WORKERS)
        self._spawn = spawn
        self.chains = [
            self.state.add_key("p-256", f"{LABEL}-{number}").read_bytes() for number in range(3)
        ]
        self.catalogue = directory / "catalogue" / "catalogue.db"
        self.catalogue.parent.mkdir(0o700)
        by = signer(WORKERS[0], self.state.directory / "identities" / f"{WORKERS[0]}.key")
        self.writer = CatalogueWriter(self.catalogue, by)
        self._configure(directory / "frontend")
        self.port = self.state.port
        self.admin = Endpoint(self.state.admin_port)
        self.workers = {
            name: spawn(*offload("worker", "-c", self.state.directory / f"{name}.toml"))
            for name in WORKERS
        }
        paths = os.pathsep.join((str(TESTS.parent), str(TESTS)))
        self.website = spawn(
            sys.executable, "-m", "support.website", str(self.state.website_port),
            self.state.socket_path, env={"PYTHONPATH": paths},
        )  # fmt: skip
        self.website.wait_for_port(self.state.website_port)
        for table in self.state.workers.values():
            admin = Endpoint(int(table["worker"]["admin"].rpartition(":")[2]))
            until(admin.agrees, "a worker's readiness")
        self.put_member(WORKERS[0])
        self.front_end = self.start()

    def _configure(self, directory: Path) -> None:
        directory.mkdir(0o700)
        frontend = self.state.front_end["frontend"]
        frontend["pool"]["workers"] = []
        frontend["cluster"] = {
            "name": NAME,
            "state": str(directory),
            "catalogue": {"path": str(self.catalogue)},
            "lease": 2.0,
        }
        site = frontend["sites"][0]
        del site["certificates"]
        site |= {"names": [SITE], "keys": [LABEL], "default": False}
        self.state.write()

    def start(self) -> Spawned:
        """Start the front-end, and wait until it is ready."""
        front_end = self._spawn(*offload("frontend", "-c", self.state.directory / "frontend.toml"))
        until(self.admin.agrees, "the front-end's readiness")
        return front_end

    def put_member(self, name: str) -> None:
        """It joins, and is alive."""
        table = self.state.workers[name]["worker"]
        identity = self.state.directory / "identities" / f"{name}.pem"
        self.writer.put(member(name, identity, table["listen"]))
        self.writer.alive(name)

    def put_certificate(self, number: int, generation: int, canary: int | None = None) -> str:
        """Serve with one of the chains; returns its SKI."""
        chain = self.chains[number]
        extra = {} if canary is None else {"canary": self.chains[canary], "canary_name": CANARY}
        self.writer.put(certificate(LABEL, chain, generation, **extra))
        return ski(chain)

    def until_serving(self, wanted: str) -> None:
        """Wait until the front-end has told the cluster that all its processes serve a key."""

        def serves() -> bool:
            record = self.writer.frontend(NAME)
            return record is not None and record.serving == {LABEL: wanted}

        until(serves, f"serving with {wanted}")

    def visit(
        self, earlier: SocketClient | None = None, name: str = SITE
    ) -> tuple[SocketClient, str]:
        """A request; returns the client and the SKI that it was served with, if it was sent one."""
        with SocketClient(self.port, name, earlier=earlier) as client:
            client.handshake()
            leaf = client.tls.get_peer_certificate(as_cryptography=True)
            assert client.get().endswith(GREETING.encode())
            return client, "" if leaf is None else _ski(leaf)


CANARY = "q7x.canary.offload.invalid"


def _ski(leaf: x509.Certificate) -> str:
    return x509.SubjectKeyIdentifier.from_public_key(leaf.public_key()).digest.hex()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("directory")
    spawner = Spawner(directory)
    try:
        yield Cluster(directory, spawner)
    finally:
        spawner.stop()


@contextmanager
def steady(cluster: Cluster) -> Iterator[list[str]]:
    """Visits one after the other, until the end of the block; none may fail. Has their SKIs."""
    skis: list[str] = []
    failures: list[Exception] = []
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            try:
                skis.append(cluster.visit()[1])
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(skis) > 5 or bool(failures), "visits")
        yield skis
        count = len(skis)
        until(lambda: len(skis) > count + 5 or bool(failures), "more visits")
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failures, failures[:3]


def test_a_site_without_a_certificate_is_refused_until_it_has_one(cluster: Cluster) -> None:
    assert f"no certificate for key {LABEL}" in cluster.admin.get("/readyz")[1]
    with SocketClient(cluster.port, SITE) as client, pytest.raises(SSL.Error, match="unrecognized"):
        client.handshake()
    key = cluster.put_certificate(0, 1)
    cluster.until_serving(key)
    assert cluster.visit()[1] == key
    assert cluster.admin.get("/readyz") == (200, "ok\n")


def test_members_appear_and_vanish_and_no_handshake_fails(cluster: Cluster) -> None:
    first, second = WORKERS
    with steady(cluster):
        cluster.put_member(second)
        cluster.admin.until_total("offload_pool_links", PROCESSES, worker=second)
        cluster.writer.dead(first)
        cluster.admin.until_total("offload_pool_links", 0, worker=first)
        cluster.admin.until_total("offload_pool_members", 1)
        cluster.writer.alive(first)
        cluster.admin.until_total("offload_pool_links", PROCESSES, worker=first)
    cluster.admin.until_total("offload_pool_members", 2)


def test_a_certificate_is_replaced_and_no_handshake_fails(cluster: Cluster) -> None:
    earlier, old = cluster.visit()
    with steady(cluster) as skis:
        cluster.put_certificate(0, 2, canary=1)
        canary = ski(cluster.chains[1])

        def staged() -> bool:
            record = cluster.writer.frontend(NAME)
            return record is not None and record.staged == {LABEL: canary}

        until(staged, "a canary handshake in every process")
        assert cluster.visit(name=CANARY)[1] == canary
        assert set(skis) == {old}
        new = cluster.put_certificate(1, 3)
        cluster.until_serving(new)
        switched = len(skis) + 2  # two visits may be under way
    assert set(skis[switched:]) == {new}
    cluster.admin.until_total("offload_certificate_generation", 3, label=LABEL)
    again, _ = cluster.visit(earlier)
    assert again.resumed
    with SocketClient(cluster.port, CANARY) as client, pytest.raises(SSL.Error, match="unrecogn"):
        client.handshake()


def test_a_process_that_died_comes_back_with_the_present_certificate(cluster: Cluster) -> None:
    _, key = cluster.visit()
    (pid, *_) = re.findall(r'"role":"serving-0","pid":(\d+)', cluster.front_end.output)
    os.kill(int(pid), signal.SIGKILL)
    until(lambda: cluster.admin.total("offload_process_restarts_total") == 1, "a restart")
    until(cluster.admin.agrees, "readiness")
    for _ in range(8):
        assert cluster.visit()[1] == key
    cluster.until_serving(key)


def test_a_front_end_starts_and_serves_without_its_catalogue(cluster: Cluster) -> None:
    _, key = cluster.visit()
    assert cluster.front_end.stop() == 0
    assert cluster.writer.frontend(NAME) is None
    aside = cluster.catalogue.parent.with_name("aside")
    cluster.catalogue.parent.rename(aside)
    cluster.catalogue.parent.mkdir(0o700)
    cluster.catalogue.mkdir()  # so that there is nothing that could be opened
    cluster.front_end = cluster.start()
    assert cluster.visit()[1] == key
    cluster.front_end.wait_for_output("the catalogue does not answer")
    cluster.catalogue.rmdir()
    cluster.catalogue.parent.rmdir()
    aside.rename(cluster.catalogue.parent)
    cluster.until_serving(key)
    new = cluster.put_certificate(2, 4)
    cluster.until_serving(new)
    assert cluster.visit()[1] == new
