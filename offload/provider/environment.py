"""The environment that makes OpenSSL load the provider.

OpenSSL reads the file named by OPENSSL_CONF once, when a process first uses it; pyOpenSSL has no
other way to load a provider. So the variables are set before the process starts: `ensure` starts
it again where they are not.

An operator's own OPENSSL_CONF is left in force, because it may hold a policy (FIPS, a minimal
protocol) that must not be dropped in silence; such a file loads the provider by lines of its own,
which `check` names if they are missing.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

CONFIGURATION = Path(__file__).with_name("openssl.cnf")

# Holds the process's number, which an exec keeps: so a child that inherits it is not taken for one
# that was started again already.
_STARTED_AGAIN = "OFFLOAD_STARTED_AGAIN"

_LINES = "offload = offload_module [offload_module] module = $ENV::OFFLOAD_MODULE activate = 1"

# The generator of P-256 (FIPS 186-5, SEC 2) with a key id of zeros: any point would do.
_PROBE = b"""-----BEGIN OFFLOAD KEY REFERENCE-----
AQIAAAAAAAAAAAAAAAAAAAAAAAAAAABBBGsX0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYmMKW
T+NC4v4af5uO5+tKfA+eFivOM1drMV7Oy7ZAaDe/UfUA
-----END OFFLOAD KEY REFERENCE-----
"""


class ProviderUnavailable(Exception):
    """OpenSSL of this process does not load the provider; the text has the reason and remedy."""


def environment() -> dict[str, str]:
    """Variables that a process needs for its OpenSSL to load the provider: name to value.

    An OPENSSL_CONF that this process has already is kept.

    Raises ProviderUnavailable if the native module is not built.
    """
    spec = find_spec("offload.provider._native")
    if spec is None or spec.origin is None:
        raise ProviderUnavailable(
            "the native module offload.provider._native is not built: "
            "run `pip install .` where there is a C compiler"
        )
    return {
        "OPENSSL_CONF": os.environ.get("OPENSSL_CONF") or str(CONFIGURATION),
        "OFFLOAD_MODULE": spec.origin,
    }


def ensure() -> None:
    """Start this process again, once, with `environment()`, unless it has that already.

    Returns only if there is nothing to do; otherwise the same program starts anew, with the same
    interpreter, flags and arguments, as the same process. Call it before there are threads,
    children or open files to keep, best as the first thing of a command.

    Raises ProviderUnavailable if the native module is not built, or the environment did not last.
    """
    wanted = environment()
    if all(os.environ.get(name) == value for name, value in wanted.items()):
        return
    marker = str(os.getpid())
    if os.environ.get(_STARTED_AGAIN) == marker:
        raise ProviderUnavailable(
            "OPENSSL_CONF and OFFLOAD_MODULE are taken out of the environment as Python starts: "
            "look for a sitecustomize or wrapper that does so"
        )
    if not sys.executable or not sys.orig_argv:
        raise ProviderUnavailable(
            "this interpreter cannot start itself again: "
            f"start it with OPENSSL_CONF={wanted['OPENSSL_CONF']} "
            f"OFFLOAD_MODULE={wanted['OFFLOAD_MODULE']}"
        )
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    command = [sys.executable, *sys.orig_argv[1:]]
    os.execve(sys.executable, command, {**os.environ, **wanted, _STARTED_AGAIN: marker})


def check() -> None:
    """Raise ProviderUnavailable unless pyOpenSSL in this process loads key references."""
    wanted = environment()
    # Here, because importing this package must not load a libcrypto.
    from OpenSSL import crypto

    try:
        crypto.load_privatekey(crypto.FILETYPE_PEM, _PROBE)
    except crypto.Error as exc:
        raise ProviderUnavailable(_reason(wanted)) from exc
    module = os.environ.get("OFFLOAD_MODULE")
    if module is not None and not Path(module).samefile(wanted["OFFLOAD_MODULE"]):
        raise ProviderUnavailable(
            f"OpenSSL loaded the provider from {module} but Python has it from "
            f"{wanted['OFFLOAD_MODULE']}: unset OFFLOAD_MODULE"
        )


def _reason(wanted: dict[str, str]) -> str:
    configuration = os.environ.get("OPENSSL_CONF")
    if not configuration or os.environ.get("OFFLOAD_MODULE") is None:
        return (
            "this process was started without OPENSSL_CONF and OFFLOAD_MODULE: use the offload "
            "command, or call offload.provider.ensure() first"
        )
    if Path(configuration).resolve() != CONFIGURATION.resolve():
        return (
            f"OPENSSL_CONF is {configuration}, which does not load the provider: unset it, or "
            f"add to its section of providers, a line each: {_LINES}"
        )
    return _library_reason(wanted)


def _library_reason(wanted: dict[str, str]) -> str:
    from OpenSSL import SSL

    version = SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode("ascii", "replace")
    return (
        f"{version.strip()}, which the cryptography package brings, did not load the provider "
        f"{wanted['OFFLOAD_MODULE']}: it was in use before OPENSSL_CONF was set (call "
        "offload.provider.ensure() first), or is a build that reads no configuration (pip install "
        "--force-reinstall --only-binary :all: cryptography), or the process is set-uid or has "
        "file capabilities, for which OpenSSL ignores the variable (use AmbientCapabilities)"
    )
