import random as pseudorandom

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.wire_messages import answers, frame, item, items_of

from offload.wire.codec import Decoder, encode
from offload.wire.error import ProtocolError
from offload.wire.message import Answer, Failure, Pong, Signature


def read(data: bytes) -> Answer:
    """The one answer in `data`."""
    (message,) = Decoder("front-end").feed(data)
    assert isinstance(message, Answer)
    return message


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (Signature(1, b"abc"), "0100 000a 00000001 110001f0 120003 616263"),
        (Pong(0xFFFFFFFF, b"hi"), "0100 0009 ffffffff 110001f2 120002 6869"),
        (Pong(2), "0100 0004 00000002 110001f2"),
        (Failure(3, 5), "0100 0008 00000003 110001ff 120001 05"),
    ],
)
def test_frames_worked_out_by_hand(message: Answer, data: str) -> None:
    assert encode(message) == bytes.fromhex(data)
    assert read(bytes.fromhex(data)) == message


@given(answers, st.binary(max_size=1024), st.integers(0, 2**32))
def test_order_padding_and_strange_items_change_nothing(
    message: Answer, padding: bytes, seed: int
) -> None:
    items = [*items_of(encode(message)), item(0x20, padding), item(0x77, b"strange")]
    pseudorandom.Random(seed).shuffle(items)
    answer = read(frame(message.id, *items))
    assert answer == message
    assert type(answer) is type(message)


OK = item(0x11, b"\xf0")


@pytest.mark.parametrize(
    ("items", "complaint"),
    [
        ((), "no OPCODE"),
        ((item(0x12, b"sig"),), "no OPCODE"),
        ((OK,), "no PAYLOAD"),
        ((OK, item(0x12, b"")), "empty payload"),
        ((OK, item(0x12, b"sig"), item(0x12, b"sig")), "item 0x12 comes twice"),
        ((OK, item(0x12, b"sig"), OK), "item 0x11 comes twice"),
        ((OK, item(0x12, b"sig"), b"\x00"), "within an item's header"),
        ((OK, b"\x12\x00\x04sig"), "longer than the rest"),
        ((item(0x11, b"\xff"),), "no PAYLOAD"),
        ((item(0x11, b"\xff"), item(0x12, b"")), "error code has 0 bytes"),
        ((item(0x11, b"\xff"), item(0x12, b"\x01\x02")), "error code has 2 bytes"),
        ((item(0x11, b"\x50"), item(0x12, b"sig")), "opcode 0x50 is no answer"),
        ((item(0x11, b"\x99"),), "opcode 0x99 is no answer"),
    ],
)
def test_malformed_answers_are_refused(items: tuple[bytes, ...], complaint: str) -> None:
    with pytest.raises(ProtocolError, match=complaint):
        read(frame(1, *items))


def test_an_empty_signature_is_not_written() -> None:
    with pytest.raises(ValueError, match="cannot be empty"):
        encode(Signature(1, b""))
