from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.wire_messages import answers, frame, item, requests

from offload.wire.codec import Decoder, Side, encode
from offload.wire.error import ProtocolError
from offload.wire.frame import MAX_FRAME
from offload.wire.message import Failure, Message, Ping, Pong, Signature

_sided = st.one_of(
    st.tuples(st.just("worker"), st.lists(requests, max_size=5)),
    st.tuples(st.just("front-end"), st.lists(answers, max_size=5)),
)


@given(_sided, st.lists(st.integers(0, 6000), max_size=12))
def test_messages_come_through_however_the_bytes_are_cut(
    sided: tuple[Side, list[Message]], cuts: list[int]
) -> None:
    side, messages = sided
    data = b"".join(map(encode, messages))
    decoder = Decoder(side)
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    received = [message for piece in pieces for message in decoder.feed(piece)]
    assert received == messages
    assert list(map(type, received)) == list(map(type, messages))


def test_a_message_is_given_as_soon_as_its_last_byte_is_there() -> None:
    data = encode(Ping(1, b"data"))
    decoder = Decoder("worker")
    given_out = [decoder.feed(data[index : index + 1]) for index in range(len(data))]
    assert given_out == [[]] * (len(data) - 1) + [[Ping(1, b"data")]]


@given(
    _sided.filter(lambda sided: bool(sided[1])),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_a_changed_frame_is_read_or_refused(
    sided: tuple[Side, list[Message]], changes: list[tuple[int, int]]
) -> None:
    side, messages = sided
    data = bytearray(b"".join(map(encode, messages)))
    for place, value in changes:
        data[place % len(data)] = value
    try:
        received = Decoder(side).feed(bytes(data))
    except ProtocolError:
        return
    for message in received:
        assert Decoder(side).feed(encode(message)) == [message]


@given(st.sampled_from(["worker", "front-end"]), st.binary(max_size=300))
def test_noise_is_refused_or_waited_on(side: Side, noise: bytes) -> None:
    try:
        Decoder(side).feed(noise)
    except ProtocolError:
        assert len(noise) >= 8


@pytest.mark.parametrize("version", [(0, 0), (1, 1), (2, 0), (22, 3), (255, 255)])
def test_another_version_is_refused_at_the_header(version: tuple[int, int]) -> None:
    with pytest.raises(ProtocolError, match=rf"version {version[0]}\.{version[1]} where"):
        Decoder("worker").feed(bytes(version) + b"\x00\x40\x00\x00\x00\x01")


def test_an_oversized_frame_is_refused_at_the_header() -> None:
    decoder = Decoder("worker")
    decoder.feed(b"\x01\x00" + (MAX_FRAME - 8).to_bytes(2) + bytes(4))
    with pytest.raises(ProtocolError, match=f"frame of {MAX_FRAME + 1} bytes"):
        Decoder("worker").feed(b"\x01\x00" + (MAX_FRAME - 7).to_bytes(2) + bytes(4))


def test_the_largest_frame_goes_through_and_no_larger_one_is_written() -> None:
    room = MAX_FRAME - 8 - 4 - 3
    data = encode(Signature(1, bytes(room)))
    assert len(data) == MAX_FRAME
    assert Decoder("front-end").feed(data) == [Signature(1, bytes(room))]
    with pytest.raises(ValueError, match=f"it may have {MAX_FRAME}"):
        encode(Signature(1, bytes(room + 1)))


def test_after_an_error_nothing_more_is_read() -> None:
    decoder = Decoder("front-end")
    with pytest.raises(ProtocolError, match="version"):
        decoder.feed(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ProtocolError, match="broken by an earlier"):
        decoder.feed(encode(Pong(1)))
    with pytest.raises(ProtocolError, match="broken by an earlier"):
        decoder.feed(b"")


def test_an_error_does_not_show_what_the_frame_held() -> None:
    secret = b"transcript-or-token"
    with pytest.raises(ProtocolError) as caught:
        Decoder("worker").feed(frame(1, item(0x11, b"\x50"), item(0x12, secret)))
    assert "transcript" not in repr(caught.value)


@pytest.mark.parametrize(
    "message", [Pong(-1), Pong(2**32), Failure(1, 256), Failure(1, -1), Signature(2**32, b"s")]
)
def test_a_number_that_does_not_fit_is_not_written(message: Message) -> None:
    with pytest.raises(ValueError, match="too large for its place"):
        encode(message)
