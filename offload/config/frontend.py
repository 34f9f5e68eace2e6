"""`[frontend]`: listeners, the pool of workers, sites."""

from __future__ import annotations

import os
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from offload.config.address import Address, Backend
from offload.config.cluster import FrontendCluster
from offload.config.host import SiteName
from offload.config.identity import Identity
from offload.config.limits import Caps, Limits
from offload.config.listener import Listener
from offload.config.model import File, Model, Name, Seconds, refuse_repeats
from offload.config.negotiation import ApplicationProtocol, Group

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _label(value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise ValueError(
            f"{value!r} is not a label; use up to 64 letters, digits, '.', '_' and '-',"
            " a letter or digit first"
        )
    return value


Label = Annotated[str, AfterValidator(_label)]
"""A key's label, as the cluster takes it."""


class WorkerAddress(Model):
    """A worker as the front-end sees it; its certificate must be valid for `name`."""

    name: Name
    address: Address


class Pool(Model):
    """How the front-end reaches its workers. `deadline` (seconds) bounds one signature.

    max_ejected: the greatest share of the workers that may be left out for their faults at once.
    hedge_budget: how many operations more than were asked for may be sent, as a share, to a second
    worker when the first is late; 0 turns that off. outage_grace: seconds for which handshakes
    wait while every worker is down; then they fail at once.

    With [frontend.cluster] `workers` may be empty: they come from the catalogue.
    """

    identity: Identity
    trust: File
    deadline: Seconds = 5.0
    links: int = Field(default=1, ge=1, le=64)
    verify: Literal["sample", "all"] = "sample"
    max_ejected: float = Field(default=0.5, ge=0, le=1)
    hedge_budget: float = Field(default=0.05, ge=0, le=0.5)
    outage_grace: Seconds = 0.8
    workers: tuple[WorkerAddress, ...] = ()

    @field_validator("workers")
    @classmethod
    def _distinct(cls, workers: tuple[WorkerAddress, ...]) -> tuple[WorkerAddress, ...]:
        refuse_repeats([worker.name for worker in workers], "worker name")
        refuse_repeats([str(worker.address) for worker in workers], "worker address")
        return workers


class Site(Model):
    """One website: the names it answers to, its certificates, and where its plaintext goes.

    Instead of `certificates`, files, there may be `keys`: labels of the cluster's keys, whose
    certificates come from the catalogue.
    """

    names: tuple[SiteName, ...] = ()
    default: bool = False
    certificates: tuple[File, ...] = ()
    keys: tuple[Label, ...] = ()
    backends: tuple[Backend, ...] = Field(min_length=1)
    alpn: tuple[ApplicationProtocol, ...] = ()
    min_version: Literal["1.2", "1.3"] = "1.2"
    groups: tuple[Group, ...] = Field(
        default=("X25519MLKEM768", "X25519", "P-256", "P-384"), min_length=1
    )
    tickets: bool = True
    match_server_name: bool = False
    proxy_protocol: bool = False
    limits: Caps = Caps()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.names and not self.default:
            raise ValueError("has no names and is not the default; give it names or 'default'")
        if bool(self.certificates) == bool(self.keys):
            raise ValueError(_certificates_or_keys(self))
        refuse_repeats(self.names, "site name")
        refuse_repeats([str(backend) for backend in self.backends], "backend")
        refuse_repeats([str(path) for path in self.certificates], "certificate")
        refuse_repeats(self.keys, "key")
        refuse_repeats(self.groups, "group")
        refuse_repeats(self.alpn, "application protocol")
        return self


def _certificates_or_keys(site: Site) -> str:
    if site.keys:
        return "has both certificates and keys; keep one of the two"
    return "has no certificates; name their files, or, in a cluster, its 'keys'"


class Frontend(Model):
    """`[frontend]`. `processes` 0 means one for each core; timeouts are in seconds.

    write_timeout: for how long a peer that has enough waiting for it may take less than
    `minimum_rate` (bytes a second). on_overload: how clients are refused whose
    handshake no worker can sign in time.
    """

    listen: tuple[Listener, ...] = Field(min_length=1)
    processes: int = Field(default=0, ge=0, le=1024)
    backlog: int = Field(default=4096, ge=1, le=65_535)
    admin: Address | None = None
    handshake_timeout: Seconds = 10.0
    idle_timeout: Seconds = 300.0
    write_timeout: Seconds = 60.0
    minimum_rate: int = Field(default=100, ge=0)
    drain_timeout: Seconds = 30.0
    on_overload: Literal["alert", "reset"] = "alert"
    limits: Limits = Limits()
    pool: Pool
    cluster: FrontendCluster | None = None
    sites: tuple[Site, ...] = Field(min_length=1)

    @property
    def process_count(self) -> int:
        """How many serving processes there are."""
        return self.processes or len(os.sched_getaffinity(0))

    @field_validator("listen")
    @classmethod
    def _distinct_listeners(cls, listen: tuple[Listener, ...]) -> tuple[Listener, ...]:
        refuse_repeats(
            [str(address) for address in listen if address.port or address.path], "listen address"
        )
        return listen

    @field_validator("sites")
    @classmethod
    def _distinct_sites(cls, sites: tuple[Site, ...]) -> tuple[Site, ...]:
        refuse_repeats([name for site in sites for name in site.names], "site name")
        defaults = [index for index, site in enumerate(sites) if site.default]
        if len(defaults) > 1:
            raise ValueError(
                f"sites {defaults[0]} and {defaults[1]} are both the default;"
                " leave 'default = true' at one"
            )
        return sites

    @model_validator(mode="after")
    def _of_the_cluster(self) -> Self:
        if self.cluster is not None:
            return self
        if not self.pool.workers:
            raise ValueError(
                "pool.workers is empty; add at least one worker, or a [frontend.cluster] table"
            )
        for index, site in enumerate(self.sites):
            if site.keys:
                raise ValueError(
                    f"sites[{index}].keys are keys of a cluster; add a [frontend.cluster] table,"
                    " or name the files of 'certificates'"
                )
        return self
