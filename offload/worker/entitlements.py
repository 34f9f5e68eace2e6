"""Which front-end may use which keys, as the cluster's catalogue says now."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from hashlib import sha256
from typing import Final

from offload.catalogue import paths
from offload.catalogue.base import Event
from offload.catalogue.records import ApplianceRecord, ClusterRecord
from offload.keys.managed import ManagedKey
from offload.keys.record import KeyRecord
from offload.keys.state import State
from offload.observe.log import get_logger
from offload.wire.error import ErrorCode
from offload.worker.order import Refusal
from offload.worker.policy import Policy
from offload.worker.use import LEGAL, Limits, Sites, Use

_EVERYBODY: Final = "*"
_NO_HANDSHAKES: Final = Refusal(ErrorCode.KEY_NOT_FOUND, "purpose")
_REFUSALS: Final[dict[State, Refusal]] = {
    state: Refusal(ErrorCode.KEY_NOT_FOUND, str(state).replace("-", "_"))
    for state in State
    if state is not State.ACTIVE
}

_log = get_logger(__name__)


def use_of(key: ManagedKey) -> Use:
    """What front-ends may do with the key."""
    policy = key.policy
    limits = Limits(
        None if key.signs else _REFUSALS.get(key.state, _NO_HANDSHAKES),
        None if _EVERYBODY in policy.frontends else frozenset(policy.frontends),
        Sites(policy.sites) if policy.sites else None,
    )
    return Use(
        key.algorithm,
        LEGAL[key.algorithm],
        None if limits == Limits() else limits,
        key.generation if policy.audit_signatures else 0,
    )


class Entitlements:
    """Front-ends registered, by certificate, and keys; `take` keeps them current.

    The policies that it gives change with it: what is withdrawn is refused from the next request
    on, on links that are up too. cluster: its name, '' before it is known.
    """

    def __init__(self, *, plain_digests: bool = False) -> None:
        self._uses: dict[bytes, Use] = {}
        self._policies: dict[str, Policy] = {}
        self._fingerprints: dict[str, str] = {}
        self._plain_digests = plain_digests
        self._held: frozenset[bytes] = frozenset()
        self._lacking: set[bytes] = set()
        self.cluster = ""

    @property
    def lacking(self) -> bool:
        """Whether there is a key that signs and that the token is not known to hold."""
        return bool(self._lacking)

    @property
    def policies(self) -> Collection[Policy]:
        """Of the front-ends registered now."""
        return self._policies.values()

    def policy_of(self, certificate: bytes) -> Policy | None:
        """The policy for whoever holds that certificate (DER), None for a stranger."""
        return self._policies.get(sha256(certificate).hexdigest())

    def take_keys(self, records: Iterable[KeyRecord]) -> None:
        """The token holds these keys now."""
        self._held = frozenset(record.ski for record in records)
        self._lacking -= self._held

    def take(self, changes: Iterable[Event]) -> None:
        """Take in changes of the catalogue, verified; of other paths than those that matter too."""
        for path, body, _ in changes:
            try:
                if path.startswith(paths.KEYS):
                    self._take_key(bytes.fromhex(path.removeprefix(paths.KEYS)), body)
                elif path.startswith(paths.APPLIANCES):
                    self._take_frontend(path.removeprefix(paths.APPLIANCES), body)
                elif path == paths.CLUSTER and body is not None:
                    self.cluster = ClusterRecord.model_validate_json(body).name
            except ValueError as error:
                _log.error("a record cannot be read", path=path, error=str(error))

    def _take_key(self, ski: bytes, body: bytes | None) -> None:
        self._uses.pop(ski, None)
        self._lacking.discard(ski)
        if body is not None:
            key = ManagedKey.from_json(json.loads(body))
            self._uses[ski] = use_of(key)
            if key.signs and ski not in self._held:
                self._lacking.add(ski)

    def _take_frontend(self, name: str, body: bytes | None) -> None:
        record = None if body is None else ApplianceRecord.model_validate_json(body)
        fingerprint = "" if record is None else record.fingerprint.lower()
        before = self._fingerprints.pop(name, "")
        if before and before != fingerprint:
            del self._policies[before]
        if fingerprint:
            self._fingerprints[name] = fingerprint
            if fingerprint not in self._policies:
                policy = Policy(name, self._uses, plain_digests=self._plain_digests)
                self._policies[fingerprint] = policy
