"""What a subject negotiates with the load's own library, as `openssl s_client` tells it."""

import re
import subprocess

from bench.process import SubjectUnavailable, environment, find

REQUEST = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
FIELDS = (
    r"New, (TLSv[\d.]+), Cipher is \S+",
    r"New, TLSv[\d.]+, Cipher is (\S+)",
    r"Server Temp Key: (\w+)|Negotiated TLS1.3 group: (\w+)",
    r"Peer signature type: (\S+)",
)
TICKET = "New Session Ticket arrived"


def negotiated(port: int) -> str:
    """Version, cipher suite, group, signature and number of tickets of one full handshake.

    Raises SubjectUnavailable without openssl, or if there is no handshake.
    """
    command = [find("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_3", "-ign_eof"]
    try:
        # It reads the response to its end, by when all tickets have come.
        output = subprocess.run(
            command,
            input=REQUEST,
            check=False,  # what it printed tells better what happened
            capture_output=True,
            text=True,
            timeout=10,
            env=environment(),
        ).stdout
    except subprocess.TimeoutExpired as error:
        raise SubjectUnavailable("openssl s_client has got no whole answer in 10 s") from error
    return described(output)


def described(output: str) -> str:
    """The words of s_client's output that matter here; raises SubjectUnavailable without any."""
    found = [re.search(field, output) for field in FIELDS]
    if not found[0]:
        raise SubjectUnavailable("openssl s_client has made no full handshake")
    words = [next(filter(None, match.groups())) for match in found if match]
    return f"{' '.join(words)}, tickets: {output.count(TICKET)}"
