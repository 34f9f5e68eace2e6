"""What the users of a store in etcd may do there: one role for workers, one for front-ends."""

from __future__ import annotations

from typing import Literal, NamedTuple

from offload.catalogue import paths
from offload.catalogue.rules import range_end


class Grant(NamedTuple):
    """Keys from `start` up to before `end`, or `start` alone if that is ''."""

    permission: Literal["READ", "READWRITE"]
    start: str
    end: str


def worker_grants(prefix: str) -> tuple[Grant, ...]:
    """Workers agree on everything under the prefix."""
    return (Grant("READWRITE", prefix, range_end(prefix)),)


def frontend_grants(prefix: str) -> tuple[Grant, ...]:
    """Front-ends read what is public, and write about themselves; never a key, wrapped or not."""
    public = [
        Grant("READ", prefix + path, range_end(prefix + path) if path.endswith("/") else "")
        for path in paths.PUBLIC
    ]
    own = prefix + paths.FRONTENDS
    return (*public, Grant("READWRITE", own, range_end(own)))
