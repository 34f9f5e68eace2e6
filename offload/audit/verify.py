"""Verifying the files of a log: exports, or the segments themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from cryptography import x509

from offload.audit.checkpoint import Evidence
from offload.audit.export import BEGINNING, MAX_HEADER, ExportHeader, parse_header
from offload.audit.record import MAX_LINE
from offload.audit.report import Finding, Report
from offload.audit.segment import lines, segments
from offload.audit.verification import Verification
from offload.catalogue.envelope import Untrusted


def verify_files(
    files: Sequence[Path], authority: x509.Certificate, *, worker: str = "", first: int = 1
) -> Report:
    """The first bad record of a chain in `files`, in their order; a directory stands for its
    segments. worker and first: as for Verification. Raises OSError.
    """
    files = [path for given in files for path in _expanded(given)]
    evidence, workers = Evidence(authority), set()
    for path in files:
        try:
            header = _header(path)
            if header is not None:
                header.enter(evidence)
                workers.add(header.worker)
        except Untrusted as error:
            return Report(worker, first=first, bad=Finding(str(path), 1, 0, str(error)))
    if len(workers) == 1 and not worker:
        (worker,) = workers
    return _verify(files, Verification(evidence, worker, first))


def verify_directory(
    directory: Path, evidence: Evidence, worker: str, last: int, *, first: int = 1
) -> Report:
    """The first bad one of the records `first` to `last` in a worker's own log, where `first` is
    the first that is there. Raises OSError.
    """
    verification = Verification(evidence, worker, first)
    left = last - first + 1
    for path in segments(directory):
        for number, content in enumerate(islice(lines(path), left), 1):
            left -= 1
            if not verification.take(path.name, number, content):
                return verification.finish()
    return verification.finish()


def _verify(files: Sequence[Path], verification: Verification) -> Report:
    for path in files:
        for number, content in _records(path):
            if not verification.take(str(path), number, content):
                return verification.finish()
    return verification.finish()


def _expanded(path: Path) -> list[Path]:
    return segments(path) if path.is_dir() else [path]


def _header(path: Path) -> ExportHeader | None:
    with path.open("rb") as file:
        if file.read(len(BEGINNING)) != BEGINNING:
            return None
        file.seek(0)
        return parse_header(file.readline(MAX_HEADER))


def _records(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of records with their numbers in the file."""
    with path.open("rb") as file:
        number = 1
        if file.read(len(BEGINNING)) == BEGINNING:
            file.seek(0)
            file.readline(MAX_HEADER)
            number = 2
        else:
            file.seek(0)
        while content := file.readline(MAX_LINE):
            yield number, content
            number += 1
