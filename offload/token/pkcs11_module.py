"""A PKCS#11 library in this process: loaded once, used by all its tokens, and started anew.

`libp11-kit` takes care of threads by itself and passes on to the modules that it is configured
with. Any other module is initialised here with CKF_OS_LOCKING_OK: python-pkcs11 passes no
arguments to C_Initialize, which promises a module that one thread alone calls it, and with several
SoftHSM crashed. A module that cannot lock is refused.
"""

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

from pkcs11 import _pkcs11
from pkcs11.exceptions import (
    DeviceError,
    DeviceRemoved,
    FunctionFailed,
    GeneralError,
    MultipleTokensReturned,
    NoSuchToken,
    OperationActive,
    PinExpired,
    PinIncorrect,
    PinInvalid,
    PinLenRange,
    PinLocked,
    PKCS11Error,
    SessionClosed,
    SessionCount,
    SessionHandleInvalid,
    SlotIDInvalid,
    TokenNotPresent,
    TokenNotRecognised,
    UserNotLoggedIn,
    UserPinNotInitialized,
)
from pkcs11.types import Token as HsmToken

from offload.token.base import TokenError, TokenNotFound, WrongPassphrase
from offload.token.lanes import Lost

_CKF_OS_LOCKING_OK = 2
_CKR_OK = 0
_CKR_CANT_LOCK = 0x0A
_CKR_ALREADY_INITIALIZED = 0x191

_QUIET_SECONDS = 2.0

_GONE = (
    DeviceError,
    DeviceRemoved,
    FunctionFailed,
    GeneralError,
    NoSuchToken,
    OperationActive,
    SessionClosed,
    SessionCount,
    SessionHandleInvalid,
    SlotIDInvalid,
    TokenNotPresent,
    TokenNotRecognised,
    UserNotLoggedIn,
)
_BAD_PIN = (
    PinExpired,
    PinIncorrect,
    PinInvalid,
    PinLenRange,
    PinLocked,
    UserPinNotInitialized,
)


def is_gone(error: PKCS11Error) -> bool:
    """Whether the error says that session, token or library are not there (any more).

    Codes that python-pkcs11 has no class for are a vendor's, or say that the library is not
    initialised: a new connection is the best answer to both.
    """
    return isinstance(error, _GONE) or type(error) is PKCS11Error


class _Arguments(ctypes.Structure):
    """CK_C_INITIALIZE_ARGS."""

    _fields_: ClassVar = [
        ("create_mutex", ctypes.c_void_p),
        ("destroy_mutex", ctypes.c_void_p),
        ("lock_mutex", ctypes.c_void_p),
        ("unlock_mutex", ctypes.c_void_p),
        ("flags", ctypes.c_ulong),
        ("reserved", ctypes.c_void_p),
    ]


_Function = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)


class _Functions(ctypes.Structure):
    """The beginning of CK_FUNCTION_LIST."""

    _fields_: ClassVar = [
        ("version", ctypes.c_ubyte * 2),
        ("initialize", _Function),
        ("finalize", _Function),
    ]


class _Library(_pkcs11.lib):
    """python-pkcs11's library, but told that several threads call it."""

    def initialize(self) -> None:
        functions = ctypes.POINTER(_Functions)()
        if ctypes.CDLL(self.so).C_GetFunctionList(ctypes.byref(functions)) != _CKR_OK:
            raise TokenError(f"{self.so} is no PKCS#11 module: name the vendor's")
        arguments = _Arguments(flags=_CKF_OS_LOCKING_OK)
        code = functions.contents.initialize(ctypes.byref(arguments))
        if code == _CKR_CANT_LOCK:
            raise TokenError(f"{self.so} cannot be called by several threads: load it by p11-kit")
        if code not in (_CKR_OK, _CKR_ALREADY_INITIALIZED):
            raise Lost(f"{self.so} does not start (C_Initialize: {code:#x})")

    def finalize(self) -> None:
        functions = ctypes.POINTER(_Functions)()
        ctypes.CDLL(self.so).C_GetFunctionList(ctypes.byref(functions))
        functions.contents.finalize(None)


class Module:
    """One library; `calling` marks who is inside it, `revive` waits until nobody is.

    connected: how many tokens of it we are logged in to, counted by those who log in.
    """

    _loaded: ClassVar[dict[tuple[str, int], "Module"]] = {}
    _loading: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, path: str) -> None:
        """For `load`."""
        self.path = path
        self._turn = threading.Condition()
        self._inside = 0
        self._restarting = False
        self.connected = 0
        kind = _pkcs11.lib if "p11-kit" in Path(path).name else _Library
        try:
            self._library = kind(path)
        except PKCS11Error as error:
            raise TokenError(f"cannot load the PKCS#11 module {path}: {error}") from error
        # Never freed, for that would unload it: at the process's end threads may be inside.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._library))

    @classmethod
    def load(cls, path: str) -> "Module":
        """The module at `path`, loaded into this process if it is not yet.

        It stays until the process ends: threads may be inside. Raises TokenError, Lost.
        """
        with cls._loading:
            place = (path, os.getpid())
            if place not in cls._loaded:
                cls._loaded[place] = cls(path)
            return cls._loaded[place]

    @contextmanager
    def calling(self) -> Iterator[None]:
        """While inside, the library is not finalised under us."""
        with self._turn:
            self._turn.wait_for(lambda: not self._restarting)
            self._inside += 1
        try:
            yield
        finally:
            with self._turn:
                self._inside -= 1
                self._turn.notify_all()

    def revive(self) -> None:
        """Bring the library back; some see a token that returned only after C_Finalize.

        While another token of it is connected, or somebody stays inside, it is not finalised,
        since every session would be lost. Raises Lost. The caller is not inside.
        """
        with self._turn:
            self._turn.wait_for(lambda: not self._restarting)
            self._restarting = True
            try:
                quiet = self._turn.wait_for(lambda: self._inside == 0, _QUIET_SECONDS)
                self._start_again(finalize=quiet and self.connected == 0)
            finally:
                self._restarting = False
                self._turn.notify_all()

    def _start_again(self, finalize: bool) -> None:
        try:
            if finalize:
                # It may have been finalised under us, which is one of the reasons to be here.
                with suppress(PKCS11Error):
                    self._library.finalize()
            self._library.initialize()
        except PKCS11Error as error:
            raise Lost(f"{self.path} does not start: {_reason(error)}") from error

    def token(self, label: str | None, serial: str | None) -> HsmToken:
        """The token with that label or serial number; raises Lost, TokenNotFound if ambiguous."""
        try:
            return self._library.get_token(
                token_label=label, token_serial=None if serial is None else serial.encode()
            )
        except MultipleTokensReturned as error:
            raise TokenNotFound(
                f"several tokens are called {label or serial!r}: name one by its serial number"
            ) from error
        except PKCS11Error as error:
            raise Lost(
                f"no token {label or serial!r} in {self.path} ({_reason(error)}): plug it in, or"
                " compare with what `pkcs11-tool --list-slots` shows"
            ) from error


def _reason(error: PKCS11Error) -> str:
    return type(error).__name__ if type(error) is not PKCS11Error else str(error)


def explained(error: PKCS11Error) -> Exception:
    """What an error at the HSM's edge is to us: Lost, WrongPassphrase or TokenError."""
    if isinstance(error, _BAD_PIN):
        return WrongPassphrase(
            f"the HSM refused the PIN ({_reason(error)}): check the PIN's file; it is not tried"
            " again, for the HSM would lock itself"
        )
    if is_gone(error):
        return Lost(f"the HSM or its library is gone ({_reason(error)})")
    return TokenError(f"the HSM refused: {_reason(error)}: see its log")
