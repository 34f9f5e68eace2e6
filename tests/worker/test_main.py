"""The whole worker as a process: it serves, drains, reloads, and says why it cannot start."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from support.front_end import FrontEnd, client_context
from support.pki import PKI, Issued
from support.ports import free_ports
from support.processes import Spawned, Spawner

from offload.config import Settings
from offload.keys.algorithm import Algorithm
from offload.keys.record import KeyRecord
from offload.keys.scheme import SignatureScheme
from offload.token.sealing import Cost
from offload.token.software import SoftwareToken
from offload.wire.message import Ping, Pong, Signature, TlsSign
from offload.worker.main import run
from offload.worker.policy import SERVER_CONTEXT
from offload.worker.use import TLS_1_3

CHEAP = Cost(memory_kib=64, iterations=1, lanes=1)
START = (
    "import sys; from offload.config import Settings; from offload.worker.main import run;"
    "sys.exit(run(Settings.model_validate_json(sys.argv[1])))"
)
HASH = bytes(range(32))


class Site:
    """A worker's files and settings, and the front-end that it knows."""

    settings: dict[str, Any]

    def __init__(self, directory: Path, pki: PKI) -> None:
        self.pki = pki
        self.token = SoftwareToken.create(directory / "token", b"open sesame", CHEAP)
        self.key = self.token.generate("shop", Algorithm.P_256)
        self.passphrase = directory / "passphrase"
        self.passphrase.touch(0o600)
        self.passphrase.write_text("open sesame\n")
        self.front_end: Issued = pki.identity("front-end")
        self.port, self.admin = free_ports(2)
        identity = pki.identity("worker")
        self.settings = {
            "worker": {
                "name": "worker",
                "listen": f"127.0.0.1:{self.port}",
                "admin": f"127.0.0.1:{self.admin}",
                "processes": 2,
                "threads": 1,
                "drain_timeout": 5.0,
                "identity": {
                    "certificate": str(identity.certificate_path),
                    "key": str(identity.key_path),
                },
                "trust": str(pki.root_path),
                "token": {
                    "directory": str(directory / "token"),
                    "passphrase_file": str(self.passphrase),
                },
                "frontends": [
                    {"name": "f", "fingerprint": self.front_end.fingerprint, "keys": ["*"]}
                ],
            }
        }

    def start(self, spawn: Spawner) -> Spawned:
        # The worker must not depend on how the front-end's OpenSSL is configured.
        environment = {"OPENSSL_CONF": os.devnull}
        return spawn(
            sys.executable, "-W", "error", "-c", START, json.dumps(self.settings), env=environment
        )

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=10) as answer:
            return str(answer.read().decode())


def request(number: int, key: KeyRecord) -> TlsSign:
    return TlsSign(number, key.ski, SignatureScheme.ECDSA_SECP256R1_SHA256, TLS_1_3, HASH)


def verify(key: KeyRecord, signature: bytes) -> None:
    public_key = load_der_public_key(key.public_key)
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    public_key.verify(signature, SERVER_CONTEXT + HASH, ec.ECDSA(hashes.SHA256()))


def wait_serving(worker: Spawned, processes: int = 2) -> None:
    worker.wait_for_output(r'(?s)("keys taken in".*){' + str(processes) + "}")


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


Connect = Callable[[], Awaitable[FrontEnd]]


@pytest.fixture
async def connect(site: "Site") -> AsyncIterator[Connect]:
    """Opens links that end with the test."""
    links: list[FrontEnd] = []

    async def connect() -> FrontEnd:
        context = client_context(site.front_end, site.pki.root_path)
        links.append(await FrontEnd.connect(site.port, context))
        return links[-1]

    yield connect
    for link in links:
        link.close()
    await asyncio.sleep(0)


@pytest.fixture
def site(tmp_path: Path, pki: PKI) -> Site:
    return Site(tmp_path, pki)


async def test_serves_and_drains(site: Site, spawn: Spawner, connect: Connect) -> None:
    worker = site.start(spawn)
    wait_serving(worker)
    links = [await connect() for _ in range(4)]
    for number, link in enumerate(links):
        answer = await link.ask(request(number, site.key))
        assert isinstance(answer, Signature)
        verify(site.key, answer.signature)
    assert site.get("/readyz") == "ok\n"
    signed = 'offload_worker_operations_total{algorithm="p-256",outcome="signed"} 4.0'
    deadline = monotonic() + 10
    while signed not in site.get("/metrics"):
        # The serving processes write their counts once a second.
        assert monotonic() < deadline
        await asyncio.sleep(0.05)
    worker.signal(signal.SIGTERM)
    assert [await link.ended() for link in links] == [True] * 4
    assert worker.wait() == 0
    assert "Traceback" not in worker.output


async def test_links_are_spread_evenly(site: Site, spawn: Spawner, connect: Connect) -> None:
    site.settings["worker"]["processes"] = 4
    worker = site.start(spawn)
    wait_serving(worker, 4)
    links = [await connect() for _ in range(8)]
    for link in links:
        assert type(await link.ask(Ping(1))) is Pong
    serving = [pid for pid in children(worker.pid) if _sockets(pid, site.port)]
    assert [_sockets(pid, site.port) for pid in serving] == [2, 2, 2, 2]


def _sockets(pid: int, port: int) -> int:
    """Established connections to the port that the process holds."""
    inodes = set()
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = row.split()
        if fields[1].endswith(f":{port:04X}") and fields[3] == "01":
            inodes.add(f"socket:[{fields[9]}]")
    held = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            held += str(descriptor.readlink()) in inodes
        except FileNotFoundError:
            continue
    return held


async def test_keys_added_meanwhile_are_served(
    site: Site, spawn: Spawner, connect: Connect
) -> None:
    worker = site.start(spawn)
    wait_serving(worker)
    link = await connect()
    added = site.token.generate("added", Algorithm.P_256)
    worker.signal(signal.SIGHUP)
    worker.wait_for_output(r'(?s)("keys":2,"event":"keys taken in".*){2}')
    assert type(await link.ask(request(2, added))) is Signature


async def test_a_process_that_died_is_brought_back(
    site: Site, spawn: Spawner, connect: Connect
) -> None:
    site.settings["worker"]["processes"] = 1
    worker = site.start(spawn)
    wait_serving(worker, 1)
    link = await connect()
    assert type(await link.ask(Ping(1))) is Pong
    (victim,) = [pid for pid in children(worker.pid) if _sockets(pid, site.port)]
    os.kill(victim, signal.SIGKILL)
    assert await link.ended()
    again = await connect()
    assert type(await again.ask(request(1, site.key))) is Signature
    assert "process died" in worker.output
    metrics = site.get("/metrics")
    assert 'offload_process_restarts_total{role="serving"} 1.0' in metrics


async def test_a_second_term_stops_now(site: Site, spawn: Spawner, connect: Connect) -> None:
    site.settings["worker"]["drain_timeout"] = 600.0
    worker = site.start(spawn)
    wait_serving(worker)
    (stopped, *_) = children(worker.pid)
    # A process that cannot answer TERM holds the drain up.
    for pid in children(worker.pid):
        os.kill(pid, signal.SIGSTOP)
    worker.signal(signal.SIGTERM)
    worker.wait_for_output("draining")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert not Path(f"/proc/{stopped}").exists()


async def test_serving_processes_end_with_the_supervisor(
    site: Site, spawn: Spawner, connect: Connect
) -> None:
    worker = site.start(spawn)
    wait_serving(worker)
    link = await connect()
    assert type(await link.ask(Ping(1))) is Pong
    worker.signal(signal.SIGKILL)
    assert await link.ended()


def test_dumps_are_forbidden_but_root_can_look(
    site: Site, spawn: Spawner, connect: Connect
) -> None:
    worker = site.start(spawn)
    wait_serving(worker)
    limits = Path(f"/proc/{worker.pid}/limits").read_text()
    assert re.search(r"Max core file size\s+0\s+0", limits)
    if os.geteuid() == 0:
        for pid in children(worker.pid):
            with Path(f"/proc/{pid}/mem").open("rb"):
                pass


Breaker = Callable[[Site], None]


def _wrong_passphrase(site: Site) -> None:
    site.passphrase.write_text("open barley\n")


def _no_token(site: Site) -> None:
    site.settings["worker"]["token"]["directory"] += "-absent"


def _open_token(site: Site) -> None:
    Path(site.settings["worker"]["token"]["directory"]).chmod(0o755)


def _open_passphrase(site: Site) -> None:
    site.passphrase.chmod(0o644)


def _no_passphrase(site: Site) -> None:
    site.passphrase.unlink()


def _foreign_key(site: Site) -> None:
    other = site.pki.identity("other")
    site.settings["worker"]["identity"]["key"] = str(other.key_path)


def _no_trust(site: Site) -> None:
    site.settings["worker"]["trust"] = "/nonexistent/ca.pem"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_wrong_passphrase, "wrong passphrase for the token: check the passphrase file"),
        (_no_token, "does not exist: create a token there with `offload init`"),
        (_open_token, "is open to others (mode 0755): chmod 0700"),
        (_open_passphrase, "is open to others (mode 0644): chmod 0600"),
        (_no_passphrase, "does not exist: put the token's passphrase there"),
        (_foreign_key, "name the unencrypted PEM key of"),
        (_no_trust, "name the authority's PEM file"),
    ],
)
def test_what_is_wrong_is_told_before_serving(
    site: Site, spawn: Spawner, spoil: Breaker, message: str
) -> None:
    spoil(site)
    worker = site.start(spawn)
    assert worker.wait() == 1
    assert worker.output.startswith("offload: error: ")
    assert message in worker.output
    assert worker.output.count("\n") == 1
    assert "sesame" not in worker.output
    assert "barley" not in worker.output


@pytest.mark.parametrize("which", ["port", "admin"])
def test_a_port_in_use_is_told(site: Site, spawn: Spawner, which: str) -> None:
    with socket.create_server(("127.0.0.1", getattr(site, which))):
        worker = site.start(spawn)
        assert worker.wait() == 1
    assert f"cannot listen on 127.0.0.1:{getattr(site, which)}: the address is in use" in (
        worker.output
    )


def test_settings_without_a_worker_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="no \\[worker\\] table"):
        run(Settings.model_construct(worker=None))


def test_not_ready_answers_unavailable(site: Site) -> None:
    with pytest.raises(urllib.error.URLError):
        site.get("/readyz")
