"""A search of a process's memory for the numbers that make up private keys.

The demonstration knows the keys, since it has the token's passphrase. It looks for each secret
number in both byte orders: encoded keys are big-endian, the library's own numbers little-endian.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key

from offload.cli.demo.children import family

_CHUNK = 4 << 20
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ (\d+) *(.*)")


@dataclass(frozen=True, slots=True)
class Scan:
    """What a search found: labels of keys, and how many bytes were read (None: not permitted)."""

    found: frozenset[str]
    size: int | None


def needles(key: bytes) -> list[bytes]:
    """The secret numbers of a PKCS #8 DER key as they would lie in memory."""
    private = load_der_private_key(key, password=None)
    if isinstance(private, rsa.RSAPrivateKey):
        secret = private.private_numbers()
        numbers = [secret.p, secret.q, secret.d]
    elif isinstance(private, ec.EllipticCurvePrivateKey):
        numbers = [private.private_numbers().private_value]
    else:
        raise ValueError("only RSA and elliptic-curve keys are searched for")
    sizes = [(number.bit_length() + 7) // 8 for number in numbers]
    return [
        number.to_bytes(size, order)
        for number, size in zip(numbers, sizes, strict=True)
        for order in ("big", "little")
    ]


def scan(pid: int, secrets: Mapping[str, list[bytes]]) -> Scan:
    """Search all that process `pid` can read and write for `secrets` (label -> needles)."""
    overlap = max(len(needle) for needles in secrets.values() for needle in needles) - 1
    found: set[str] = set()
    size = 0
    try:
        mappings = Path(f"/proc/{pid}/maps").read_text()
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            for chunk in _chunks(memory, mappings, overlap):
                size += len(chunk)
                found |= _labels(chunk, secrets, found)
    except PermissionError:
        return Scan(frozenset(), None)
    return Scan(frozenset(found), size)


def scan_family(pid: int, secrets: Mapping[str, list[bytes]]) -> Scan:
    """`pid` and all its descendants as one; the size is None if any may not be read."""
    scans = [scan(each, secrets) for each in family(pid)]
    found = frozenset[str]().union(*(each.found for each in scans))
    sizes = [each.size for each in scans if each.size is not None]
    return Scan(found, sum(sizes) if len(sizes) == len(scans) else None)


def _labels(chunk: bytes, secrets: Mapping[str, list[bytes]], known: set[str]) -> set[str]:
    return {
        label
        for label, needles in secrets.items()
        if label not in known and any(needle in chunk for needle in needles)
    }


def _chunks(memory: BinaryIO, mappings: str, overlap: int) -> Iterator[bytes]:
    for start, end in _regions(mappings):
        position = start
        while position < end:
            try:
                memory.seek(position)
                chunk = memory.read(min(_CHUNK, end - position))
            except (OSError, ValueError, OverflowError):
                break  # a guard page, or unmapped since
            if not chunk:
                break
            yield chunk
            position += len(chunk) if position + len(chunk) >= end else len(chunk) - overlap


def _regions(mappings: str) -> Iterator[tuple[int, int]]:
    for line in mappings.splitlines():
        match = _MAPPING.match(line)
        if match is None:
            continue
        start, end, mode, inode, name = match.groups()
        # Program text comes from files as they are on disk; devices may not bear being read.
        unwritten = inode != "0" and "w" not in mode
        if mode.startswith("r") and not unwritten and not name.startswith(("/dev/", "[v")):
            yield int(start, 16), int(end, 16)
