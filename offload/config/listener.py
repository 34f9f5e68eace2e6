"""Where clients connect, and who may say there which client it is that connects."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, Literal

from pydantic import model_serializer, model_validator

from offload.config.address import Address

Network = IPv4Network | IPv6Network | Literal["unix"]


class Listener(Address):
    """`"host:port"`, or a table with `address` and `proxy_protocol`.

    proxy_protocol: networks whose connections begin with a PROXY protocol header, without
    exception; "unix" stands for Unix sockets. Nobody else's header is looked at.
    """

    proxy_protocol: tuple[Network, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _from_table(cls, value: Any) -> Any:
        if isinstance(value, Address):
            return {"host": value.host, "port": value.port, "path": value.path}
        if isinstance(value, dict) and isinstance(value.get("address"), str):
            rest = {name: item for name, item in value.items() if name != "address"}
            return {**cls._split(value["address"]), **rest}
        return value

    def is_proxy(self, ip: str | None) -> bool:
        """Whether a peer with this address, None on a Unix socket, has to send a header."""
        if ip is None:
            return "unix" in self.proxy_protocol
        address = ip_address(ip.partition("%")[0])
        return any(address in network for network in self.proxy_protocol if network != "unix")

    @model_serializer
    def _to_text(self) -> Any:
        if not self.proxy_protocol:
            return str(self)
        return {"address": str(self), "proxy_protocol": [str(each) for each in self.proxy_protocol]}
