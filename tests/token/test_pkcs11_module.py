"""Loading a PKCS#11 library, and what its errors are to us."""

import threading

import pytest
from pkcs11.exceptions import (
    DeviceRemoved,
    KeyHandleInvalid,
    MechanismInvalid,
    PinIncorrect,
    PinLocked,
    PKCS11Error,
    SessionHandleInvalid,
    TokenNotPresent,
    UserNotLoggedIn,
)
from support import softhsm

from offload.token.base import TokenError, TokenNotFound, WrongPassphrase
from offload.token.lanes import Lost
from offload.token.pkcs11_module import Module, explained, is_gone


@pytest.mark.parametrize(
    "error", [DeviceRemoved, SessionHandleInvalid, TokenNotPresent, UserNotLoggedIn, PKCS11Error]
)
def test_what_is_gone_may_come_back(error: type[PKCS11Error]) -> None:
    assert is_gone(error("0x80000001"))
    assert isinstance(explained(error("0x80000001")), Lost)


@pytest.mark.parametrize("error", [MechanismInvalid, KeyHandleInvalid])
def test_what_is_refused_stays_refused(error: type[PKCS11Error]) -> None:
    assert not is_gone(error())
    assert isinstance(explained(error()), TokenError)


@pytest.mark.parametrize("error", [PinIncorrect, PinLocked])
def test_a_bad_pin_is_a_wrong_passphrase(error: type[PKCS11Error]) -> None:
    assert isinstance(explained(error()), WrongPassphrase)


@pytest.mark.parametrize("path", ["/nowhere/module.so", "libc.so.6"])
def test_what_is_no_module_is_told(path: str) -> None:
    with pytest.raises(TokenError, match=path):
        Module.load(path)


@pytest.mark.needs("softhsm2-util")
def test_a_module_is_loaded_once() -> None:
    place = softhsm.new_token()
    module = Module.load(place.module)
    assert Module.load(place.module) is module
    assert module.token(place.label, None).label == place.label
    serial = module.token(place.label, None).serial.decode()
    assert module.token(None, serial).label == place.label
    with pytest.raises(Lost, match="no token 'absent'"):
        module.token("absent", None)
    with pytest.raises(TokenNotFound, match="several tokens"):
        module.token(None, None)


@pytest.mark.needs("softhsm2-util")
def test_a_library_is_not_finalised_under_a_call() -> None:
    module = Module.load(softhsm.module())
    inside, leave, revived = threading.Event(), threading.Event(), threading.Event()

    def call() -> None:
        with module.calling():
            inside.set()
            assert leave.wait(10)
            assert not revived.is_set()

    def revive() -> None:
        module.revive()
        revived.set()

    threads = [threading.Thread(target=call), threading.Thread(target=revive)]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    leave.set()
    for thread in threads:
        thread.join(10)
    assert revived.is_set()
