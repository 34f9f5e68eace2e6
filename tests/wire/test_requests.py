import random as pseudorandom

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.wire_messages import frame, item, items_of, requests

from offload.wire.codec import Decoder, encode
from offload.wire.error import ProtocolError
from offload.wire.message import Decrypt, Ping, PlainSign, Request, TlsSign, Unknown

SKI = bytes(range(20))
HASH = b"\xaa" * 32


def read(data: bytes) -> Request:
    """The one request in `data`."""
    (message,) = Decoder("worker").feed(data)
    assert isinstance(message, Request)
    return message


TLS_SIGN = [
    item(0x11, b"\x50"),
    item(0x04, SKI),
    item(0x14, b"\x04\x03"),
    item(0x15, b"\x03\x04"),
    item(0x12, HASH),
]
NAME = item(0x02, b"a.example")
IPV4 = item(0x03, b"\xc0\x00\x02\x01")


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (
            TlsSign(1, SKI, 0x0403, 0x0304, HASH),
            "0100 0048 00000001 11000150 040014" + SKI.hex() + "1400020403 1500020304 120020"
            "" + HASH.hex(),
        ),
        (
            TlsSign(2, SKI, 0x0804, 0x0304, HASH, "", bytes(16)),
            "0100 005b 00000002 11000150 040014" + SKI.hex() + "1400020804 1500020304 120020"
            "" + HASH.hex() + "030010" + "00" * 16,
        ),
        (
            PlainSign(3, 0x15, SKI, HASH, "a.b"),
            "0100 0044 00000003 11000115 040014" + SKI.hex() + "120020"
            "" + HASH.hex() + "020003612e62",
        ),
        (PlainSign(4, 0x37, b"", b""), "0100 0004 00000004 11000137"),
        (Decrypt(5, 0x01), "0100 0004 00000005 11000101"),
        (Ping(6, b"hi"), "0100 0009 00000006 110001f1 120002 6869"),
        (Unknown(7, 0x23), "0100 0004 00000007 11000123"),
    ],
)  # fmt: skip
def test_frames_worked_out_by_hand(message: Request, data: str) -> None:
    assert encode(message) == bytes.fromhex(data)
    assert read(bytes.fromhex(data)) == message


def test_a_foreign_clients_padded_frame() -> None:
    """The order, the extra items and the padding of a Keyless client that is not ours."""
    items = [
        item(0x11, b"\x35"), item(0x12, HASH), item(0x14, b"extra"), item(0x04, SKI),
        item(0x01, bytes(32)), item(0x03, b"\x7f\0\0\1"), item(0x05, b"\x7f\0\0\1"),
        item(0x02, b"a.example"), item(0x15, b"span"), item(0x17, b"\x01"),
    ]  # fmt: skip
    padding = item(0x20, bytes(1024 - 8 - 3 - sum(map(len, items))))
    data = frame(9, *items, padding)
    assert len(data) == 1024
    assert read(data) == PlainSign(9, 0x35, SKI, HASH, "a.example", b"\x7f\0\0\1")


@given(requests, st.binary(max_size=1024), st.integers(0, 2**32))
def test_order_padding_and_strange_items_change_nothing(
    message: Request, padding: bytes, seed: int
) -> None:
    items = [*items_of(encode(message)), item(0x20, padding), item(0x77, b"strange")]
    pseudorandom.Random(seed).shuffle(items)
    request = read(frame(message.id, *items))
    assert request == message
    assert type(request) is type(message)


@pytest.mark.parametrize("order", ["ours", "another"])
@pytest.mark.parametrize(
    ("items", "complaint"),
    [
        ([*TLS_SIGN[:1], *TLS_SIGN[2:]], "no SKI"),
        ([*TLS_SIGN[:2], *TLS_SIGN[3:]], "no SIGNATURE_SCHEME"),
        ([*TLS_SIGN[:3], *TLS_SIGN[4:]], "no PROTOCOL_VERSION"),
        (TLS_SIGN[:4], "no PAYLOAD"),
        ([*TLS_SIGN[:2], item(0x99, b"\4\3"), *TLS_SIGN[3:]], "no SIGNATURE_SCHEME"),
        ([*TLS_SIGN[:3], item(0x99, b"\3\4"), TLS_SIGN[4]], "no PROTOCOL_VERSION"),
        ([*TLS_SIGN[:4], item(0x99, HASH)], "no PAYLOAD"),
        ([*TLS_SIGN[:4], item(0x12, b"")], "empty payload"),
        ([*TLS_SIGN[:4], item(0x12, b""), NAME], "empty payload"),
        ([TLS_SIGN[0], item(0x04, SKI[1:]), *TLS_SIGN[2:]], "key identifier has 19 bytes"),
        ([TLS_SIGN[0], item(0x04, b""), *TLS_SIGN[2:]], "key identifier has 0 bytes"),
        ([*TLS_SIGN[:2], item(0x14, b"\4"), *TLS_SIGN[3:]], "SIGNATURE_SCHEME item has 1"),
        ([*TLS_SIGN[:3], item(0x15, b"\3\4\0"), TLS_SIGN[4]], "PROTOCOL_VERSION item has 3"),
        ([*TLS_SIGN, TLS_SIGN[4]], "item 0x12 comes twice"),
        ([*TLS_SIGN, NAME, TLS_SIGN[1]], "item 0x04 comes twice"),
        ([*TLS_SIGN, NAME, NAME], "item 0x02 comes twice"),
        ([*TLS_SIGN, NAME, IPV4, IPV4], "item 0x03 comes twice"),
        ([*TLS_SIGN, item(0x02, b"\xc3\xa9")], "not ASCII"),
        ([*TLS_SIGN, item(0x02, b"a" * 256)], "longer than 255 bytes"),
        ([*TLS_SIGN, item(0x03, b"\x7f\0\0")], "client address has 3 bytes"),
        ([*TLS_SIGN, NAME, item(0x03, b"\x7f\0\0\0\1")], "client address has 5 bytes"),
        ([*TLS_SIGN, NAME, item(0x16, bytes(31))], "client random has 31 bytes"),
        ([*TLS_SIGN, item(0x16, bytes(33))], "client random has 33 bytes"),
        ([item(0x11, b"\x15"), item(0x04, b"x")], "key identifier has 1 bytes"),
        ([item(0x11, b"\xf0"), item(0x12, b"sig")], "opcode 0xf0 is no request"),
        ([item(0x11, b"\xf2")], "opcode 0xf2 is no request"),
        ([item(0x11, b"\xff"), item(0x12, b"\1")], "opcode 0xff is no request"),
        ([item(0x11, b"")], "opcode has 0 bytes"),
        ([item(0x12, HASH)], "no OPCODE"),
        ([], "no OPCODE"),
    ],
)
def test_malformed_requests_are_refused(items: list[bytes], complaint: str, order: str) -> None:
    ordered = items if order == "ours" else list(reversed(items))
    with pytest.raises(ProtocolError, match=complaint):
        read(frame(1, *ordered))


@pytest.mark.parametrize(
    "tail",
    [b"\x02", b"\x02\x00", b"\x02\x00\x09a.exampl", b"\x02\xff\xff", b"\x03\x00\x04\x7f\0\0"],
)
@pytest.mark.parametrize("before", [b"", IPV4])
def test_an_item_cut_short_does_not_reach_into_the_next_frame(tail: bytes, before: bytes) -> None:
    data = frame(1, *TLS_SIGN, before, tail) + frame(2, *TLS_SIGN, NAME)
    with pytest.raises(ProtocolError, match=r"within an item's header|longer than the rest"):
        Decoder("worker").feed(data)


@pytest.mark.parametrize("cut", range(1, 72))
def test_a_tls_sign_cut_anywhere_is_refused(cut: int) -> None:
    whole = b"".join(TLS_SIGN)
    with pytest.raises(ProtocolError):
        Decoder("worker").feed(frame(1, whole[:-cut]) + frame(2, whole))


@pytest.mark.parametrize(
    "message",
    [
        TlsSign(1, SKI[1:], 0x0403, 0x0304, HASH),
        TlsSign(1, SKI, 0x0403, 0x0304, b""),
        TlsSign(1, SKI, 0x0403, 0x0304, HASH, "", b"", bytes(31)),
        TlsSign(1, SKI, 0x10000, 0x0304, HASH),
        TlsSign(1, SKI, 0x0403, -1, HASH),
        TlsSign(1, SKI, 0x0403, 0x0304, bytes(65536)),
        TlsSign(1, SKI, 0x0403, 0x0304, HASH, "a" * 256),
        TlsSign(1, SKI, 0x0403, 0x0304, HASH, "\u00e9.example"),
        TlsSign(1, SKI, 0x0403, 0x0304, HASH, "", b"\x7f"),
        PlainSign(1, 0x50, SKI, HASH),
        PlainSign(1, 0x15, SKI[1:], HASH),
        PlainSign(1, 0x15, SKI, bytes(65536)),
        Ping(1, bytes(65536)),
        Decrypt(1, 256),
    ],
)
def test_what_no_frame_can_carry_is_not_written(message: Request) -> None:
    with pytest.raises(ValueError):
        encode(message)
