"""A value of the catalogue, opened: who signed it, which version it is, what it says."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from offload.catalogue import paths
from offload.catalogue.envelope import Untrusted, Verifier
from offload.catalogue.records import (
    AliveRecord,
    ApplianceRecord,
    CertificateRecord,
    ClusterRecord,
    FrontendRecord,
    HoldingRecord,
    LabelRecord,
    MemberRecord,
    UserRecord,
)
from offload.keys.managed import ManagedKey

UNSIGNED = (paths.ALIVE, paths.FRONTENDS)
"""What says no more than that somebody is there."""
FOREIGN = (paths.TOKENS, paths.IDEMPOTENCY, paths.INVITATIONS)
"""What has owners of its own, who read it when they need it."""
_VERSIONED = (
    paths.MEMBERS,
    paths.CERTIFICATES,
    paths.APPLIANCES,
    paths.KEYS,
    paths.LABELS,
    paths.USERS,
    paths.APPROVALS,
)
_REMOVED = "removed"


class Opened(NamedTuple):
    """`value`: a record, the body's bytes where the path has no record here, None for the mark of a
    removal. version: 0 where there is none. signer: '' where nobody signs.
    """

    path: str
    value: Any
    version: int
    signer: str


def is_versioned(path: str) -> bool:
    """Whether versions only grow there: a removal leaves a signed mark behind, so that an old value
    put back by who runs the store is known as old.
    """
    return path == paths.CLUSTER or path.startswith(_VERSIONED)


def removal(version: int) -> bytes:
    """The body that stands where a versioned value was removed."""
    return json.dumps({_REMOVED: True, "version": version}).encode()


def open_value(verifier: Verifier, path: str, value: bytes) -> Opened:
    """Verify and read a value; raises Untrusted."""
    if path.startswith(UNSIGNED):
        return Opened(path, _read(path, value), 0, "")
    name, body = verifier.open_signed(path, value)
    signer = sys.intern(name)
    if is_versioned(path) and body.startswith(b'{"removed"'):
        return Opened(path, None, _version(json.loads(body)), signer)
    record = _read(path, body)
    if isinstance(record, HoldingRecord) and record.member != signer:
        raise Untrusted(f"{path} says what {record.member!r} holds, but {signer!r} wrote it")
    version = getattr(record, "version", 0)
    return Opened(path, record, _body_version(body) if record is body else version, signer)


def claimed_member(value: bytes) -> MemberRecord:
    """What a member's value says before anybody can verify it; raises Untrusted."""
    try:
        return MemberRecord.model_validate_json(orjson.loads(value)["body"])
    except (ValueError, TypeError, KeyError):
        raise Untrusted("not a member's record") from None


def _read(path: str, body: bytes) -> Any:
    prefix = path[: path.find("/") + 1] or path
    read = _READERS.get(prefix)
    if read is None:
        return body
    try:
        record, place = read(body)
    except (ValueError, TypeError, KeyError):
        raise Untrusted(f"{path} is not readable: is that member newer than this one?") from None
    if place != path:
        raise Untrusted(f"{path} holds what belongs at {place}")
    return record


def _reader(record: Any, place: Callable[[Any], str]) -> Callable[[bytes], tuple[Any, str]]:
    def read(body: bytes) -> tuple[Any, str]:
        found = record.model_validate_json(body)
        return found, place(found)

    return read


def _key(body: bytes) -> tuple[ManagedKey, str]:
    key = ManagedKey.from_json(orjson.loads(body))
    return key, paths.KEYS + key.ski.hex()


def _holding(body: bytes) -> tuple[HoldingRecord, str]:
    holding = HoldingRecord.model_validate_json(body)
    return holding, f"{paths.HOLDINGS}{holding.ski}/{holding.member}"


_READERS: dict[str, Callable[[bytes], tuple[Any, str]]] = {
    paths.CLUSTER: _reader(ClusterRecord, lambda _: paths.CLUSTER),
    paths.MEMBERS: _reader(MemberRecord, lambda one: paths.MEMBERS + one.name),
    paths.ALIVE: _reader(AliveRecord, lambda one: paths.ALIVE + one.name),
    paths.KEYS: _key,
    paths.LABELS: _reader(LabelRecord, lambda one: paths.LABELS + one.label),
    paths.HOLDINGS: _holding,
    paths.CERTIFICATES: _reader(CertificateRecord, lambda one: paths.CERTIFICATES + one.label),
    paths.APPLIANCES: _reader(ApplianceRecord, lambda one: paths.APPLIANCES + one.name),
    paths.USERS: _reader(UserRecord, lambda one: paths.USERS + one.name),
    paths.FRONTENDS: _reader(FrontendRecord, lambda one: paths.FRONTENDS + one.name),
}


def _body_version(body: bytes) -> int:
    try:
        return _version(json.loads(body))
    except ValueError:
        return 0


def _version(values: object) -> int:
    version = values.get("version") if isinstance(values, dict) else None
    return version if type(version) is int else 0
