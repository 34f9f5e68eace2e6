"""Where a member is and what it is: what it says of itself when it joins."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from offload.catalogue.records import Record
from offload.cluster.failures import Invalid
from offload.config.address import Address
from offload.config.model import Name, Zone

_UNSPECIFIED = ("0.0.0.0", "::")
_NAME = TypeAdapter(Name)


def _reachable(text: str) -> str:
    address = Address.parse(text)
    if address.path is not None or not address.port or address.host in _UNSPECIFIED:
        raise ValueError(f"others cannot reach {text!r}; write the HOST:PORT that they can")
    return str(address)


ReachableAddress = Annotated[str, Field(max_length=300), AfterValidator(_reachable)]
"""HOST:PORT, of one host."""


class Standing(Record):
    """address: where front-ends connect; api: where REST is; capacity: relative to the others."""

    zone: Annotated[Zone, Field(max_length=64)] = ""
    capacity: float = Field(default=1.0, gt=0, le=1000, allow_inf_nan=False)
    address: ReachableAddress
    api: ReachableAddress

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts of the addresses: browsers and tools that go there look for these names."""
        found = (Address.parse(self.address).host, Address.parse(self.api).host)
        return tuple(dict.fromkeys(found))


def plain_name(name: str, whose: str) -> str:
    """`name` if it can stand in paths and certificates; raises Invalid, which says whose it is."""
    try:
        return _NAME.validate_python(name)
    except ValidationError:
        raise Invalid(
            f"{name!r} is no name for {whose}: use up to 63 letters, digits, '.', '_' and '-',"
            " with a letter or digit at both ends"
        ) from None


def member_name(name: str) -> str:
    """`name` if a member can have it, which no address is; raises Invalid."""
    plain_name(name, "a member")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name
    raise Invalid(f"{name!r} is an address: give the member a name")
