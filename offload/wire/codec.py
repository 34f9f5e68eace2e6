"""Messages to bytes (`encode`) and bytes to messages (`Decoder`).

Both directions know one order of items that they are quick with, the one that we write. A
decoder takes items in any order: what does not begin in that one goes the long way round, with
the same result.
"""

import struct
from collections.abc import Callable
from typing import Any, Final, Literal

from offload.wire.answers import encode_failure, encode_pong, encode_signature, read_answer
from offload.wire.error import ProtocolError
from offload.wire.frame import HEADER, MAJOR, MAX_FRAME, MINOR
from offload.wire.message import (
    Decrypt,
    Failure,
    Message,
    Ping,
    PlainSign,
    Pong,
    Signature,
    TlsSign,
    Unknown,
)
from offload.wire.requests import (
    encode_opcode,
    encode_ping,
    encode_plain_sign,
    encode_tls_sign,
    read_request,
)

Side = Literal["worker", "front-end"]

# Each function takes the type beside it, which a mapping's type cannot say.
_ENCODERS: Final[dict[type[Message], Callable[[Any], bytes]]] = {
    TlsSign: encode_tls_sign,
    PlainSign: encode_plain_sign,
    Decrypt: encode_opcode,
    Ping: encode_ping,
    Unknown: encode_opcode,
    Signature: encode_signature,
    Pong: encode_pong,
    Failure: encode_failure,
}

_READERS: Final[dict[Side, Callable[[int, bytes, int, int], Message]]] = {
    "worker": read_request,
    "front-end": read_answer,
}


def encode(message: Message) -> bytes:
    """The frame of `message`, without padding.

    Raises ValueError for what no frame can carry: an id, code or item out of its bounds, or more
    than MAX_FRAME bytes in all.
    """
    try:
        data = _ENCODERS[type(message)](message)
    except (struct.error, OverflowError):
        raise ValueError("a number of the message is too large for its place in a frame") from None
    if len(data) > MAX_FRAME:
        raise ValueError(f"frame would have {len(data)} bytes; it may have {MAX_FRAME}")
    return data


class Decoder:
    """What arrives on one link, as messages.

    side: who reads; "worker" takes requests, "front-end" takes answers. It keeps less than
    MAX_FRAME bytes of a frame that has not arrived whole.
    """

    __slots__ = ("_broken", "_partial", "_read")

    def __init__(self, side: Side) -> None:
        self._read = _READERS[side]
        self._partial = b""
        self._broken = False

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes, in order of arrival.

        Raises ProtocolError when the bytes are no frames of the protocol, and ever after: the
        link has lost its place. Messages before the bad frame in the same `data` are lost too.
        """
        if self._broken:
            raise ProtocolError("link is broken by an earlier malformed frame; close it")
        try:
            return self._frames(self._partial + data if self._partial else data)
        except ProtocolError:
            self._broken = True
            self._partial = b""
            raise

    def _frames(self, data: bytes) -> list[Message]:
        messages: list[Message] = []
        read, unpack = self._read, HEADER.unpack_from
        position, arrived = 0, len(data)
        while arrived - position >= 8:
            major, minor, length, message_id = unpack(data, position)
            if major != MAJOR or minor != MINOR:
                raise ProtocolError(f"version {major}.{minor} where it must be {MAJOR}.{MINOR}")
            body = position + 8
            end = body + length
            if end - position > MAX_FRAME:
                raise ProtocolError(f"frame of {length + 8} bytes; it may have {MAX_FRAME}")
            if end > arrived:
                break
            messages.append(read(message_id, data, body, end))
            position = end
        self._partial = data[position:]
        return messages
