"""Real etcd clusters: mutual TLS, users with roles, members that can be killed and come back.

Users are 'root', 'member' (a worker) and 'frontend'; the password of each is its name.
"""

import base64
import json
import signal
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from offload.catalogue.etcd_roles import Grant, frontend_grants, worker_grants
from offload.config import EtcdSettings
from support.pki import PKI
from support.ports import free_ports
from support.processes import Spawned

PREFIX = "/offload/"
_READY_SECONDS = 20.0
_POLL_SECONDS = 0.02


class EtcdCluster:
    """Members by their index; the directory has everything that they write."""

    def __init__(self, directory: Path, pki: PKI, size: int) -> None:
        """Start it; `wait` before use."""
        ports = free_ports(2 * size)
        self._directory, self._size = directory, size
        self._clients = [f"https://127.0.0.1:{port}" for port in ports[:size]]
        self._peers = [f"https://127.0.0.1:{port}" for port in ports[size:]]
        self._trust = pki.root_path
        self._identity = pki.identity("etcd")
        self._client = client = pki.identity("etcd-client", common_name=False)
        self._context = ssl.create_default_context(cafile=pki.root_path)
        self._context.load_cert_chain(client.certificate_path, client.key_path)
        self._members = [self._start(index) for index in range(size)]

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Of all members, in order."""
        return tuple(self._clients)

    def settings(
        self, user: str = "member", *, prefix: str = PREFIX, endpoints: Sequence[str] = ()
    ) -> EtcdSettings:
        """How a catalogue of the user is configured."""
        password = self._directory / f"{user}.password"
        password.touch(0o600)
        password.write_text(f"{user}\n")
        return EtcdSettings(
            kind="etcd",
            endpoints=tuple(endpoints or self._clients),
            trust=self._trust,
            certificate=self._client.certificate_path,
            key=self._client.key_path,
            user=user,
            password_file=password,
            prefix=prefix,
        )

    def table(self, user: str = "member") -> dict[str, Any]:
        """The same as a table of the configuration."""
        return self.settings(user).model_dump(mode="json", exclude_none=True)

    def leader(self) -> int:
        """The index of the leader, waiting for an election."""
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            for index in range(self._size):
                status = self._status(index)
                if status.get("leader", "0") == status.get("header", {}).get("member_id"):
                    return index
            time.sleep(_POLL_SECONDS)
        raise AssertionError("the etcd cluster has no leader")

    def kill(self, index: int) -> None:
        """As a power cut would: nothing is said to anybody."""
        self._members[index].signal(signal.SIGKILL)
        self._members[index].wait()

    def suspend(self, index: int) -> None:
        """Its kernel still takes connections, but nobody answers them."""
        self._members[index].signal(signal.SIGSTOP)

    def resume(self, index: int) -> None:
        """After `suspend`."""
        self._members[index].signal(signal.SIGCONT)

    def restart(self, index: int) -> None:
        """After `kill`: with what it had written; returns when it serves."""
        self.restart_soon(index)
        self.wait(index)

    def restart_soon(self, index: int) -> None:
        """As `restart`, without waiting: without a majority it would take for ever."""
        self._members[index] = self._start(index)

    def wait(self, *indices: int) -> None:
        """Until these members, or all, know a leader."""
        deadline = time.monotonic() + _READY_SECONDS
        waiting = set(indices or range(self._size))
        while waiting:
            waiting = {index for index in waiting if self._status(index).get("leader", "0") == "0"}
            if waiting and time.monotonic() > deadline:
                raise AssertionError(self._members[min(waiting)].output)
            if waiting:
                time.sleep(_POLL_SECONDS)

    def set_up_users(self, prefix: str = PREFIX) -> None:
        """Users, roles, and authentication turned on."""
        roles: Mapping[str, Sequence[Grant]] = {
            "root": (),
            "member": worker_grants(prefix),
            "frontend": frontend_grants(prefix),
        }
        for name, grants in roles.items():
            self.ask("v3/auth/role/add", {"name": name})
            for grant in grants:
                permission = {
                    "permType": grant.permission,
                    "key": _encoded(grant.start),
                    "range_end": _encoded(grant.end),
                }
                self.ask("v3/auth/role/grant", {"name": name, "perm": permission})
            self.ask("v3/auth/user/add", {"name": name, "password": name})
            self.ask("v3/auth/user/grant", {"user": name, "role": name})
        self.ask("v3/auth/enable", {})

    def ask(
        self, path: str, body: Mapping[str, Any], *, index: int = 0, token: str = ""
    ) -> dict[str, Any]:
        """A request to one member; raises OSError."""
        request = urllib.request.Request(
            f"{self._clients[index]}/{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": token} if token else {},
        )
        with urllib.request.urlopen(request, timeout=5, context=self._context) as response:
            answer: dict[str, Any] = json.load(response)
        return answer

    def root_token(self, index: int = 0) -> str:
        """For `ask`, once authentication is on."""
        answer = self.ask("v3/auth/authenticate", {"name": "root", "password": "root"}, index=index)
        return str(answer["token"])

    def close(self) -> None:
        """End all members."""
        for index, member in enumerate(self._members):
            if member.process.poll() is None:
                self.resume(index)
                self.kill(index)

    def _status(self, index: int) -> dict[str, Any]:
        try:
            return self.ask("v3/maintenance/status", {}, index=index)
        except (OSError, ValueError):
            return {}

    def _start(self, index: int) -> Spawned:
        name = f"etcd-{index}"
        peers = ",".join(f"etcd-{other}={url}" for other, url in enumerate(self._peers))
        certificate, key = self._identity.certificate_path, self._identity.key_path
        # A member alone need not wait long for others before it leads.
        election = ("10", "100") if self._size == 1 else ("100", "1000")
        return Spawned(
            [
                # Not to be left behind where the test run itself is killed.
                *("setpriv", "--pdeathsig", "KILL"),
                *("etcd", "--name", name, "--data-dir", self._directory / name),
                *("--listen-client-urls", self._clients[index]),
                *("--advertise-client-urls", self._clients[index]),
                *("--listen-peer-urls", self._peers[index]),
                *("--initial-advertise-peer-urls", self._peers[index]),
                *("--initial-cluster", peers, "--initial-cluster-token", "test"),
                *("--client-cert-auth", "--trusted-ca-file", self._trust),
                *("--cert-file", certificate, "--key-file", key),
                *("--peer-client-cert-auth", "--peer-trusted-ca-file", self._trust),
                *("--peer-cert-file", certificate, "--peer-key-file", key),
                *("--heartbeat-interval", election[0], "--election-timeout", election[1]),
                # The cheapest that there is: passwords are no secret here.
                *("--bcrypt-cost", "4", "--logger", "zap", "--log-level", "warn"),
            ],
            self._directory / f"{name}.log",
        )


@contextmanager
def etcd_cluster(directory: Path, pki: PKI, size: int) -> Iterator[EtcdCluster]:
    """A cluster of `size` members that serves, with its users."""
    cluster = EtcdCluster(directory, pki, size)
    try:
        cluster.wait()
        cluster.set_up_users()
        yield cluster
    finally:
        cluster.close()


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
