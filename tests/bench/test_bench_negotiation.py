import pytest

from bench.negotiation import described
from bench.process import SubjectUnavailable

OUTPUT = """
Peer signature type: ECDSA
{group}
New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384
HTTP/1.1 200 OK
Post-Handshake New Session Ticket arrived:
Post-Handshake New Session Ticket arrived:
"""


@pytest.mark.parametrize(
    ("group", "name"),
    [
        ("Server Temp Key: X25519, 253 bits", "X25519"),
        ("Negotiated TLS1.3 group: X25519MLKEM768", "X25519MLKEM768"),
    ],
)
def test_what_s_client_says_is_told_in_a_few_words(group: str, name: str) -> None:
    words = described(OUTPUT.format(group=group))
    assert words == f"TLSv1.3 TLS_AES_256_GCM_SHA384 {name} ECDSA, tickets: 2"


def test_a_resumed_or_failed_handshake_is_refused() -> None:
    with pytest.raises(SubjectUnavailable, match="no full handshake"):
        described("Reused, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384")
