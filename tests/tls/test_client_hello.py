"""Whatever comes first on a connection: the server name of a ClientHello, or a clean refusal."""

import ssl
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL
from support.client_hellos import (
    body,
    extension,
    fragmented,
    hello,
    message,
    record,
    server_name,
)
from support.handshakes import Client
from support.pki import PKI

from offload.tls.client_hello import (
    MAX_CLIENT_HELLO,
    ClientHello,
    MalformedClientHello,
    NotTLS,
    read_client_hello,
)


def of_pyopenssl(server_name: bytes | None, version: int = SSL.TLS1_3_VERSION) -> bytes:
    """What the OpenSSL of pyOpenSSL sends first."""
    return Client(server_name=server_name, version=version).step()


def of_stdlib(server_name: str | None) -> bytes:
    """What the OpenSSL of Python's ssl module sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    output = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), output, server_hostname=server_name)
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return output.read()


SITE = "site.test"
REAL = [
    of_pyopenssl(b"site.test"),
    of_pyopenssl(b"site.test", SSL.TLS1_2_VERSION),
    of_pyopenssl(None),
    of_stdlib("site.test"),
    of_stdlib(None),
]
SMALL = of_pyopenssl(b"site.test", SSL.TLS1_2_VERSION)

positions = st.integers(0, 2**16)
changes = st.lists(
    st.tuples(st.sampled_from(["put", "insert", "delete"]), positions, st.binary(max_size=4)),
    min_size=1,
    max_size=8,
)
sizes = st.lists(st.integers(1, 700), min_size=1, max_size=8)


def changed(data: bytes, edits: list[tuple[str, int, bytes]]) -> bytes:
    result = bytearray(data)
    for kind, position, piece in edits:
        start = position % (len(result) + 1)
        end = start + (0 if kind == "insert" else len(piece))
        result[start:end] = b"" if kind == "delete" else piece
    return bytes(result)


def read(data: bytes) -> ClientHello | type[Exception] | None:
    """What reading comes to; any exception but the two lets the test fail."""
    try:
        return read_client_hello(data)
    except (NotTLS, MalformedClientHello) as error:
        return type(error)


def named(data: bytes) -> str | None:
    """The server name of a hello that is whole."""
    hello = read_client_hello(data)
    assert hello is not None
    return hello.server_name


def openssl_server_name(pki: PKI, data: bytes) -> tuple[bytes | None, ...]:
    """The names that OpenSSL read, none if it refused the hello before."""
    seen: list[bytes | None] = []
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_tlsext_servername_callback(lambda each: seen.append(each.get_servername()))
    server = SSL.Connection(context, None)
    server.set_accept_state()
    server.bio_write(data)
    with pytest.raises(SSL.Error):
        server.do_handshake()
    return tuple(seen)


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_name_in_a_hello_of_pyopenssl(version: int) -> None:
    assert named(of_pyopenssl(b"site.test", version)) == SITE
    assert named(of_pyopenssl(None, version)) is None


def test_name_in_a_hello_of_the_ssl_module() -> None:
    assert named(of_stdlib("site.test")) == SITE
    assert named(of_stdlib(None)) is None


def test_bytes_after_the_hello_do_not_matter() -> None:
    assert named(SMALL + b"early data, or anything") == SITE


def test_name_is_in_lower_case() -> None:
    assert named(of_pyopenssl(b"WWW.Site.TEST")) == "www.site.test"


def test_hello_without_extensions_names_nothing() -> None:
    assert named(hello()) is None
    assert named(record(message(body(session_id=bytes(32))))) is None


def test_other_extensions_are_passed_over() -> None:
    data = hello(extension(43, b"\x02\x03\x04"), extension(65281, b"\0"), server_name(b"site.test"))
    assert named(data) == SITE


@pytest.mark.parametrize("data", REAL, ids=range(len(REAL)))
def test_every_prefix_wants_more(data: bytes) -> None:
    assert {read_client_hello(data[:end]) for end in range(len(data))} == {None}


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8])
def test_every_prefix_of_small_records_wants_more(size: int) -> None:
    data = fragmented(SMALL, [size])
    assert named(data) == SITE
    assert {read_client_hello(data[:end]) for end in range(len(data))} == {None}


def test_the_random_is_the_clients() -> None:
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    client.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    read = read_client_hello(client.bio_read(65536))
    assert read is not None
    assert len(read.random) == 32
    assert read.random == client.client_random()


@given(st.sampled_from(REAL), sizes)
def test_cut_into_records_of_any_size_it_is_the_same(data: bytes, sizes: list[int]) -> None:
    assert read_client_hello(fragmented(data, sizes)) == read_client_hello(data)


@given(st.sampled_from(REAL), changes)
def test_any_change_is_read_or_refused(data: bytes, edits: list[tuple[str, int, bytes]]) -> None:
    read(changed(data, edits))


@given(st.binary(max_size=600))
def test_any_bytes_in_a_record_are_read_or_refused(data: bytes) -> None:
    read(data)
    read(record(data))
    read(record(message(data)))
    read(record(message(body(data))))
    read(hello(extension(0, data)))


@given(st.sampled_from([*REAL, hello(server_name(b"a.test"))]), changes, sizes)
def test_openssl_never_reads_another_name(
    pki: PKI, data: bytes, edits: list[tuple[str, int, bytes]], sizes: list[int]
) -> None:
    data = fragmented(changed(data, edits), sizes)
    ours = read(data)
    for theirs in openssl_server_name(pki, data):
        name = None if theirs is None else theirs.decode("latin-1").lower()
        assert ours is MalformedClientHello or (
            isinstance(ours, ClientHello) and ours.server_name == name
        )


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x80\x2e\x01\x03\x01\x00\x15",  # the hello of SSL 2
        b"\x16\x02\x00\x00\x05",
        b"\x15\x03\x01\x00\x02\x02\x28",  # an alert
        b"\x17\x03\x03\x00\x01\x00",
        b"SSH-2.0-client\r\n",
        b"\0",
        b"G",
    ],
)
def test_other_protocols_are_not_tls(data: bytes) -> None:
    with pytest.raises(NotTLS):
        read_client_hello(data)


@pytest.mark.parametrize("kind", [0, 2, 11, 16, 20])
def test_other_message_is_malformed(kind: int) -> None:
    with pytest.raises(MalformedClientHello, match="not a ClientHello"):
        read_client_hello(record(message(body(), kind)))


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\0\0" + SMALL,
        b"\x16\x03\x01\x40\x01" + SMALL[5:],
        fragmented(SMALL, [50])[:55] + record(SMALL[55:], kind=23),
        fragmented(SMALL, [50])[:55] + b"\x16\x02\x00" + bytes(20),
        fragmented(SMALL, [2])[:7] + b"\x17" + bytes(20),
    ],
    ids=["empty record", "long record", "other record", "other version", "within the header"],
)
def test_malformed_record(data: bytes) -> None:
    with pytest.raises(MalformedClientHello):
        read_client_hello(data)


def names(data: bytes) -> bytes:
    return extension(0, len(data).to_bytes(2) + data)


@pytest.mark.parametrize(
    "bad",
    [
        extension(0, b""),
        extension(0, b"\0\x03\0\0\0"),
        names(b""),
        names(b"\0\0\0"),
        names(b"\0\0\x05site"),
        names(b"\0\0\x03site"),
        names(b"\0\0\x01a\0\0\x01b"),
        extension(0, b"\0\x08\0\0\x04site"),
        extension(0, b"\0\x06\0\0\x04site"),
        server_name(b"site", name_type=1),
        server_name(b"site\0.test"),
        server_name(b"s\xc3\xaete.test"),
        server_name(b"a" * 256),
        server_name(b"site.test")[:-1],
        extension(21, bytes(9))[:-1],
        b"\0",
        b"\0\0\0",
    ],
)
def test_malformed_name_or_extension(bad: bytes) -> None:
    with pytest.raises(MalformedClientHello, match="cut short or inconsistent"):
        read_client_hello(hello(bad))


def test_longest_name() -> None:
    assert named(hello(server_name(b"a" * 255))) == "a" * 255


@pytest.mark.parametrize("end", [0, 33, 34, 35, 36, 38])
def test_body_cut_short_is_malformed(end: int) -> None:
    with pytest.raises(MalformedClientHello):
        read_client_hello(record(message(body()[:end])))
    with pytest.raises(MalformedClientHello):
        read_client_hello(fragmented(record(message(body()[:end])), [3]))


def test_long_hello_within_the_limit_is_read() -> None:
    padding = [extension(21, bytes(12_000)) for _ in range(5)]
    data = hello(*padding, server_name(b"site.test"))
    assert named(fragmented(data, [16384])) == SITE


def test_hello_that_says_to_be_too_long_is_refused_at_once() -> None:
    said = (MAX_CLIENT_HELLO + 1).to_bytes(3)
    with pytest.raises(MalformedClientHello, match=str(MAX_CLIENT_HELLO)):
        read_client_hello(b"\x16\x03\x01\x40\x00\x01" + said)
    allowed = MAX_CLIENT_HELLO.to_bytes(3)
    assert read_client_hello(b"\x16\x03\x01\x40\x00\x01" + allowed) is None


def test_records_are_held_up_to_the_limit() -> None:
    data = fragmented(bytes(5) + message(bytes(MAX_CLIENT_HELLO)), [1])
    assert read_client_hello(data[: MAX_CLIENT_HELLO - 1]) is None
    with pytest.raises(MalformedClientHello, match=str(MAX_CLIENT_HELLO)):
        read_client_hello(data[:MAX_CLIENT_HELLO])
