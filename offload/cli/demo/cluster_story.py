"""What happens in the demonstration of a cluster, told in plain words."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from offload.cli.building import require_free
from offload.cli.demo.children import Child, Children
from offload.cli.demo.cluster_stage import (
    FOUNDER,
    FRONTEND_ZONES,
    HSM_WORKER,
    KEY_USER,
    NEWCOMERS,
    OFFICER,
    SITE_KEY,
    ZONES,
    Stage,
)
from offload.cli.demo.etcd import require_etcd
from offload.cli.demo.example_authority import NAMES
from offload.cli.demo.exposition import signatures
from offload.cli.demo.judgement import judge
from offload.cli.demo.known_keys import private_keys
from offload.cli.demo.memory import Scan, needles, scan_family
from offload.cli.demo.narration import fact, title
from offload.cli.demo.ports import LOOPBACK
from offload.cli.demo.rest import Rest
from offload.cli.demo.visit import Visit, visit
from offload.cli.failure import Failure

VICTIM = "worker-2"
SECOND_KEY = "api"
REQUESTS = 10

_OFTEN = 0.01
_DRAIN_SECONDS = 1.0


def tell_cluster(directory: Path, *, once: bool) -> None:
    """Found a cluster in `directory`, run it, show that it works; raises Failure.

    Without `once` it then goes on until it is interrupted.
    """
    require_etcd()
    require_free(directory)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with Children(directory / "logs") as children:
        story = _Story(Stage(directory, children))
        story.gather()
        story.add_key()
        story.lose_worker()
        story.lose_leader()
        story.rotate()
        story.return_all()
        story.search()
        story.end(once=once)


@dataclass
class _Story:
    """Told in the order of its methods. ski: of each generation of the site's key, by name."""

    stage: Stage
    began: float = field(default_factory=time.monotonic)
    skis: dict[str, str] = field(default_factory=dict)
    leader: str = ""

    def title(self, text: str) -> None:
        title(f"{text} ({time.monotonic() - self.began:.1f} s)")

    @property
    def user(self) -> Rest:
        """The key user, at a worker that stays."""
        return self.stage.rest(FOUNDER, KEY_USER)

    # Running

    def gather(self) -> None:
        stage = self.stage
        stage.found()
        stage.start_workers(FOUNDER)
        stage.admit_others()
        stage.start_front_ends()
        stage.start_workers(*NEWCOMERS)
        stage.wait_linked()
        self.title("Running on this machine")
        fact("catalogue", f"{', '.join(stage.etcd.members)}, mutual TLS; wrapped keys only")
        for name, zone in ZONES.items():
            how = "founded the cluster" if name == FOUNDER else "joined, approved by the officer"
            where = f"{LOOPBACK}:{stage.places[name].port}, pid {stage.processes[name].pid}"
            fact(name, f"zone {zone}, {where}, {self._token(name)}; {how}")
        for name, zone in FRONTEND_ZONES.items():
            where = f"{LOOPBACK}:{stage.places[name].port}, pid {stage.processes[name].pid}"
            fact(name, f"zone {zone}, {where}, no private key")
        if stage.lacking:
            fact("no HSM", stage.lacking)
        fact("state", str(stage.directory))

    def _token(self, worker: str) -> str:
        return "SoftHSM2" if worker == HSM_WORKER and self.stage.hsm else "software token"

    # Keys

    def add_key(self) -> None:
        rest = self.stage.rest(VICTIM, KEY_USER)
        name, told = self._create(rest, SITE_KEY)
        self.title(f"A key, made on {VICTIM} over REST")
        fact("key", f"{name}, P-256, wrapped in the catalogue")
        fact("usable", told)
        asked = rest.ask("POST", f"/v1/keys/{name}/certificate-request", names=list(NAMES))
        began = time.perf_counter()
        self._install(rest, name, asked["request"])
        self._wait_served(name)
        took = (time.perf_counter() - began) * 1000
        fact(
            "certified", f"by the example authority; served by both front-ends after {took:.0f} ms"
        )
        self._say_visits(name)

    def _create(self, rest: Rest, label: str) -> tuple[str, str]:
        """The key's name, and on which workers it is after how long."""
        began = time.perf_counter()
        made = rest.ask("POST", "/v1/keys", label=label, algorithm="p-256")
        name = f"{made['label']}@{made['generation']}"
        acknowledged = (time.perf_counter() - began) * 1000
        on: dict[str, float] = {}
        wanted = [one for one in ZONES if self.stage.processes[one].process.poll() is None]

        def everywhere() -> bool:
            for member in self._holders(name):
                on.setdefault(member, (time.perf_counter() - began) * 1000)
            return set(on) >= set(wanted)

        what = f"{name} on {', '.join(wanted)}"
        self.stage.children.wait_until(everywhere, what, interval=_OFTEN)
        self.skis[name] = made["ski"]
        workers = " ".join(sorted(on))
        return name, (
            f"acknowledged after {acknowledged:.0f} ms;"
            f" on {workers} after {max(on.values()):.0f} ms"
        )

    def _install(self, rest: Rest, name: str, request: str) -> None:
        chain = self.stage.authority.certify(request)
        rest.ask("PUT", f"/v1/keys/{name}/certificate", chain=chain)

    # Requests

    def _visit(self, front_end: str, name: str) -> Visit:
        """Raises Failure if it is not served as it should be, with that key."""
        seen = visit(self.stage.places[front_end].port, self.stage.authority.path)
        if seen.status != 200:
            raise Failure(f"the website answered with status {seen.status}")
        if seen.ski != self.skis[name]:
            raise Failure(f"{front_end} served another key than {name}")
        return seen

    def _wait_served(self, name: str) -> None:
        """Until the front-ends say so."""
        ski = self.skis[name]

        def served() -> bool:
            found = self.user.ask("GET", "/v1/frontends")["frontends"]
            serving = {one["name"] for one in found if one["serving"].get(SITE_KEY) == ski}
            return serving >= set(FRONTEND_ZONES)

        self.stage.children.wait_until(served, f"{name} on both front-ends", interval=_OFTEN)

    def _say_visits(self, name: str) -> None:
        """One request through each front-end, and who signed for it."""
        urls = {one: self.stage.places[one].admin_url for one in FRONTEND_ZONES}
        before = {one: signatures(url) for one, url in urls.items()}
        visits = {one: self._visit(one, name) for one in urls}
        signed: dict[str, Counter[str]] = {}

        def known() -> bool:
            signed.update({one: signatures(url) - before[one] for one, url in urls.items()})
            return all(signed.values())

        self.stage.children.wait_until(known, "a signature in the front-ends' metrics")
        for one, seen in visits.items():
            fact(
                one,
                f"https: {seen.status}, {seen.protocol}, {seen.group}, {name} signed by"
                f" {' and '.join(sorted(signed[one]))}, {seen.seconds * 1000:.1f} ms",
            )

    def _say_requests(self, name: str) -> None:
        """Serve on through all front-ends; raises Failure if one request is not."""
        slowest = 0.0
        for _ in range(REQUESTS):
            for front_end in FRONTEND_ZONES:
                slowest = max(slowest, self._visit(front_end, name).seconds)
        count = REQUESTS * len(FRONTEND_ZONES)
        fact(
            "requests",
            f"{count} of {count} answered through both front-ends;"
            f" slowest handshake {slowest * 1000:.0f} ms",
        )

    # Losses

    def lose_worker(self) -> None:
        self.stage.kill(VICTIM)
        self.title(f"{VICTIM}, which made the key, is killed (SIGKILL)")
        self._say_requests(f"{SITE_KEY}@1")

    def lose_leader(self) -> None:
        self.leader = self._leader()
        self.stage.etcd.kill(self.leader)
        self.title(f"{self.leader}, the leader of the catalogue, is killed (SIGKILL)")
        self._say_requests(f"{SITE_KEY}@1")
        name, told = self._create(self.user, SECOND_KEY)
        fact("key", f"{name}, made on {FOUNDER}: {told}")

    def _leader(self) -> str:
        found: list[str] = []

        def there() -> bool:
            leader = self.stage.etcd.leader()
            found.extend([leader] if leader else [])
            return bool(found)

        self.stage.children.wait_until(there, "a leader of etcd")
        return found[0]

    def return_all(self) -> None:
        self.stage.etcd.again(self.leader)
        began = time.perf_counter()
        self.stage.again(VICTIM)
        self.stage.wait_ready(VICTIM)
        names = [*self.skis]
        self.stage.children.wait_until(
            lambda: all(VICTIM in self._holders(name) for name in names), f"all keys on {VICTIM}"
        )
        took = time.perf_counter() - began
        self.title(f"{VICTIM} and {self.leader} are started again")
        fact(VICTIM, f"has {' '.join(names)} after {took:.1f} s, two of them made without it")

    def _holders(self, name: str) -> list[str]:
        copies = self.user.ask("GET", f"/v1/keys/{name}")["copies"]
        return [copy["member"] for copy in copies if copy["state"] == "held"]

    # Rotation

    def rotate(self) -> None:
        old, new = f"{SITE_KEY}@1", f"{SITE_KEY}@2"
        self.title(f"Rotation of {SITE_KEY}")
        rest, path = self.user, f"/v1/keys/{SITE_KEY}/rotation"
        began = time.perf_counter()
        asked: dict[str, Any] = {"names": list(NAMES), "drain_seconds": _DRAIN_SECONDS}
        self.skis[new] = rest.ask("POST", path, issue="request", **asked)["new_ski"]
        view = self._rotation(lambda one: bool(one["request"]), "a certification request")
        self._install(rest, new, view["request"])
        self._rotation(
            lambda one: one["phase"] in ("draining", "done"),
            "a canary handshake and the switch on both front-ends",
        )
        self._wait_served(new)
        took = (time.perf_counter() - began) * 1000
        fact("switched", f"both front-ends, after a canary handshake on each, {took:.0f} ms in all")
        self._say_requests(new)
        self._rotation(lambda one: one["phase"] == "done", "the end of the rotation")
        state = rest.ask("GET", f"/v1/keys/{old}")["state"]
        fact("old", f"{old} is {state}")

    def _rotation(self, reached: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Wait until it is so far; raises Failure if it was rolled back."""
        views: list[dict[str, Any]] = []

        def there() -> bool:
            views[:] = [self.user.ask("GET", f"/v1/keys/{SITE_KEY}/rotation")]
            if views[0]["phase"] == "rolled-back":
                raise Failure(f"the rotation was rolled back: {views[0]['reason']}")
            return reached(views[0])

        self.stage.children.wait_until(there, what, interval=_OFTEN)
        return views[0]

    # Memory

    def search(self) -> None:
        keys = private_keys(*self.stage.token_of(FOUNDER))
        secrets = {label: needles(key) for label, key in keys.items()}
        self.title(f"Search of the processes' memory for {len(keys)} private keys")
        front_ends = self._scanned(FRONTEND_ZONES, secrets)
        etcd = {
            name: scan_family(child.pid, secrets) for name, child in self.stage.etcd.members.items()
        }
        workers = self._scanned([one for one in ZONES if self._token(one) != "SoftHSM2"], secrets)
        judge({**front_ends, **etcd}, workers, frozenset([f"{SITE_KEY}@2"]))
        if self.stage.hsm is not None:
            fact(HSM_WORKER, "not searched: SoftHSM2 keeps its keys encrypted until it uses them")

    def _scanned(self, names: Iterable[str], secrets: dict[str, list[bytes]]) -> dict[str, Scan]:
        return {name: scan_family(self.stage.processes[name].pid, secrets) for name in names}

    # The end

    def end(self, *, once: bool) -> None:
        if once:
            self.title("All as it should be")
            return
        say_where(self.stage)
        etcd, processes = self.stage.etcd.members, self.stage.processes
        self.stage.children.watch(_say_restart, *etcd, *processes)


def say_where(stage: Stage) -> None:
    """Say how to try it."""
    title("Try it")
    for name in FRONTEND_ZONES:
        url = f"https://localhost:{stage.places[name].port}/"
        fact("site", f"curl --cacert {stage.authority.path} {url}")
    url = stage.rest(FOUNDER, OFFICER).url
    certificate, key = stage.identity(OFFICER)
    client = f"--client {stage.directory / FOUNDER / 'client.toml'}"
    fact("keys", f"offload key list {client}")
    fact("REST", f"curl --cacert {stage.trust} --cert {certificate} --key {key} {url}/v1/keys")
    fact("console", f"{url}/ in a browser that trusts {stage.trust}")
    fact("", f"sign in with what 'offload user token {client}' prints")
    for name, place in stage.places.items():
        fact("metrics", f"{place.admin_url}/metrics ({name})")
    fact("end it", "Ctrl-C; kill what you like meanwhile: it is started again")


def _say_restart(child: Child) -> None:
    print(f"\n{child.name} ended; started again, pid {child.pid}", flush=True)
