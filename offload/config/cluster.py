"""`[worker.cluster]`, `[frontend.cluster]`, and where the cluster's catalogue is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, Tag, field_validator, model_validator

from offload.config.address import Address, host_and_port
from offload.config.model import File, Model, Name, Seconds, Zone, kind_or, refuse_repeats

_PREFIX = re.compile(r"/([A-Za-z0-9._-]+/)*")


class SqliteSettings(Model):
    """A catalogue in a file: for the processes of one machine."""

    kind: Literal["sqlite"] = "sqlite"
    path: File


def _endpoint(value: str) -> str:
    scheme, separator, rest = value.partition("://")
    if not separator or scheme not in ("https", "http"):
        raise ValueError(f"{value!r} is not an endpoint; write 'https://HOST:PORT'")
    if host_and_port(rest.removesuffix("/"), value)["port"] == 0:
        raise ValueError(f"{value!r} has port 0; write the port that etcd listens on")
    return value.removesuffix("/")


def _prefix(value: str) -> str:
    if not _PREFIX.fullmatch(value):
        raise ValueError(
            f"{value!r} is not a prefix; write '/NAME/' with letters, digits, '.', '_' and '-'"
        )
    return value


class EtcdSettings(Model):
    """A catalogue in etcd (v3), by mutual TLS if there is a certificate and by user and password.

    endpoints: 'https://HOST:PORT', all of one scheme; trust: the CA of etcd's certificates; prefix:
    of every key.
    """

    kind: Literal["etcd"]
    endpoints: tuple[Annotated[str, AfterValidator(_endpoint)], ...] = Field(min_length=1)
    trust: File | None = None
    certificate: File | None = None
    key: File | None = None
    user: str | None = None
    password_file: File | None = None
    prefix: Annotated[str, AfterValidator(_prefix)] = "/offload/"

    @field_validator("endpoints")
    @classmethod
    def _of_one_scheme(cls, endpoints: tuple[str, ...]) -> tuple[str, ...]:
        refuse_repeats(endpoints, "endpoint")
        if len({endpoint.partition(":")[0] for endpoint in endpoints}) > 1:
            raise ValueError("some endpoints are https and some http; write https for all")
        return endpoints

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _refuse_alone(self, "certificate", "key")
        _refuse_alone(self, "user", "password_file")
        if self.endpoints[0].startswith("https:"):
            if self.trust is None:
                raise ValueError("trust is missing; name the CA that issued etcd's certificates")
        elif self.trust or self.certificate:
            raise ValueError(
                "the endpoints are http, without TLS; write https, or remove"
                " 'trust', 'certificate' and 'key'"
            )
        return self


def _refuse_alone(settings: EtcdSettings, first: str, second: str) -> None:
    """Raise ValueError if one of the two is there without the other."""
    for given, missing in ((first, second), (second, first)):
        if getattr(settings, given) is not None and getattr(settings, missing) is None:
            raise ValueError(f"{given} is of no use without {missing}; add {missing}")


CatalogueSettings = Annotated[
    Annotated[SqliteSettings, Tag("sqlite")] | Annotated[EtcdSettings, Tag("etcd")],
    kind_or("sqlite"),
]


class WorkerCluster(Model):
    """`[worker.cluster]`: the worker is a member of a cluster.

    state: a directory (0700) for the audit log and a local copy of the catalogue; api: where REST
    and console listen, under mutual TLS; advertise, advertise_api: these addresses as other
    machines reach them (default: as they listen); lease (seconds): after which a dead member is
    taken for gone.
    """

    state: File
    catalogue: CatalogueSettings
    zone: Zone = ""
    capacity: float = Field(default=1.0, gt=0, le=1000)
    api: Address | None = None
    advertise: Address | None = None
    advertise_api: Address | None = None
    lease: Seconds = 5.0

    @property
    def replica(self) -> Path:
        """The local copy of the catalogue."""
        return self.state / "replica.db"

    @property
    def verified(self) -> Path:
        """Which values of the catalogue were verified."""
        return self.state / "verified"

    @property
    def audit(self) -> Path:
        """The directory of the audit log."""
        return self.state / "audit"

    @property
    def usage(self) -> Path:
        """How many signatures were made with which key."""
        return self.state / "usage.db"


class FrontendCluster(Model):
    """`[frontend.cluster]`: workers and certificates come from the cluster's catalogue.

    state: a directory for a local copy, with which the front-end starts while the catalogue is
    down.
    """

    name: Name
    state: File
    catalogue: CatalogueSettings
    zone: Zone = ""
    lease: Seconds = 5.0
