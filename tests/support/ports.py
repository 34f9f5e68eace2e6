"""Free ports on the loopback address, no port twice in one test run."""

from offload.cli.demo import ports

_given: set[int] = set()


def free_port() -> int:
    """Return a TCP port on 127.0.0.1 that nobody listens on."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return `count` different free ports."""
    found: list[int] = []
    while len(found) < count:
        # Somebody may have been given a port and not listen on it yet.
        new = [port for port in ports.free_ports(count - len(found)) if port not in _given]
        _given.update(new)
        found += new
    return found
