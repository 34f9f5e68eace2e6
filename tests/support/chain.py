"""The whole chain as real processes: a website, workers and a front-end, on free ports.

Everything is made by the product's own commands (`init`, `key create`, `certificate self-sign`),
run in this process so that ten keys do not take ten interpreters.
"""

from __future__ import annotations

import os
import socket
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from offload.cli import main
from offload.cli.demo.children import family
from offload.cli.toml import dumps
from offload.cluster.authority import Authority
from offload.token.sealing import Cost
from support.ports import free_ports
from support.processes import Spawned, Spawner

TESTS = Path(__file__).parent.parent
PROCESSES = 2
WORKERS = ("worker-1", "worker-2")

# This process was started again for OpenSSL's sake; programs are to find a usual environment.
_OURS = ("OPENSSL_CONF", "OFFLOAD_MODULE", "OFFLOAD_STARTED_AGAIN")
_ESTABLISHED = "01"  # <net/tcp_states.h>
_WAIT_SECONDS = 45.0
_PROBES = 7  # a number that no test has open
_POLL_SECONDS = 0.1


def environment() -> dict[str, str]:
    """This process's environment without what the provider needs."""
    return {name: value for name, value in os.environ.items() if name not in _OURS}


def offload(*arguments: str | Path) -> list[str]:
    """The command line that runs the product in a usual environment."""
    unset = [word for name in _OURS for word in ("-u", name)]
    return ["env", *unset, sys.executable, "-m", "offload", *map(str, arguments)]


def run_offload(*arguments: str | Path) -> None:
    """Run a command of the product here; it must succeed. Passphrases cost next to nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("offload.token.software.Cost", lambda: Cost(64, 1, 1))
        assert main.run([str(argument) for argument in arguments]) == 0


def until(condition: Callable[[], bool], what: str) -> None:
    """Return once `condition` holds; fails after a time that is long on any machine."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come about"
        time.sleep(_POLL_SECONDS)


class Endpoint:
    """An admin endpoint."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; raises OSError when nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def agrees(self, path: str = "/readyz") -> bool:
        """Whether it answers with 200; False while nobody answers."""
        try:
            return self.get(path)[0] == 200
        except OSError:
            return False

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        return sum(
            sample.value
            for metric in text_string_to_metric_families(self.get("/metrics")[1])
            for sample in metric.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def until_total(self, name: str, value: float, **labels: str) -> None:
        """Wait until `total` is that."""
        until(lambda: self.total(name, **labels) == value, f"{name} {labels} {value:g}")


class State:
    """A state directory with ports of its own; `front_end` and `workers` are TOML tables."""

    def __init__(self, directory: Path, workers: tuple[str, ...] = WORKERS) -> None:
        self.directory = directory
        run_offload("init", directory)
        ports = iter(free_ports(4 + 2 * len(workers)))
        self.port, self.admin_port, self.website_port, self.spare_port = (
            next(ports) for _ in range(4)
        )
        self.socket_path = directory / "website.sock"
        self.front_end = _read(directory / "frontend.toml")
        self._authority = Authority.from_pem(
            (directory / "authority" / "authority.pem").read_bytes(),
            (directory / "authority" / "authority.key").read_bytes(),
        )
        template = _read(directory / "worker.toml")
        self.workers = {name: self._worker(template, name, ports) for name in workers}
        self._wire()
        self.write()

    @property
    def trust(self) -> Path:
        """Who issued the certificate of the site `localhost`."""
        return self.directory / "certificates" / "authority.pem"

    def add_site(self, name: str, *certificates: Path, **settings: Any) -> None:
        """Another website; by default on the same backend."""
        site = {
            "names": [name],
            "certificates": [str(path) for path in certificates],
            "backends": [f"tcp://127.0.0.1:{self.website_port}"],
        }
        self.front_end["frontend"]["sites"].append({**site, **settings})

    def add_key(self, algorithm: str, name: str) -> Path:
        """A key in the token, and its certificate for `name`, signed by itself."""
        certificate = self.directory / "certificates" / f"{name}.pem"
        configuration = ("-c", self.directory / f"{WORKERS[0]}.toml")
        run_offload("key", "create", name, "-a", algorithm, *configuration)
        run_offload("certificate", "self-sign", name, "-n", name, "-o", certificate, *configuration)
        return certificate

    def expire_front_end(self) -> None:
        """Replace the front-end's identity by one that has expired, and have the workers know it:
        nothing but its date is wrong.
        """
        identity = self._authority.issue_frontend("frontend-1", datetime(2020, 1, 1, tzinfo=UTC), 1)
        files = self.directory / "identities"
        (files / "frontend-1.pem").write_bytes(identity.certificate)
        (files / "frontend-1.key").write_bytes(identity.key)
        for worker in self.workers.values():
            worker["worker"]["frontends"][0]["fingerprint"] = identity.fingerprint
        self.write()

    def write(self) -> None:
        """Write the configurations as they stand."""
        (self.directory / "frontend.toml").write_text(dumps(self.front_end))
        for name, table in self.workers.items():
            (self.directory / f"{name}.toml").write_text(dumps(table))

    def _worker(self, template: dict[str, Any], name: str, ports: Iterator[int]) -> dict[str, Any]:
        files = self.directory / "identities"
        if not (files / f"{name}.pem").exists():
            identity = self._authority.issue_worker(name, datetime.now(UTC))
            (files / f"{name}.pem").write_bytes(identity.certificate)
            (files / f"{name}.key").touch(0o600)
            (files / f"{name}.key").write_bytes(identity.key)
        worker = {
            **template["worker"],
            "name": name,
            "listen": f"127.0.0.1:{next(ports)}",
            "admin": f"127.0.0.1:{next(ports)}",
            "processes": 1,
            "identity": {"certificate": f"identities/{name}.pem", "key": f"identities/{name}.key"},
            "frontends": [{**template["worker"]["frontends"][0], "keys": ["*"]}],
        }
        return {"log": template["log"], "worker": worker}

    def _wire(self) -> None:
        frontend = self.front_end["frontend"]
        frontend["listen"] = [f"127.0.0.1:{self.port}"]
        frontend["admin"] = f"127.0.0.1:{self.admin_port}"
        frontend["processes"] = PROCESSES
        frontend["sites"][0]["backends"] = [f"tcp://127.0.0.1:{self.website_port}"]
        frontend["pool"]["workers"] = [
            {"name": name, "address": table["worker"]["listen"]}
            for name, table in self.workers.items()
        ]


def _read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


class Chain:
    """The processes on a state directory, started and ready."""

    def __init__(self, state: State, spawn: Spawner, path: str = "/readyz") -> None:
        """Returns when every admin endpoint says yes at `path`."""
        self._path = path
        self.state = state
        self._spawn = spawn
        self.port = state.port
        self.admin = Endpoint(state.admin_port)
        self.worker_admins = {
            name: Endpoint(int(table["worker"]["admin"].rpartition(":")[2]))
            for name, table in state.workers.items()
        }
        self.website = spawn(
            sys.executable, "-m", "support.website", str(state.website_port), state.socket_path,
            env={"PYTHONPATH": os.pathsep.join((str(TESTS.parent), str(TESTS)))},
        )  # fmt: skip
        self.workers = {name: self.start("worker", name) for name in state.workers}
        self.front_end = self.start("frontend", "frontend")
        self.website.wait_for_port(state.website_port, _WAIT_SECONDS)
        for name, admin in self.worker_admins.items():
            self._until_ready(self.workers[name], admin)
        self._until_ready(self.front_end, self.admin)

    def start(self, role: str, file: str) -> Spawned:
        """Start a front-end or worker; returns without waiting."""
        return self._spawn(*offload(role, "-c", self.state.directory / f"{file}.toml"))

    def until_linked(self, links: int = PROCESSES) -> None:
        """Wait until every worker has this many links."""
        for name in self.workers:
            self.admin.until_total("offload_pool_links", links, worker=name)

    def front_end_pids(self) -> list[int]:
        """The front-end's processes, the supervisor first."""
        return family(self.front_end.pid)

    def worker_pids(self, name: str) -> list[int]:
        """A worker's processes, the supervisor first."""
        return family(self.workers[name].pid)

    def owner(self, client_port: int) -> int:
        """The id of the front-end's process that serves the connection from this port."""
        (pid,) = self._holders(client_port)
        return pid

    def serving_pids(self, worker: str) -> list[int]:
        """A worker's processes that have links."""
        port = int(self.state.workers[worker]["worker"]["listen"].rpartition(":")[2])
        return _holders(_inodes(port), self.worker_pids(worker))

    def signatures(self) -> float:
        """How many signatures the front-end has had."""
        return self.admin.total("offload_signing_operations_total", outcome="ok")

    def worker_signatures(self) -> float:
        """How many the workers have made."""
        return sum(
            admin.total("offload_worker_operations_total", outcome="signed")
            for admin in self.worker_admins.values()
        )

    def handshakes(self, **labels: str) -> float:
        """How many handshakes have ended so."""
        return self.admin.total("offload_handshakes_total", **labels)

    @contextmanager
    def counted(self, by: float, **labels: str) -> Iterator[None]:
        """What happens inside must add `by` to `handshakes(**labels)`.

        What was there before must have been counted, see `settle`.
        """
        before = self.handshakes(**labels)
        yield
        until(lambda: self.handshakes(**labels) >= before + by, f"{by} more handshakes {labels}")
        assert self.handshakes(**labels) == before + by

    def settle(self) -> None:
        """Return when all that has happened is counted; nobody else may be connected.

        Serving processes write their figures once a second, all at once: a process whose new
        connections are seen has written everything from before them.
        """
        clients: list[socket.socket] = []
        owners: set[int] = set()
        try:
            while len(clients) < _PROBES or len(owners) < PROCESSES:
                clients.append(socket.create_connection(("127.0.0.1", self.port)))
                owners.add(self._acceptor(clients[-1]))
            self.admin.until_total("offload_open_connections", len(clients))
        finally:
            for client in clients:
                client.close()
        self.until_idle()

    def until_idle(self) -> None:
        """Wait until nothing is open or under way."""
        gauges = (
            "offload_open_connections",
            "offload_open_backend_connections",
            "offload_signing_in_flight",
        )
        for name in gauges:
            self.admin.until_total(name, 0)

    def _acceptor(self, client: socket.socket) -> int:
        port: int = client.getsockname()[1]
        until(lambda: self._holders(port) != [], "acceptance")
        return self.owner(port)

    def _holders(self, client_port: int) -> list[int]:
        return _holders(_inodes(self.port, client_port), self.front_end_pids())

    def _until_ready(self, process: Spawned, admin: Endpoint) -> None:
        def ready() -> bool:
            assert process.process.poll() is None, process.output
            return admin.agrees(self._path)

        until(ready, f"readiness of {process.arguments[-1]}")


def _inodes(port: int, client_port: int | None = None) -> set[str]:
    """The server's ends of established connections to a port, as they stand in /proc/PID/fd."""
    inodes = set()
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = row.split()
        local, remote, state = fields[1:4]
        wanted = client_port is None or remote.endswith(f":{client_port:04X}")
        if local.endswith(f":{port:04X}") and state == _ESTABLISHED and wanted:
            inodes.add(f"socket:[{fields[9]}]")
    return inodes


def _holders(inodes: set[str], pids: list[int]) -> list[int]:
    return [pid for pid in pids if inodes & _sockets(pid)]


def _sockets(pid: int) -> set[str]:
    held = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            held.add(str(descriptor.readlink()))
    return held
