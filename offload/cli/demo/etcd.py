"""A cluster of etcd on this machine: mutual TLS, one user for workers and one for front-ends."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import ssl
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from offload.catalogue.etcd_roles import Grant, frontend_grants, worker_grants
from offload.cli.demo.children import Child, Children
from offload.cli.demo.etcd_identities import CLIENT, MEMBER, TRUST, write_identities
from offload.cli.demo.ports import LOOPBACK
from offload.cli.failure import Failure
from offload.cli.files import write_secret

SIZE = 3
PREFIX = "/offload/"
WORKER_USER, FRONTEND_USER = "worker", "frontend"
_ROOT = "root"
_SECONDS = 5.0


def require_etcd() -> None:
    """Raise Failure where etcd is not installed."""
    if shutil.which("etcd") is None:
        raise Failure("etcd is not installed", "as root: apt-get install etcd-server")


class Etcd:
    """Its members by name; `directory` has all their files and is made here."""

    def __init__(
        self, directory: Path, children: Children, ports: Sequence[int], now: datetime
    ) -> None:
        """ports: for clients and for each other, of each member."""
        self._directory, self._children = directory, children
        names = [f"etcd-{number}" for number in range(1, SIZE + 1)]
        urls = [f"https://{LOOPBACK}:{port}" for port in ports]
        self._clients = dict(zip(names, urls[:SIZE], strict=True))
        self._peers = dict(zip(names, urls[SIZE:], strict=True))
        directory.mkdir(mode=0o700)
        write_identities(directory, now)
        for user in (_ROOT, WORKER_USER, FRONTEND_USER):
            write_secret(self._password_file(user), secrets.token_urlsafe(32).encode() + b"\n")
        self._tls = ssl.create_default_context(cafile=directory / TRUST)
        self._tls.load_cert_chain(directory / f"{CLIENT}.pem", directory / f"{CLIENT}.key")
        self.members = {name: self._start(name) for name in names}

    def table(self, user: str) -> dict[str, Any]:
        """The catalogue in the configuration of who is that user."""
        return {
            "kind": "etcd",
            "endpoints": list(self._clients.values()),
            "trust": str(self._directory / TRUST),
            "certificate": str(self._directory / f"{CLIENT}.pem"),
            "key": str(self._directory / f"{CLIENT}.key"),
            "user": user,
            "password_file": str(self._password_file(user)),
            "prefix": PREFIX,
        }

    def set_up(self) -> None:
        """Wait for a leader, make users and roles, and turn authentication on."""
        self._children.wait_until(lambda: self.leader() is not None, "a leader of etcd")
        roles: Mapping[str, Sequence[Grant]] = {
            _ROOT: (),
            WORKER_USER: worker_grants(PREFIX),
            FRONTEND_USER: frontend_grants(PREFIX),
        }
        for name, grants in roles.items():
            password = self._password_file(name).read_text().strip()
            self._ask("v3/auth/role/add", {"name": name})
            for grant in grants:
                permission = {
                    "permType": grant.permission,
                    "key": _encoded(grant.start),
                    "range_end": _encoded(grant.end),
                }
                self._ask("v3/auth/role/grant", {"name": name, "perm": permission})
            self._ask("v3/auth/user/add", {"name": name, "password": password})
            self._ask("v3/auth/user/grant", {"user": name, "role": name})
        self._ask("v3/auth/enable", {})

    def leader(self) -> str | None:
        """The name of the leader; None while there is none."""
        for name in self._clients:
            try:
                status = self._ask("v3/maintenance/status", {}, name)
            except (OSError, ValueError):
                continue
            if status.get("leader", "0") == status.get("header", {}).get("member_id"):
                return name
        return None

    def kill(self, name: str) -> None:
        """As a power cut would."""
        self._children.kill(self.members[name])

    def again(self, name: str) -> None:
        """Start a killed member with what it had written."""
        self.members[name] = self._children.again(self.members[name])

    def _password_file(self, user: str) -> Path:
        return self._directory / f"{user}.password"

    def _ask(self, path: str, body: Mapping[str, Any], member: str = "etcd-1") -> dict[str, Any]:
        """A request to one member; raises OSError or ValueError."""
        request = urllib.request.Request(  # noqa: S310 - our own address
            f"{self._clients[member]}/{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=_SECONDS, context=self._tls) as response:  # noqa: S310
            answer: dict[str, Any] = json.load(response)
        return answer

    def _start(self, name: str) -> Child:
        place = self._directory
        own = str(place / f"{MEMBER}.pem"), str(place / f"{MEMBER}.key")
        trust, client, peer = str(place / TRUST), self._clients[name], self._peers[name]
        everybody = ",".join(f"{other}={url}" for other, url in self._peers.items())
        return self._children.run(
            name,
            *("etcd", "--name", name, "--data-dir", str(place / name)),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", everybody, "--initial-cluster-token", place.parent.name),
            *("--client-cert-auth", "--trusted-ca-file", trust),
            *("--cert-file", own[0], "--key-file", own[1]),
            *("--peer-client-cert-auth", "--peer-trusted-ca-file", trust),
            *("--peer-cert-file", own[0], "--peer-key-file", own[1]),
            # Passwords are of 256 random bits: to make guesses dear is of no use.
            *("--bcrypt-cost", "4", "--logger", "zap", "--log-level", "warn"),
            # Told to end, each would look for another leader among those who end, too.
            abrupt=True,
        )


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
