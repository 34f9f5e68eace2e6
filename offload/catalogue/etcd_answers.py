"""What etcd's JSON gateway answers when it does not do what was asked, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, Final, NamedTuple, Self

import orjson

_UNKNOWN: Final = 2
_INVALID: Final = 3
_NOT_FOUND: Final = 5
_DENIED: Final = 7
_OUT_OF_RANGE: Final = 11
_UNAUTHENTICATED: Final = 16
_FINAL: Final = frozenset({_INVALID, _NOT_FOUND, 6, 9, _OUT_OF_RANGE, 12})
"""google.golang.org/grpc/codes: the same from every member."""


class Meaning(Enum):
    """What to do about an answer."""

    FINAL = auto()
    """The same from every member; nothing was written."""
    TOKEN = auto()
    """Ask for a new token and again; nothing was written."""
    DENIED = auto()
    """We may not do that, or are not known."""
    NAMED = auto()
    """The gateway takes no client certificate with a common name where there are users."""
    FULL = auto()
    """The store takes no more; nothing was written."""
    LARGE = auto()
    """More than one answer can hold: ask for less."""
    NOT_DONE = auto()
    """Ask another member; nothing was written."""
    UNKNOWN = auto()
    """It may have been carried out, or will be."""


class Refusal(NamedTuple):
    """An error of etcd: `code` is one of google.golang.org/grpc/codes."""

    code: int
    text: str

    @classmethod
    def parse(cls, status: int, body: bytes) -> Self:
        """From the status and body of an HTTP answer, which may come from what stands before."""
        try:
            message = orjson.loads(body)
        except orjson.JSONDecodeError:
            message = None
        code = _INVALID if status < 500 else _UNKNOWN
        if isinstance(message, dict):
            return cls.of(message, f"HTTP status {status}", code)
        text = body[:200].decode(errors="replace").strip()
        return cls(code, text or f"HTTP status {status}")

    @classmethod
    def of(cls, message: Mapping[str, Any], default: str, code: int = _UNKNOWN) -> Self:
        """From an answer's JSON: flat, or inside 'error' where it ended a stream."""
        inner = message.get("error")
        if isinstance(inner, dict):
            return cls(int(inner.get("grpc_code", code)), str(inner.get("message", default)))
        return cls(int(message.get("code", code)), str(inner or default))

    @property
    def meaning(self) -> Meaning:
        """What to do about it."""
        for part, meaning in _TEXTS.items():
            if part in self.text:
                return meaning
        if self.code == _UNAUTHENTICATED:
            return Meaning.TOKEN
        if self.code == _DENIED:
            return Meaning.DENIED
        return Meaning.FINAL if self.code in _FINAL else Meaning.UNKNOWN

    @property
    def lease_is_over(self) -> bool:
        """The lease asked for does not exist."""
        return self.code == _NOT_FOUND and "lease not found" in self.text

    @property
    def authentication_is_off(self) -> bool:
        """Etcd knows no users."""
        return "authentication is not enabled" in self.text

    @property
    def compacted(self) -> bool:
        """The revision asked for is forgotten."""
        return self.code == _OUT_OF_RANGE and "has been compacted" in self.text

    @property
    def to_come(self) -> bool:
        """The revision asked for does not exist yet."""
        return self.code == _OUT_OF_RANGE and "future revision" in self.text


# Texts of etcd's api/v3rpc/rpctypes/error.go, which says more than the codes do.
_TEXTS: Final[Mapping[str, Meaning]] = {
    "invalid auth token": Meaning.TOKEN,
    "revision of auth store is old": Meaning.TOKEN,
    "user name is empty": Meaning.TOKEN,
    "authentication failed": Meaning.DENIED,
    "CommonName": Meaning.NAMED,
    "database space exceeded": Meaning.FULL,
    "received message larger than max": Meaning.LARGE,
    "trying to send message larger than max": Meaning.LARGE,
    "too many requests": Meaning.NOT_DONE,
    "etcdserver: no leader": Meaning.NOT_DONE,
    "not supported for learner": Meaning.NOT_DONE,
    "unhealthy cluster": Meaning.NOT_DONE,
}
