"""curl and `openssl s_client` as clients of the chain."""

import subprocess
from pathlib import Path

from support.chain import environment

_TIMEOUT_SECONDS = 45


def curl(port: int, url: str, trust: Path, *options: str) -> list[str]:
    """The command line of a request to `url`, whose host is resolved to 127.0.0.1:`port`."""
    host = url.removeprefix("https://").partition("/")[0]
    return [
        *("curl", "--silent", "--show-error", "--noproxy", "*", "--cacert", str(trust)),
        *("--connect-to", f"{host}:443:127.0.0.1:{port}", *options, url),
    ]


def s_client(port: int, name: str | None, trust: Path, *options: str) -> str:
    """Send a request through `openssl s_client`; what it printed, its exit code being 0 or 1."""
    server_name = ("-noservername",) if name is None else ("-servername", name)
    done = subprocess.run(
        [
            *("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", str(trust)),
            *("-verify_return_error", "-ign_eof", *server_name, *options),
        ],
        input="GET / HTTP/1.1\r\nHost: site\r\nConnection: close\r\n\r\n",
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_TIMEOUT_SECONDS,
        env=environment(),
    )
    return done.stdout + done.stderr


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a program to its end in a usual environment."""
    return subprocess.run(
        command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, env=environment()
    )
