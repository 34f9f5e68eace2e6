"""Session tickets: good in every process, for their own site alone, and without a signature."""

import pytest
from support.chain import Chain, until
from support.tls_client import SocketClient
from support.website import GREETING

SITE = "p-256.test"
# Each lands in either process with even chances: that all land in one is out of the question.
TRIES = 40


@pytest.fixture(scope="module", autouse=True)
def _settled(chain: Chain) -> None:
    chain.settle()


def _visit(
    chain: Chain, version: str, earlier: SocketClient | None = None
) -> tuple[SocketClient, int]:
    """The connection, over now, and the process that served it."""
    trust = chain.state.directory / "certificates" / f"{SITE}.pem"
    with SocketClient(chain.port, SITE, trust, version, earlier=earlier) as client:
        client.handshake()
        owner = chain.owner(client.port)
        assert client.get().endswith(GREETING.encode())
        return client, owner


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_ticket_of_one_process_is_good_in_the_other(chain: Chain, version: str) -> None:
    labels = {"site": SITE, "version": f"TLSv{version}"}
    made = chain.worker_signatures()
    with chain.counted(1, resumed="no", **labels):
        first, issuer = _visit(chain, version)
    assert not first.resumed
    before = chain.signatures()
    # Workers have made more than were taken: what a test asked for and did not wait for.
    made += 1
    until(lambda: chain.worker_signatures() == made, "the workers' count")
    resumptions = 0
    known = chain.handshakes(resumed="yes", **labels)
    for _ in range(TRIES):
        again, owner = _visit(chain, version, first)
        resumptions += 1
        assert again.resumed
        if owner != issuer:
            break
    else:
        pytest.fail("no connection came to the other process")
    until(
        lambda: chain.handshakes(resumed="yes", **labels) == known + resumptions,
        f"{resumptions} resumed handshakes",
    )
    assert chain.signatures() == before
    assert chain.worker_signatures() == made


def test_a_full_handshake_takes_one_signature(chain: Chain) -> None:
    # What shows that the test above would see one.
    before = chain.signatures()
    with chain.counted(1, site=SITE, resumed="no"):
        _visit(chain, "1.3")
    assert chain.signatures() == before + 1


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_ticket_is_good_for_its_own_site_alone(chain: Chain, version: str) -> None:
    first, _ = _visit(chain, version)
    # With the same certificate: only the context tells the two sites apart.
    with SocketClient(chain.port, "unix.test", version=version, earlier=first) as client:
        client.handshake()
        assert not client.resumed
