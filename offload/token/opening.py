"""The token that the configuration names."""

import os
from collections.abc import Callable
from typing import NoReturn

from offload.config import Pkcs11TokenSettings, SoftwareTokenSettings, TokenSettings
from offload.token.base import ReplicatedToken, TokenError
from offload.token.passphrase import credential, read_passphrase, read_pin
from offload.token.software import SoftwareToken

# Bytes of an error's text: what a pipe takes at once (pipe(7), PIPE_BUF).
_TEXT = 4096


def opens_before_fork(settings: TokenSettings) -> bool:
    """Whether a token opened by a supervisor is of use in the processes that it forks.

    What a PKCS#11 library does after fork() is undefined, and its sessions have threads, which a
    fork leaves behind: such a token is opened by each process that uses it.
    """
    return isinstance(settings, SoftwareTokenSettings)


def open_token(settings: TokenSettings) -> ReplicatedToken:
    """Open it, in this process; blocks meanwhile.

    Raises TokenNotFound, TokenInsecure, WrongPassphrase, TokenUnavailable, TokenError.
    """
    if isinstance(settings, Pkcs11TokenSettings):
        return _open_pkcs11(settings)
    return SoftwareToken.open(settings.directory, read_passphrase(settings.passphrase_file))


def opener(settings: TokenSettings) -> Callable[[], ReplicatedToken]:
    """Opens now what may be opened before a fork, the rest when it is called.

    Each process calls it once. Raises, both times, what `open_token` raises. Called without
    threads: an HSM is opened once in a process of its own, so that what is wrong with its settings
    is found now, and a wrong PIN is tried once rather than by every process that is started again.
    """
    if not opens_before_fork(settings):
        _rehearse(settings)
        return lambda: open_token(settings)
    token = open_token(settings)
    return lambda: token


def _rehearse(settings: TokenSettings) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _try_and_tell(settings, writing)
    os.close(writing)
    with open(reading, "rb") as told:
        text = told.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise TokenError(text or f"the HSM's library broke its process (status {status})")


def _try_and_tell(settings: TokenSettings, writing: int) -> NoReturn:
    """In the child: never returns into what its parent was doing."""
    code = 1
    try:
        open_token(settings).close()
        code = 0
    except Exception as error:
        os.write(writing, str(error).encode()[:_TEXT])
    finally:
        os._exit(code)


def _open_pkcs11(settings: Pkcs11TokenSettings) -> ReplicatedToken:
    try:
        from offload.token.pkcs11 import Pkcs11Token
    except ImportError as error:
        raise TokenError(
            "python-pkcs11 is not installed: install this program with its extra 'pkcs11'"
        ) from error
    return Pkcs11Token.open(
        read_pin(settings.pin_file or credential(settings.pin_credential)),
        label=settings.token_label,
        serial=settings.serial,
        module=settings.module,
        sessions=settings.sessions,
        deadline=settings.deadline,
    )
