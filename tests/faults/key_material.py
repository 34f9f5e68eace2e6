"""Everything at rest and on the wire is searched for secret numbers: keys', the cluster key's.

The store is spoken to without TLS here and everything passes through a recorder, so that what is
searched is what the store itself is told. Secrets are looked for as bytes in both orders, in
hexadecimal, in base64 at each alignment, and in base64 within base64, as a value within a value is.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from faults.case import Case, Scene, Seen
from faults.creations import signing
from faults.site import LABEL, Site
from support.cluster_processes import FRONT_END, OFFICER, Cluster, found
from support.ports import free_ports

from offload.cli.demo.known_keys import private_keys
from offload.cli.demo.memory import needles
from offload.token.enclosing import TransportSecrets
from offload.token.software import SoftwareToken

WORKERS = ("worker-1", "worker-2")


async def run(scene: Scene) -> Seen:
    """The case."""
    directory = scene.place("key-material")
    record = directory / "on-the-wire"
    ports = free_ports(3)
    etcd = scene.spawner(
        *("etcd", "--name", "only", "--data-dir", directory / "etcd", "--log-level", "error"),
        *("--listen-client-urls", f"http://127.0.0.1:{ports[0]}"),
        *("--advertise-client-urls", f"http://127.0.0.1:{ports[0]}"),
        *("--listen-peer-urls", f"http://127.0.0.1:{ports[1]}"),
    )
    await asyncio.to_thread(etcd.wait_for_port, ports[0])
    table = {"kind": "etcd", "endpoints": [f"http://127.0.0.1:{ports[2]}"]}
    async with recorded(ports[2], ports[0], record):
        cluster = await found(directory, scene.spawner, WORKERS, catalogue=table)
        await asyncio.to_thread(cluster.start)
        await _use(Site(scene, cluster, table))
        for name in WORKERS:
            await asyncio.to_thread(cluster.stop, name)
    return await asyncio.to_thread(_verdict, cluster, record)


async def _use(site: Site) -> None:
    """A whole life: made, exported, served with, rolled, audited, backed up."""
    made = await site.add_key("worker-1")
    await site.ask(
        *("worker-2", "kim", "POST", "/v1/keys"),
        label="signatures", algorithm="rsa-2048", exportable=True, audit_signatures=True,
    )  # fmt: skip
    recipient = rsa.generate_private_key(65537, 3072).public_key()
    pem = recipient.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    await site.ask("worker-1", "kim", "POST", "/v1/keys/signatures/export", recipient=pem)
    await asyncio.to_thread(site.start, FRONT_END)
    for _ in range(5):
        await asyncio.to_thread(site.visit, site.ports[FRONT_END])
    await signing(site.cluster, "worker-2", [made["ski"]])
    await site.ask("worker-1", OFFICER, "POST", "/v1/cluster/roll")
    backup = await site.ask("worker-1", OFFICER, "POST", "/v1/cluster/backup")
    (site.cluster.directory / "backup.json").write_text(repr(backup))


def _verdict(cluster: Cluster, record: Path) -> Seen:
    patterns = dict(_patterns(_secrets(cluster)))
    files = [path for path in cluster.directory.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    leaks = {f"{name} in {path.name}" for path in files for name in _found(path, patterns)}
    planted = cluster.directory / "planted"
    missed = []
    for name, pattern in patterns.items():
        planted.write_bytes(os.urandom(1000) + pattern + os.urandom(1000))
        if name not in _found(planted, patterns):
            missed.append(name)
    told = record.stat().st_size
    text = (
        f"{len(patterns)} patterns of {len(_secrets(cluster))} secrets in {len(files)} files of"
        f" {size:,} bytes, {told:,} of them what the store was told and told: {len(leaks)} found"
        f" {sorted(leaks)[:3] if leaks else ''}; planted {len(patterns)}, missed {len(missed)}"
    )
    return Seen(not leaks and not missed and told > 100_000, text)


def _secrets(cluster: Cluster) -> dict[str, bytes]:
    """Secret numbers by name, big-endian."""
    worker = cluster.members["worker-1"]
    keys = private_keys(worker.directory / "token", worker.directory / "passphrase")
    secrets = {
        f"{label} {number}": secret
        for label, key in keys.items()
        for number, secret in enumerate(needles(key))
    }
    token = SoftwareToken.open(worker.directory / "token", b"open sesame")
    try:
        ours = TransportSecrets(rsa.generate_private_key(65537, 3072), X25519PrivateKey.generate())
        public = ours.public
        for generation in token.cluster_keys():
            enclosed = token.enclose_cluster_key(generation, public)
            secrets[f"cluster key {generation}"] = ours.open_cluster_key(enclosed, generation)
    finally:
        token.close()
    assert any(label.startswith(LABEL) for label in secrets), sorted(secrets)
    return secrets


def _patterns(secrets: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    for name, secret in secrets.items():
        yield name, secret
        yield f"{name} in hexadecimal", secret.hex().encode()
        yield f"{name} in capital hexadecimal", secret.hex().upper().encode()
        for shift, once in enumerate(_base64(secret)):
            yield f"{name} in base64 {shift}", once
            for further, twice in enumerate(_base64(once)):
                yield f"{name} in base64 {shift} within base64 {further}", twice


def _base64(content: bytes) -> list[bytes]:
    """What is sure to be in the base64 of whatever has `content` at each alignment."""
    found = []
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + content)
        # Characters at either end depend on the bytes around.
        found.append(encoded[4 if shift else 0 : len(encoded) // 4 * 4 - 4])
    return found


def _found(path: Path, patterns: dict[str, bytes]) -> list[str]:
    # etcd reserves room for its log, which is empty.
    content = path.read_bytes().rstrip(b"\0")
    return [name for name, pattern in patterns.items() if pattern in content]


@asynccontextmanager
async def recorded(listen: int, server: int, record: Path) -> AsyncIterator[None]:
    """Connections to `listen` go to `server`, and what goes either way is kept in `record`."""
    with record.open("ab") as tape:
        tasks: set[asyncio.Task[Any]] = set()

        async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                while data := await reader.read(1 << 16):
                    tape.write(data)
                    writer.write(data)
                    await writer.drain()
            writer.close()

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            theirs, ours = await asyncio.open_connection("127.0.0.1", server)
            try:
                await asyncio.gather(copy(reader, ours), copy(theirs, writer))
            finally:
                for each in (writer, ours):
                    each.close()

        listener = await asyncio.start_server(relay, "127.0.0.1", listen)
        try:
            yield
        finally:
            listener.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


CASE = Case(
    "key material at rest and on the wire",
    "none, by a search that finds everything that is planted",
    run,
)
