from pathlib import Path

import pytest

from offload.config import Address, Backend


@pytest.mark.parametrize(
    ("text", "host", "port", "path"),
    [
        ("127.0.0.1:443", "127.0.0.1", 443, None),
        ("localhost:0", "localhost", 0, None),
        ("worker-1.internal:2407", "worker-1.internal", 2407, None),
        ("[::1]:443", "::1", 443, None),
        ("unix:/run/x.sock", "", 0, Path("/run/x.sock")),
    ],
)
def test_addresses(text: str, host: str, port: int, path: Path | None) -> None:
    address = Address.parse(text)
    assert (address.host, address.port, address.path) == (host, port, path)
    assert str(address) == text
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize("text", ["tcp://10.0.0.1:80", "tcp://[::1]:80", "unix:///run/x"])
def test_backends(text: str) -> None:
    assert str(Backend.parse(text)) == text
    assert Backend.parse(text) != Backend.parse("tcp://10.0.0.2:80")
