"""A site as one serving process serves it: its context, its backends, its counters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random

from offload.frontend.backends import Backend, Backends
from offload.frontend.limits import Account, Limits
from offload.observe import metrics
from offload.observe.tally import Tally
from offload.tls.session import Facts
from offload.tls.site import Site, Sites

_NONE = "none"
_CLIENT_FIRST = frozenset(("http/1.0", "http/1.1", "h2"))
"""Application protocols in which a server has nothing to say before the client has asked."""


class Service:
    """One site in this process. Children of metrics are looked up once, not once a handshake."""

    __slots__ = (
        "_completed",
        "_seconds",
        "account",
        "backends",
        "client_speaks_first",
        "request_bytes",
        "response_bytes",
        "site",
    )

    def __init__(self, site: Site, random: Random, account: Account | None = None) -> None:
        """`account` counts its clients, where the site has limits of its own."""
        self.site = site
        self.account = account
        self.backends = Backends(site.settings.backends, random)
        self.request_bytes = metrics.BYTES.labels(site.name, "request")
        self.response_bytes = metrics.BYTES.labels(site.name, "response")
        protocols = site.settings.alpn
        self.client_speaks_first = bool(protocols) and _CLIENT_FIRST.issuperset(protocols)
        self._completed: dict[tuple[str, str, str, bool], Tally] = {}
        self._seconds = {
            resumed: metrics.HANDSHAKE_SECONDS.labels(site.name, _yes_no(resumed))
            for resumed in (False, True)
        }

    def count_backend(self, backend: Backend | None, change: int) -> None:
        """One connection to `backend` more, or less."""
        if backend is not None:
            metrics.BACKEND_CONNECTIONS.labels(self.site.name, backend.name).value += change

    def count_handshake(self, facts: Facts, seconds: float) -> None:
        """A handshake was completed, `seconds` after its ClientHello had come."""
        agreed = (facts.version, facts.group, facts.cipher, facts.resumed)
        child = self._completed.get(agreed)
        if child is None:
            child = self._completed[agreed] = metrics.HANDSHAKES.labels(
                self.site.name,
                facts.version,
                facts.group or _NONE,
                facts.cipher,
                _yes_no(facts.resumed),
                "complete",
            )
        child.pending += 1
        self._seconds[facts.resumed].observe(seconds)


class Services:
    """All sites of this process, found by server name as `Sites` finds them."""

    def __init__(self, sites: Sites, random: Random, limits: Limits) -> None:
        self._sites = sites
        self._random = random
        self._canaries: tuple[Site, ...] = ()
        self._by_site = {
            id(site): Service(site, random, limits.site(site.settings.limits)) for site in sites.all
        }

    def choose(self, server_name: str | None) -> Service | None:
        """The service for a name; None where no site has it and there is no default."""
        site = self._sites.choose(server_name)
        return None if site is None else self._by_site[id(site)]

    def set_canaries(self, canaries: Mapping[str, Site]) -> None:
        """Have these sites found by these secret names, and those set before no more."""
        self._sites.set_canaries(canaries)
        for site in self._canaries:
            del self._by_site[id(site)]
        self._canaries = tuple(canaries.values())
        for site in self._canaries:
            self._by_site[id(site)] = Service(site, self._random)

    def __iter__(self) -> Iterator[Service]:
        return iter(self._by_site.values())


def count_failed_handshake(service: Service | None, reason: str) -> None:
    """A handshake ended before it was complete; `reason` is one of a fixed set of words."""
    name = _NONE if service is None else service.site.name
    metrics.HANDSHAKES.labels(name, _NONE, _NONE, _NONE, _NONE, reason).inc()


def _yes_no(value: bool) -> str:
    return "yes" if value else "no"
