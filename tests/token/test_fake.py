"""The fake token does what its script says."""

import threading
from datetime import UTC, datetime

import pytest

from offload.keys.algorithm import Algorithm
from offload.keys.record import KeyRecord
from offload.keys.scheme import SignatureScheme
from offload.token.base import KeyNotFound, Token, TokenError
from offload.token.fake import FakeToken

KEY = KeyRecord(b"k" * 20, "key", Algorithm.ED25519, b"", datetime.now(UTC))


def test_follows_its_script() -> None:
    fake = FakeToken(in_process=[Algorithm.ED25519])
    token: Token = fake
    assert token.in_process == {Algorithm.ED25519}
    with pytest.raises(KeyNotFound):
        token.sign(KEY.ski, SignatureScheme.ED25519, b"x")
    fake.add(KEY)
    assert list(token.keys()) == [KEY]
    assert token.sign(KEY.ski, SignatureScheme.ED25519, b"x") == b"signed:x"
    assert token.sign_digest(KEY.ski, SignatureScheme.ED25519, b"y") == b"signed:y"
    assert [content for _, _, content in fake.calls] == [b"x", b"x", b"y"]
    fake.fail_with(TokenError("broken"))
    with pytest.raises(TokenError, match="broken"):
        token.sign(KEY.ski, SignatureScheme.ED25519, b"x")
    with pytest.raises(TokenError, match="makes no"):
        token.generate("label", Algorithm.P_256)
    assert not token.reload()


def test_signatures_wait_while_held() -> None:
    fake = FakeToken([KEY])
    fake.hold()
    done: list[bytes] = []
    thread = threading.Thread(
        target=lambda: done.append(fake.sign(KEY.ski, SignatureScheme.ED25519, b"x"))
    )
    thread.start()
    assert fake.asked.wait(10)
    assert done == []
    fake.release()
    thread.join(10)
    assert done == [b"signed:x"]
