"""What stands in the catalogue, by kind: plain dictionaries that `View` keeps current."""

from __future__ import annotations

from typing import Any

from offload.catalogue import paths
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


class Contents:
    """Records by name; `others` has opened bodies where a path has no kind of its own, by the first
    part of the path ('rotations/'), then by path.
    """

    def __init__(self) -> None:
        self.cluster: ClusterRecord | None = None
        self.members: dict[str, MemberRecord] = {}
        self.alive: dict[str, AliveRecord] = {}
        self.keys: dict[bytes, ManagedKey] = {}
        self.labels: dict[str, LabelRecord] = {}
        self.holdings: dict[bytes, dict[str, HoldingRecord]] = {}
        self.certificates: dict[str, CertificateRecord] = {}
        self.appliances: dict[str, ApplianceRecord] = {}
        self.users: dict[str, UserRecord] = {}
        self.frontends: dict[str, FrontendRecord] = {}
        self.others: dict[str, dict[str, bytes]] = {}
        self._named: dict[str, dict[str, Any]] = {
            paths.MEMBERS: self.members,
            paths.ALIVE: self.alive,
            paths.LABELS: self.labels,
            paths.CERTIFICATES: self.certificates,
            paths.APPLIANCES: self.appliances,
            paths.USERS: self.users,
            paths.FRONTENDS: self.frontends,
        }

    def put(self, path: str, value: Any) -> None:
        """Take in the record, or the body, that stands at `path`; None: nothing does."""
        prefix, slash, name = path.partition("/")
        prefix += slash
        if path == paths.CLUSTER:
            self.cluster = value
        elif prefix == paths.KEYS:
            _set(self.keys, bytes.fromhex(name), value)
        elif prefix == paths.HOLDINGS:
            self._hold(name, value)
        elif prefix in self._named:
            _set(self._named[prefix], name, value)
        else:
            _set(self.others.setdefault(prefix, {}), path, value)

    def at(self, path: str) -> Any:
        """The record, or the body, that stands at `path`; None if nothing does."""
        prefix, slash, name = path.partition("/")
        prefix += slash
        if path == paths.CLUSTER:
            return self.cluster
        if prefix == paths.KEYS:
            return self.keys.get(bytes.fromhex(name))
        if prefix == paths.HOLDINGS:
            ski, _, member = name.partition("/")
            return self.holdings.get(bytes.fromhex(ski), {}).get(member)
        if prefix in self._named:
            return self._named[prefix].get(name)
        return self.others.get(prefix, {}).get(path)

    def _hold(self, name: str, value: HoldingRecord | None) -> None:
        ski, _, member = name.partition("/")
        holders = self.holdings.setdefault(bytes.fromhex(ski), {})
        _set(holders, member, value)
        if not holders:
            del self.holdings[bytes.fromhex(ski)]


def _set(where: dict[Any, Any], name: Any, value: Any) -> None:
    if value is None:
        where.pop(name, None)
    else:
        where[name] = value
