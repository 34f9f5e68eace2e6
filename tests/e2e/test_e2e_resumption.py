"""Session tickets: good in every process, for their own site alone, and without a signature."""

import pytest
from OpenSSL import SSL
from support.chain import Chain
from support.tls_client import SocketClient
from support.website import GREETING

SITE = "p-256.test"
# Each lands in either process with even chances: that all land in one is out of the question.
TRIES = 40


def _visit(
    chain: Chain, version: str, session: SSL.Session | None = None, site: str = SITE
) -> tuple[SSL.Session, int, bool]:
    """The session to resume, the process that served, and whether it was resumed."""
    trust = chain.state.directory / "certificates" / f"{site}.pem"
    with SocketClient(chain.port, site, trust, version, session=session) as client:
        client.handshake()
        owner = chain.owner(client.port)
        assert client.get().endswith(GREETING.encode())
        kept = client.tls.get_session()
        assert kept is not None
        return kept, owner, client.tls.session_reused()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_ticket_of_one_process_is_good_in_the_other(chain: Chain, version: str) -> None:
    labels = {"site": SITE, "version": f"TLSv{version}"}
    with chain.counted(1, resumed="no", **labels):
        session, issuer, resumed = _visit(chain, version)
    assert not resumed
    before, made_before = chain.signatures(), chain.worker_signatures()
    resumptions = 0
    known = chain.handshakes(resumed="yes", **labels)
    for _ in range(TRIES):
        _, owner, resumed = _visit(chain, version, session)
        resumptions += 1
        assert resumed
        if owner != issuer:
            break
    else:
        pytest.fail("no connection came to the other process")
    with chain.counted(0, resumed="no", **labels), chain.counted(0, outcome="tls_error"):
        _until_counted(chain, known + resumptions, labels)
    assert chain.signatures() == before
    assert chain.worker_signatures() == made_before


def _until_counted(chain: Chain, count: float, labels: dict[str, str]) -> None:
    from support.chain import until

    until(
        lambda: chain.handshakes(resumed="yes", **labels) == count, f"{count} resumed handshakes"
    )


def test_a_full_handshake_takes_one_signature(chain: Chain) -> None:
    # What shows that the test above would see one.
    before = chain.signatures()
    with chain.counted(1, site=SITE, resumed="no"):
        _visit(chain, "1.3")
    assert chain.signatures() == before + 1


def test_a_ticket_is_good_for_its_own_site_alone(chain: Chain) -> None:
    session, _, _ = _visit(chain, "1.3")
    with SocketClient(chain.port, "p-384.test", session=session) as client:
        client.handshake()
        assert not client.tls.session_reused()
