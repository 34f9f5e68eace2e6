"""`[worker]`: its listener, its token, and which front-ends may use which keys."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from offload.config.address import Address
from offload.config.cluster import WorkerCluster
from offload.config.identity import Identity
from offload.config.model import File, Model, Name, Seconds, refuse_repeats
from offload.config.token import TokenSettings

_EVERY_INTERFACE = ("0.0.0.0", "::")
_HEXADECIMAL = re.compile(r"[0-9a-f]+")


def _fingerprint(value: str) -> str:
    digits = value.lower().replace(":", "").removeprefix("sha256")
    if len(digits) != 64 or not _HEXADECIMAL.fullmatch(digits):
        raise ValueError(
            f"{value!r} is not a SHA-256 fingerprint; write the 64 hexadecimal digits that"
            " 'openssl x509 -noout -fingerprint -sha256' prints"
        )
    return digits


class FrontendGrant(Model):
    """A front-end that may use this worker, and for which keys: labels, hex SKIs or "*"."""

    name: Name
    fingerprint: Annotated[str, AfterValidator(_fingerprint)]
    keys: tuple[str, ...] = Field(min_length=1)

    @field_validator("keys")
    @classmethod
    def _keys(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        refuse_repeats(keys, "key")
        if "" in keys:
            raise ValueError("a key label is empty; write a label, an identifier or '*'")
        if "*" in keys and len(keys) > 1:
            raise ValueError("'*' stands for every key; leave it alone or remove it")
        return keys


class Worker(Model):
    """`[worker]`. `processes` 0 means one for each core; `threads` of each wait for an HSM.

    With [worker.cluster] there are no `frontends`: the cluster says who may use which key.
    """

    name: Name
    listen: Address
    admin: Address | None = None
    processes: int = Field(default=0, ge=0, le=1024)
    threads: int = Field(default=4, ge=1, le=256)
    identity: Identity
    trust: File
    token: TokenSettings
    cluster: WorkerCluster | None = None
    frontends: tuple[FrontendGrant, ...] = ()
    plain_digests: bool = False
    drain_timeout: Seconds = 10.0

    @field_validator("frontends")
    @classmethod
    def _distinct(cls, frontends: tuple[FrontendGrant, ...]) -> tuple[FrontendGrant, ...]:
        refuse_repeats([grant.name for grant in frontends], "front-end name")
        refuse_repeats([grant.fingerprint for grant in frontends], "front-end fingerprint")
        return frontends

    @model_validator(mode="after")
    def _of_the_cluster(self) -> Self:
        cluster = self.cluster
        if cluster is None:
            return self
        if self.frontends:
            raise ValueError(
                "frontends are of no use with [worker.cluster], which registers front-ends itself;"
                " remove the [[worker.frontends]] tables"
            )
        _refuse_unreachable("advertise", cluster.advertise or self.listen)
        if cluster.api is not None:
            _refuse_unreachable("advertise_api", cluster.advertise_api or cluster.api)
        return self


def _refuse_unreachable(key: str, address: Address) -> None:
    """Raise ValueError if others cannot take it for an address to reach us at."""
    if address.path is not None or address.host in _EVERY_INTERFACE:
        raise ValueError(
            f"others cannot reach '{address}'; write the HOST:PORT that they can as cluster.{key}"
        )
