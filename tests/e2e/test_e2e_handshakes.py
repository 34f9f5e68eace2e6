"""Every kind of key, version and group through the whole chain, with real clients."""

from pathlib import Path

import pytest
from OpenSSL import SSL
from support.chain import Chain
from support.pki import ALGORITHMS
from support.programs import curl, run, s_client
from support.tls_client import SocketClient
from support.website import GREETING

CLASSICAL = [algorithm for algorithm in ALGORITHMS if not algorithm.startswith("ml-dsa")]
POST_QUANTUM = [algorithm for algorithm in ALGORITHMS if algorithm.startswith("ml-dsa")]
GROUPS = ["X25519", "P-256", "P-384"]

# As s_client says which group it was.
_TEMPORARY_KEYS = {
    "X25519": "X25519, 253 bits",
    "P-256": "ECDH, prime256v1, 256 bits",
    "P-384": "ECDH, secp384r1, 384 bits",
}
_OPENSSL_NAMES = {"X25519": "x25519", "P-256": "secp256r1", "P-384": "secp384r1"}


def _certificate(chain: Chain, algorithm: str) -> Path:
    return chain.state.directory / "certificates" / f"{algorithm}.test.pem"


def _offered(algorithm: str, version: str, group: str) -> str:
    """In TLS 1.2 a client names the curves of certificates among the groups too (RFC 8422, 5.1.1).

    The front-end prefers its own order, so a second group would win over some that are looked for.
    """
    curve = algorithm.upper()
    if version == "1.3" or curve == group or not curve.startswith("P-"):
        return group
    return f"{group}:{curve}"


def _expected(algorithm: str, version: str, group: str) -> str:
    offered = _offered(algorithm, version, group).split(":")
    return next(each for each in GROUPS if each in offered)


@pytest.mark.needs("curl")
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("algorithm", CLASSICAL)
def test_curl(chain: Chain, algorithm: str, version: str, group: str) -> None:
    done = run(
        curl(
            chain.port, f"https://{algorithm}.test/", _certificate(chain, algorithm),
            f"--tlsv{version}", "--tls-max", version,
            "--curves", _offered(algorithm, version, group),
        )
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, GREETING, "")


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("algorithm", CLASSICAL)
def test_s_client(chain: Chain, algorithm: str, version: str, group: str) -> None:
    printed = s_client(
        chain.port, f"{algorithm}.test", _certificate(chain, algorithm),
        f"-tls{version.replace('.', '_')}", "-groups", _offered(algorithm, version, group),
    )  # fmt: skip
    assert GREETING in printed
    assert "Verification: OK" in printed
    assert f"New, TLSv{version}" in printed
    assert f"Server Temp Key: {_TEMPORARY_KEYS[_expected(algorithm, version, group)]}" in printed
    assert "Secure Renegotiation IS" in printed
    assert "Compression: NONE" in printed


@pytest.mark.parametrize("group", ["X25519MLKEM768", *GROUPS])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_client_that_knows_post_quantum_algorithms(
    chain: Chain, algorithm: str, group: str
) -> None:
    trust = _certificate(chain, algorithm)
    with SocketClient(chain.port, f"{algorithm}.test", trust, groups=group) as client:
        client.handshake()
        assert client.tls.get_protocol_version_name() == "TLSv1.3"
        assert client.tls.get_group_name() == _OPENSSL_NAMES.get(group, group)
        assert client.get().endswith(GREETING.encode())


def test_the_post_quantum_group_is_what_usual_clients_get(chain: Chain) -> None:
    with SocketClient(chain.port, "p-256.test", _certificate(chain, "p-256")) as client:
        client.handshake()
        assert client.tls.get_group_name() == "X25519MLKEM768"


@pytest.mark.parametrize("algorithm", POST_QUANTUM)
def test_tls_1_2_has_no_post_quantum_certificates(chain: Chain, algorithm: str) -> None:
    name = f"{algorithm}.test"
    with chain.counted(1, site=name, outcome="tls_error"):  # noqa: SIM117 - the inner one raises
        with SocketClient(chain.port, name, version="1.2") as client:
            with pytest.raises(SSL.Error, match="handshake failure"):
                client.handshake()


@pytest.mark.needs("openssl")
@pytest.mark.parametrize(("cipher", "kind"), [("ECDSA", "ECDSA"), ("aRSA", "RSA")])
def test_a_site_with_two_certificates_shows_the_one_that_the_client_can_use(
    chain: Chain, cipher: str, kind: str
) -> None:
    options = ("-tls1_2", "-cipher", cipher, "-alpn", "http/1.1")
    printed = s_client(chain.port, "localhost", chain.state.trust, *options)
    assert GREETING in printed
    assert f"Peer signature type: {kind}" in printed
    assert "ALPN protocol: http/1.1" in printed


def test_a_backend_on_a_unix_socket(chain: Chain) -> None:
    with SocketClient(chain.port, "unix.test", _certificate(chain, "p-256")) as client:
        client.handshake()
        assert client.get().endswith(GREETING.encode())
