"""Names of hosts and of sites."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")


def is_host(host: str) -> bool:
    """Whether it is a DNS name in lower case or an IPv4 address."""
    labels = host.split(".")
    if labels[-1].isdigit():
        return is_version_4(host)
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in labels)


def is_version_4(host: str) -> bool:
    """Whether it is an IPv4 address."""
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def site_name(value: str) -> str:
    """`value` in lower case; raises ValueError unless it is a DNS name or `*.` before one."""
    name = value.lower()
    if not name.isascii():
        raise ValueError(f"{value!r} is not ASCII; write its 'xn--' form (RFC 5890)")
    if "*" in name.removeprefix("*."):
        raise ValueError(
            f"{value!r} has a wildcard elsewhere than as the whole leftmost label;"
            " write '*.example.org'"
        )
    host = name.removeprefix("*.")
    if is_version_4(host) or ":" in host:
        raise ValueError(
            f"{value!r} is an IP address, which no client sends as server name;"
            " use 'default = true'"
        )
    if not is_host(host) or (host != name and "." not in host):
        raise ValueError(f"{value!r} is not a DNS name; write 'www.example.org'")
    return name


SiteName = Annotated[str, AfterValidator(site_name)]
