"""The cluster of the demonstration: founded, joined and run on one machine.

etcd/           certificates, passwords and data of the three members of etcd
hsm/            (if SoftHSM2 is installed) the token of the last worker
worker-N/       a worker each; the first one's directory has those of the users, too
site/           the example authority's certificate: whom visitors trust
logs/           what each process says
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event

from offload.cli import cluster_create, cluster_join
from offload.cli.demo import hsm, newcomer
from offload.cli.demo.children import Child, Children
from offload.cli.demo.etcd import FRONTEND_USER, SIZE, WORKER_USER, Etcd
from offload.cli.demo.example_authority import ExampleAuthority
from offload.cli.demo.exposition import is_ready, links
from offload.cli.demo.ports import LOOPBACK, free_ports
from offload.cli.demo.rest import Rest
from offload.cli.enrolling import enrol
from offload.cli.member_plan import OWN_TOKEN, TRUST, FrontendPlan, MemberPlan
from offload.cluster.invitation import Invitation

OFFICER, KEY_USER = "olivia", "kim"
ZONES = {"worker-1": "a", "worker-2": "b", "worker-3": "a", "worker-4": "b"}
FOUNDER, *NEWCOMERS = ZONES
HSM_WORKER = "worker-4"
FRONTEND_ZONES = {"frontend-1": "a", "frontend-2": "b"}
SITE_KEY = "www"

_PAUSE = 0.2


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process listens: for the others, for metrics, and for REST (workers)."""

    port: int
    admin: int
    api: int = 0

    @property
    def admin_url(self) -> str:
        """Its metrics and readiness."""
        return f"http://{LOOPBACK}:{self.admin}"


class Stage:
    """Everything that runs; `directory` is there and empty."""

    def __init__(self, directory: Path, children: Children) -> None:
        """Start etcd; it is not waited for."""
        self.directory, self.children = directory, children
        now = datetime.now(UTC)
        ports = iter(free_ports(2 * SIZE + 1 + 3 * len(ZONES) + 2 * len(FRONTEND_ZONES)))
        self.etcd = Etcd(directory / "etcd", children, [next(ports) for _ in range(2 * SIZE)], now)
        self.website = next(ports)
        self.places = {name: Place(next(ports), next(ports), next(ports)) for name in ZONES}
        self.places.update({name: Place(next(ports), next(ports)) for name in FRONTEND_ZONES})
        self.lacking = hsm.missing()
        self.hsm = None if self.lacking else hsm.make(directory / "hsm")
        self.authority = ExampleAuthority(directory / "site", now)
        self.processes: dict[str, Child] = {}

    # Founding and joining

    def found(self) -> None:
        """Found the cluster on the first worker, with an officer, a key user and the front-ends."""
        self.etcd.set_up()
        frontends = [
            FrontendPlan(
                name,
                listen=f"{LOOPBACK}:{self.places[name].port}",
                admin=f"{LOOPBACK}:{self.places[name].admin}",
                backend=f"tcp://{LOOPBACK}:{self.website}",
                keys=(SITE_KEY,),
                processes=1,
                file=f"{name}.toml",
                zone=zone,
                catalogue=self.etcd.table(FRONTEND_USER),
                proxy_protocol=True,
            )
            for name, zone in FRONTEND_ZONES.items()
        ]
        asyncio.run(
            cluster_create.create(
                self._of(FOUNDER),
                "demo",
                OFFICER,
                self._plan(FOUNDER),
                datetime.now(UTC),
                frontends,
                [KEY_USER],
            )
        )

    def admit_others(self) -> None:
        """Invite the other workers, have them ask, and approve them as the officer."""
        officer = self.rest(FOUNDER, OFFICER)
        waiting = {}
        for name in NEWCOMERS:
            made = officer.ask("POST", "/v1/members", member=name)
            invitation = Invitation.decode(made["invitation"])
            waiting[name] = self._prepare(name, invitation)
        asyncio.run(self._join(officer, waiting))

    def _prepare(self, name: str, invitation: Invitation) -> cluster_join.Waiting:
        directory, plan, environment = self._of(name), self._plan(name), self._environment(name)
        if environment:
            return newcomer.prepare(directory, invitation, plan, environment)
        return cluster_join.prepare(directory, invitation, plan)

    async def _join(self, officer: Rest, waiting: Mapping[str, cluster_join.Waiting]) -> None:
        over = Event()
        asking = [self._enrol(name, one) for name, one in waiting.items()]
        try:
            await asyncio.gather(*asking, asyncio.to_thread(_approve, officer, waiting, over))
        finally:
            over.set()

    async def _enrol(self, name: str, waiting: cluster_join.Waiting) -> None:
        directory = self._of(name)
        public = cluster_join.public_key(directory, waiting)
        certificate = await enrol(
            waiting.invitation, waiting.application, public, say=_nobody, pause=_PAUSE
        )
        cluster_join.finish(directory, waiting, certificate)

    def _plan(self, name: str) -> MemberPlan:
        place = self.places[name]
        token = self.hsm.table if self.hsm is not None and name == HSM_WORKER else OWN_TOKEN
        return MemberPlan(
            name,
            zone=ZONES[name],
            listen=f"{LOOPBACK}:{place.port}",
            api=f"{LOOPBACK}:{place.api}",
            admin=place.admin_url.removeprefix("http://"),
            processes=1,
            catalogue=self.etcd.table(WORKER_USER),
            token=token,
        )

    def _of(self, worker: str) -> Path:
        return self.directory / worker

    # Processes

    def start_workers(self, *names: str) -> None:
        """Start them and wait until they are ready."""
        for name in names:
            file = str(self._of(name) / "worker.toml")
            self.processes[name] = self.children.start(
                *(name, "offload", "worker", "-c", file), environment=self._environment(name)
            )
        for name in names:
            self.wait_ready(name)

    def start_front_ends(self) -> None:
        """The website, and the front-ends, which are not waited for."""
        admins = [self.places[name].admin_url for name in FRONTEND_ZONES]
        self.children.start("website", "offload.cli.demo.website", str(self.website), *admins)
        for name in FRONTEND_ZONES:
            file = str(self._of(FOUNDER) / f"{name}.toml")
            self.processes[name] = self.children.start(name, "offload", "frontend", "-c", file)

    def wait_linked(self) -> None:
        """Until each front-end is ready and has a link to each worker."""
        for name in FRONTEND_ZONES:
            self.wait_ready(name)
            url = self.places[name].admin_url
            self.children.wait_until(partial(_linked, url), f"links of {name} to all workers")

    def wait_ready(self, name: str) -> None:
        """Until it says so itself."""
        url = self.places[name].admin_url
        self.children.wait_until(partial(is_ready, url), f"readiness of {name}")

    def kill(self, name: str) -> None:
        """As a power cut would."""
        self.children.kill(self.processes[name])

    def again(self, name: str) -> None:
        """Start a killed worker or front-end."""
        self.processes[name] = self.children.again(self.processes[name])

    def _environment(self, name: str) -> Mapping[str, str]:
        return self.hsm.environment if self.hsm is not None and name == HSM_WORKER else {}

    # Users

    def rest(self, worker: str, user: str) -> Rest:
        """The worker's REST for that user."""
        certificate, key = self.identity(user)
        return Rest(self.places[worker].api, certificate, key, self.trust)

    def identity(self, user: str) -> tuple[Path, Path]:
        """Certificate and key."""
        users = self._of(FOUNDER) / "users"
        return users / f"{user}.pem", users / f"{user}.key"

    @property
    def trust(self) -> Path:
        """The cluster's CA."""
        return self._of(FOUNDER) / TRUST

    def token_of(self, worker: str) -> tuple[Path, Path]:
        """Directory and passphrase file of a software token."""
        return (
            self._of(worker) / OWN_TOKEN["directory"],
            self._of(worker) / OWN_TOKEN["passphrase_file"],
        )


def _approve(officer: Rest, waiting: Mapping[str, cluster_join.Waiting], over: Event) -> None:
    """Approve each newcomer, whose fingerprint we have from itself, once it has asked."""
    left = {name: one.application.fingerprint for name, one in waiting.items()}
    while left and not over.wait(_PAUSE):
        for member in officer.ask("GET", "/v1/members")["members"]:
            name = member["name"]
            if name in left and member["state"] == "pending":
                path = f"/v1/members/{name}/approve"
                officer.ask("POST", path, fingerprint=left.pop(name))


def _linked(url: str) -> bool:
    up: Counter[str] = links(url)
    return all(up[name] for name in ZONES)


def _nobody(_text: str) -> None:
    """Says nothing."""
