"""What keeps keys from leaving the process by its memory; the name of a process."""

import ctypes
import os
import resource
import signal

# <linux/prctl.h>
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15


class HardeningError(Exception):
    """The kernel refused; the text says what."""


def forbid_dumps() -> None:
    """No core file, and no attaching to the process but by who has CAP_SYS_PTRACE, as root has.

    Raises HardeningError.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0, "forbid core dumps")


def end_with_parent(parent: int, number: signal.Signals) -> None:
    """Send this process `number` when its parent, process `parent`, ends; raises HardeningError."""
    _prctl(_PR_SET_PDEATHSIG, number, "follow the supervisor's end")
    # The parent may have ended before the kernel was told.
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def name_process(role: str) -> None:
    """What `ps` and `top` call the process; the kernel keeps 15 bytes."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_NAME, ctypes.c_char_p(f"offload-{role}".encode()))


def _prctl(option: int, value: int, purpose: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    unsigned = ctypes.c_ulong
    if libc.prctl(option, unsigned(value), unsigned(0), unsigned(0), unsigned(0)) != 0:
        raise HardeningError(f"cannot {purpose}: {os.strerror(ctypes.get_errno())}")
