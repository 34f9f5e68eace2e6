"""HUP to a front-end: new sites, certificates and settings, and nobody notices."""

import signal
from collections.abc import Callable

import pytest
from OpenSSL import SSL
from support.chain import Chain, State
from support.processes import Spawner
from support.tls_client import SocketClient
from support.website import GREETING


def reload(chain: Chain, outcome: str) -> None:
    chain.front_end.signal(signal.SIGHUP)
    chain.front_end.wait_for_output(outcome)


def test_a_reload_brings_what_is_new_and_disturbs_nobody(
    make_state: Callable[[], State], spawn: Spawner
) -> None:
    state = make_state()
    certificate = state.add_key("p-256", "new.test")
    state.front_end["frontend"]["sites"][0]["default"] = False
    state.write()
    chain = Chain(state, spawn)
    with (
        SocketClient(chain.port, "localhost", state.trust) as open_before,
        SocketClient(chain.port, "localhost", state.trust) as earlier,
    ):
        open_before.handshake()
        earlier.handshake()
        assert GREETING.encode() in earlier.get()
        with SocketClient(chain.port, "new.test") as early, pytest.raises(SSL.Error):
            early.handshake()

        state.add_site("new.test", certificate)
        state.front_end["log"]["level"] = "debug"
        state.write()
        reload(chain, '"reloaded"')
        for name, trust in (("new.test", certificate), ("localhost", state.trust)):
            with SocketClient(chain.port, name, trust) as client:
                client.handshake()
                assert GREETING.encode() in client.get()
        with (
            chain.counted(1, resumed="yes", outcome="complete"),
            SocketClient(chain.port, "localhost", earlier=earlier) as again,
        ):
            again.handshake()

        (state.directory / "frontend.toml").write_text("[frontend]\nnonsense = 1\n")
        reload(chain, "the old configuration stays in force")
        with SocketClient(chain.port, "new.test", certificate) as client:
            client.handshake()
        assert GREETING.encode() in open_before.get()
