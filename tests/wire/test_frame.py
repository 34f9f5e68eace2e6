import pytest
from support.wire_messages import item

from offload.wire.error import ProtocolError
from offload.wire.frame import frame, opcode_of, required, split
from offload.wire.frame import item as real_item
from offload.wire.tag import Tag


def test_an_item_is_tag_length_data() -> None:
    assert real_item(0x12, b"abc") == b"\x12\x00\x03abc"
    with pytest.raises(OverflowError):
        real_item(0x12, bytes(65536))


def test_a_frame_is_header_opcode_items() -> None:
    assert frame(0x01020304, 0xF1, b"\x12\x00\x01x") == bytes.fromhex(
        "0100 0008 01020304 110001f1 12000178"
    )


def test_split_is_within_its_bounds() -> None:
    data = b"before" + item(0x11, b"a") + item(0x20, b"") + b"after"
    assert split(data, 6, 13) == {0x11: b"a", 0x20: b""}


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"\x11", "frame ends within an item's header"),
        (b"\x11\x00", "frame ends within an item's header"),
        (b"\x11\x00\x02a", "item 0x11 is longer than the rest of its frame"),
        (b"\x11\xff\xff", "item 0x11 is longer than the rest of its frame"),
        (item(0x20, b"") * 2, "item 0x20 comes twice in one frame"),
        (item(0x99, b"a") + item(0x99, b"b"), "item 0x99 comes twice in one frame"),
    ],
)
def test_malformed_items_are_refused(body: bytes, complaint: str) -> None:
    # What follows would complete the item if it belonged to it.
    with pytest.raises(ProtocolError, match=complaint):
        split(body + bytes(70000), 0, len(body))


def test_the_opcode_is_one_byte() -> None:
    assert opcode_of({Tag.OPCODE: b"\x50"}) == 0x50
    for data in (b"", b"\x50\x50"):
        with pytest.raises(ProtocolError, match=f"opcode has {len(data)} bytes"):
            opcode_of({Tag.OPCODE: data})


def test_a_missing_item_is_named() -> None:
    with pytest.raises(ProtocolError, match="frame has no PAYLOAD item"):
        required({}, Tag.PAYLOAD)
