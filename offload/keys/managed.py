"""A key as the cluster keeps it: one generation, its state, its policy, its wrapped secret."""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from types import NoneType
from typing import Any

from offload.keys.algorithm import Algorithm
from offload.keys.record import KeyRecord
from offload.keys.state import State

_SKI_LENGTH = 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


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

    def covers_site(self, name: str) -> bool:
        """Whether the key may serve that name; a pattern is covered by itself."""
        name = name.lower()
        wildcard = "*." + name.partition(".")[2]
        return not self.sites or any(site.lower() in (name, wildcard) for site in self.sites)

    def allows_frontend(self, name: str) -> bool:
        """Whether that front-end may use the key, if it is registered."""
        return "*" in self.frontends or name in self.frontends


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

    def body(self) -> bytes:
        """`to_json` as the text that an envelope carries."""
        return json.dumps(self.to_json(), separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, values: Any) -> ManagedKey:
        """Of `to_json`; raises ValueError on anything else, and on a key that cannot be."""
        if not isinstance(values, dict) or values.keys() != _SHAPE.keys():
            raise ValueError("not a key's record: fields are missing or unknown")
        for name, kinds in _SHAPE.items():
            # A bool is an int to isinstance.
            if type(values[name]) not in kinds:
                raise ValueError(f"a key's {name} is no {kinds[0].__name__}")
        key = cls(
            ski=bytes.fromhex(values["ski"]),
            label=values["label"],
            generation=values["generation"],
            algorithm=Algorithm(values["algorithm"]),
            public_key=_decode(values["public_key"]),
            state=State(values["state"]),
            created=_time(values["created"]),
            changed=_time(values["changed"]),
            home=sys.intern(values["home"]),
            purpose=Purpose(values["purpose"]),
            policy=_policy(
                _texts(values["sites"]), _texts(values["frontends"]), values["audit_signatures"]
            ),
            exportable=values["exportable"],
            replicated=values["replicated"],
            activates=_maybe_time(values["activates"]),
            deactivates=_maybe_time(values["deactivates"]),
            destroy_at=_maybe_time(values["destroy_at"]),
            wrapped=_decode(values["wrapped"]),
            wrapped_under=values["wrapped_under"],
            version=values["version"],
        )
        problem = _problem(key)
        if problem:
            raise ValueError(f"a key {problem}")
        return key


_SHAPE: Mapping[str, tuple[type, ...]] = {
    "ski": (str,),
    "label": (str,),
    "generation": (int,),
    "algorithm": (str,),
    "public_key": (str,),
    "state": (str,),
    "created": (str,),
    "changed": (str,),
    "home": (str,),
    "purpose": (str,),
    "sites": (list,),
    "frontends": (list,),
    "audit_signatures": (bool,),
    "exportable": (bool,),
    "replicated": (bool,),
    "activates": (str, NoneType),
    "deactivates": (str, NoneType),
    "destroy_at": (str, NoneType),
    "wrapped": (str,),
    "wrapped_under": (int,),
    "version": (int,),
}


def _problem(key: ManagedKey) -> str:
    """What no key can be, '' if it is none of that."""
    gone = key.state is State.DESTROYED
    problems = {
        "has an identifier of another length": len(key.ski) != _SKI_LENGTH,
        "has a label or a home that is no name": not (
            _NAME.fullmatch(key.label) and _NAME.fullmatch(key.home)
        ),
        "has a generation or a version below 1": key.generation < 1 or key.version < 1,
        "has no public half": not key.public_key,
        "was wrapped though it is not replicated": bool(key.wrapped) and not key.replicated,
        "is destroyed and wrapped": bool(key.wrapped) and gone,
        "is replicated but not wrapped": key.replicated and not gone and not key.wrapped,
        "is wrapped under no cluster key": bool(key.wrapped) != (key.wrapped_under >= 1)
        or key.wrapped_under < 0,
        "waits for a destruction while it could sign": key.destroy_at is not None
        and key.state is State.ACTIVE,
        "of the authority may be exported": key.purpose is Purpose.AUTHORITY and key.exportable,
    }
    return next((text for text, found in problems.items() if found), "")


@lru_cache(maxsize=4096)
def _policy(sites: tuple[str, ...], frontends: tuple[str, ...], audited: bool) -> KeyPolicy:
    # Thousands of keys have the same few policies.
    return KeyPolicy(sites=sites, frontends=frontends, audit_signatures=audited)


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _texts(values: list[Any]) -> tuple[str, ...]:
    if not all(isinstance(value, str) and value for value in values):
        raise ValueError("a key's sites and front-ends are texts")
    return tuple(values)


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.utcoffset() != timedelta(0):
        raise ValueError("a key's times are in UTC")
    return time.replace(tzinfo=UTC)


def _maybe_time(text: str | None) -> datetime | None:
    return None if text is None else _time(text)
