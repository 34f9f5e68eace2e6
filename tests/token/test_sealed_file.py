"""Files whose readable part and sealed part belong together."""

import json
from typing import Any

import pytest

from offload.token.sealed_file import open_file, seal_file
from offload.token.sealing import Sealer

SEALER = Sealer(bytes(32))


def test_the_secret_comes_back() -> None:
    content = seal_file({"number": 1, "name": "a"}, b"secret", SEALER)
    assert b"secret" not in content
    public, secret = open_file(content, SEALER)
    assert public == {"number": 1, "name": "a"}
    assert secret.reveal() == secret.reveal() == b"secret"


@pytest.mark.parametrize("change", [{"number": 2}, {"more": 1}, {"sealed": "AAAA"}])
def test_an_edited_file_reveals_nothing(change: dict[str, Any]) -> None:
    fields = json.loads(seal_file({"number": 1}, b"secret", SEALER))
    _, secret = open_file(json.dumps({**fields, **change}).encode(), SEALER)
    with pytest.raises(ValueError, match=r"altered|short"):
        secret.reveal()


def test_another_key_reveals_nothing() -> None:
    _, secret = open_file(seal_file({}, b"secret", SEALER), Sealer(bytes(31) + b"\x01"))
    with pytest.raises(ValueError, match="altered"):
        secret.reveal()


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"sealed": 1}', b'{"sealed": "?"}'])
def test_what_is_no_such_file_is_refused(content: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        open_file(content, SEALER)
