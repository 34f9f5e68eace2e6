"""A website in front of a cluster: front-ends as processes, a key, visitors who never rest."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from faults.case import Scene
from OpenSSL import SSL
from support.chain import TESTS, Endpoint, offload, until
from support.cluster_processes import FRONT_END, KEY_USER, OFFICER, Cluster
from support.ports import free_ports
from support.processes import Spawned
from support.tls_client import SocketClient
from support.website import GREETING

from offload.cli.toml import dumps
from offload.cluster.authority import Authority, Identity, key_pem, pem
from offload.cluster.profile import CertificateProfile
from offload.cluster.request import make_request

LABEL, NAME = "web", "www.example.org"
SECOND = "front-end-2"


class Site:
    """Front-ends of a running cluster; all serve NAME with the key LABEL."""

    def __init__(self, scene: Scene, cluster: Cluster, catalogue: Mapping[str, Any]) -> None:
        """catalogue: as front-ends reach it."""
        self._scene, self.cluster, self._catalogue = scene, cluster, catalogue
        self._authority = Authority.create("authority of websites", cluster.now())
        self.ports: dict[str, int] = {}
        self._admins: dict[str, Endpoint] = {}
        self.processes: dict[str, Spawned] = {}
        (self._website_port,) = free_ports(1)
        self._start_website()

    # The key

    async def add_key(self, member: str, label: str = LABEL) -> dict[str, Any]:
        """A key for the site, with a certificate that front-ends serve."""
        made = await self.ask(member, KEY_USER, "POST", "/v1/keys", label=label, sites=[NAME])
        await self.certify(member, f"{label}@{made['generation']}")
        return made

    async def certify(self, member: str, key: str) -> None:
        """Have the authority certify the key, and install the certificate."""
        path = f"/v1/keys/{key}"
        request = f"{path}/certificate-request"
        asked = await self.ask(member, KEY_USER, "POST", request, names=[NAME])
        public = x509.load_pem_x509_csr(asked["request"].encode()).public_key()
        certificate = self._authority.issue(
            public, [NAME], CertificateProfile.SERVER, self.cluster.now(), 30
        )
        chain = pem(certificate).decode()
        await self.ask(member, KEY_USER, "PUT", f"{path}/certificate", chain=chain)

    async def ask(
        self, member: str, user: str, method: str, path: str, **values: Any
    ) -> dict[str, Any]:
        """REST, which must do it."""
        async with (
            self.cluster.rest(member, user) as session,
            session.request(method, path, json=values or None) as answer,
        ):
            assert answer.status < 300, f"{method} {path}: {await answer.text()}"
            content: dict[str, Any] = await answer.json()
            return content

    # Front-ends

    async def register(self, member: str, name: str) -> None:
        """A further front-end."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = await self.ask(
            member, OFFICER, "POST", "/v1/frontends", frontend=name, request=make_request(name, key)
        )
        self.cluster.write_identity(name, Identity(made["certificate"].encode(), key_pem(key)))

    def start(self, name: str = FRONT_END, processes: int = 2) -> None:
        """Start a front-end, and wait until it is ready."""
        directory = self.cluster.directory / f"{name}.state"
        directory.mkdir(0o700)
        listen, admin = free_ports(2)
        frontend = {
            "listen": [f"127.0.0.1:{listen}"],
            "admin": f"127.0.0.1:{admin}",
            "processes": processes,
            "pool": {
                "trust": str(self.cluster.authority),
                "identity": {"certificate": f"../{name}.pem", "key": f"../{name}.key"},
            },
            "cluster": {
                "name": name,
                "state": ".",
                "lease": 2.0,
                "catalogue": dict(self._catalogue),
            },
            "sites": [
                {
                    "names": [NAME],
                    "keys": [LABEL],
                    "backends": [f"tcp://127.0.0.1:{self._website_port}"],
                }
            ],
        }
        file = directory / "frontend.toml"
        file.write_text(dumps({"log": {"level": "info"}, "frontend": frontend}))
        self.processes[name] = self._scene.spawner(*offload("frontend", "-c", file))
        self.ports[name], self._admins[name] = listen, Endpoint(admin)
        until(self._admins[name].agrees, f"{name} ready")
        until(lambda: self._answers(name), f"{name} serving")

    def _answers(self, name: str) -> bool:
        try:
            self.visit(self.ports[name])
        except (OSError, SSL.Error):
            return False
        return True

    def _start_website(self) -> None:
        paths = os.pathsep.join((str(TESTS.parent), str(TESTS)))
        socket = self.cluster.directory / "website.sock"
        website = self._scene.spawner(
            *(sys.executable, "-m", "support.website", str(self._website_port), str(socket)),
            env={"PYTHONPATH": paths},
        )
        website.wait_for_port(self._website_port)

    # Visitors

    @staticmethod
    def visit(port: int) -> x509.Certificate:
        """A full handshake and a request; the certificate that it was served with."""
        with SocketClient(port, NAME) as client:
            client.handshake()
            leaf = client.tls.get_peer_certificate(as_cryptography=True)
            if not client.get().endswith(GREETING.encode()):
                raise ConnectionError("the answer is not the website's")
            assert leaf is not None
            return leaf

    @contextmanager
    def visited(self, pause: float = 0.02) -> Iterator[Visits]:
        """Visitors of every front-end, one after the other, until the end of the block."""
        visits = Visits()
        over = threading.Event()
        threads = [
            threading.Thread(target=visits.make, args=(port, over, pause))
            for port in self.ports.values()
        ]
        for thread in threads:
            thread.start()
        try:
            yield visits
        finally:
            over.set()
            for thread in threads:
                thread.join()


class Visits:
    """What visitors saw: seconds of each visit, failures in words, keys served with (SKI)."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.failures: list[str] = []
        self.keys: list[str] = []

    def make(self, port: int, over: threading.Event, pause: float) -> None:
        while not over.wait(pause):
            began = time.perf_counter()
            try:
                leaf = Site.visit(port)
            except Exception as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                continue
            self.seconds.append(time.perf_counter() - began)
            self.keys.append(ski(leaf))

    def __str__(self) -> str:
        failures: Sequence[str] = sorted(set(self.failures))[:3]
        detail = f" ({'; '.join(failures)})" if failures else ""
        return f"{len(self.seconds)} handshakes, {len(self.failures)} failed{detail}"


def ski(leaf: x509.Certificate) -> str:
    """Of the certificate's key, in hexadecimal."""
    return x509.SubjectKeyIdentifier.from_public_key(leaf.public_key()).digest.hex()
