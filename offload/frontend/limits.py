"""Who may come in: caps and rates for all clients, for those of a source, and for those of a site.

Sans-IO. An `Account` counts what one set of clients has and compares it with its caps; `Sources`
is the table of accounts by prefix of address, `Limits` all of them; an `Admission` is what one
connection occupies, entered account by account as it becomes known whose it is. Times are monotonic
seconds.

Each process has its share of every limit: the kernel spreads connections evenly, so what a source
gets from all processes together is close to what was configured, and no process waits for another.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from offload.config import Caps, SourceCaps
from offload.config import Limits as Settings

MAX_IDLE_SOURCES = 32_768
"""Sources without a connection that are remembered for their rate; beyond it, the one that has been
away longest is forgotten, and has its burst anew.
"""


class Refusal(NamedTuple):
    """Which limit a connection would have broken.

    scope: "global", "source" or "site". limit: "connections", "handshakes" or "rate".
    """

    scope: str
    limit: str


class Quota(NamedTuple):
    """One process's share of some caps; 0 where there is no limit. `burst` is at least 1."""

    connections: int
    handshakes: int
    rate: float
    burst: float

    @classmethod
    def share(cls, caps: Caps, processes: int) -> Quota:
        """Rounded up, so that a limit never becomes none, nor zero."""
        burst = caps.burst or caps.handshakes_per_second
        return cls(
            math.ceil(caps.connections / processes),
            math.ceil(caps.handshakes / processes),
            caps.handshakes_per_second / processes,
            max(1.0, burst / processes),
        )

    @property
    def is_any(self) -> bool:
        """Whether anything is limited."""
        return bool(self.connections or self.handshakes or self.rate)


class Account:
    """What the clients of one scope have now. A token bucket holds their rate (RFC 2697's idea)."""

    __slots__ = ("_at", "_on_empty", "_quota", "_scope", "_tokens", "connections", "handshakes")

    def __init__(
        self, scope: str, quota: Quota, on_empty: Callable[[], None] | None = None
    ) -> None:
        """`on_empty` is called when the last connection has left, or the only one was refused."""
        self._scope, self._quota, self._on_empty = scope, quota, on_empty
        self._tokens = quota.burst
        self._at = -math.inf
        self.connections = self.handshakes = 0

    def enter(self, now: float) -> Refusal | None:
        """One handshake more, or why not."""
        limit = self._broken(now)
        if limit is not None:
            if not self.connections and self._on_empty is not None:
                self._on_empty()
            return Refusal(self._scope, limit)
        if self._quota.rate:
            self._tokens -= 1.0
        self.connections += 1
        self.handshakes += 1
        return None

    def leave(self) -> None:
        """One connection less."""
        self.connections -= 1
        if not self.connections and self._on_empty is not None:
            self._on_empty()

    def is_fresh(self, now: float) -> bool:
        """Whether nothing is left to remember."""
        self._fill(now)
        return not self.connections and self._tokens >= self._quota.burst

    def _broken(self, now: float) -> str | None:
        quota = self._quota
        if quota.connections and self.connections >= quota.connections:
            return "connections"
        if quota.handshakes and self.handshakes >= quota.handshakes:
            return "handshakes"
        if quota.rate:
            self._fill(now)
            if self._tokens < 1.0:
                return "rate"
        return None

    def _fill(self, now: float) -> None:
        if now > self._at:
            gained = (now - self._at) * self._quota.rate if self._quota.rate else math.inf
            self._tokens = min(self._quota.burst, self._tokens + gained)
            self._at = now


class Sources:
    """The accounts of sources: as many as have connections, and a bounded number that had."""

    def __init__(self, caps: SourceCaps, processes: int) -> None:
        self.quota = Quota.share(caps, processes)
        self._shift4 = 32 - caps.ipv4_prefix
        self._shift6 = 128 - caps.ipv6_prefix
        self._busy: dict[int | str, Account] = {}
        self._idle: OrderedDict[int | str, Account] = OrderedDict()
        self._now = -math.inf

    def __len__(self) -> int:
        return len(self._busy) + len(self._idle)

    def account(self, address: str, now: float) -> Account:
        """That of the prefix that the IP address is in; `enter` it at once."""
        self._now = now
        key = self._key(address)
        account = self._busy.get(key)
        if account is None:
            account = self._idle.pop(key, None) or self._new(key)
            self._busy[key] = account
        return account

    def _new(self, key: int | str) -> Account:
        return Account("source", self.quota, lambda: self._empty(key))

    def _key(self, address: str) -> int | str:
        if not self._shift4 and ":" not in address:
            return address
        parsed = ip_address(address.partition("%")[0])
        if isinstance(parsed, IPv6Address):
            mapped = parsed.ipv4_mapped
            if mapped is None:
                return ~(int(parsed) >> self._shift6)  # no number that one of version 4 has
            parsed = mapped
        return int(parsed) >> self._shift4 if self._shift4 else str(parsed)

    def _empty(self, key: int | str) -> None:
        account = self._busy.pop(key)
        if account.is_fresh(self._now):
            return
        self._idle[key] = account
        if len(self._idle) > MAX_IDLE_SOURCES:
            self._idle.popitem(last=False)


class Limits:
    """All limits of one process.

    everybody: the account of all clients, whose `connections` are the server's own to watch: at
    that cap it accepts no more, rather than to refuse.
    """

    def __init__(self, settings: Settings, processes: int) -> None:
        self._processes = processes
        quota = Quota.share(settings, processes)._replace(connections=0)
        self._everybody = Account("global", quota) if quota.is_any else None
        sources = Sources(settings.source, processes)
        self._sources = sources if sources.quota.is_any else None

    @property
    def by_source(self) -> bool:
        """Whether it matters where a connection comes from."""
        return self._sources is not None

    def admit(self, admission: Admission, address: str | None, now: float) -> Refusal | None:
        """Let a connection in, or say why not. `address` is None for who has no IP address.

        The source comes first, so that what one is refused is taken from nobody else.
        """
        if self._sources is not None and address is not None:
            refusal = admission.enter(self._sources.account(address, now), now)
            if refusal is not None:
                return refusal
        if self._everybody is not None:
            return admission.enter(self._everybody, now)
        return None

    def site(self, caps: Caps) -> Account | None:
        """An account for a site; None where it has no limits."""
        quota = Quota.share(caps, self._processes)
        return Account("site", quota) if quota.is_any else None


class Admission:
    """The accounts that one connection counts in, from its acceptance to its end."""

    __slots__ = ("_accounts", "_shaking")

    def __init__(self) -> None:
        self._accounts: tuple[Account, ...] = ()
        self._shaking = True

    def enter(self, account: Account, now: float) -> Refusal | None:
        """Count in one more account, or say why that cannot be."""
        refusal = account.enter(now)
        if refusal is None:
            self._accounts += (account,)
        return refusal

    def shaken(self) -> None:
        """The handshake is over, however it went. Harmless when it was before."""
        if self._shaking:
            self._shaking = False
            for account in self._accounts:
                account.handshakes -= 1

    def leave(self) -> None:
        """The connection is over. Harmless when it was before."""
        self.shaken()
        accounts, self._accounts = self._accounts, ()
        for account in accounts:
            account.leave()
