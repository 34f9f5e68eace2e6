"""The state directory: everything that a front-end and its workers need to start.

    authority/     the private CA of mutual TLS: authority.pem, authority.key
    identities/    a certificate and key for the front-end and for each worker
    token/         the software token; token.passphrase opens it
    certificates/  certificates of the example site, and the CA that issued them
    frontend.toml, a worker's file for each worker

It is built beside its final place and then renamed, so it is there whole or not at all; all
paths in its files are relative, so it may be moved.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_public_key

from offload.cli.building import built_beside, write_configuration, write_identity
from offload.cli.files import write_public, write_secret
from offload.cluster.authority import Authority, Identity, pem
from offload.cluster.profile import CertificateProfile
from offload.keys.algorithm import Algorithm
from offload.keys.record import KeyRecord
from offload.token.software import SoftwareToken

SITE_NAMES = ("localhost", "127.0.0.1", "::1")
SITE_DAYS = 365
KEYS = {"localhost-p256": "p-256", "localhost-rsa": "rsa-2048"}
SITE_AUTHORITY = Path("certificates", "authority.pem")

_COMMAND = "offload init"


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """Where a worker listens, and the name of its configuration file."""

    listen: str
    admin: str
    file: str = "worker.toml"
    processes: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a state directory shall be for; addresses as in the configuration."""

    listen: str = "127.0.0.1:8443"
    admin: str = "127.0.0.1:9180"
    backend: str = "tcp://127.0.0.1:8080"
    processes: int = 0
    proxy_protocol: bool = False
    log_format: str = "json"
    workers: Mapping[str, WorkerPlan] = field(
        default_factory=lambda: {"worker-1": WorkerPlan("127.0.0.1:2407", "127.0.0.1:9181")}
    )


def create(directory: Path, plan: Plan, now: datetime | None = None) -> None:
    """Make the state directory; raises Failure if anything is in its place."""
    now = now or datetime.now(UTC)
    with built_beside(directory) as place:
        front_end = _identities(place, plan, now)
        records = _token(place)
        certificates = _certificates(place, records, now)
        _configurations(place, plan, front_end, certificates)


def _identities(place: Path, plan: Plan, now: datetime) -> Identity:
    (place / "authority").mkdir(mode=0o700)
    (place / "identities").mkdir(mode=0o700)
    authority = Authority.create("offload cluster authority", now)
    write_public(place / "authority" / "authority.pem", authority.certificate_pem())
    write_secret(place / "authority" / "authority.key", authority.key_pem())
    front_end = authority.issue_frontend("frontend-1", now)
    write_identity(place, "identities", "frontend-1", front_end)
    for name in plan.workers:
        write_identity(place, "identities", name, authority.issue_worker(name, now))
    return front_end


def _token(place: Path) -> list[KeyRecord]:
    passphrase = secrets.token_urlsafe(32).encode()
    write_secret(place / "token.passphrase", passphrase + b"\n")
    token = SoftwareToken.create(place / "token", passphrase)
    try:
        return [token.generate(label, Algorithm(kind)) for label, kind in KEYS.items()]
    finally:
        token.close()


def _certificates(place: Path, records: list[KeyRecord], now: datetime) -> list[str]:
    """Certificates of the example site; the key of the CA that issues them is forgotten here."""
    (place / "certificates").mkdir(mode=0o755)
    authority = Authority.create("offload example authority", now, SITE_DAYS)
    write_public(place / SITE_AUTHORITY, authority.certificate_pem())
    paths = []
    for record in records:
        certificate = authority.issue(
            _public_key(record), SITE_NAMES, CertificateProfile.SERVER, now, SITE_DAYS
        )
        paths.append(f"certificates/{record.label}.pem")
        write_public(place / paths[-1], pem(certificate))
    return paths


def _public_key(record: KeyRecord) -> CertificatePublicKeyTypes:
    key: Any = load_der_public_key(record.public_key)
    public: CertificatePublicKeyTypes = key
    return public


def _configurations(place: Path, plan: Plan, front_end: Identity, certificates: list[str]) -> None:
    log = {"level": "info", "format": plan.log_format}
    frontend = {"log": log, "frontend": _frontend(plan, certificates)}
    write_configuration(place / "frontend.toml", frontend, _COMMAND)
    for name, worker in plan.workers.items():
        table = {"log": log, "worker": _worker(name, worker, front_end)}
        write_configuration(place / worker.file, table, _COMMAND)


def _frontend(plan: Plan, certificates: list[str]) -> dict[str, Any]:
    workers = [{"name": name, "address": plan.workers[name].listen} for name in plan.workers]
    return {
        "listen": [plan.listen],
        "admin": plan.admin,
        "processes": plan.processes,
        "pool": {
            "identity": _identity("frontend-1"),
            "trust": "authority/authority.pem",
            "workers": workers,
        },
        "sites": [
            {
                "names": ["localhost"],
                "default": True,
                "certificates": certificates,
                "backends": [plan.backend],
                "alpn": ["http/1.1"],
                "proxy_protocol": plan.proxy_protocol,
            }
        ],
    }


def _worker(name: str, worker: WorkerPlan, front_end: Identity) -> dict[str, Any]:
    return {
        "name": name,
        "listen": worker.listen,
        "admin": worker.admin,
        "processes": worker.processes,
        "identity": _identity(name),
        "trust": "authority/authority.pem",
        "token": {"directory": "token", "passphrase_file": "token.passphrase"},
        "frontends": [
            {"name": "frontend-1", "fingerprint": front_end.fingerprint, "keys": list(KEYS)}
        ],
    }


def _identity(name: str) -> dict[str, str]:
    return {"certificate": f"identities/{name}.pem", "key": f"identities/{name}.key"}
