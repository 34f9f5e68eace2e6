"""Requests, both ways: what a front-end writes and a worker reads."""

from struct import Struct
from typing import Final

from offload.wire.error import ProtocolError
from offload.wire.frame import MAJOR, MINOR, frame, item, opcode_of, repeated, required, split
from offload.wire.message import Decrypt, Ping, PlainSign, Request, TlsSign, Unknown
from offload.wire.opcode import ANSWERS, DECRYPT, PLAIN_SIGN, Opcode
from offload.wire.tag import Tag

SKI_LENGTH: Final = 20
ADDRESS_LENGTHS: Final = (0, 4, 16)
# A DNS name has at most 255 bytes (RFC 1035 2.3.4); a server name is one (RFC 6066 3).
NAME_LIMIT: Final = 255
RANDOM_LENGTH: Final = 32

# The items with which a TLS_SIGN of ours begins, up to the payload's data: opcode, SKI, scheme,
# version, payload's length; the byte strings are what never changes between them.
_OPCODE_SKI: Final = b"\x11\x00\x01\x50\x04\x00\x14"
_SCHEME: Final = b"\x14\x00\x02"
_VERSION: Final = b"\x15\x00\x02"
_PAYLOAD_TAG: Final = b"\x12"
_TLS_SIGN_FRAME: Final = Struct(">BBHI7s20s3sH3sHcH")
_TLS_SIGN_BODY: Final = Struct(">7s20s3sH3sHcH")
_TLS_SIGN_ITEMS: Final = _TLS_SIGN_BODY.size
_TLS_SIGN_TAGS: Final = frozenset(
    (Tag.OPCODE, Tag.SKI, Tag.SIGNATURE_SCHEME, Tag.PROTOCOL_VERSION, Tag.PAYLOAD)
)
# How our optional items begin: a name of up to 255 bytes, an address (to its item's length), a
# client random.
_SHORT_NAME: Final = b"\x02\x00"
_ADDRESS_ITEMS: Final = {b"\x03\x00\x04": 7, b"\x03\x00\x10": 19}
_RANDOM_ITEM: Final = b"\x16\x00\x20"
_RANDOM_ITEMS: Final = 3 + RANDOM_LENGTH

# An enum member's hash and comparison go through Python code: plain numbers on the hot path.
_TLS_SIGN_OPCODE: Final = int(Opcode.TLS_SIGN)
_PING: Final = int(Opcode.PING)
_PLAIN_SIGN: Final = frozenset(map(int, PLAIN_SIGN))
_DECRYPT: Final = frozenset(map(int, DECRYPT))
_ANSWERS: Final = frozenset(map(int, ANSWERS))
_SERVER_NAME: Final = int(Tag.SERVER_NAME)
_CLIENT_ADDRESS: Final = int(Tag.CLIENT_ADDRESS)
_CLIENT_RANDOM: Final = int(Tag.CLIENT_RANDOM)
_SKI: Final = int(Tag.SKI)
_PAYLOAD: Final = int(Tag.PAYLOAD)


def encode_tls_sign(message: TlsSign) -> bytes:
    """Raises ValueError, or struct.error for a number that does not fit."""
    message_id, ski, scheme, version, payload, name, address, random = message
    if len(ski) != SKI_LENGTH or not payload:
        raise ValueError("a TLS signing request needs a key identifier of 20 bytes and a payload")
    tail = payload if not name and not address else payload + _client_items(name, address)
    if random:
        if len(random) != RANDOM_LENGTH:
            raise ValueError("a client random has 32 bytes")
        tail += _RANDOM_ITEM + random
    return _TLS_SIGN_FRAME.pack(
        MAJOR, MINOR, _TLS_SIGN_ITEMS + len(tail), message_id,
        _OPCODE_SKI, ski, _SCHEME, scheme, _VERSION, version, _PAYLOAD_TAG, len(payload),
    ) + tail  # fmt: skip


def encode_plain_sign(message: PlainSign) -> bytes:
    """Raises ValueError, OverflowError, or struct.error for a number that does not fit."""
    if message.opcode not in _PLAIN_SIGN:
        raise ValueError(f"opcode {message.opcode:#04x} does not sign a plain digest")
    if len(message.ski) not in (0, SKI_LENGTH):
        raise ValueError("a key identifier has 20 bytes")
    items = item(_SKI, message.ski) if message.ski else b""
    items += item(_PAYLOAD, message.payload) if message.payload else b""
    items += _client_items(message.server_name, message.client_address)
    return frame(message.id, message.opcode, items)


def encode_opcode(message: Decrypt | Unknown) -> bytes:
    """A request of which no more than its opcode is known. Raises struct.error."""
    return frame(message.id, message.opcode, b"")


def encode_ping(message: Ping) -> bytes:
    """Raises OverflowError or struct.error for a number that does not fit."""
    items = item(_PAYLOAD, message.data) if message.data else b""
    return frame(message.id, _PING, items)


def _client_items(name: str, address: bytes) -> bytes:
    if len(name) > NAME_LIMIT or len(address) not in ADDRESS_LENGTHS:
        raise ValueError("a server name has at most 255 bytes, a client address 4 or 16")
    items = item(_SERVER_NAME, name.encode("ascii")) if name else b""
    return items + item(_CLIENT_ADDRESS, address) if address else items


def read_request(message_id: int, data: bytes, position: int, end: int) -> Request:
    """The request whose items are data[position:end]. Raises ProtocolError if there is none."""
    start = position + _TLS_SIGN_ITEMS
    if start < end and data.startswith(_OPCODE_SKI, position):
        _, ski, scheme_item, scheme, version_item, version, payload_tag, length = (
            _TLS_SIGN_BODY.unpack_from(data, position)
        )
        stop = start + length
        if (
            scheme_item == _SCHEME and version_item == _VERSION and payload_tag == _PAYLOAD_TAG
            and start < stop <= end
        ):  # fmt: skip
            payload = data[start:stop]
            if stop == end:
                return TlsSign(message_id, ski, scheme, version, payload)
            return TlsSign(
                message_id, ski, scheme, version, payload, *_client_after(data, stop, end)
            )
    return _any_request(message_id, split(data, position, end))


def _client_after(data: bytes, position: int, end: int) -> tuple[str, bytes, bytes]:
    start = position + 3
    if start <= end and data.startswith(_SHORT_NAME, position):
        stop = start + data[position + 2]
        name = data[start:stop]
        if stop <= end and name.isascii():
            rest = data[stop:end]
            size = _ADDRESS_ITEMS.get(rest[:3], 0)
            if len(rest) == size:
                return name.decode("ascii"), rest[3:], b""
            if len(rest) == size + _RANDOM_ITEMS and rest.startswith(_RANDOM_ITEM, size):
                return name.decode("ascii"), rest[3:size], rest[size + 3 :]
    return _handshake(_later_items(data, position, end))


def _later_items(data: bytes, position: int, end: int) -> dict[int, bytes]:
    items = split(data, position, end)
    for tag in items.keys() & _TLS_SIGN_TAGS:
        raise repeated(tag)
    return items


def _any_request(message_id: int, items: dict[int, bytes]) -> Request:
    opcode = opcode_of(items)
    if opcode == _TLS_SIGN_OPCODE:
        return _tls_sign(message_id, items)
    if opcode == _PING:
        return Ping(message_id, items.get(_PAYLOAD, b""))
    if opcode in _PLAIN_SIGN:
        ski = _key(items) if _SKI in items else b""
        return PlainSign(message_id, opcode, ski, items.get(_PAYLOAD, b""), *_client(items))
    if opcode in _DECRYPT:
        return Decrypt(message_id, opcode)
    if opcode in _ANSWERS:
        raise ProtocolError(f"opcode {opcode:#04x} is no request; is the peer a front-end?")
    return Unknown(message_id, opcode)


def _tls_sign(message_id: int, items: dict[int, bytes]) -> TlsSign:
    ski = _key(items)
    scheme = _number(items, Tag.SIGNATURE_SCHEME)
    version = _number(items, Tag.PROTOCOL_VERSION)
    payload = required(items, _PAYLOAD)
    if not payload:
        raise ProtocolError("TLS signing request has an empty payload")
    return TlsSign(message_id, ski, scheme, version, payload, *_handshake(items))


def _key(items: dict[int, bytes]) -> bytes:
    ski = required(items, _SKI)
    if len(ski) != SKI_LENGTH:
        raise ProtocolError(f"key identifier has {len(ski)} bytes where it must have 20")
    return ski


def _number(items: dict[int, bytes], tag: Tag) -> int:
    data = required(items, tag)
    if len(data) != 2:
        raise ProtocolError(f"{tag.name} item has {len(data)} bytes where it must have 2")
    return data[0] << 8 | data[1]


def _handshake(items: dict[int, bytes]) -> tuple[str, bytes, bytes]:
    random = items.get(_CLIENT_RANDOM, b"")
    if len(random) not in (0, RANDOM_LENGTH):
        raise ProtocolError(f"client random has {len(random)} bytes where it must have 32")
    return *_client(items), random


def _client(items: dict[int, bytes]) -> tuple[str, bytes]:
    name = items.get(_SERVER_NAME, b"")
    address = items.get(_CLIENT_ADDRESS, b"")
    if len(name) > NAME_LIMIT or not name.isascii():
        raise ProtocolError("server name is not ASCII, or longer than 255 bytes")
    if len(address) not in ADDRESS_LENGTHS:
        raise ProtocolError(f"client address has {len(address)} bytes where it must have 4 or 16")
    return name.decode("ascii"), address
