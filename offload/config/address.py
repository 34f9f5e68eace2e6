"""Where something listens or is reached."""

from __future__ import annotations

import ipaddress
import os
from typing import Any, Self

from pydantic import Field, model_serializer, model_validator

from offload.config.host import is_host
from offload.config.model import File, Model


class Address(Model):
    """`host:port`, `[v6]:port` or `unix:/path`; `path` is set for a Unix socket alone."""

    host: str = ""
    port: int = Field(default=0, ge=0, le=65_535)
    path: File | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """The address that `text` writes; raises ValueError (pydantic's) on any other text."""
        return cls.model_validate(text)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return cls._split(value) if isinstance(value, str) else value

    @classmethod
    def _split(cls, text: str) -> dict[str, Any]:
        if text.startswith("unix:"):
            return {"path": _socket_path(text.removeprefix("unix:"), text)}
        return host_and_port(text, text)

    @model_serializer
    def _to_text(self) -> str:
        return str(self)

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Backend(Address):
    """Where the plaintext of a site goes: `tcp://host:port` or `unix:///path`."""

    @classmethod
    def _split(cls, text: str) -> dict[str, Any]:
        if text.startswith("unix://"):
            return {"path": _socket_path(text.removeprefix("unix://"), text)}
        if not text.startswith("tcp://"):
            raise ValueError(
                f"{text!r} is not a backend; write 'tcp://HOST:PORT' or 'unix:///PATH'"
            )
        parts = host_and_port(text.removeprefix("tcp://"), text)
        if parts["port"] == 0:
            raise ValueError(f"{text!r} has port 0; write the port that the backend listens on")
        return parts

    def __str__(self) -> str:
        text = super().__str__()
        return f"unix://{self.path}" if self.path is not None else f"tcp://{text}"


def _socket_path(path: str, text: str) -> str:
    # sun_path of sockaddr_un holds 108 bytes with the closing zero, see unix(7).
    if not path or "\0" in path:
        raise ValueError(f"{text!r} names no socket; write the path after 'unix:'")
    if len(os.fsencode(path)) > 107:
        raise ValueError(f"{text!r} is longer than a socket path may be; use at most 107 bytes")
    return path


def host_and_port(value: str, text: str) -> dict[str, Any]:
    """`host` and `port` of `value`; raises ValueError, which quotes `text`."""
    host, colon, port = value.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ValueError(f"{text!r} has no port; write HOST:PORT with a port of at most 65535")
    if host in ("", "*"):
        raise ValueError(
            f"{text!r} has no host; for every interface write '0.0.0.0:{port}' or '[::]:{port}'"
        )
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if bracketed or ":" in host:
        return {"host": _version_6(host, bracketed, text), "port": int(port)}
    if not is_host(host.lower()):
        raise ValueError(f"{text!r} has no valid host; write a DNS name or an IP address")
    return {"host": host, "port": int(port)}


def _version_6(host: str, bracketed: bool, text: str) -> str:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        raise ValueError(f"{text!r} has no valid IPv6 address; check what is in '[]'") from None
    if not bracketed:
        raise ValueError(f"{text!r} is ambiguous; write an IPv6 address in '[]'")
    return host
