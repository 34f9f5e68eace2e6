"""The server's order decides; no common protocol ends the handshake; no offer is no matter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL
from support.handshakes import Client, shake, site
from support.pki import PKI, shared_key

from offload.tls.alpn import position, set_protocols
from offload.tls.session import Session, TLSError

names = st.binary(min_size=1, max_size=255)


def listed(offered: list[bytes]) -> bytes:
    return b"".join(bytes((len(name),)) + name for name in offered)


@given(st.lists(names, max_size=5), st.lists(names, max_size=5), st.randoms())
def test_place_is_that_of_the_first_common_name(
    preferred: list[bytes], offered: list[bytes], source: object
) -> None:
    offered = [*offered, *preferred[1:]]
    place = position(preferred, listed(offered))
    common = [name for name in preferred if name in offered]
    if place is None:
        assert not common
        return
    offset, length = place
    data = listed(offered)
    assert data[offset - 1] == length
    assert data[offset : offset + length] == common[0]


@given(st.binary(max_size=60))
def test_no_bytes_make_it_fail(data: bytes) -> None:
    position([b"h2"], data)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([b"http/1.1", b"h2"], "h2"),
        ([b"http/1.1"], "http/1.1"),
        ([b"unknown", b"http/1.1"], "http/1.1"),
        (None, ""),
    ],
)
@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_choice(pki: PKI, version: int, offered: list[bytes] | None, chosen: str) -> None:
    session = Session(site(pki.site("site.test"), alpn=("h2", "http/1.1")))
    client = Client(version=version, alpn=offered)
    shake(session, client, shared_key("p-256"))
    assert session.facts().alpn == chosen
    assert client.tls.get_alpn_proto_negotiated() == chosen.encode()


def test_no_common_protocol_gets_the_alert(pki: PKI) -> None:
    session = Session(site(pki.site("site.test"), alpn=("h2",)))
    client = Client(alpn=[b"imap", b"http/1.1"])
    with pytest.raises(TLSError, match="no application protocol"):
        session.handshake(client.step())
    with pytest.raises(SSL.Error, match="no application protocol"):
        client.step(session.output)


def test_site_without_protocols_serves_any_offer(pki: PKI) -> None:
    session, client = Session(site(pki.site("site.test"))), Client(alpn=[b"h2"])
    shake(session, client, shared_key("p-256"))
    assert session.facts().alpn == ""


def test_names_are_ascii() -> None:
    with pytest.raises(UnicodeEncodeError):
        set_protocols(SSL.Context(SSL.TLS_SERVER_METHOD), ["h\xb2"])
