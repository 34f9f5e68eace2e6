"""One record of the chain, as a line and as an object.

A line is a JSON object in ASCII and a newline; its members are seq, time, worker, kind, fields,
prev and hash, in this order and without spaces. `hash` is the SHA-256 of all that stands before
`,"hash"`, so a change shows at the very record; `prev` is the hash of the record before, so that
none can be taken out or put in.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, NamedTuple

import orjson

from offload.audit.fields import MAX_FIELDS

KINDS: Final = frozenset({"management", "signature", "system"})
MAX_LINE: Final = MAX_FIELDS + 1024
"""Bytes of a line, its newline included."""

_SEPARATOR = b',"hash":"'
_END = b'"}\n'
_DIGEST = re.compile(r"[0-9a-f]{64}")
_KEYS = ["seq", "time", "worker", "kind", "fields", "prev", "hash"]
_TYPES = [int, str, str, str, dict, str, str]


class BadRecord(ValueError):
    """A line that is no record, or not the one that was written."""


class Head(NamedTuple):
    """The last record of a chain: its sequence number, from 1, and its hash in hexadecimal."""

    seq: int
    hash: str


NOTHING: Final = Head(0, "0" * 64)
"""The head of a chain without records; what the first one's `prev` is."""


class AuditRecord(NamedTuple):
    """A record as read. time: RFC 3339, UTC, microseconds; kind: one of KINDS."""

    seq: int
    time: str
    worker: str
    kind: str
    fields: dict[str, Any]
    prev: str
    hash: str

    @property
    def head(self) -> Head:
        """What the chain's head is after this record."""
        return Head(self.seq, self.hash)


def timestamp(moment: datetime) -> str:
    """An aware time in the form of records, whose order as text is that of time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def line(head: Head, time: str, worker: str, kind: str, fields: str) -> tuple[bytes, Head]:
    """The line that follows the record `head`, and the head after it.

    time: from `timestamp`; worker: a configured name; fields: from `fields.encoded`. Raises
    ValueError for another kind than KINDS.
    """
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is no kind of audit record; take one of {sorted(KINDS)}")
    body = (
        f'{{"seq":{head.seq + 1},"time":"{time}","worker":"{worker}","kind":"{kind}",'
        f'"fields":{fields},"prev":"{head.hash}"'
    ).encode("ascii")
    digest = sha256(body).hexdigest()
    return b"".join((body, _SEPARATOR, digest.encode(), _END)), Head(head.seq + 1, digest)


def parse(content: bytes) -> AuditRecord:
    """The record on a line, newline included; raises BadRecord if the line was changed."""
    if not content.endswith(b"\n"):
        raise BadRecord("the record is cut: its line has no end")
    body, separator, tail = content.rpartition(_SEPARATOR)
    digest = tail[:64].decode("latin-1")
    if not separator or tail[64:] != _END or not _DIGEST.fullmatch(digest):
        raise BadRecord("the line is not an audit record")
    if sha256(body).hexdigest() != digest:
        raise BadRecord("the record was changed: its hash does not match its content")
    return _record(content)


def _record(content: bytes) -> AuditRecord:
    try:
        values = orjson.loads(content)
    except ValueError:
        raise BadRecord("the line is not JSON") from None
    if not isinstance(values, dict) or list(values) != _KEYS:
        raise BadRecord("the line has other members than an audit record")
    if [type(value) for value in values.values()] != _TYPES:
        raise BadRecord("the record has values of the wrong type")
    return AuditRecord(**values)
