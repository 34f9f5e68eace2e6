"""Which front-end may use which keys, as the configuration grants it."""

from collections.abc import Iterable
from hashlib import sha256

from offload.config import FrontendGrant
from offload.keys.record import KeyRecord
from offload.worker.policy import Policy
from offload.worker.use import LEGAL, NOT_GRANTED, Limits, Use

_NOT_GRANTED = Limits(refusal=NOT_GRANTED)


class Grant:
    """What one front-end may use: keys by label, by SKI in hexadecimal, or "*" for all."""

    __slots__ = ("_all", "_names", "fingerprint", "name")

    def __init__(self, name: str, fingerprint: str, keys: Iterable[str]) -> None:
        """`fingerprint` is the SHA-256 of the front-end's DER certificate, in hexadecimal."""
        names = frozenset(keys)
        self.name = name
        self.fingerprint = fingerprint.lower()
        self._all = "*" in names
        # An SKI may be written in either case, a label only as it is.
        self._names = names | {key.lower() for key in names if _is_ski(key)}

    def covers(self, record: KeyRecord) -> bool:
        """Whether the front-end may use that key."""
        return self._all or record.label in self._names or record.ski.hex() in self._names

    def uses(self, records: Iterable[KeyRecord]) -> dict[bytes, Use]:
        """What the front-end may do with each key of the token."""
        return {
            record.ski: Use(
                record.algorithm,
                LEGAL[record.algorithm],
                None if self.covers(record) else _NOT_GRANTED,
            )
            for record in records
        }


class Grants:
    """The grants of a worker that is no member of a cluster: they stay as they are configured."""

    def __init__(self, frontends: Iterable[FrontendGrant], *, plain_digests: bool = False) -> None:
        self._grants = {
            each.fingerprint.lower(): Grant(each.name, each.fingerprint, each.keys)
            for each in frontends
        }
        self._plain_digests = plain_digests
        self._policies: dict[str, Policy] = {}
        self.take_keys(())

    def policy_of(self, certificate: bytes) -> Policy | None:
        """The policy for whoever holds that certificate (DER), None for a stranger."""
        return self._policies.get(sha256(certificate).hexdigest())

    def take_keys(self, records: Iterable[KeyRecord]) -> None:
        """The token holds these keys now."""
        records = tuple(records)
        for fingerprint, grant in self._grants.items():
            uses = grant.uses(records)
            policy = self._policies.get(fingerprint)
            if policy is None:
                policy = Policy(grant.name, uses, plain_digests=self._plain_digests)
                self._policies[fingerprint] = policy
            policy.uses = uses


def _is_ski(key: str) -> bool:
    return len(key) == 40 and all(digit in "0123456789abcdefABCDEF" for digit in key)
