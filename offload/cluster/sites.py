"""Names of sites in acts, as policies and certificates have them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from offload.cluster.failures import Invalid
from offload.config.host import site_name


def site_names(names: Iterable[str]) -> tuple[str, ...]:
    """DNS names and `*.` patterns, in lower case; raises Invalid."""
    try:
        return tuple(site_name(name) for name in names)
    except ValueError as error:
        raise Invalid(str(error)) from error


def certificate_names(names: Iterable[str]) -> tuple[str, ...]:
    """Like `site_names`; an IP address is a name in a certificate, too."""
    return tuple(name if _is_address(name) else site_names([name])[0] for name in names)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
