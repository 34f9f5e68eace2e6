"""One TOML file -> validated, immutable settings.

Nouns: `Settings` (the whole file) with `Log`, `Frontend` (`Pool`, `Site`, `Backend`) and
`Worker` (`TokenSettings`, `FrontendGrant`); `Address`, where something listens or is reached;
`Identity`, a certificate and key for mutual TLS. `load()` reads a file, lays the environment
over it, validates it, and raises `ConfigurationError`, which names file, key and remedy.

Importing this module loads no cryptographic library; checking the files that a configuration
names does, and so lives in `offload.config_files`.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_serializer,
    model_validator,
)

ENVIRONMENT_PREFIX = "OFFLOAD_"

Role = Literal["frontend", "worker"]
_ROLES = ("frontend", "worker")

# Names as in the IANA "TLS Supported Groups" registry or as NIST writes them; OpenSSL takes both.
GROUPS = {
    "x25519mlkem768": "X25519MLKEM768",
    "secp256r1mlkem768": "SecP256r1MLKEM768",
    "secp384r1mlkem1024": "SecP384r1MLKEM1024",
    "x25519": "X25519",
    "p-256": "P-256",
    "secp256r1": "P-256",
    "prime256v1": "P-256",
    "p-384": "P-384",
    "secp384r1": "P-384",
    "p-521": "P-521",
    "secp521r1": "P-521",
}

# IANA "TLS Application-Layer Protocol Negotiation (ALPN) Protocol IDs", those that run over TCP.
APPLICATION_PROTOCOLS = frozenset({
    "http/0.9", "http/1.0", "http/1.1", "h2", "spdy/1", "spdy/2", "spdy/3", "ftp", "imap",
    "pop3", "managesieve", "coap", "xmpp-client", "xmpp-server", "acme-tls/1", "mqtt", "dot",
    "ntske/1", "sunrpc", "smb", "irc", "nntp", "nnsp", "sip/2", "tds/8.0", "dicom",
    "postgresql", "radius/1.0", "radius/1.1", "stun.turn", "stun.nat-discovery",
})  # fmt: skip

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_HEXADECIMAL = re.compile(r"[0-9a-f]+")


class Problem(NamedTuple):
    """One thing wrong with a configuration: which key, what is wrong, what to do about it."""

    key: str
    text: str
    remedy: str

    def __str__(self) -> str:
        head = f"{self.key}: {self.text}" if self.key else self.text
        return f"{head}; {self.remedy}" if self.remedy else head


class ConfigurationError(Exception):
    """A configuration that cannot be used; `problems` has at least one entry."""

    def __init__(self, path: Path, problems: Sequence[Problem]) -> None:
        self.path = path
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{path}: {problem}" for problem in self.problems))


def _resolved(value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Path:
    if value == "":
        raise ValueError("is empty; write the path of a file")
    path: Path = handler(value)
    base = (info.context or {}).get("base")
    return path if base is None else Path(os.path.normpath(base / path))


def _word(value: str) -> str:
    if not _WORD.fullmatch(value):
        raise ValueError(
            f"{value!r} is not a name; use up to 63 letters, digits, '.', '_' and '-',"
            " with a letter or digit at both ends"
        )
    return value


File = Annotated[Path, WrapValidator(_resolved)]
Name = Annotated[str, AfterValidator(_word)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class Model(BaseModel):
    """What all settings share: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)


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
        return _host_and_port(text, text)

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
        parts = _host_and_port(text.removeprefix("tcp://"), text)
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


def _host_and_port(value: str, text: str) -> dict[str, Any]:
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
    if not _is_host(host.lower()):
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


def _is_host(host: str) -> bool:
    labels = host.split(".")
    if labels[-1].isdigit():
        return _is_version_4(host)
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in labels)


def _is_version_4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


class Log(Model):
    """What is logged to standard error, and how a line looks."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"


class Identity(Model):
    """Who we are in mutual TLS: a PEM certificate (leaf first) and its private key, mode 0600."""

    certificate: File
    key: File


class WorkerAddress(Model):
    """A worker as the front-end sees it; its certificate must be valid for `name`."""

    name: Name
    address: Address


class Pool(Model):
    """How the front-end reaches its workers. `deadline` (seconds) bounds one signature."""

    identity: Identity
    trust: File
    deadline: Seconds = 5.0
    links: int = Field(default=1, ge=1, le=64)
    verify: Literal["sample", "all"] = "sample"
    workers: tuple[WorkerAddress, ...] = Field(min_length=1)

    @field_validator("workers")
    @classmethod
    def _distinct(cls, workers: tuple[WorkerAddress, ...]) -> tuple[WorkerAddress, ...]:
        _refuse_repeats([worker.name for worker in workers], "worker name")
        _refuse_repeats([str(worker.address) for worker in workers], "worker address")
        return workers


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
    if _is_version_4(host) or ":" in host:
        raise ValueError(
            f"{value!r} is an IP address, which no client sends as server name;"
            " use 'default = true'"
        )
    if not _is_host(host) or (host != name and "." not in host):
        raise ValueError(f"{value!r} is not a DNS name; write 'www.example.org'")
    return name


def _group(value: str) -> str:
    if value.lower() not in GROUPS:
        known = ", ".join(dict.fromkeys(GROUPS.values()))
        raise ValueError(f"unknown group {value!r}; choose from {known}")
    return GROUPS[value.lower()]


def _application_protocol(value: str) -> str:
    if value not in APPLICATION_PROTOCOLS:
        raise ValueError(
            f"unknown application protocol {value!r}; choose from the registered ones,"
            " such as 'http/1.1' or 'h2'"
        )
    return value


SiteName = Annotated[str, AfterValidator(site_name)]
Group = Annotated[str, AfterValidator(_group)]
ApplicationProtocol = Annotated[str, AfterValidator(_application_protocol)]


class Site(Model):
    """One website: the names it answers to, its certificates, and where its plaintext goes."""

    names: tuple[SiteName, ...] = ()
    default: bool = False
    certificates: tuple[File, ...] = Field(min_length=1)
    backends: tuple[Backend, ...] = Field(min_length=1)
    alpn: tuple[ApplicationProtocol, ...] = ()
    min_version: Literal["1.2", "1.3"] = "1.2"
    groups: tuple[Group, ...] = Field(
        default=("X25519MLKEM768", "X25519", "P-256", "P-384"), min_length=1
    )
    tickets: bool = True
    proxy_protocol: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.names and not self.default:
            raise ValueError("has no names and is not the default; give it names or 'default'")
        _refuse_repeats(list(self.names), "site name")
        _refuse_repeats([str(backend) for backend in self.backends], "backend")
        _refuse_repeats([str(path) for path in self.certificates], "certificate")
        _refuse_repeats(list(self.groups), "group")
        _refuse_repeats(list(self.alpn), "application protocol")
        return self


class Frontend(Model):
    """`[frontend]`. `processes` 0 means one for each core; timeouts are in seconds."""

    listen: tuple[Address, ...] = Field(min_length=1)
    processes: int = Field(default=0, ge=0, le=1024)
    backlog: int = Field(default=4096, ge=1, le=65_535)
    admin: Address | None = None
    handshake_timeout: Seconds = 10.0
    idle_timeout: Seconds = 300.0
    drain_timeout: Seconds = 30.0
    pool: Pool
    sites: tuple[Site, ...] = Field(min_length=1)

    @field_validator("listen")
    @classmethod
    def _distinct_listeners(cls, listen: tuple[Address, ...]) -> tuple[Address, ...]:
        _refuse_repeats(
            [str(address) for address in listen if address.port or address.path], "listen address"
        )
        return listen

    @field_validator("sites")
    @classmethod
    def _distinct_sites(cls, sites: tuple[Site, ...]) -> tuple[Site, ...]:
        _refuse_repeats([name for site in sites for name in site.names], "site name")
        defaults = [index for index, site in enumerate(sites) if site.default]
        if len(defaults) > 1:
            raise ValueError(
                f"sites {defaults[0]} and {defaults[1]} are both the default;"
                " leave 'default = true' at one"
            )
        return sites


class TokenSettings(Model):
    """Where the worker's keys live and the file that holds the passphrase to them."""

    directory: File
    passphrase_file: File


def _fingerprint(value: str) -> str:
    digits = value.lower().replace(":", "").removeprefix("sha256")
    if len(digits) != 64 or not _HEXADECIMAL.fullmatch(digits):
        raise ValueError(
            f"{value!r} is not a SHA-256 fingerprint; write the 64 hexadecimal digits that"
            " 'openssl x509 -noout -fingerprint -sha256' prints"
        )
    return digits


class FrontendGrant(Model):
    """A front-end that may use this worker, and for which keys: labels, hex SKIs or "*"."""

    name: Name
    fingerprint: Annotated[str, AfterValidator(_fingerprint)]
    keys: tuple[str, ...] = Field(min_length=1)

    @field_validator("keys")
    @classmethod
    def _keys(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        _refuse_repeats(list(keys), "key")
        if "" in keys:
            raise ValueError("a key label is empty; write a label, an identifier or '*'")
        if "*" in keys and len(keys) > 1:
            raise ValueError("'*' stands for every key; leave it alone or remove it")
        return keys


class SqliteSettings(Model):
    """A catalogue in a file: for the processes of one machine."""

    kind: Literal["sqlite"] = "sqlite"
    path: File


class EtcdSettings(Model):
    """A catalogue in etcd (v3). endpoints: 'https://HOST:PORT'; prefix: of every key."""

    kind: Literal["etcd"]
    endpoints: tuple[str, ...] = Field(min_length=1)
    trust: File | None = None
    certificate: File | None = None
    key: File | None = None
    user: str | None = None
    password_file: File | None = None
    prefix: str = "/offload/"


CatalogueSettings = Annotated[SqliteSettings | EtcdSettings, Field(discriminator="kind")]


class WorkerCluster(Model):
    """`[worker.cluster]`: the worker is a member of a cluster.

    state: a directory (0700) for the audit log and a local copy of the catalogue; api: where REST
    and console listen, under mutual TLS; advertise, advertise_api: these addresses as other
    machines reach them (default: as they listen); lease (seconds): after which a dead member is
    taken for gone.
    """

    state: File
    catalogue: CatalogueSettings
    zone: str = ""
    capacity: float = Field(default=1.0, gt=0, le=1000)
    api: Address | None = None
    advertise: Address | None = None
    advertise_api: Address | None = None
    lease: Seconds = 5.0


class FrontendCluster(Model):
    """`[frontend.cluster]`: workers and certificates come from the cluster's catalogue.

    state: a directory for a local copy, with which the front-end starts while the catalogue is
    down.
    """

    name: Name
    state: File
    catalogue: CatalogueSettings
    zone: str = ""
    lease: Seconds = 5.0


class Worker(Model):
    """`[worker]`. `processes` 0 means one for each core; `threads` of each wait for an HSM."""

    name: Name
    listen: Address
    admin: Address | None = None
    processes: int = Field(default=0, ge=0, le=1024)
    threads: int = Field(default=4, ge=1, le=256)
    identity: Identity
    trust: File
    token: TokenSettings
    cluster: WorkerCluster | None = None
    frontends: tuple[FrontendGrant, ...] = ()
    plain_digests: bool = False
    drain_timeout: Seconds = 10.0

    @field_validator("frontends")
    @classmethod
    def _distinct(cls, frontends: tuple[FrontendGrant, ...]) -> tuple[FrontendGrant, ...]:
        _refuse_repeats([grant.name for grant in frontends], "front-end name")
        _refuse_repeats([grant.fingerprint for grant in frontends], "front-end fingerprint")
        return frontends


class Settings(Model):
    """The whole file: `[log]`, and `[frontend]` or `[worker]` or both."""

    log: Log = Log()
    frontend: Frontend | None = None
    worker: Worker | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.frontend is None and self.worker is None:
            raise ValueError("configures nothing to run; add a [frontend] or a [worker] table")
        return self


def _refuse_repeats(values: list[str], noun: str) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{noun} {value!r} stands twice; remove one")
        seen.add(value)


def load(
    path: str | Path,
    *,
    role: Role | None = None,
    environment: Mapping[str, str] | None = None,
    files: bool = True,
) -> Settings:
    """Read and check the configuration at `path`.

    With a `role`, its table must be there, and the other one is left out: on one machine each
    runs as a user of its own, who cannot read the other's files. Variables `OFFLOAD_TABLE__KEY`
    of `environment` (default: the process's) override the file. Relative paths are relative to
    the directory of the file. With `files`, the certificates, keys and directories that it names
    are checked too. Raises ConfigurationError.
    """
    path = Path(path)
    data = _overridden(_read(path), os.environ if environment is None else environment)
    if role is not None and role in data:
        data = {name: table for name, table in data.items() if name == role or name not in _ROLES}
    try:
        settings = Settings.model_validate(data, context={"base": path.absolute().parent})
    except ValidationError as error:
        raise ConfigurationError(path, _problems(error)) from None
    if role is not None:
        settings = _narrowed(path, settings, role)
    if files:
        from offload import config_files  # loads libcrypto, which only this needs

        problems = config_files.problems(settings)
        if problems:
            raise ConfigurationError(path, problems)
    return settings


def _narrowed(path: Path, settings: Settings, role: Role) -> Settings:
    if getattr(settings, role) is None:
        remedy = f"add a [{role}] table, or name the {role}'s own file"
        raise ConfigurationError(path, [Problem(role, "is missing", remedy)])
    return Settings.model_construct(**{"log": settings.log, role: getattr(settings, role)})


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        problem = Problem("", f"cannot be read: {reason}", "check the path and its permissions")
    except UnicodeDecodeError:
        problem = Problem("", "is not UTF-8 text", "save it as UTF-8")
    except tomllib.TOMLDecodeError as error:
        text = str(error)
        problem = Problem("", f"is not TOML: {text[:1].lower()}{text[1:]}", "mend that line")
    raise ConfigurationError(path, [problem])


def _overridden(data: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    for variable, value in sorted(environment.items()):
        keys = variable.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        # Other variables of ours share the prefix; only those that begin with a table are settings.
        if not variable.startswith(ENVIRONMENT_PREFIX) or len(keys) < 2:
            continue
        if keys[0] in Settings.model_fields:
            _set(data, keys, value)
    return data


def _set(table: dict[str, Any], keys: list[str], value: str) -> None:
    for key in keys[:-1]:
        child = table.setdefault(key, {})
        if not isinstance(child, dict):
            return
        table = child
    try:
        table[keys[-1]] = json.loads(value) if value[:1] in ("[", "{") else value
    except json.JSONDecodeError:
        table[keys[-1]] = value


def _problems(error: ValidationError) -> list[Problem]:
    details = error.errors(include_url=False)
    places = [detail["loc"] for detail in details]
    return [
        Problem(_dotted(detail["loc"]), *_explained(detail))
        for detail in details
        if detail["type"] != "too_short" or not _has_inner(detail["loc"], places)
    ]


def _has_inner(location: tuple[int | str, ...], places: list[tuple[int | str, ...]]) -> bool:
    # pydantic also calls a list too short when it dropped the entries that are wrong.
    depth = len(location)
    return any(len(place) > depth and place[:depth] == location for place in places)


def _dotted(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _explained(detail: Any) -> tuple[str, str]:
    """What is wrong and what to do about it, of one of pydantic's error records."""
    kind, message = detail["type"], detail["msg"]
    if kind == "extra_forbidden":
        return "unknown key", _nearest(detail["loc"])
    if kind == "missing":
        return "is missing", "add it"
    if kind == "too_short":
        return "is empty", "add at least one entry"
    if kind in ("model_type", "dict_type"):
        return "is not a table", f"write it as [{_dotted(detail['loc'])}]"
    if kind in ("tuple_type", "list_type"):
        return "is not a list", "put it in '[]'"
    text, _, remedy = message.removeprefix("Value error, ").partition("; ")
    if text.startswith("Input should be "):
        wanted = text.removeprefix("Input should be ").partition(", unable to")[0]
        noun = "a number " if wanted.startswith(("greater", "less")) else ""
        return f"{detail['input']!r} is not valid", f"use {noun}{wanted}"
    return text[:1].lower() + text[1:] if kind != "value_error" else text, remedy


def _nearest(location: tuple[int | str, ...]) -> str:
    model: Any = Settings
    for part in location[:-1]:
        if isinstance(part, str):
            model = _model_of(model.model_fields[part].annotation)
    close = difflib.get_close_matches(str(location[-1]), model.model_fields, 1)
    return f"did you mean '{close[0]}'?" if close else "remove it or correct its spelling"


def _model_of(annotation: Any) -> Any:
    """The settings model inside `X`, `X | None` or `tuple[X, ...]`."""
    inner = getattr(annotation, "__args__", (annotation,))
    return next(kind for kind in inner if isinstance(kind, type) and issubclass(kind, Model))
