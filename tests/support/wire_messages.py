"""Hypothesis strategies for the messages of the wire, and frames built without the codec."""

from hypothesis import strategies as st

from offload.wire.message import (
    Answer,
    Decrypt,
    Failure,
    Ping,
    PlainSign,
    Pong,
    Request,
    Signature,
    TlsSign,
    Unknown,
)
from offload.wire.opcode import ANSWERS, DECRYPT, PLAIN_SIGN, Opcode

_ids = st.integers(0, 2**32 - 1)
_skis = st.binary(min_size=20, max_size=20)
_codepoints = st.integers(0, 2**16 - 1)
_names = st.text(st.characters(codec="ascii"), max_size=255)
_addresses = st.one_of(
    st.just(b""), st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)
)
_randoms = st.one_of(st.just(b""), st.binary(min_size=32, max_size=32))
_data = st.binary(max_size=600)
_full = st.binary(min_size=1, max_size=600)
_served = {*PLAIN_SIGN, *DECRYPT, *ANSWERS, Opcode.TLS_SIGN, Opcode.PING}
_unknown = st.sampled_from(sorted(set(range(256)) - set(map(int, _served))))

requests: st.SearchStrategy[Request] = st.one_of(
    st.builds(TlsSign, _ids, _skis, _codepoints, _codepoints, _full, _names, _addresses, _randoms),
    st.builds(
        PlainSign, _ids, st.sampled_from(sorted(map(int, PLAIN_SIGN))),
        st.one_of(st.just(b""), _skis), _data, _names, _addresses,
    ),
    st.builds(Decrypt, _ids, st.sampled_from(sorted(map(int, DECRYPT)))),
    st.builds(Ping, _ids, _data),
    st.builds(Unknown, _ids, _unknown),
)  # fmt: skip

answers: st.SearchStrategy[Answer] = st.one_of(
    st.builds(Signature, _ids, _full),
    st.builds(Pong, _ids, _data),
    st.builds(Failure, _ids, st.integers(0, 255)),
)


def item(tag: int, data: bytes) -> bytes:
    """An item as the specification draws it."""
    return bytes([tag]) + len(data).to_bytes(2, "big") + data


def frame(message_id: int, *items: bytes) -> bytes:
    """A frame of version 1.0 as the specification draws it."""
    body = b"".join(items)
    return b"\x01\x00" + len(body).to_bytes(2, "big") + message_id.to_bytes(4, "big") + body


def items_of(data: bytes) -> list[bytes]:
    """The items of one well-formed frame, each with its header."""
    items, position = [], 8
    while position < len(data):
        end = position + 3 + int.from_bytes(data[position + 1 : position + 3], "big")
        items.append(data[position:end])
        position = end
    return items
