"""A site's OpenSSL context, and the choice of a site by server name.

A cluster's certificates come and are replaced while the site is served. They go into the context
that is there, so that its tickets stay good; OpenSSL gives each connection its own reference to
certificate and key when it is made, so a handshake under way ends with what it began with.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from OpenSSL import SSL

from offload.config import Site as SiteSettings
from offload.tls.alpn import set_protocols
from offload.tls.chain import Chain, ChainError
from offload.tls.openssl import address, error_reasons, lib
from offload.tls.signature import SiteKey

# AES-128-GCM with SHA-256 first: AES-256-GCM's SHA-384 makes the key schedule, hence each
# handshake, about a tenth dearer, for no attack that anybody knows of.
_TLS_1_3_CIPHERS = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
_TLS_1_2_CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    b"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
_SIGNATURE_ALGORITHMS = (
    b"ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ecdsa_secp521r1_sha512:ed25519:"
    b"rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:"
    b"rsa_pkcs1_sha256:rsa_pkcs1_sha384:rsa_pkcs1_sha512:mldsa44:mldsa65:mldsa87"
)
_VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
_OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE


_OF_CONTEXT = ("min_version", "groups", "alpn", "tickets")
"""Settings that a context is made with."""


class SiteError(Exception):
    """A site cannot be served as configured; the text names the file and the reason."""


class Installed(NamedTuple):
    """tickets_kept: whether tickets issued before are still good; they are not where the site has
    lost a type of key, since OpenSSL cannot take one out of a context. problems: what could not be
    used, and why.
    """

    tickets_kept: bool
    problems: tuple[str, ...]


class Site:
    """One site: its settings, its context, the public keys that its certificates certify.

    name: the first of its names, by which metrics and logs call it.
    address: the context's own, for the engine.
    keys: by subject key identifier, 20 bytes; empty while a site of the cluster's keys has no
    certificate: it cannot be served then. Replaced as a whole, never changed.
    """

    __slots__ = (
        "_names",
        "_origin",
        "_parents",
        "_used",
        "address",
        "context",
        "keys",
        "name",
        "settings",
    )

    def __init__(self, settings: SiteSettings) -> None:
        """Raises SiteError."""
        self.settings = settings
        self.name = settings.names[0] if settings.names else "default"
        names = [name.lower() for name in settings.names]
        self._names = frozenset(names)
        self._parents = frozenset(name[2:] for name in names if name.startswith("*."))
        self.keys: Mapping[bytes, SiteKey] = {}
        self._used: dict[str, Chain] = {}
        self._origin: Site | None = None
        self.context: SSL.Context
        self.address: int
        self._renew_context()
        used: dict[str, Chain] = {}
        for path in settings.certificates:
            used[str(path)] = self._made(str(path), self._content(path), None, used)
        self._serve(used)

    def stated_name(self, server_name: str | None) -> str:
        """The server name that a worker is told a handshake of this site is for.

        The client's, if the site answers to it. The default site gets clients that send none, or
        another (RFC 6066, 3): for them it is the first of the site's own, for a key's policy is
        about sites. "" for none at all.
        """
        if server_name is not None and (
            server_name in self._names or server_name.partition(".")[2] in self._parents
        ):
            return server_name
        return self.settings.names[0] if self.settings.names else server_name or ""

    @property
    def skis(self) -> dict[str, bytes]:
        """The keys by label that handshakes are served with; by file where there are no labels."""
        return {source: chain.key.ski for source, chain in self._used.items()}

    def install(self, chains: Mapping[str, bytes]) -> Installed:
        """Serve handshakes that begin from now on with the certificates of these key labels.

        chains: PEM, leaf first, by label; those of other labels than the site's are left alone. A
        chain that cannot be used leaves its predecessor where it is.
        """
        used: dict[str, Chain] = {}
        problems = []
        for label in self.settings.keys:
            old = self._used.get(label)
            try:
                if label in chains:
                    used[label] = self._made(label, chains[label], old, used)
            except SiteError as error:
                problems.append(str(error))
                if old is not None and old.slot not in _slots(used):
                    used[label] = old
        return Installed(self._serve(used), tuple(problems))

    def with_chain(self, label: str, chain: bytes) -> "Site":
        """Another site like this one, with this chain (PEM) for one of its keys alone.

        Raises SiteError.
        """
        other = Site(self.settings.model_copy(update={"certificates": ()}))
        other._serve({label: self._made(label, chain, None, {})})
        return other

    def succeed(self, old: "Site") -> None:
        """Be what `old` was, by a newer configuration: `take_over` will go on in its context."""
        if all(getattr(self.settings, each) == getattr(old.settings, each) for each in _OF_CONTEXT):
            self._origin = old._origin or old

    def take_over(self) -> None:
        """Go on in the context of the site that this one succeeds: its tickets stay good.

        Changes that context, so it is for a process of its own, before it serves. Without effect
        where the old one has a type of key that is no more.
        """
        origin, used = self._origin, self._used
        if origin is not None and _slots(used) >= _slots(origin._used):
            self.context, self.address = origin.context, origin.address
            self._used = origin._used
            self._serve(used)

    def _made(
        self, source: str, pem: bytes, old: Chain | None, others: Mapping[str, Chain]
    ) -> Chain:
        if old is not None and old.pem == pem:
            return old
        try:
            chain = Chain(pem)
        except ChainError as error:
            raise SiteError(f"{source}: site {self.name!r}: {error}") from error
        if chain.slot in _slots(others):
            raise SiteError(
                f"{source}: site {self.name!r}: another certificate has an {chain.slot} key as"
                " well; keep one for each type of key"
            )
        return chain

    def _serve(self, used: dict[str, Chain]) -> bool:
        """Put into the context what is not there; returns whether its tickets are still good."""
        if used == self._used:
            return True
        lasting = _slots(used) >= _slots(self._used)
        if not lasting:
            self._renew_context()
            self._used = {}
        before = {chain.slot: chain for chain in self._used.values()}
        for chain in used.values():
            old = before.get(chain.slot)
            if old is not None and old.key.ski == chain.key.ski and old is not chain:
                old.vacate(self.context)
            if old is not chain:
                chain.use(self.context)
        self.keys = {chain.key.ski: chain.key for chain in used.values()}
        self._used = used
        return lasting

    def _renew_context(self) -> None:
        self.context = self._context()
        self.address = address(self.context._context)

    def _context(self) -> SSL.Context:
        settings = self.settings
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(_VERSIONS[settings.min_version])
        context.set_options(_OPTIONS if settings.tickets else _OPTIONS | SSL.OP_NO_TICKET)
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_session_id(sha256(self.name.encode()).digest())
        context.set_cipher_list(_TLS_1_2_CIPHERS)
        context.set_tls13_ciphersuites(_TLS_1_3_CIPHERS)
        self._set_list(lib.SSL_CTX_set1_curves_list, context, ":".join(settings.groups).encode())
        self._set_list(lib.SSL_CTX_set1_sigalgs_list, context, _SIGNATURE_ALGORITHMS)
        if settings.alpn:
            set_protocols(context, settings.alpn)
        return context

    def _content(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise SiteError(f"{path}: site {self.name!r}: {error}") from error

    def _set_list(self, function: Any, context: SSL.Context, names: bytes) -> None:
        if function(context._context, names) != 1:
            reasons = "; ".join(error_reasons())
            raise SiteError(
                f"site {self.name!r}: OpenSSL does not take {names.decode()}: {reasons}"
            )


class Sites:
    """All sites of a front-end, found by server name in constant time."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self.all = tuple(sites)
        self._exact: dict[str, Site] = {}
        self._wildcard: dict[str, Site] = {}
        self._default: Site | None = None
        self._canaries: tuple[str, ...] = ()
        for site in sites:
            for name in site.settings.names:
                table = self._wildcard if name.startswith("*.") else self._exact
                table[name.removeprefix("*.").lower()] = site
            if site.settings.default:
                self._default = site

    @classmethod
    def from_settings(cls, settings: Iterable[SiteSettings]) -> "Sites":
        """Build every site's context. Raises SiteError."""
        return cls([Site(site) for site in settings])

    def succeed(self, old: "Sites") -> None:
        """Each site succeeds the one that had its name."""
        before = {site.name: site for site in old.all}
        for site in self.all:
            if site.name in before:
                site.succeed(before[site.name])

    def take_over(self) -> None:
        """As `Site.take_over`, all of them."""
        for site in self.all:
            site.take_over()

    def set_canaries(self, canaries: Mapping[str, Site]) -> None:
        """Have these sites found by these secret names alone, and those set before no more.

        A name that a site has already stays that site's.
        """
        for name in self._canaries:
            del self._exact[name]
        self._canaries = tuple(name for name in canaries if name not in self._exact)
        for name in self._canaries:
            self._exact[name] = canaries[name]

    def choose(self, server_name: str | None) -> Site | None:
        """The site for a name: exact, then wildcard for one label (RFC 9525, 6.3), then the
        default, which may take only those that name none.
        """
        if server_name is not None:
            site = self._exact.get(server_name)
            if site is not None:
                return site
            site = self._wildcard.get(server_name.partition(".")[2])
            if site is not None:
                return site
            if self._default is not None and self._default.settings.match_server_name:
                return None
        return self._default


def _slots(chains: Mapping[str, Chain]) -> set[str]:
    return {chain.slot for chain in chains.values()}
