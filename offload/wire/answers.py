"""Answers, both ways: what a worker writes and a front-end reads."""

from struct import Struct
from typing import Final

from offload.wire.error import ProtocolError
from offload.wire.frame import MAJOR, MINOR, frame, item, opcode_of, required, split
from offload.wire.message import Answer, Failure, Pong, Signature
from offload.wire.opcode import Opcode
from offload.wire.tag import Tag

# A frame with the opcode RESPONSE and a payload, up to the payload's data.
_SIGNATURE: Final = Struct(">BBHI5sH")
_SIGNATURE_START: Final = b"\x11\x00\x01\xf0\x12"

_PAYLOAD: Final = int(Tag.PAYLOAD)
_RESPONSE: Final = int(Opcode.RESPONSE)
_PONG: Final = int(Opcode.PONG)
_ERROR: Final = int(Opcode.ERROR)


def encode_signature(message: Signature) -> bytes:
    """Raises ValueError for an empty signature, struct.error for a number that does not fit."""
    message_id, signature = message
    length = len(signature)
    if not length:
        raise ValueError("a signature cannot be empty; answer with a Failure")
    return (
        _SIGNATURE.pack(MAJOR, MINOR, 7 + length, message_id, _SIGNATURE_START, length) + signature
    )


def encode_pong(message: Pong) -> bytes:
    """Raises OverflowError or struct.error for a number that does not fit."""
    items = item(_PAYLOAD, message.data) if message.data else b""
    return frame(message.id, _PONG, items)


def encode_failure(message: Failure) -> bytes:
    """Raises OverflowError or struct.error for a number that does not fit."""
    return frame(message.id, _ERROR, item(_PAYLOAD, message.code.to_bytes(1)))


def read_answer(message_id: int, data: bytes, position: int, end: int) -> Answer:
    """The answer whose items are data[position:end]. Raises ProtocolError if there is none."""
    start = position + 7
    if (
        start < end
        and data.startswith(_SIGNATURE_START, position)
        and start + (data[position + 5] << 8 | data[position + 6]) == end
    ):
        return Signature(message_id, data[start:end])
    return _any_answer(message_id, split(data, position, end))


def _any_answer(message_id: int, items: dict[int, bytes]) -> Answer:
    opcode = opcode_of(items)
    if opcode == _PONG:
        return Pong(message_id, items.get(_PAYLOAD, b""))
    if opcode not in (_RESPONSE, _ERROR):
        raise ProtocolError(f"opcode {opcode:#04x} is no answer; is the peer a worker?")
    payload = required(items, _PAYLOAD)
    if opcode == _ERROR:
        if len(payload) != 1:
            raise ProtocolError(f"error code has {len(payload)} bytes where it must have 1")
        return Failure(message_id, payload[0])
    if not payload:
        raise ProtocolError("response has an empty payload where a signature must be")
    return Signature(message_id, payload)
