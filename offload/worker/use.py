"""What may be done with one key now: with which schemes, by which front-ends, for which sites."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from offload.keys.algorithm import Algorithm
from offload.keys.scheme import SignatureScheme
from offload.wire.error import ErrorCode
from offload.worker.order import Refusal

TLS_1_2: Final = 0x0303
TLS_1_3: Final = 0x0304

# A front-end is not told whether a key that it may not use exists.
NOT_GRANTED: Final = Refusal(ErrorCode.KEY_NOT_FOUND, "not_granted")
_OTHER_SITE: Final = Refusal(ErrorCode.KEY_NOT_FOUND, "server_name")


class Sites:
    """The server names that a key may serve; `*.example.org` stands for one label below."""

    __slots__ = ("_names", "_parents")

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = [pattern.lower() for pattern in patterns]
        self._names = frozenset(patterns)
        self._parents = frozenset(name[2:] for name in patterns if name.startswith("*."))

    def __contains__(self, server_name: str) -> bool:
        name = server_name.lower()
        label, _, parent = name.partition(".")
        return name in self._names or (label != "" and parent in self._parents)


class Limits(NamedTuple):
    """Whom a key does not serve. refusal: nobody is served, for that reason; frontends: their
    names, None for all; sites: None for any, also for handshakes without a server name.
    """

    refusal: Refusal | None = None
    frontends: frozenset[str] | None = None
    sites: Sites | None = None

    def refuse(self, frontend: str, server_name: str) -> Refusal | None:
        """Why the key does not sign for that front-end and site, None if it does."""
        if self.frontends is not None and frontend not in self.frontends:
            return NOT_GRANTED
        if self.refusal is not None:
            return self.refusal
        if self.sites is not None and server_name not in self.sites:
            return _OTHER_SITE
        return None


class Use(NamedTuple):
    """legal: the scheme by TLS version and codepoint; limits: None if it serves all that ask;
    audited: the key's generation if each signature is to be recorded, else 0.
    """

    algorithm: Algorithm
    legal: Mapping[tuple[int, int], SignatureScheme]
    limits: Limits | None = None
    audited: int = 0


LEGAL: Final = {
    algorithm: {
        (version, int(scheme)): scheme
        for version, schemes in (
            (TLS_1_2, algorithm.schemes_tls12),
            (TLS_1_3, algorithm.schemes),
        )
        for scheme in schemes
    }
    for algorithm in Algorithm
}
"""`Use.legal` of every key of an algorithm."""
