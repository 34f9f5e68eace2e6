"""Files that only their owner may see, written whole or not at all."""

import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from offload.token.base import TokenError, TokenInsecure, TokenNotFound

MAX_FILE = 1 << 16
_SCRATCH = ".new-"
_DOOMED = ".gone-"
_LOCK = ".lock"


def make_private_directory(path: Path) -> None:
    """Create `path` (mode 0700) and its parents, or accept it if it is there and private."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise TokenError(f"cannot create {path}: {error.strerror}") from error
    require_private_directory(path)


def require_private_directory(path: Path) -> None:
    """Raise TokenNotFound or TokenInsecure unless `path` is a directory that only we can enter."""
    try:
        status = os.stat(path)
    except FileNotFoundError as error:
        raise TokenNotFound(
            f"{path} does not exist: create a token there with `offload init`"
        ) from error
    except OSError as error:
        raise TokenError(f"cannot open {path}: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode):
        raise TokenError(f"{path} is not a directory: name the token's directory")
    _require_private(path, status, "0700", {os.geteuid()})


def modified(directory: Path) -> int:
    """When a file was last added to or removed from it, in nanoseconds; raises TokenError."""
    try:
        return directory.stat().st_mtime_ns
    except OSError as error:
        raise TokenError(f"cannot open {directory}: {error.strerror}") from error


def names(directory: Path) -> list[str]:
    """What is in a directory; raises TokenError."""
    try:
        with os.scandir(directory) as entries:
            return [entry.name for entry in entries]
    except OSError as error:
        raise TokenError(f"cannot open {directory}: {error.strerror}") from error


def read_private(path: Path, *, root_may_own: bool = False) -> bytes:
    """The content of a file that only its owner may read.

    Raises TokenNotFound, TokenInsecure, TokenError. A symbolic link is followed only with
    `root_may_own`, which also takes files of root's: secret mounts are made that way.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if root_may_own else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError as error:
        raise TokenNotFound(f"{path} does not exist") from error
    except OSError as error:
        raise TokenError(f"cannot open {path}: {error.strerror}") from error
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise TokenError(f"{path} is not a regular file")
        owners = {os.geteuid(), 0} if root_may_own else {os.geteuid()}
        _require_private(path, status, "0600", owners)
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise TokenError(f"{path} is larger than {MAX_FILE} bytes: it is no file of a token")
    return content


def _require_private(path: Path, status: os.stat_result, mode: str, owners: set[int]) -> None:
    if status.st_uid not in owners:
        raise TokenInsecure(
            f"{path} belongs to user {status.st_uid}, not to user {os.geteuid()} who runs this: "
            f"chown {os.geteuid()} {path}"
        )
    if status.st_mode & 0o077:
        raise TokenInsecure(
            f"{path} is open to others (mode {stat.S_IMODE(status.st_mode):04o}): "
            f"chmod {mode} {path}"
        )


def write_new(directory: Path, name: str, content: bytes) -> None:
    """Add a file (mode 0600) that survives a crash whole or is not there; never replaces one.

    Raises FileExistsError if there is one of that name, TokenError if it cannot be written.
    """
    scratch = directory / f"{_SCRATCH}{secrets.token_hex(8)}"
    try:
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            # A link fails where a rename would silently replace.
            os.link(scratch, directory / name)
        finally:
            scratch.unlink(missing_ok=True)
        _sync_directory(directory)
    except FileExistsError:
        raise
    except OSError as error:
        raise TokenError(f"cannot write {directory / name}: {error.strerror}") from error


def erase(directory: Path, name: str) -> None:
    """Overwrite a file as far as the file system lets us, and remove it; durable on return.

    A crash leaves it whole, or gone with a remnant that `clear_remnants` clears away. Raises
    TokenNotFound, TokenError. The caller holds the lock.
    """
    doomed = directory / f"{_DOOMED}{secrets.token_hex(8)}"
    try:
        # Renamed first: overwritten in place it would be a damaged file after a crash.
        (directory / name).rename(doomed)
        _sync_directory(directory)
        _shred(doomed)
        _sync_directory(directory)
    except FileNotFoundError as error:
        raise TokenNotFound(f"{directory / name} does not exist") from error
    except OSError as error:
        raise TokenError(f"cannot erase {directory / name}: {error.strerror}") from error


def _shred(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with open(descriptor, "wb") as file:
        file.write(secrets.token_bytes(os.fstat(descriptor).st_size))
        file.flush()
        os.fsync(descriptor)
    path.unlink()


def mark_changed(directory: Path) -> int:
    """Give a directory that we changed a time stamp of its own; what `modified` says from now on.

    The kernel's stamps are milliseconds apart: two changes in one look like one. Ours is exact to
    the nanosecond. 0 where the file system keeps no such time. The caller holds the lock.
    """
    now = time.time_ns()
    try:
        os.utime(directory, ns=(now, now))
    except OSError as error:
        raise TokenError(f"cannot write {directory}: {error.strerror}") from error
    return now if modified(directory) == now else 0


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep other processes and threads from adding files to `directory`; waits for its turn."""
    try:
        descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise TokenError(f"cannot lock {directory}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def clear_remnants(directory: Path) -> None:
    """Remove what a crash left of files half written or half erased.

    The caller holds the lock: nobody else is at it.
    """
    for name in names(directory):
        if name.startswith(_SCRATCH):
            # Not overwritten: it may be a second name of a file that got its own already.
            (directory / name).unlink(missing_ok=True)
        elif name.startswith(_DOOMED):
            _shred(directory / name)
