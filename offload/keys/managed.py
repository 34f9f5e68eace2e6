"""A key as the cluster keeps it: one generation, its state, its policy, its wrapped secret."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from offload.keys.algorithm import Algorithm
from offload.keys.record import KeyRecord
from offload.keys.state import State


class Purpose(StrEnum):
    """What a key may sign."""

    TLS = "tls"
    """TLS server handshakes, and its own certification requests."""
    AUTHORITY = "authority"
    """The certificates of the cluster's members, users and front-ends; never a handshake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPolicy:
    """Who may use a key, for what.

    sites: server names, `*.example.org` for one label below; empty: any. frontends: names, or "*"
    for every front-end registered. audit_signatures: a record of each signature.
    """

    sites: tuple[str, ...] = ()
    frontends: tuple[str, ...] = ("*",)
    audit_signatures: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedKey:
    """One generation of a key.

    ski: 20 bytes; label: shared by the generations; generation: from 1; public_key: SPKI, DER.
    activates, deactivates: when it moves by itself, None for never. destroy_at: when a destruction
    asked for is carried out. home: the member that made it; replicated: False if it lives in that
    member's token alone. wrapped: the PKCS #8 private key under the cluster key of generation
    `wrapped_under` (RFC 5649), empty where not replicated or destroyed. version: grows with each
    change; a record that is older than the one last seen is refused. All times UTC.
    """

    ski: bytes
    label: str
    generation: int
    algorithm: Algorithm
    public_key: bytes
    state: State
    created: datetime
    changed: datetime
    home: str
    purpose: Purpose = Purpose.TLS
    policy: KeyPolicy = field(default_factory=KeyPolicy)
    exportable: bool = False
    replicated: bool = True
    activates: datetime | None = None
    deactivates: datetime | None = None
    destroy_at: datetime | None = None
    wrapped: bytes = field(default=b"", repr=False)
    wrapped_under: int = 0
    version: int = 1

    @property
    def record(self) -> KeyRecord:
        """What a token knows of it."""
        return KeyRecord(self.ski, self.label, self.algorithm, self.public_key, self.created)

    @property
    def signs(self) -> bool:
        """Whether handshakes may be signed with it now."""
        return self.state is State.ACTIVE and self.purpose is Purpose.TLS

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "ski": self.ski.hex(),
            "label": self.label,
            "generation": self.generation,
            "algorithm": str(self.algorithm),
            "public_key": _encode(self.public_key),
            "state": str(self.state),
            "created": self.created.isoformat(),
            "changed": self.changed.isoformat(),
            "home": self.home,
            "purpose": str(self.purpose),
            "sites": list(self.policy.sites),
            "frontends": list(self.policy.frontends),
            "audit_signatures": self.policy.audit_signatures,
            "exportable": self.exportable,
            "replicated": self.replicated,
            "activates": _text(self.activates),
            "deactivates": _text(self.deactivates),
            "destroy_at": _text(self.destroy_at),
            "wrapped": _encode(self.wrapped),
            "wrapped_under": self.wrapped_under,
            "version": self.version,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ManagedKey:
        """Of `to_json`; raises ValueError, KeyError or TypeError on anything else."""
        return cls(
            ski=bytes.fromhex(values["ski"]),
            label=str(values["label"]),
            generation=int(values["generation"]),
            algorithm=Algorithm(values["algorithm"]),
            public_key=_decode(values["public_key"]),
            state=State(values["state"]),
            created=datetime.fromisoformat(values["created"]),
            changed=datetime.fromisoformat(values["changed"]),
            home=str(values["home"]),
            purpose=Purpose(values["purpose"]),
            policy=KeyPolicy(
                sites=tuple(values["sites"]),
                frontends=tuple(values["frontends"]),
                audit_signatures=bool(values["audit_signatures"]),
            ),
            exportable=bool(values["exportable"]),
            replicated=bool(values["replicated"]),
            activates=_time(values["activates"]),
            deactivates=_time(values["deactivates"]),
            destroy_at=_time(values["destroy_at"]),
            wrapped=_decode(values["wrapped"]),
            wrapped_under=int(values["wrapped_under"]),
            version=int(values["version"]),
        )


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
