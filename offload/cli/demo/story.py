"""What happens in the demonstration, told in plain words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from offload.cli import state
from offload.cli.demo.children import Child, Children
from offload.cli.demo.exposition import is_ready, links, signatures
from offload.cli.demo.judgement import judge
from offload.cli.demo.known_keys import private_keys
from offload.cli.demo.memory import needles, scan_family
from offload.cli.demo.narration import fact, title
from offload.cli.demo.ports import LOOPBACK, free_ports
from offload.cli.demo.visit import Visit, visit
from offload.cli.failure import Failure

WORKERS = ("worker-1", "worker-2")
FRONT_END_PROCESSES = 2
_RSA_CIPHER = "ECDHE-RSA-AES128-GCM-SHA256"


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of everything that listens."""

    site: int
    admin: int
    website: int
    workers: tuple[int, ...]
    worker_admins: tuple[int, ...]

    @classmethod
    def choose(cls) -> Ports:
        """Free ones."""
        site, admin, website, *rest = free_ports(3 + 2 * len(WORKERS))
        count = len(WORKERS)
        return cls(site, admin, website, tuple(rest[:count]), tuple(rest[count:]))

    @property
    def admin_url(self) -> str:
        """Where the front-end's metrics and readiness are."""
        return f"http://{LOOPBACK}:{self.admin}"


@dataclass(frozen=True, slots=True)
class Cast:
    """The processes on stage."""

    front_end: Child
    workers: tuple[Child, ...]


def tell(directory: Path, *, once: bool) -> None:
    """Build the state in `directory`, run everything, show that it works; raises Failure.

    Without `once` it then goes on until it is interrupted.
    """
    ports = Ports.choose()
    state.create(directory, _plan(ports))
    with Children(directory / "logs") as children:
        cast = _start(children, directory, ports)
        _say_cast(cast, ports, directory)
        _show_visits(children, ports, directory)
        _show_memory(cast, directory)
        say_where(ports, directory, once=once)
        if not once:
            children.watch(_say_restart, *WORKERS)


def _say_restart(worker: Child) -> None:
    print(
        f"\n{worker.name} ended; the others signed on; started again, pid {worker.pid}", flush=True
    )


def _plan(ports: Ports) -> state.Plan:
    workers = {
        name: state.WorkerPlan(
            f"{LOOPBACK}:{port}", f"{LOOPBACK}:{admin}", file=f"{name}.toml", processes=1
        )
        for name, port, admin in zip(WORKERS, ports.workers, ports.worker_admins, strict=True)
    }
    return state.Plan(
        listen=f"{LOOPBACK}:{ports.site}",
        admin=f"{LOOPBACK}:{ports.admin}",
        backend=f"tcp://{LOOPBACK}:{ports.website}",
        processes=FRONT_END_PROCESSES,
        proxy_protocol=True,
        workers=workers,
    )


def _start(children: Children, directory: Path, ports: Ports) -> Cast:
    children.start("website", "offload.cli.demo.website", str(ports.website), ports.admin_url)
    workers = tuple(
        children.start(name, "offload", "worker", "-c", str(directory / f"{name}.toml"))
        for name in WORKERS
    )
    for name, port in zip(WORKERS, ports.worker_admins, strict=True):
        url = f"http://{LOOPBACK}:{port}"
        children.wait_until(partial(is_ready, url), f"readiness of {name}")
    front_end = children.start(
        "frontend", "offload", "frontend", "-c", str(directory / "frontend.toml")
    )
    children.wait_until(partial(is_ready, ports.admin_url), "readiness of the front-end")
    children.wait_until(partial(_linked, ports.admin_url), "a link to each worker")
    return Cast(front_end, workers)


def _linked(url: str) -> bool:
    up = links(url)
    return all(up[name] >= FRONT_END_PROCESSES for name in WORKERS)


def _say_cast(cast: Cast, ports: Ports, directory: Path) -> None:
    title("Running on this machine")
    fact("front-end", f"{LOOPBACK}:{ports.site}, pid {cast.front_end.pid}, no private key")
    for child, port in zip(cast.workers, ports.workers, strict=True):
        fact(child.name, f"{LOOPBACK}:{port}, pid {child.pid}, keys {' and '.join(state.KEYS)}")
    fact("website", f"{LOOPBACK}:{ports.website}, plain HTTP")
    fact("state", str(directory))


def _show_visits(children: Children, ports: Ports, directory: Path) -> None:
    authority = directory / state.SITE_AUTHORITY
    for cipher in (None, _RSA_CIPHER):
        before = signatures(ports.admin_url)
        seen = visit(ports.site, authority, tls12_cipher=cipher)
        if seen.status != 200:
            raise Failure(f"the website answered with status {seen.status}")
        made: Counter[str] = Counter()

        def signed(made: Counter[str] = made, before: Counter[str] = before) -> bool:
            made.update(signatures(ports.admin_url) - before - made)
            return bool(made)

        children.wait_until(signed, "a signature in the front-end's metrics")
        _say_visit(seen, made)


def _say_visit(seen: Visit, made: Counter[str]) -> None:
    title(f"A request with {seen.protocol} and an {seen.certificate} certificate")
    fact("protocol", seen.protocol)
    fact("group", seen.group)
    fact("cipher", seen.cipher)
    fact("signed by", " and ".join(sorted(made)))
    fact("handshake", f"{seen.seconds * 1000:.1f} ms, the signature's way included")
    fact("answer", f"status {seen.status}, {len(seen.body)} characters from the website")


def _show_memory(cast: Cast, directory: Path) -> None:
    keys = private_keys(directory / "token", directory / "token.passphrase")
    secrets = {label: needles(key) for label, key in keys.items()}
    title("Search of the processes' memory for the private keys")
    workers = {child.name: scan_family(child.pid, secrets) for child in cast.workers}
    judge({"front-end": scan_family(cast.front_end.pid, secrets)}, workers, frozenset(keys))


def say_where(ports: Ports, directory: Path, *, once: bool) -> None:
    """Say how to try it, unless it ends here."""
    if once:
        title("All as it should be")
        return
    url = f"https://localhost:{ports.site}/"
    title("Try it")
    fact("browser", url)
    fact("curl", f"curl --cacert {directory / state.SITE_AUTHORITY} {url}")
    fact("metrics", f"{ports.admin_url}/metrics")
    fact("end it", "Ctrl-C")
