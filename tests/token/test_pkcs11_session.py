"""What we do with one session, where a module is not as the contract's is."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from pkcs11.constants import Attribute, ObjectClass
from pkcs11.exceptions import AttributeReadOnly, FunctionFailed
from pkcs11.mechanisms import Mechanism
from support import softhsm

from offload.keys.algorithm import Algorithm
from offload.token import pkcs11_session as hsm
from offload.token.base import TokenError
from offload.token.pkcs11 import Pkcs11Token
from offload.token.pkcs11_session import HsmSession

pytestmark = pytest.mark.needs("softhsm2-util")

TODAY = date(2026, 11, 24)


@pytest.fixture(scope="module")
def token() -> Iterator[Pkcs11Token]:
    place = softhsm.new_token()
    opened = Pkcs11Token.open(place.pin, label=place.label, module=place.module, pause=0)
    yield opened
    opened.close()


@pytest.fixture
def session(token: Pkcs11Token) -> HsmSession:
    return token._lanes.run(lambda session: session)


def test_the_mechanism_that_is_rfc_5649_is_found(session: HsmSession) -> None:
    assert hsm.probe_key_wrap(session.raw) is Mechanism.AES_KEY_WRAP_PAD


def test_a_module_that_wraps_otherwise_is_refused(
    session: HsmSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hsm, "_wraps", lambda *_arguments: b"padded in another way")
    with pytest.raises(TokenError, match="RFC 5649"):
        hsm.probe_key_wrap(session.raw)


def test_a_module_that_fixes_identifiers_is_served_all_the_same(
    token: Pkcs11Token, session: HsmSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hsm, "_name", lambda _item, _ski: None)
    record = hsm.generate(session.raw, "fixed", Algorithm.P_256, True, TODAY)
    listed, key_id = hsm.list_keys(session.raw)[record.ski]
    assert listed == record
    assert key_id != record.ski
    hsm.destroy(session, record.ski, key_id)
    assert hsm.list_keys(session.raw) == {}


def test_a_key_whose_naming_fails_is_not_left_behind(
    session: HsmSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_item: Any, _ski: bytes) -> None:
        raise FunctionFailed

    monkeypatch.setattr(hsm, "_name", fail)
    with pytest.raises(FunctionFailed):
        hsm.generate(session.raw, "half", Algorithm.P_256, True, TODAY)
    assert list(session.raw.get_objects({Attribute.LABEL: "half"})) == []


def test_a_public_half_that_a_crash_left_is_no_key(session: HsmSession) -> None:
    record = hsm.generate(session.raw, "left", Algorithm.P_256, True, TODAY)
    session.private(record.ski).destroy()
    assert hsm.list_keys(session.raw) == {}
    assert hsm.find_key(session.raw, record.ski) is None
    again = hsm.add_public(session.raw, "left", record.public_key, TODAY)
    same = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.ID: record.ski}
    assert len(list(session.raw.get_objects(same))) == 1
    assert again == record
    session.found.clear()
    hsm.destroy(session, record.ski, record.ski)


def test_the_day_of_its_making_is_kept(session: HsmSession) -> None:
    record = hsm.generate(session.raw, "dated", Algorithm.P_256, True, TODAY)
    assert record.created.date() == TODAY
    hsm.destroy(session, record.ski, record.ski)


def test_modules_that_keep_no_date_or_name_are_borne() -> None:
    class ReadOnly:
        def __setitem__(self, key: Attribute, value: object) -> None:
            raise AttributeReadOnly

    hsm._date(ReadOnly(), TODAY)
    hsm._name(ReadOnly(), bytes(20))


def test_of_two_transport_keys_all_processes_take_the_same(
    session: HsmSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    hsm.transport(session.raw)
    honest = hsm._transport
    looks = iter([None])
    monkeypatch.setattr(hsm, "_transport", lambda raw: next(looks, honest(raw)))
    # As a process that looked before the other one had made its key.
    _, chosen = hsm.transport(session.raw)
    same = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.LABEL: hsm.TRANSPORT_LABEL}
    assert len(list(session.raw.get_objects(same))) == 2
    assert [hsm.transport(session.raw)[1] for _ in range(2)] == [chosen] * 2
