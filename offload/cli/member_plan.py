"""A cluster's member and front-end, as commands set them up: their configuration files.

    authority.pem            the cluster's CA, which everybody trusts; its key is in the tokens
    identities/              the member's certificate and key
    users/                   (founder) certificate and key of the first officer and key users
    token/, token.passphrase the software token, unless an HSM is the token
    catalogue/               (founder, SQLite) the catalogue
    state/                   the worker's own: its audit log, its copy of the catalogue
    worker.toml              for `offload worker -c`
    client.toml              (founder) for commands of that officer
    client-NAME.toml         (founder) for commands of that key user
    frontend.toml            (founder, if asked for) for `offload frontend -c`
    enrolment.json           (newcomer) until it is admitted: what it asks with

The directory is there whole or not at all. Paths in its files are relative, so it may be moved;
what was there before, such as the files of etcd's TLS, is named where it is.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from offload.catalogue.base import CatalogueError
from offload.cli.building import write_configuration
from offload.cli.failure import Failure
from offload.cli.files import write_secret
from offload.cluster.failures import ManagementError
from offload.cluster.standing import Standing
from offload.config import CatalogueSettings, TokenSettings
from offload.token.base import ReplicatedToken, TokenError
from offload.token.opening import open_token
from offload.token.software import SoftwareToken

OWN_CATALOGUE: Mapping[str, Any] = {"kind": "sqlite", "path": "catalogue/catalogue.db"}
OWN_TOKEN: Mapping[str, Any] = {"directory": "token", "passphrase_file": "token.passphrase"}
TRUST = "authority.pem"

_CATALOGUE: TypeAdapter[CatalogueSettings] = TypeAdapter(CatalogueSettings)
_TOKEN: TypeAdapter[TokenSettings] = TypeAdapter(TokenSettings)


@dataclass(frozen=True, slots=True)
class MemberPlan:
    """A member as its configuration will have it; addresses as there.

    catalogue, token: the tables of these names; their paths are absolute, or below the directory.
    """

    member: str
    zone: str = ""
    capacity: float = 1.0
    listen: str = "127.0.0.1:2407"
    api: str = "127.0.0.1:2408"
    admin: str = "127.0.0.1:9181"
    advertise: str | None = None
    advertise_api: str | None = None
    processes: int = 0
    log_format: str = "json"
    catalogue: Mapping[str, Any] = field(default_factory=lambda: OWN_CATALOGUE)
    token: Mapping[str, Any] = field(default_factory=lambda: OWN_TOKEN)

    def standing(self) -> Standing:
        """What others are told of it; raises Failure."""
        try:
            return Standing(
                zone=self.zone,
                capacity=self.capacity,
                address=self.advertise or self.listen,
                api=self.advertise_api or self.api,
            )
        except ValidationError as error:
            raise _explained(error, "--zone, --capacity, --advertise or --advertise-api") from None

    def catalogue_settings(self, directory: Path) -> CatalogueSettings:
        """Where the catalogue is, for a member in that directory; raises Failure."""
        try:
            return _CATALOGUE.validate_python(
                dict(self.catalogue), context={"base": directory.absolute()}
            )
        except ValidationError as error:
            raise _explained(error, "the options of the catalogue") from None


@dataclass(frozen=True, slots=True)
class FrontendPlan:
    """A front-end to register at once. keys: labels of keys, which may be made later; zone and
    catalogue: as the worker's, unless they are given.
    """

    name: str
    listen: str = "127.0.0.1:8443"
    admin: str = "127.0.0.1:9180"
    backend: str = "tcp://127.0.0.1:8080"
    keys: tuple[str, ...] = ("www",)
    processes: int = 0
    file: str = "frontend.toml"
    zone: str | None = None
    catalogue: Mapping[str, Any] | None = None
    proxy_protocol: bool = False


@contextmanager
def failures() -> Iterator[None]:
    """What the token, the catalogue or the cluster's rules refuse becomes a Failure."""
    try:
        yield
    except (TokenError, CatalogueError, ManagementError) as error:
        raise Failure(str(error)) from error


@contextmanager
def member_token(place: Path, plan: MemberPlan, *, fresh: bool = True) -> Iterator[ReplicatedToken]:
    """The member's token: the HSM that the plan names, or a software token below `place`, which is
    made if it is to be `fresh`.
    """
    if fresh and dict(plan.token) == dict(OWN_TOKEN):
        passphrase = secrets.token_urlsafe(32).encode()
        write_secret(place / OWN_TOKEN["passphrase_file"], passphrase + b"\n")
        token: ReplicatedToken = SoftwareToken.create(place / OWN_TOKEN["directory"], passphrase)
    else:
        token = open_token(_token_settings(place, plan))
    try:
        yield token
    finally:
        token.close()


def _token_settings(place: Path, plan: MemberPlan) -> TokenSettings:
    try:
        return _TOKEN.validate_python(dict(plan.token), context={"base": place.absolute()})
    except ValidationError as error:
        raise _explained(error, "the options of the token") from None


def write_member(place: Path, plan: MemberPlan, made_by: str) -> None:
    """worker.toml, and the directories that it names; `made_by` is the command."""
    (place / "state").mkdir(mode=0o700)
    if dict(plan.catalogue) == dict(OWN_CATALOGUE):
        (place / "catalogue").mkdir(mode=0o700)
    log = {"level": "info", "format": plan.log_format}
    write_configuration(place / "worker.toml", {"log": log, "worker": _worker(plan)}, made_by)


def write_frontend(place: Path, plan: MemberPlan, frontend: FrontendPlan, made_by: str) -> None:
    """Its configuration."""
    (place / f"state-{frontend.name}").mkdir(mode=0o700)
    log = {"level": "info", "format": plan.log_format}
    table = {
        "listen": [frontend.listen],
        "admin": frontend.admin,
        "processes": frontend.processes,
        "pool": {"identity": _identity(frontend.name), "trust": TRUST},
        "cluster": {
            "name": frontend.name,
            "state": f"state-{frontend.name}",
            "zone": plan.zone if frontend.zone is None else frontend.zone,
            "catalogue": dict(frontend.catalogue or plan.catalogue),
        },
        "sites": [
            {
                "names": ["localhost"],
                "default": True,
                "keys": list(frontend.keys),
                "backends": [frontend.backend],
                "alpn": ["http/1.1"],
                "proxy_protocol": frontend.proxy_protocol,
            }
        ],
    }
    write_configuration(place / frontend.file, {"log": log, "frontend": table}, made_by)


def _worker(plan: MemberPlan) -> dict[str, Any]:
    advertised = {"advertise": plan.advertise, "advertise_api": plan.advertise_api}
    return {
        "name": plan.member,
        "listen": plan.listen,
        "admin": plan.admin,
        "processes": plan.processes,
        "identity": _identity(plan.member),
        "trust": TRUST,
        "token": dict(plan.token),
        "cluster": {
            "state": "state",
            "api": plan.api,
            "zone": plan.zone,
            "capacity": plan.capacity,
            **{key: value for key, value in advertised.items() if value},
            "catalogue": dict(plan.catalogue),
        },
    }


def _identity(name: str) -> dict[str, str]:
    return {"certificate": f"identities/{name}.pem", "key": f"identities/{name}.key"}


def _explained(error: ValidationError, where: str) -> Failure:
    first = error.errors(include_url=False)[0]
    text, _, hint = first["msg"].removeprefix("Value error, ").partition("; ")
    place = ".".join(str(part) for part in first["loc"])
    return Failure(f"{place}: {text}" if place else text, hint or f"see {where}")
