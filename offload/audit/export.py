"""A log in one file with all that its verification needs but the authority's certificate.

The first line is a JSON object: who the worker is, the members' certificates, and the checkpoints
of the worker's chain as they stand in the catalogue. The records follow as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from offload.audit.checkpoint import Evidence
from offload.audit.segment import lines_from
from offload.catalogue.envelope import Untrusted

MAX_HEADER: Final = 8 << 20
"""Bytes of the first line."""
BEGINNING: Final = b'{"offload_audit_export":'
_FORM = 1


class ExportHeader(NamedTuple):
    """certificates: PEM by the member's name; checkpoints: envelopes by their paths."""

    worker: str
    certificates: Mapping[str, str]
    checkpoints: Mapping[str, str]

    def line(self) -> bytes:
        """The first line of the file, newline included."""
        values = {"offload_audit_export": _FORM, **self._asdict()}
        return json.dumps(values, separators=(",", ":")).encode() + b"\n"

    def enter(self, evidence: Evidence) -> None:
        """Hand over what it has; raises Untrusted if any of it is not what it should be.

        Raises Untrusted too if no checkpoint of the worker is there: a cut tail could not be found.
        """
        for name, certificate in self.certificates.items():
            evidence.admit(name, certificate)
        for path, envelope in self.checkpoints.items():
            evidence.add(path, envelope.encode())
        if not any(one.by == self.worker for one in evidence.of(self.worker)):
            raise Untrusted(f"the export has no checkpoint that {self.worker!r} signed")


def parse_header(content: bytes) -> ExportHeader:
    """The header on the first line of an export; raises Untrusted."""
    try:
        values = json.loads(content)
    except ValueError:
        raise Untrusted("the first line of the export is not JSON") from None
    if not isinstance(values, dict) or values.pop("offload_audit_export", None) != _FORM:
        raise Untrusted("the export has a form that this version does not know")
    if not (
        content.endswith(b"\n")
        and set(values) == set(ExportHeader._fields)
        and isinstance(values["worker"], str)
        and _texts(values["certificates"])
        and _texts(values["checkpoints"])
    ):
        raise Untrusted("the first line of the export is not as it was written")
    return ExportHeader(**values)


def records(directory: Path, first: int, last: int, limit: int) -> tuple[bytes, int]:
    """The lines of the records `first` to `last` in a log, up to `limit` bytes, one at least; and
    the first record that is left out for want of room, 0 if none is.
    """
    taken: list[bytes] = []
    size, count = 0, max(0, last - first + 1)
    for number, content in enumerate(islice(lines_from(directory, first), count)):
        size += len(content)
        if taken and size > limit:
            return b"".join(taken), first + number
        taken.append(content)
    return b"".join(taken), 0


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
