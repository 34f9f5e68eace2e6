"""The PKCS#11 token on SoftHSM: what comes and goes under it. The contract is tested elsewhere."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pkcs11.types import Session
from support import softhsm

from offload.keys.algorithm import Algorithm
from offload.keys.scheme import SignatureScheme
from offload.token.base import (
    KeyNotFound,
    LabelTaken,
    TokenUnavailable,
    WrongPassphrase,
)
from offload.token.pkcs11 import Pkcs11Token
from offload.token.proof import prove

pytestmark = pytest.mark.needs("softhsm2-util")

SCHEME = SignatureScheme.ECDSA_SECP256R1_SHA256


@pytest.fixture(scope="module")
def place() -> softhsm.HsmToken:
    return softhsm.new_token()


def open_token(place: softhsm.HsmToken, sessions: int = 4) -> Pkcs11Token:
    return Pkcs11Token.open(
        place.pin, label=place.label, module=place.module, pause=0, sessions=sessions
    )


def test_two_openings_of_one_token_see_each_other(place: softhsm.HsmToken) -> None:
    first, second = open_token(place), open_token(place)
    record = first.generate("shared", Algorithm.P_256)
    # Found without a reload, and by one.
    assert second.sign(record.ski, SCHEME, b"x")
    third = open_token(place)
    assert third.keys() == first.keys() == [record]
    other = first.generate("more", Algorithm.P_256)
    with pytest.raises(LabelTaken):
        third.generate("more", Algorithm.P_256)
    while not third.reload():
        continue
    assert other in third.keys()
    for each in (record, other):
        first.destroy(each.ski)
    # The key objects that the others know are gone.
    with pytest.raises(KeyNotFound):
        second.sign(record.ski, SCHEME, b"x")
    while not third.reload():
        continue
    assert list(third.keys()) == []
    for token in (first, second, third):
        token.close()


def test_one_that_closes_logs_the_others_out_and_they_log_in_again(
    place: softhsm.HsmToken,
) -> None:
    first, second = open_token(place), open_token(place)
    record = first.generate("stays", Algorithm.P_256)
    assert second.sign(record.ski, SCHEME, b"x")
    first.close()
    prove(record.public_key, lambda scheme, content: second.sign(record.ski, scheme, content))
    second.destroy(record.ski)
    second.close()


def test_a_wrong_pin_is_told_and_shown_nowhere(place: softhsm.HsmToken) -> None:
    with pytest.raises(WrongPassphrase, match="PIN") as raised:
        open_token(place._replace(pin=b"567890"))
    assert "567890" not in str(raised.value)


def test_a_token_that_is_not_there_is_unavailable(place: softhsm.HsmToken) -> None:
    with pytest.raises(TokenUnavailable, match="no token 'absent'"):
        open_token(place._replace(label="absent"))


def test_keys_are_named_and_sealed(place: softhsm.HsmToken) -> None:
    from pkcs11.constants import Attribute, ObjectClass

    token = open_token(place)
    stays = token.generate("stays", Algorithm.P_256, extractable=False)
    goes = token.generate("goes", Algorithm.P_256)
    token.generate_cluster_key(1)
    assert token.transport.hpke is None
    session = token._lanes.run(lambda session: session.raw)
    seen = {}
    for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.SECRET_KEY):
        for item in list(session.get_objects({Attribute.CLASS: kind})):
            assert item[Attribute.SENSITIVE]
            assert item[Attribute.PRIVATE]
            assert item[Attribute.TOKEN]
            seen[item[Attribute.LABEL]] = (item[Attribute.ID], item[Attribute.EXTRACTABLE])
    assert seen.pop("stays") == (stays.ski, False)
    assert seen.pop("goes") == (goes.ski, True)
    assert {label: extractable for label, (_, extractable) in seen.items()} == {
        "offload cluster key 1": True,
        "offload transport key": False,
    }
    assert repr(token) == f"<Pkcs11Token {place.label!r} keys=2>"
    for record in (stays, goes):
        token.destroy(record.ski)
    token.destroy_cluster_key(1)
    token.close()


def test_keys_of_other_tools_are_served_too(place: softhsm.HsmToken) -> None:
    from pkcs11.constants import Attribute
    from pkcs11.mechanisms import KeyType

    token = open_token(place)
    session = token._lanes.run(lambda session: session.raw)
    public, private = session.generate_keypair(
        KeyType.RSA, 2048, id=b"\x01", label="by hand", store=True
    )
    while not token.reload():
        continue
    (record,) = token.keys()
    assert (record.label, record.algorithm) == ("by hand", Algorithm.RSA_2048)
    prove(record.public_key, lambda scheme, content: token.sign(record.ski, scheme, content))
    assert public[Attribute.ID] == b"\x01"
    assert private[Attribute.ID] == b"\x01"
    token.destroy(record.ski)
    token.close()


def test_a_call_that_hangs_is_left_behind(
    place: softhsm.HsmToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = open_token(place, sessions=1)
    record = token.generate("slow", Algorithm.P_256)
    free = threading.Event()
    honest = Pkcs11Token._run

    def hang(self: Pkcs11Token, *_arguments: object) -> object:
        return self._lanes.run(lambda _session: free.wait(10))

    token._lanes._deadline = 0.05
    monkeypatch.setattr(Pkcs11Token, "_run", hang)
    with pytest.raises(TokenUnavailable, match="has not answered"):
        token.sign(record.ski, SCHEME, b"x")
    monkeypatch.setattr(Pkcs11Token, "_run", honest)
    with pytest.raises(TokenUnavailable, match="hangs"):
        token.sign(record.ski, SCHEME, b"x")
    token._lanes._deadline = 10.0
    free.set()
    while True:
        try:
            assert token.sign(record.ski, SCHEME, b"x")
            break
        except TokenUnavailable:
            continue
    token.destroy(record.ski)
    token.close()


def test_a_long_listing_holds_up_nobody_and_forgets_nothing(
    place: softhsm.HsmToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.token import pkcs11_session as hsm

    token, other = open_token(place), open_token(place)
    begun, free = threading.Event(), threading.Event()
    honest = hsm.list_keys

    def slow(session: Session) -> object:
        listed = honest(session)
        begun.set()
        assert free.wait(10)
        return listed

    there = other.generate("there", Algorithm.P_256)
    token._next_listing = 0.0
    monkeypatch.setattr(hsm, "list_keys", slow)
    assert not token.reload()
    assert begun.wait(10)
    meanwhile = token.generate("meanwhile", Algorithm.P_256)
    assert not token.reload()
    assert list(token.keys()) == [meanwhile]
    free.set()
    while not token.reload():
        continue
    assert list(token.keys()) == [meanwhile, there]
    for record in (meanwhile, there):
        token.destroy(record.ski)
    token.close()
    other.close()


EMPTY = """
import sys
from pathlib import Path
from offload.keys.algorithm import Algorithm
from offload.token.base import TokenUnavailable
from offload.token.pkcs11 import Pkcs11Token

tokens, module = Path(sys.argv[1]), sys.argv[2]
token = Pkcs11Token.open(b"1234", label="away", module=module, pause=0, sessions=2)
key = token.generate("key", Algorithm.P_256)
elsewhere = tokens.rename(tokens.with_name("elsewhere"))
while token.keys():
    try:
        token._reload(10)  # which lists nothing while it rests
    except TokenUnavailable:
        break
print("away:", len(token.keys()))
elsewhere.rename(tokens)
while True:
    try:
        token._reload(10)
    except TokenUnavailable:
        continue
    break
print("back:", len(token.keys()))
token.close()
"""

AWAY = """
import ctypes, os, sys, time
from pathlib import Path
from offload.keys.algorithm import Algorithm
from offload.keys.scheme import SignatureScheme
from offload.token.base import TokenUnavailable
from offload.token.pkcs11 import Pkcs11Token
from offload.token.pkcs11_module import Module

tokens, module = Path(sys.argv[1]), sys.argv[2]
token = Pkcs11Token.open(b"1234", label="away", module=module, pause=0, sessions=2)
key = token.generate("key", Algorithm.P_256)
sign = lambda: token.sign(key.ski, SignatureScheme.ECDSA_SECP256R1_SHA256, b"x")
sign()

# Somebody finalises the library under us.
Module.load(module)._library.finalize()
sign()
print("finalised: signs again")

# The HSM goes away with its keys, and returns.
tokens.rename(tokens.with_name("elsewhere"))
tokens.mkdir()
Module.load(module)._library.finalize()
for _ in range(3):
    try:
        sign()
        sys.exit("signed with a token that is not there")
    except TokenUnavailable as error:
        last = str(error)
print("away:", last)
tokens.rmdir()
tokens.with_name("elsewhere").rename(tokens)
sign()
print("back: signs again")
token.close()
"""


@pytest.mark.parametrize("module", [None, "libp11-kit.so.0"], ids=["direct", "p11-kit"])
def test_it_signs_again_when_library_or_hsm_come_back(tmp_path: Path, module: str | None) -> None:
    configuration = softhsm.make_tokens(tmp_path, ["away"])
    ran = subprocess.run(
        [sys.executable, "-c", AWAY, str(tmp_path / "tokens"), module or softhsm.module()],
        env={**os.environ, "SOFTHSM2_CONF": str(configuration)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert ran.returncode == 0, ran.stderr
    finalised, away, back = ran.stdout.splitlines()
    assert finalised == "finalised: signs again"
    assert away.startswith("away: no token 'away' in ")
    assert back == "back: signs again"
    assert ran.stderr == ""


@pytest.mark.parametrize("module", [None, "libp11-kit.so.0"], ids=["direct", "p11-kit"])
def test_an_hsm_that_is_away_is_not_taken_for_an_empty_one(
    tmp_path: Path, module: str | None
) -> None:
    configuration = softhsm.make_tokens(tmp_path, ["away"])
    ran = subprocess.run(
        [sys.executable, "-c", EMPTY, str(tmp_path / "tokens"), module or softhsm.module()],
        env={**os.environ, "SOFTHSM2_CONF": str(configuration)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == ["away: 1", "back: 1"]
