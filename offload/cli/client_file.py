"""The client file: whom a command asks, and who asks.

    servers = ["https://10.0.0.1:2408", "https://10.0.0.2:2408"]    # or server = "..."
    certificate = "users/olga.pem"
    key = "users/olga.key"
    trust = "authority.pem"

Paths are relative to the file. A server may be any member of the cluster.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from offload.cli.failure import Failure

if TYPE_CHECKING:
    import ssl

    from offload.cluster.approval import UserPrivateKey

VARIABLE = "OFFLOAD_CLIENT"
SYSTEM = Path("/etc/offload/client.toml")

_MODEL = "see the one that 'offload cluster create' wrote"


@dataclass(frozen=True, slots=True)
class ClientFile:
    """servers: URLs of members; certificate, key: the user's; trust: the cluster's CA."""

    path: Path
    servers: tuple[str, ...]
    certificate: Path
    key: Path
    trust: Path

    def context(self) -> ssl.SSLContext:
        """For mutual TLS with a member; raises Failure."""
        import ssl

        try:
            context = ssl.create_default_context(cafile=str(self.trust))
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            # Members are reached by addresses that may change. The cluster's CA issues certificates
            # for servers to its members alone, and each of them may answer.
            context.check_hostname = False
            # Never asks at the terminal: who has an encrypted key is told so.
            context.load_cert_chain(self.certificate, self.key, password=lambda: "")
        except (ssl.SSLError, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise Failure(
                f"{self.path}: certificate, key or trust cannot be used: {reason.lower()}",
                "name PEM files that you may read, and a key that is not encrypted",
            ) from None
        return context

    def private_key(self) -> UserPrivateKey:
        """The user's; raises Failure."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(self.key.read_bytes(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(
            key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
        ):
            raise Failure(f"{self.key} is no private key that can sign", _MODEL)
        return key

    def fingerprint(self) -> str:
        """SHA-256 in hexadecimal of the user's certificate, whose key we have; raises Failure."""
        from cryptography import x509

        from offload.cluster.authority import fingerprint

        try:
            certificate = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        except ValueError:
            raise Failure(f"{self.certificate} is no certificate", _MODEL) from None
        if self.private_key().public_key() != certificate.public_key():
            raise Failure(f"{self.key} is not the key of {self.certificate}", _MODEL)
        return fingerprint(certificate)


def find(named: Path | None, environment: Mapping[str, str] = os.environ) -> Path | None:
    """The client file: the one named, else $OFFLOAD_CLIENT, the user's own or the machine's."""
    if named is not None:
        return named
    if environment.get(VARIABLE):
        return Path(environment[VARIABLE])
    home = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME", "/")) / ".config")
    own = Path(home) / "offload" / "client.toml"
    return next((path for path in (own, SYSTEM) if path.is_file()), None)


def load(path: Path) -> ClientFile:
    """Raises Failure, and OSError if it cannot be read."""
    try:
        table = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Failure(f"{path}: not TOML: {error}", _MODEL) from None
    base = path.absolute().parent
    return ClientFile(
        path, _servers(path, table), *(base / _text(path, table, name) for name in _PATHS)
    )


_PATHS = ("certificate", "key", "trust")
_KNOWN = {"server", "servers", *_PATHS}


def _servers(path: Path, table: dict[str, Any]) -> tuple[str, ...]:
    unknown = sorted(table.keys() - _KNOWN)
    if unknown:
        raise Failure(
            f"{path}: unknown key {unknown[0]!r}", f"known are {', '.join(sorted(_KNOWN))}"
        )
    found = table["servers"] if "servers" in table else [_text(path, table, "server")]
    if not isinstance(found, list) or not found or not all(map(_is_server, found)):
        raise Failure(f"{path}: servers are to be 'https://HOST:PORT'", _MODEL)
    return tuple(one.rstrip("/") for one in found)


def _is_server(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parts = urlsplit(value)
        return (
            parts.scheme == "https"
            and bool(parts.hostname and parts.port)
            and parts.path in ("", "/")
        )
    except ValueError:
        return False


def _text(path: Path, table: dict[str, Any], name: str) -> str:
    value = table.get(name)
    if not isinstance(value, str) or not value:
        raise Failure(f"{path}: {name} is missing", _MODEL)
    return value
