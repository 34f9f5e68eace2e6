"""The PROXY protocol: tells a receiver which client a relayed connection comes from.

Sans-IO. `encode` makes the version 2 header that goes before the first byte to a backend;
`decode` reads a version 1 or 2 header from the first bytes of an accepted connection and is
strict and bounded: anything but a well-formed header raises `ProxyProtocolError`.

The numbers are those of HAProxy's proxy-protocol.txt, sections 2.1 (version 1) and 2.2.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FIXED_LENGTH = 16  # signature, version and command, family and protocol, length
V1_LIMIT = 107  # the longest version 1 line with its CRLF, section 2.1
V2_LIMIT = 4096  # of ours: room for the TLVs in use, a client certificate among them

_UNIX_LENGTH = 108  # sun_path in the address block
_UNIQUE_ID_LIMIT = 128  # section 2.2.5
_PORT = re.compile(r"0|[1-9][0-9]{0,4}")
_TLV = struct.Struct("!BH")
_TLS_FIXED = struct.Struct("!BI")


class ProxyProtocolError(Exception):
    """The bytes are no acceptable PROXY protocol header, or a header cannot be written."""


class Command(IntEnum):
    """LOCAL: a connection of the proxy's own (a health check); PROXY: one that is relayed."""

    LOCAL = 0
    PROXY = 1


class Transport(IntEnum):
    """Address family and transport protocol, one byte of the header."""

    UNSPEC = 0x00
    TCP4 = 0x11
    UDP4 = 0x12
    TCP6 = 0x21
    UDP6 = 0x22
    UNIX_STREAM = 0x31
    UNIX_DATAGRAM = 0x32


class TlvType(IntEnum):
    """Types of the items that follow the addresses."""

    ALPN = 0x01
    AUTHORITY = 0x02
    CRC32C = 0x03
    NOOP = 0x04
    UNIQUE_ID = 0x05
    SSL = 0x20
    SSL_VERSION = 0x21
    SSL_CN = 0x22
    SSL_CIPHER = 0x23
    SSL_SIG_ALG = 0x24
    SSL_KEY_ALG = 0x25
    NETNS = 0x30


class TlsClient(IntEnum):
    """Bits of the client field of the SSL item."""

    SSL = 0x01
    CERT_CONN = 0x02
    CERT_SESS = 0x04


class Endpoint(NamedTuple):
    """One end of a connection: an IP address and port, or a Unix socket path with port 0."""

    host: str
    port: int = 0


@dataclass(frozen=True, slots=True)
class Tls:
    """The SSL item. `verify` is 0 if the client's certificate was verified, as with OpenSSL."""

    version: str = ""
    cipher: str = ""
    common_name: str = ""
    signature_algorithm: str = ""
    key_algorithm: str = ""
    client: int = TlsClient.SSL
    verify: int = 1


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says. `extra` has the TLVs (type, value) that have no field of their own."""

    command: Command = Command.PROXY
    transport: Transport = Transport.UNSPEC
    source: Endpoint | None = None
    destination: Endpoint | None = None
    alpn: bytes = b""
    authority: str = ""
    tls: Tls | None = None
    extra: tuple[tuple[int, bytes], ...] = ()


class Decoded(NamedTuple):
    """A header and the number of bytes that it took."""

    header: Header
    length: int


LOCAL = Header(command=Command.LOCAL)

# By address family, the upper half of the transport's byte.
_ADDRESS_LENGTH = {1: 4, 2: 16, 3: _UNIX_LENGTH}

# Items of which a header has one at most.
_SINGLE = frozenset({TlvType.ALPN, TlvType.AUTHORITY, TlvType.SSL, TlvType.CRC32C})

_TLS_FIELDS = {
    TlvType.SSL_VERSION: "version",
    TlvType.SSL_CN: "common_name",
    TlvType.SSL_CIPHER: "cipher",
    TlvType.SSL_SIG_ALG: "signature_algorithm",
    TlvType.SSL_KEY_ALG: "key_algorithm",
}


def encode(header: Header) -> bytes:
    """The version 2 header in bytes. Raises ProxyProtocolError for what it cannot carry.

    Of LOCAL and UNSPEC nothing but the fixed part is written: receivers ignore the rest.
    """
    body = b""
    if header.command is Command.PROXY and header.transport is not Transport.UNSPEC:
        body = _addresses(header) + _items(header)
    if FIXED_LENGTH + len(body) > V2_LIMIT:
        raise ProxyProtocolError(f"header is longer than {V2_LIMIT} bytes; leave items out")
    first = 0x20 | header.command
    return SIGNATURE + struct.pack("!BBH", first, header.transport, len(body)) + body


def decode(data: bytes, *, limit: int = V2_LIMIT) -> Decoded | None:
    """Read the header that `data` begins with; None if more bytes are needed to tell.

    `limit` bounds a version 2 header (bytes, all in all). What follows the header is not looked
    at. Raises ProxyProtocolError as soon as `data` cannot become an acceptable header.
    """
    if data[:1] == b"P":
        return _decode_v1(data)
    if not SIGNATURE.startswith(data[: len(SIGNATURE)]):
        raise ProxyProtocolError("connection does not begin with a PROXY protocol header")
    if len(data) < FIXED_LENGTH:
        return None
    return _decode_v2(data, limit)


def _addresses(header: Header) -> bytes:
    if header.source is None or header.destination is None:
        raise ProxyProtocolError("a header with a transport needs source and destination")
    family = header.transport >> 4
    packed = _pack(family, header.source.host) + _pack(family, header.destination.host)
    if family == 3:
        return packed
    try:
        return packed + struct.pack("!HH", header.source.port, header.destination.port)
    except struct.error:
        raise ProxyProtocolError("a port is not within 0 to 65535") from None


def _pack(family: int, host: str) -> bytes:
    if family == 3:
        path = host.encode("utf-8", "surrogateescape")
        if len(path) > _UNIX_LENGTH:
            raise ProxyProtocolError(f"a socket path is longer than {_UNIX_LENGTH} bytes")
        return path.ljust(_UNIX_LENGTH, b"\0")
    try:
        return IPv4Address(host).packed if family == 1 else IPv6Address(host).packed
    except AddressValueError:
        raise ProxyProtocolError("an address is not of the transport's family") from None


def _items(header: Header) -> bytes:
    items = b""
    if header.alpn:
        items += _item(TlvType.ALPN, header.alpn)
    if header.authority:
        items += _item(TlvType.AUTHORITY, header.authority.encode())
    if header.tls is not None:
        items += _item(TlvType.SSL, _tls_value(header.tls))
    for kind, value in header.extra:
        if not 0 <= kind <= 255 or kind == TlvType.CRC32C:
            raise ProxyProtocolError("an extra item has a type that cannot be written")
        items += _item(kind, value)
    return items


def _item(kind: int, value: bytes) -> bytes:
    if len(value) > V2_LIMIT:
        raise ProxyProtocolError(f"an item is longer than {V2_LIMIT} bytes; leave it out")
    return _TLV.pack(kind, len(value)) + value


def _tls_value(tls: Tls) -> bytes:
    value = _TLS_FIXED.pack(tls.client, tls.verify)
    for kind, field in _TLS_FIELDS.items():
        text: str = getattr(tls, field)
        if text:
            value += _item(kind, text.encode())
    return value


def _decode_v1(data: bytes) -> Decoded | None:
    end = data.find(b"\r\n", 0, V1_LIMIT)
    if end < 0:
        if len(data) >= V1_LIMIT:
            raise ProxyProtocolError(f"version 1 header is longer than {V1_LIMIT} bytes")
        if not (b"PROXY ".startswith(data[:6]) and b"\n" not in data):
            raise ProxyProtocolError("connection does not begin with a PROXY protocol header")
        return None
    try:
        line = data[:end].decode("ascii")
    except UnicodeDecodeError:
        raise ProxyProtocolError("version 1 header is not ASCII") from None
    words = line.split(" ")
    if words[0] != "PROXY" or "\n" in line or "\r" in line:
        raise ProxyProtocolError("connection does not begin with a PROXY protocol header")
    # What follows UNKNOWN has to be ignored, section 2.1.
    if words[1:2] == ["UNKNOWN"]:
        return Decoded(Header(), end + 2)
    return Decoded(_v1_header(words), end + 2)


def _v1_header(words: list[str]) -> Header:
    transport = {"TCP4": Transport.TCP4, "TCP6": Transport.TCP6}.get("".join(words[1:2]))
    if transport is None or len(words) != 6:
        raise ProxyProtocolError(
            "version 1 header is not 'PROXY TCP4|TCP6 address address port port'"
        )
    source, destination = (_v1_address(transport, word) for word in words[2:4])
    source_port, destination_port = (_v1_port(word) for word in words[4:6])
    return Header(
        transport=transport,
        source=Endpoint(source, source_port),
        destination=Endpoint(destination, destination_port),
    )


def _v1_address(transport: Transport, word: str) -> str:
    try:
        if transport is Transport.TCP4:
            return str(IPv4Address(word))
        if "%" not in word:
            return str(IPv6Address(word))
    except AddressValueError:
        pass
    raise ProxyProtocolError("version 1 header has an address that is not of its family")


def _v1_port(word: str) -> int:
    if not _PORT.fullmatch(word) or int(word) > 65_535:
        raise ProxyProtocolError("version 1 header has a port that is not within 0 to 65535")
    return int(word)


def _decode_v2(data: bytes, limit: int) -> Decoded | None:
    first, transport_code, length = struct.unpack_from("!BBH", data, len(SIGNATURE))
    end = FIXED_LENGTH + length
    if first >> 4 != 2 or first & 0x0F > Command.PROXY:
        raise ProxyProtocolError("version 2 header has an unknown version or command")
    try:
        transport = Transport(transport_code)
    except ValueError:
        raise ProxyProtocolError("version 2 header has an unknown transport") from None
    if end > limit:
        raise ProxyProtocolError(f"version 2 header is longer than {limit} bytes")
    if len(data) < end:
        return None
    # The addresses of LOCAL have to be ignored, and so have those of UNSPEC, section 2.2.
    if first & 0x0F == Command.LOCAL:
        return Decoded(LOCAL, end)
    if transport is Transport.UNSPEC:
        return Decoded(Header(), end)
    source, destination, start = _v2_addresses(transport, data, end)
    header = _v2_header(transport, source, destination, data[:end], start)
    return Decoded(header, end)


def _v2_addresses(transport: Transport, data: bytes, end: int) -> tuple[Endpoint, Endpoint, int]:
    """Both endpoints and where the items begin."""
    family = transport >> 4
    size = _ADDRESS_LENGTH[family]
    middle = FIXED_LENGTH + size
    start = middle + size + (0 if family == 3 else 4)
    if start > end:
        raise ProxyProtocolError("version 2 header is too short for its addresses")
    source = _unpack(family, data[FIXED_LENGTH:middle])
    destination = _unpack(family, data[middle : middle + size])
    if family == 3:
        return Endpoint(source), Endpoint(destination), start
    source_port, destination_port = struct.unpack_from("!HH", data, start - 4)
    return Endpoint(source, source_port), Endpoint(destination, destination_port), start


def _unpack(family: int, packed: bytes) -> str:
    if family == 3:
        # A leading zero byte marks Linux's abstract namespace and belongs to the name.
        return packed.rstrip(b"\0").decode("utf-8", "surrogateescape")
    return str(IPv4Address(packed) if family == 1 else IPv6Address(packed))


def _v2_header(
    transport: Transport, source: Endpoint, destination: Endpoint, data: bytes, start: int
) -> Header:
    items: dict[int, bytes] = {}
    extra: list[tuple[int, bytes]] = []
    for kind, offset, value in _split(data, start):
        if kind in items:
            raise ProxyProtocolError(f"version 2 header has item {kind:#04x} twice")
        if kind in _SINGLE:
            items[kind] = value
        elif kind == TlvType.UNIQUE_ID and len(value) > _UNIQUE_ID_LIMIT:
            raise ProxyProtocolError(f"unique id is longer than {_UNIQUE_ID_LIMIT} bytes")
        elif kind != TlvType.NOOP:
            extra.append((kind, value))
        if kind == TlvType.CRC32C:
            _check_crc(data, offset, value)
    return Header(
        transport=transport,
        source=source,
        destination=destination,
        alpn=items.get(TlvType.ALPN, b""),
        authority=_text(items.get(TlvType.AUTHORITY, b"")),
        tls=_tls(items[TlvType.SSL]) if TlvType.SSL in items else None,
        extra=tuple(extra),
    )


def _split(data: bytes, start: int) -> Iterator[tuple[int, int, bytes]]:
    """Type, offset of the value and value of each item from `start` to the end of `data`."""
    while start < len(data):
        if len(data) - start < _TLV.size:
            raise ProxyProtocolError("version 2 header ends within an item")
        kind, length = _TLV.unpack_from(data, start)
        start += _TLV.size
        if length > len(data) - start:
            raise ProxyProtocolError("version 2 header ends within an item")
        yield kind, start, data[start : start + length]
        start += length


def _tls(value: bytes) -> Tls:
    if len(value) < _TLS_FIXED.size:
        raise ProxyProtocolError("SSL item is too short")
    client, verify = _TLS_FIXED.unpack_from(value)
    fields: dict[str, str] = {}
    for kind, _, text in _split(value, _TLS_FIXED.size):
        # Later revisions of the protocol add kinds; a receiver skips those that it does not know.
        if kind not in _TLS_FIELDS:
            continue
        field = _TLS_FIELDS[TlvType(kind)]
        if field in fields:
            raise ProxyProtocolError(f"SSL item has item {kind:#04x} twice")
        fields[field] = _text(text)
    return Tls(client=client, verify=verify, **fields)


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise ProxyProtocolError("version 2 header has text that is not UTF-8") from None


def _check_crc(data: bytes, offset: int, value: bytes) -> None:
    if len(value) != 4:
        raise ProxyProtocolError("checksum is not 4 bytes long")
    # The checksum is taken over the whole header with the checksum itself as zeros.
    if crc32c(data[:offset] + bytes(4) + data[offset + 4 :]) != int.from_bytes(value, "big"):
        raise ProxyProtocolError("checksum does not match")


def _crc_entry(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_CRC_TABLE = tuple(_crc_entry(byte) for byte in range(256))


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli, RFC 3720 appendix B.4) of `data`."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF
