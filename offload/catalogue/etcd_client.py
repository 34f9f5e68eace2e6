"""Requests to an etcd cluster through its JSON gateway: TLS, authentication, fail-over, deadlines.

The gateway takes no identity from a client certificate: mutual TLS says who may connect, user and
password what he may do. Tokens live in the members' memory, so a member that was started again
refuses one that was good before, as all do once users or roles have changed; a new one is asked
for then.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from io import BytesIO
from ipaddress import ip_address
from typing import Any, Final
from weakref import WeakSet

import aiohttp
import orjson
from yarl import URL

from offload.catalogue.base import CatalogueDenied, CatalogueError, CatalogueUnavailable
from offload.catalogue.etcd_answers import Meaning, Refusal
from offload.config import EtcdSettings

Message = Mapping[str, Any]

_CONNECT_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 0.5
_TOKENS_TRIED: Final = 3
_HEADERS: Final = {"Content-Type": "application/json", "Grpc-Metadata-hasleader": "true"}
"""With `hasleader` a member that has lost the others says so instead of waiting for them."""


class Refused(Exception):
    """etcd's answer is an error that every member would give; nothing was written."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal


class Failed(Exception):
    """One endpoint did not do it. `done`: it may nevertheless have been carried out."""

    def __init__(self, text: str, *, done: bool) -> None:
        super().__init__(text)
        self.done = done


class Unknown(CatalogueUnavailable):
    """Whether the request was carried out is not known."""


class EtcdClient:
    """Knows the endpoints and which of them was good last; belongs to one event loop.

    attempt_seconds bounds a request to one endpoint, total_seconds one to all of them together.
    """

    def __init__(
        self,
        settings: EtcdSettings,
        *,
        attempt_seconds: float = 2.0,
        total_seconds: float = 10.0,
    ) -> None:
        """On the running loop; nothing is sent yet. Raises CatalogueError for unusable settings."""
        self._settings = settings
        self._urls = [_url(endpoint) for endpoint in settings.endpoints]
        self._attempt, self._total = attempt_seconds, total_seconds
        self._good = 0
        self._token: str | None = None
        self._authenticating = asyncio.Lock()
        self._sockets: WeakSet[socket.socket] = WeakSet()
        connector = aiohttp.TCPConnector(
            ssl=_tls(settings), limit=0, keepalive_timeout=30, socket_factory=self._socket
        )
        self._session = aiohttp.ClientSession(connector=connector, headers=_HEADERS)

    @property
    def endpoint(self) -> URL:
        """The one that was good last, or is to be tried next."""
        return self._urls[self._good]

    def bad(self, endpoint: URL) -> None:
        """Try another one next; nothing happens if that was already decided."""
        if endpoint == self.endpoint:
            self._good = (self._good + 1) % len(self._urls)

    def forget(self, token: str | None) -> None:
        """Ask for a new token before the next request, unless there is one already."""
        if self._token == token:
            self._token = None

    def renew(self) -> None:
        """Ask for a new token before the next request."""
        self._token = None

    async def close(self) -> None:
        """Close all connections: requests under way fail, streams end."""
        await self._session.close()
        # aiohttp does not wait for the transports of streams.
        for _ in range(1000):
            if all(each.fileno() < 0 for each in self._sockets):
                break
            await asyncio.sleep(0.001)

    async def call(self, path: str, body: Message, *, repeatable: bool = True) -> Message:
        """The answer to a request, from whichever endpoint gives one.

        repeatable: to carry it out twice does no harm, so that it is asked again even if it may
        have been carried out. Raises Refused, Unknown, CatalogueUnavailable and CatalogueDenied.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._total
        pause, attempts = _PAUSE_SECONDS, 0
        while True:
            endpoint = self.endpoint
            try:
                return await self.ask(endpoint, path, body)
            except Failed as failure:
                self.bad(endpoint)
                if failure.done and not repeatable:
                    raise Unknown(
                        f"{failure}: the change may have been made or not, so read before repeating"
                    ) from failure
                if loop.time() + pause > deadline:
                    raise CatalogueUnavailable(
                        f"{failure}: see that a majority of etcd's members runs"
                    ) from failure
            attempts += 1
            if attempts % len(self._urls) == 0:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def ask(self, endpoint: URL, path: str, body: Message) -> Message:
        """The answer of one endpoint, with a new token if need be; raises as `call`, and Failed."""
        for _ in range(_TOKENS_TRIED):
            token = await self._authenticated(endpoint)
            status, answer = await self._post(endpoint, path, body, token)
            if status == 200:
                return _message(answer)
            refusal = Refusal.parse(status, answer)
            if refusal.meaning is not Meaning.TOKEN:
                raise error_of(endpoint, refusal)
            self.forget(token)
            if self._settings.user is None:
                break
        raise CatalogueDenied(f"etcd wants user and password ({refusal.text}): configure them")

    @asynccontextmanager
    async def stream(self, endpoint: URL, path: str, body: Message) -> AsyncIterator[Lines]:
        """What one endpoint answers line by line, without a deadline; raises as `ask`."""
        self._check_open(endpoint)
        token = await self._authenticated(endpoint)
        request = self._session.post(
            endpoint / path,
            data=BytesIO(orjson.dumps(body)),
            headers=_authorization(token),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
        )
        with _failures(endpoint):
            async with asyncio.timeout(self._attempt):
                response = await request
        try:
            if response.status != 200:
                refusal = Refusal.parse(response.status, await response.read())
                if refusal.meaning is Meaning.TOKEN:
                    self.forget(token)
                raise error_of(endpoint, refusal)
            yield Lines(endpoint, response.content)
        finally:
            response.close()

    async def _authenticated(self, endpoint: URL) -> str | None:
        """A token, None where no user is configured."""
        if self._settings.user is None or self._token is not None:
            return self._token
        async with self._authenticating:
            if self._token is None:
                self._token = await self._new_token(endpoint, self._settings.user)
            return self._token

    async def _new_token(self, endpoint: URL, user: str) -> str:
        credentials = {"name": user, "password": _password(self._settings)}
        status, answer = await self._post(endpoint, "v3/auth/authenticate", credentials, None)
        if status == 200:
            return str(_message(answer)["token"])
        refusal = Refusal.parse(status, answer)
        if refusal.authentication_is_off:
            raise CatalogueDenied(
                "etcd lets everybody in: turn its authentication on, or configure no user"
            )
        if refusal.meaning in (Meaning.DENIED, Meaning.FINAL):
            raise CatalogueDenied(
                f"etcd refuses the user {user!r} ({refusal.text}): see to name and password"
            )
        raise error_of(endpoint, refusal)

    async def _post(
        self, endpoint: URL, path: str, body: Message, token: str | None
    ) -> tuple[int, bytes]:
        self._check_open(endpoint)
        timeout = aiohttp.ClientTimeout(total=self._attempt, sock_connect=_CONNECT_SECONDS)
        with _failures(endpoint):
            async with self._session.post(
                endpoint / path,
                data=BytesIO(orjson.dumps(body)),
                headers=_authorization(token),
                timeout=timeout,
            ) as response:
                return response.status, await response.read()

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        """A socket that notices within seconds when the other end has vanished."""
        family, kind, protocol = address[:3]
        made = socket.socket(family, kind, protocol)
        self._sockets.add(made)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        return made

    def _check_open(self, endpoint: URL) -> None:
        if self._session.closed:
            raise CatalogueUnavailable(f"the catalogue at {endpoint} is closed")


class Lines:
    """JSON objects, one on each line; reading may be cancelled without loss."""

    def __init__(self, endpoint: URL, content: aiohttp.StreamReader) -> None:
        self._endpoint, self._content = endpoint, content
        self._ready: deque[bytes] = deque()
        self._rest = bytearray()

    async def next(self) -> Message:
        """The next one; raises Failed at the end."""
        while not self._ready:
            with _failures(self._endpoint):
                chunk = await self._content.readany()
            if not chunk:
                raise Failed(f"{self._endpoint} ended the stream", done=False)
            self._take(chunk)
        return _message(self._ready.popleft())

    def _take(self, chunk: bytes) -> None:
        self._rest += chunk
        if b"\n" in chunk:
            *lines, rest = self._rest.split(b"\n")
            self._rest = bytearray(rest)
            self._ready.extend(bytes(line) for line in lines if line)


def error_of(endpoint: URL, refusal: Refusal) -> Exception:
    """The exception for an endpoint's refusal, a token's excepted."""
    text = f"{endpoint} answers '{refusal.text}'"
    match refusal.meaning:
        case Meaning.FINAL | Meaning.LARGE:
            return Refused(refusal)
        case Meaning.DENIED:
            return CatalogueDenied(f"{text}: grant the user's role what it needs")
        case Meaning.NAMED:
            return CatalogueDenied(
                f"{endpoint} takes no client certificate with a common name: make one with an"
                " empty subject"
            )
        case Meaning.FULL:
            return CatalogueUnavailable(
                f"{text}: compact and defragment its database, then disarm the alarm"
            )
        case _:
            return Failed(text, done=refusal.meaning is Meaning.UNKNOWN)


@contextmanager
def _failures(endpoint: URL) -> Iterator[None]:
    """Map what aiohttp raises; what had not been sent has not been carried out."""
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise Failed(f"{endpoint} cannot be reached ({_reason(error)})", done=False) from error
    except (aiohttp.ClientError, OSError) as error:
        raise Failed(f"{endpoint} does not answer ({_reason(error)})", done=True) from error


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    return str(error) or type(error).__name__


def _authorization(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": token}


def _message(answer: bytes) -> Message:
    try:
        message = orjson.loads(answer)
    except orjson.JSONDecodeError:
        message = None
    if not isinstance(message, dict):
        raise CatalogueError("what answers is no etcd: see to the endpoints")
    return message


def _url(endpoint: str) -> URL:
    try:
        url = URL(endpoint)
    except ValueError:
        url = URL()
    if url.scheme not in ("https", "http") or not url.host or url.path not in ("", "/"):
        raise CatalogueError(f"{endpoint!r} is no endpoint of etcd: write 'https://HOST:PORT'")
    if url.scheme == "http" and not _is_loopback(url.host):
        raise CatalogueError(f"{endpoint!r} would send keys in clear: write 'https://HOST:PORT'")
    return url.origin()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tls(settings: EtcdSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.trust)
        if settings.certificate is not None:
            context.load_cert_chain(settings.certificate, settings.key)
    except (OSError, ValueError) as error:
        raise CatalogueError(
            f"the certificates for etcd cannot be used ({error}): see to 'trust', 'certificate'"
            " and 'key'"
        ) from error
    return context


def _password(settings: EtcdSettings) -> str:
    """Read each time, so that a changed password needs no restart."""
    if settings.password_file is None:
        raise CatalogueDenied("a user is configured for etcd without a 'password_file': name one")
    try:
        return settings.password_file.read_text().rstrip("\r\n")
    except (OSError, ValueError):
        raise CatalogueDenied(
            f"{settings.password_file} cannot be read: see to its path and permissions"
        ) from None
