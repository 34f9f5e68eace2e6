"""A frame: an 8-byte header (version 1.0, body length, id; big-endian), then items."""

from struct import Struct
from typing import Final

from offload.wire.error import ProtocolError
from offload.wire.tag import Tag

MAJOR: Final = 1
MINOR: Final = 0

# The longest signature, ML-DSA-87's, has 4,627 bytes, and Keyless peers pad to 1,024. The limit
# bounds what a link can make its reader keep; an item takes 3 bytes and each tag comes once, so
# it bounds the items of a frame too.
MAX_FRAME: Final = 16384

HEADER: Final = Struct(">BBHI")
# The header and the opcode item, with which every frame of ours begins.
_START: Final = Struct(">BBHI3sB")
_OPCODE_ITEM: Final = b"\x11\x00\x01"

_OPCODE: Final = int(Tag.OPCODE)


def item(tag: int, data: bytes) -> bytes:
    """One item. Raises OverflowError if `data` has more than 65,535 bytes."""
    return tag.to_bytes(1) + len(data).to_bytes(2) + data


def frame(message_id: int, opcode: int, items: bytes) -> bytes:
    """A frame with `items` after its opcode. Raises struct.error if a number does not fit."""
    return _START.pack(MAJOR, MINOR, 4 + len(items), message_id, _OPCODE_ITEM, opcode) + items


def split(data: bytes, position: int, end: int) -> dict[int, bytes]:
    """The items in data[position:end] by tag. Raises ProtocolError if cut short or repeated."""
    items: dict[int, bytes] = {}
    while position < end:
        start = position + 3
        if start > end:
            raise ProtocolError("frame ends within an item's header")
        tag = data[position]
        position = start + (data[position + 1] << 8 | data[position + 2])
        if position > end:
            raise ProtocolError(f"item {tag:#04x} is longer than the rest of its frame")
        if tag in items:
            raise repeated(tag)
        items[tag] = data[start:position]
    return items


def repeated(tag: int) -> ProtocolError:
    """The error of an item that comes twice."""
    return ProtocolError(f"item {tag:#04x} comes twice in one frame")


def opcode_of(items: dict[int, bytes]) -> int:
    """The opcode among a frame's items. Raises ProtocolError if there is none."""
    data = required(items, _OPCODE)
    if len(data) != 1:
        raise ProtocolError(f"opcode has {len(data)} bytes where it must have 1")
    return data[0]


def required(items: dict[int, bytes], tag: int) -> bytes:
    """The item `tag`. Raises ProtocolError if it is missing."""
    try:
        return items[tag]
    except KeyError:
        raise ProtocolError(f"frame has no {Tag(tag).name} item") from None
