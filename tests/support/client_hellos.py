"""ClientHellos made by hand, for tests, and other ways to cut them into records."""

from collections.abc import Iterable, Sequence
from itertools import chain, repeat

_RECORD_HEADER = 5


def record(payload: bytes, kind: int = 22) -> bytes:
    """One TLS record."""
    return bytes((kind, 3, 1)) + len(payload).to_bytes(2) + payload


def message(body: bytes, kind: int = 1) -> bytes:
    """One handshake message."""
    return bytes((kind,)) + len(body).to_bytes(3) + body


def extension(kind: int, data: bytes) -> bytes:
    """One extension."""
    return kind.to_bytes(2) + len(data).to_bytes(2) + data


def server_name(name: bytes, name_type: int = 0) -> bytes:
    """The server_name extension with one name (RFC 6066, 3)."""
    entry = bytes((name_type,)) + len(name).to_bytes(2) + name
    return extension(0, len(entry).to_bytes(2) + entry)


def body(*extensions: bytes, session_id: bytes = b"", ciphers: bytes = b"\x13\x01") -> bytes:
    """A ClientHello's body; without extensions even their length is left out."""
    listed = b"".join(extensions)
    return (
        b"\x03\x03"
        + bytes(32)
        + len(session_id).to_bytes(1)
        + session_id
        + len(ciphers).to_bytes(2)
        + ciphers
        + b"\x01\0"
        + (len(listed).to_bytes(2) + listed if extensions else b"")
    )


def hello(*extensions: bytes) -> bytes:
    """A whole ClientHello in one record."""
    return record(message(body(*extensions)))


def fragmented(data: bytes, sizes: Sequence[int]) -> bytes:
    """The handshake message in one record, in records of `sizes` bytes; the last size repeats."""
    return b"".join(map(record, _pieces(data[_RECORD_HEADER:], sizes)))


def _pieces(payload: bytes, sizes: Sequence[int]) -> Iterable[bytes]:
    offset = 0
    for size in chain(sizes, repeat(sizes[-1])):
        if offset >= len(payload):
            return
        yield payload[offset : offset + size]
        offset += size
