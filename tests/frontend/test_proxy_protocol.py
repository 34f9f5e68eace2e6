"""PROXY protocol: round trips, an independent implementation, and input that must be refused."""

from __future__ import annotations

import socket
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from proxyprotocol.result import ProxyResultIPv4, ProxyResultIPv6
from proxyprotocol.tlv import ProxyProtocolSSLTLV, ProxyProtocolTLV
from proxyprotocol.v1 import ProxyProtocolV1
from proxyprotocol.v2 import ProxyProtocolV2

from offload.frontend.proxy_protocol import (
    LOCAL,
    SIGNATURE,
    V1_LIMIT,
    V2_LIMIT,
    Command,
    Endpoint,
    Header,
    ProxyProtocolError,
    Tls,
    TlvType,
    Transport,
    crc32c,
    decode,
    encode,
)

SAMPLE = Header(
    transport=Transport.TCP4,
    source=Endpoint("192.0.2.7", 51234),
    destination=Endpoint("198.51.100.1", 443),
    alpn=b"h2",
    authority="www.example.org",
    tls=Tls(version="TLSv1.3", cipher="TLS_AES_128_GCM_SHA256"),
)

ports = st.integers(0, 65_535)
words = st.text(max_size=20)
paths = st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=108)
tls = st.builds(
    Tls,
    version=words,
    cipher=words,
    common_name=words,
    signature_algorithm=words,
    key_algorithm=words,
    client=st.integers(0, 255),
    verify=st.integers(0, 2**32 - 1),
)
own_types = {TlvType.ALPN, TlvType.AUTHORITY, TlvType.SSL, TlvType.CRC32C, TlvType.NOOP}
items = {
    "alpn": st.binary(max_size=20),
    "authority": words,
    "tls": st.none() | tls,
    "extra": st.lists(
        st.tuples(st.sampled_from(sorted(set(range(256)) - own_types)), st.binary(max_size=128)),
        max_size=5,
    ).map(tuple),
}


def addressed(transport: Transport, hosts: st.SearchStrategy[str]) -> st.SearchStrategy[Header]:
    end = st.builds(Endpoint, hosts, st.just(0) if transport >> 4 == 3 else ports)
    return st.builds(Header, transport=st.just(transport), source=end, destination=end, **items)


v4 = st.ip_addresses(v=4).map(str)
v6 = st.ip_addresses(v=6).map(str)
headers = st.one_of(
    st.just(LOCAL),
    st.just(Header()),
    addressed(Transport.TCP4, v4),
    addressed(Transport.UDP4, v4),
    addressed(Transport.TCP6, v6),
    addressed(Transport.UDP6, v6),
    addressed(Transport.UNIX_STREAM, paths),
    addressed(Transport.UNIX_DATAGRAM, paths),
)


def raw(body: bytes, *, first: int = 0x21, transport: int = 0x11) -> bytes:
    return SIGNATURE + bytes([first, transport]) + len(body).to_bytes(2, "big") + body


ADDRESSES = bytes([192, 0, 2, 7, 198, 51, 100, 1]) + (51234).to_bytes(2, "big") + b"\x01\xbb"


@given(headers, st.binary(max_size=30))
def test_round_trip_leaves_what_follows(header: Header, rest: bytes) -> None:
    data = encode(header)
    assert decode(data + rest) == (header, len(data))


@given(headers)
def test_every_true_prefix_asks_for_more(header: Header) -> None:
    data = encode(header)
    assert all(decode(data[:length]) is None for length in range(len(data)))


@given(headers, st.data())
def test_mutation_is_refused_or_read_within_bounds(header: Header, data: st.DataObject) -> None:
    mutated = bytearray(encode(header))
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = decode(bytes(mutated))
    except ProxyProtocolError:
        return
    assert decoded is None or decoded.length <= len(mutated)


@given(st.binary(max_size=V1_LIMIT + 10) | st.binary(max_size=300).map(SIGNATURE.__add__))
def test_arbitrary_bytes_raise_nothing_else(data: bytes) -> None:
    try:
        decoded = decode(data)
    except ProxyProtocolError:
        return
    assert decoded is None or 0 < decoded.length <= len(data)


def test_known_bytes() -> None:
    header = Header(
        transport=Transport.TCP4,
        source=Endpoint("192.0.2.7", 51234),
        destination=Endpoint("198.51.100.1", 443),
        authority="a",
    )
    assert encode(header) == raw(ADDRESSES + b"\x02\x00\x01a")
    assert encode(LOCAL) == raw(b"", first=0x20, transport=0)


@given(v4, v4, ports, ports, words, st.binary(max_size=20))
def test_other_implementation_reads_our_version_4_header(
    source: str, destination: str, source_port: int, port: int, authority: str, alpn: bytes
) -> None:
    ends = Endpoint(source, source_port), Endpoint(destination, port)
    ours = Header(Command.PROXY, Transport.TCP4, *ends, alpn, authority, SAMPLE.tls)
    theirs = ProxyProtocolV2().unpack(encode(ours))
    assert isinstance(theirs, ProxyResultIPv4)
    assert theirs.source == (IPv4Address(source), source_port)
    assert theirs.dest == (IPv4Address(destination), port)
    assert (theirs.tlv.alpn or b"") == alpn
    assert (theirs.tlv.authority or "") == authority
    ssl = theirs.tlv.ssl
    assert (ssl.has_ssl, ssl.verified) == (True, False)
    assert (ssl.version, ssl.cipher) == ("TLSv1.3", "TLS_AES_128_GCM_SHA256")


@given(v6, v6, ports, ports)
def test_we_read_the_other_implementations_version_6_header(
    source: str, destination: str, source_port: int, port: int
) -> None:
    ssl = ProxyProtocolSSLTLV(has_ssl=True, verified=True, version="TLSv1.2", cipher="X")
    result = ProxyResultIPv6(
        (IPv6Address(source), source_port),
        (IPv6Address(destination), port),
        protocol=socket.SOCK_STREAM,
        tlv=ProxyProtocolTLV(alpn=b"http/1.1", authority="x.example", ssl=ssl),
    )
    decoded = decode(ProxyProtocolV2().pack(result))
    ends = Endpoint(source, source_port), Endpoint(destination, port)
    tls = Tls(version="TLSv1.2", cipher="X", verify=0)
    assert decoded is not None
    assert decoded.header == Header(
        Command.PROXY, Transport.TCP6, *ends, b"http/1.1", "x.example", tls
    )


@given(v6, v6, ports, ports, st.binary(max_size=20))
def test_we_read_the_other_implementations_version_1(
    source: str, destination: str, source_port: int, port: int, rest: bytes
) -> None:
    result = ProxyResultIPv6((IPv6Address(source), source_port), (IPv6Address(destination), port))
    line = ProxyProtocolV1().pack(result)
    decoded = decode(line + rest)
    assert decoded is not None
    assert decoded.length == len(line)
    assert decoded.header.source == (source, source_port)
    assert decoded.header.destination == (destination, port)


def test_checksum_is_verified() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    zeroed = raw(ADDRESSES + b"\x03\x00\x04" + bytes(4))
    good = zeroed[:-4] + crc32c(zeroed).to_bytes(4, "big")
    assert decode(good) is not None
    with pytest.raises(ProxyProtocolError, match="checksum"):
        decode(good.replace(b"\xc0\x00\x02\x07", b"\xc0\x00\x02\x08"))


def test_local_and_unspecified_ignore_what_they_carry() -> None:
    assert decode(raw(b"\xff" * 5, first=0x20)) == (LOCAL, 21)
    assert decode(raw(b"\xff" * 5, transport=0)) == (Header(), 21)
    assert decode(b"PROXY UNKNOWN ffff::1 whatever\r\nrest") == (Header(), 32)
    assert decode(b"PROXY UNKNOWN\r\n") == (Header(), 15)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01",
        b"PUT",
        b"PROXY\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n",
        b"PROXY TCP4  192.0.2.7 198.51.100.1 1 2\r\n",
        b"PROXY TCP4 192.0.2.07 198.51.100.1 1 2\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n",
        b"PROXY TCP6 fe80::1%1 ::1 1 2\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 2\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 2\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 1 \xb2\r\n",
        b"PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n",
        b"PROXY UNKNOWN \rx\r\n",
        b"PROXY \r\n",
        b"PROXY UNKNOWN " + b"x" * V1_LIMIT,
        raw(ADDRESSES, first=0x11),
        raw(ADDRESSES, first=0x31),
        raw(ADDRESSES, first=0x22),
        raw(ADDRESSES, transport=0x13),
        raw(ADDRESSES, transport=0x41),
        raw(ADDRESSES[:-1]),
        raw(ADDRESSES, transport=0x21),
        raw(ADDRESSES + b"\x01\x00"),
        raw(ADDRESSES + b"\x01\x00\x02h"),
        raw(ADDRESSES + b"\x01\x00\x01h\x01\x00\x01h"),
        raw(ADDRESSES + b"\x02\x00\x01\xff"),
        raw(ADDRESSES + b"\x03\x00\x03abc"),
        raw(ADDRESSES + b"\x05\x00\x81" + b"u" * 129),
        raw(ADDRESSES + b"\x20\x00\x04\x01\x00\x00\x00"),
        raw(ADDRESSES + b"\x20\x00\x07\x01\x00\x00\x00\x00\x21\x00"),
        raw(ADDRESSES + b"\x20\x00\x0d\x01\x00\x00\x00\x00" + b"\x21\x00\x01a" * 2),
        raw(b"")[:-2] + (V2_LIMIT - 15).to_bytes(2, "big"),
    ],
)
def test_malformed_headers_are_refused(data: bytes) -> None:
    with pytest.raises(ProxyProtocolError):
        decode(data)


def test_limit_bounds_the_whole_header() -> None:
    data = encode(SAMPLE)
    assert decode(data, limit=len(data)) is not None
    with pytest.raises(ProxyProtocolError, match="longer than"):
        decode(data[:16], limit=len(data) - 1)


@pytest.mark.parametrize(
    "header",
    [
        Header(transport=Transport.TCP4),
        Header(
            transport=Transport.UNIX_STREAM, source=Endpoint("x" * 109), destination=Endpoint("")
        ),
        replace(SAMPLE, source=Endpoint("::1", 1)),
        replace(SAMPLE, source=Endpoint("192.0.2.7", 65_536)),
        replace(SAMPLE, extra=((TlvType.CRC32C, b"abcd"),)),
        replace(SAMPLE, extra=((256, b""),)),
        replace(SAMPLE, authority="x" * 4096),
        replace(SAMPLE, alpn=b"x" * 70_000),
    ],
)
def test_headers_that_cannot_be_carried_are_not_written(header: Header) -> None:
    with pytest.raises(ProxyProtocolError):
        encode(header)


def test_scoped_address_loses_its_scope() -> None:
    source, destination = Endpoint("fe80::1%lo", 1), Endpoint("fe80::2", 2)
    decoded = decode(encode(Header(Command.PROXY, Transport.TCP6, source, destination)))
    assert decoded is not None
    assert decoded.header.source == ("fe80::1", 1)
