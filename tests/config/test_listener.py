import pytest
from pydantic import ValidationError

from offload.config import Address, Listener


def test_a_listener_is_an_address_or_a_table() -> None:
    plain = Listener.parse("127.0.0.1:443")
    assert (plain.host, plain.port, plain.proxy_protocol) == ("127.0.0.1", 443, ())
    assert plain.model_dump_json() == '"127.0.0.1:443"'
    table = {"address": "[::]:443", "proxy_protocol": ["10.0.0.0/8", "fd00::/8", "unix"]}
    listener = Listener.model_validate(table)
    assert str(listener) == "[::]:443"
    assert listener.model_dump() == table
    assert Listener.model_validate(Address.parse("a:1")).host == "a"


@pytest.mark.parametrize(
    ("ip", "is_proxy"),
    [
        ("10.1.2.3", True),
        ("11.0.0.1", False),
        ("fd00::1%eth0", True),
        ("::1", False),
        (None, False),
    ],
)
def test_proxies_are_the_listed_ones(ip: str | None, is_proxy: bool) -> None:
    table = {"address": "a:1", "proxy_protocol": ["10.0.0.0/8", "fd00::/8"]}
    assert Listener.model_validate(table).is_proxy(ip) is is_proxy


def test_unix_stands_for_unix_sockets() -> None:
    table = {"address": "unix:/run/a", "proxy_protocol": ["unix"]}
    assert Listener.model_validate(table).is_proxy(None)


@pytest.mark.parametrize("network", ["10.0.0.1/8", "everybody", "10.0.0.0/33"])
def test_what_is_no_network_is_refused(network: str) -> None:
    with pytest.raises(ValidationError, match="proxy_protocol"):
        Listener.model_validate({"address": "a:1", "proxy_protocol": [network]})
