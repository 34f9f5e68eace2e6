"""A view that stands still, put together by hand for what decides without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from offload.catalogue.records import HoldingRecord, LabelRecord
from offload.cluster.contents import Contents
from offload.cluster.view import View
from offload.keys.algorithm import Algorithm
from offload.keys.managed import ManagedKey
from offload.keys.state import State
from support.cluster import NOW, cluster_record, member_record


def managed(number: int = 1, **changes: Any) -> ManagedKey:
    """A key `key-<number>` of member `a`, pre-active."""
    key = ManagedKey(
        ski=number.to_bytes(20, "big"),
        label=f"key-{number}",
        generation=1,
        algorithm=Algorithm.P_256,
        public_key=b"spki",
        state=State.PRE_ACTIVE,
        created=NOW,
        changed=NOW,
        home="a",
        wrapped=b"wrapped",
        wrapped_under=1,
    )
    if changes.get("state") is State.DESTROYED or changes.get("replicated") is False:
        changes = {"wrapped": b"", "wrapped_under": 0, **changes}
    return replace(key, **changes)


class StillView(Contents):
    """What decisions ask of a `View`."""

    def __init__(
        self,
        keys: Iterable[ManagedKey] = (),
        held: Mapping[int, Iterable[str]] | None = None,
        members: Iterable[str] = ("a", "b", "c"),
        alive: Iterable[str] = ("a", "b", "c"),
        **cluster: Any,
    ) -> None:
        super().__init__()
        self.put("cluster", cluster_record(**cluster))
        for name in members:
            self.put(f"members/{name}", member_record(name))
        for name in alive:
            self.alive[name] = cast(Any, None)
        for key in keys:
            self.put(f"keys/{key.ski.hex()}", key)
            self.labels[key.label] = LabelRecord(
                label=key.label, generations=(key.ski.hex(),), current=""
            )
        for number, names in (held or {}).items():
            for name in names:
                self.hold(number, name)
        self.untrusted: dict[str, str] = {}
        self.revisions: dict[str, int] = {}

    def hold(self, number: int, name: str, state: Any = "held") -> None:
        ski = number.to_bytes(20, "big").hex()
        self.put(f"holdings/{ski}/{name}", HoldingRecord(member=name, ski=ski, state=state))

    @property
    def present(self) -> tuple[str, ...]:
        return tuple(sorted(name for name, one in self.members.items() if one.state == "present"))

    def raw(self, prefix: str) -> dict[str, bytes]:
        return {
            path: body
            for group in self.others.values()
            for path, body in group.items()
            if path.startswith(prefix)
        }

    def revision_of(self, path: str) -> int:
        return self.revisions.get(path, 0)

    @property
    def view(self) -> View:
        return cast(View, self)
