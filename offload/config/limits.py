"""What clients may take of a front-end, and of a site. 0 means no limit of that kind."""

from __future__ import annotations

from pydantic import Field

from offload.config.model import Model


class Caps(Model):
    """Three limits on the same clients.

    connections: open at once. handshakes: under way at once. handshakes_per_second: new ones, over
    time; `burst` as many at once, 0 for one second's.
    """

    connections: int = Field(default=0, ge=0)
    handshakes: int = Field(default=0, ge=0)
    handshakes_per_second: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    burst: int = Field(default=0, ge=0)


class SourceCaps(Caps):
    """`[frontend.limits.source]`: for the clients of one prefix of addresses.

    Prefixes are in bits; a network of version 6 is one source, since each client has all of it.
    """

    ipv4_prefix: int = Field(default=32, ge=8, le=32)
    ipv6_prefix: int = Field(default=64, ge=16, le=128)


class Limits(Caps):
    """`[frontend.limits]`: for all clients together. `connections` 0: what descriptors allow.

    memory: MiB that connections may take, 0 for any.
    """

    memory: int = Field(default=0, ge=0)
    source: SourceCaps = SourceCaps()
