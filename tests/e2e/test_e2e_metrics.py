"""The two metrics endpoints, and what they say about handshakes that really were."""

import subprocess

import pytest
from support.chain import Chain, until
from support.tls_client import SocketClient


@pytest.fixture(scope="module", autouse=True)
def _settled(chain: Chain) -> None:
    chain.settle()


@pytest.mark.needs("promtool")
def test_promtool_finds_nothing_wrong(chain: Chain) -> None:
    with SocketClient(chain.port, "localhost") as client:
        client.handshake()
    for endpoint in (chain.admin, *chain.worker_admins.values()):
        status, text = endpoint.get("/metrics")
        assert status == 200
        assert "offload_build_info{" in text
        done = subprocess.run(
            ["promtool", "check", "metrics"],
            input=text, capture_output=True, text=True, timeout=45,
        )  # fmt: skip
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("group", ["X25519MLKEM768", "X25519", "P-256", "P-384"])
def test_handshakes_are_counted_as_they_were(chain: Chain, version: str, group: str) -> None:
    if (version, group) == ("1.2", "X25519MLKEM768"):
        group = "P-256"  # which TLS 1.2 falls back to
    labels = {"version": f"TLSv{version}", "group": group, "resumed": "no"}
    with chain.counted(1, site="ed25519.test", outcome="complete", **labels):
        offered = f"X25519MLKEM768:{group}" if version == "1.2" else group
        with SocketClient(chain.port, "ed25519.test", version=version, groups=offered) as client:
            client.handshake()


def test_each_signature_is_counted_by_the_worker_that_made_it(chain: Chain) -> None:
    def made(name: str) -> tuple[float, float]:
        labels = {"algorithm": "p-521"}
        asked = chain.admin.total(
            "offload_signing_operations_total", worker=name, outcome="ok", **labels
        )
        signed = chain.worker_admins[name].total(
            "offload_worker_operations_total", outcome="signed", **labels
        )
        return asked, signed

    with chain.counted(20, site="p-521.test", outcome="complete"):
        for _ in range(20):
            with SocketClient(chain.port, "p-521.test") as client:
                client.handshake()
    until(lambda: all(asked == signed for asked, signed in map(made, chain.workers)), "same count")
    assert sum(made(name)[0] for name in chain.workers) >= 20


def test_health(chain: Chain) -> None:
    for endpoint in (chain.admin, *chain.worker_admins.values()):
        assert endpoint.get("/healthz") == (200, "ok\n")
        assert endpoint.get("/readyz") == (200, "ok\n")
