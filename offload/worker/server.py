"""One serving process's links, and what they share: the token, the policies, the signer."""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from hashlib import sha256
from time import perf_counter
from typing import Protocol

from OpenSSL import SSL

from offload.audit.batching import SignatureAudit
from offload.audit.sink import AuditSink
from offload.channel.channel import Channel
from offload.keys.algorithm import Algorithm
from offload.keys.record import KeyRecord
from offload.observe import metrics
from offload.observe.log import get_logger
from offload.observe.sampler import Sampler
from offload.tls.mutual import MutualSession, PeerRejected
from offload.token.base import Token, TokenError
from offload.wire.error import ErrorCode
from offload.worker.link import Link
from offload.worker.order import Order, Refusal
from offload.worker.policy import Policy
from offload.worker.signer import Answer, Signer

# Connections that have not shown a certificate yet; strangers can open no more at a time.
MAX_HANDSHAKES = 256
_HANDSHAKE_SECONDS = 10.0

_FAILURES = {
    ErrorCode.KEY_NOT_FOUND: "key_not_found",
    ErrorCode.CRYPTO: "token_error",
    ErrorCode.INTERNAL: "internal_error",
}

_log = get_logger(__name__)

# The link, the request's id on it, and when it came.
_Ticket = tuple[Link, int, float]


class Rights(Protocol):
    """Who may have what signed."""

    def policy_of(self, certificate: bytes) -> Policy | None:
        """The policy for whoever holds that certificate (DER), None for a stranger."""

    def take_keys(self, records: Iterable[KeyRecord]) -> None:
        """The token holds these keys now."""


class Server:
    """Serves front-ends on the connections given to `accept`, from one event loop."""

    def __init__(
        self,
        token: Token,
        rights: Rights,
        context: SSL.Context,
        *,
        threads: int,
        on_links: Callable[[int], None] = lambda count: None,
        audit: AuditSink | None = None,
    ) -> None:
        """Made on the running loop; `on_links` is told the number of links when it changes.

        audit: where signatures are recorded of which that is asked; without it they are refused.
        """
        self._token = token
        self._rights = rights
        self._context = context
        self.signatures: Counter[bytes] = Counter()
        self._on_links = on_links
        self._loop = asyncio.get_running_loop()
        self._signer: Signer[_Ticket] = Signer(token, self._loop, self._answered, threads=threads)
        self._audit: SignatureAudit[Answer[_Ticket]] | None = None
        if audit is not None:
            self._audit = SignatureAudit(audit, self._loop, self._recorded)
        self._links: set[Link] = set()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._sampler = Sampler()
        self._in_flight = metrics.WORKER_IN_FLIGHT.labels()
        self._signed = {
            algorithm: metrics.WORKER_OPERATIONS.labels(algorithm, "signed")
            for algorithm in Algorithm
        }
        self._seconds = {
            algorithm: metrics.WORKER_OPERATION_SECONDS.labels(algorithm) for algorithm in Algorithm
        }
        self._take_keys()

    @property
    def links(self) -> int:
        """How many links are up."""
        return len(self._links)

    # Connections

    def accept(self, connection: socket.socket) -> None:
        """Serve the peer of a connected socket, which is the server's from now on."""
        if self._draining or len(self._handshakes) >= MAX_HANDSHAKES:
            connection.close()
            return
        task = self._loop.create_task(self._handshake(connection))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _handshake(self, connection: socket.socket) -> None:
        channel = Channel(MutualSession(self._context, None), Link(self), self._loop)
        try:
            connection.setblocking(False)
            async with asyncio.timeout(_HANDSHAKE_SECONDS):
                await self._loop.connect_accepted_socket(lambda: channel, connection)
                await channel.established
        except (OSError, TimeoutError, PeerRejected) as error:
            channel.abort()
            self._turned_away("handshake", str(error) or "the peer is too slow")
        except asyncio.CancelledError:
            channel.abort()
            raise

    def _turned_away(self, reason: str, detail: str) -> None:
        metrics.WORKER_LINK_ERRORS.labels(reason).inc()
        held_back = self._sampler.admit(reason, self._loop.time())
        if held_back is not None:
            _log.warning("link turned away", reason=reason, detail=detail, held_back=held_back)

    async def drain(self) -> None:
        """Take no more, answer what was taken, and return when every link is closed."""
        self._draining = True
        for task in self._handshakes:
            task.cancel()
        for link in tuple(self._links):
            link.drain()
        await self._idle.wait()

    async def stop_recording(self) -> None:
        """Return once what is being recorded is; what waits for that is refused."""
        if self._audit is not None:
            await self._audit.close()

    def close(self) -> None:
        """End all links and the signer, answered or not."""
        self._draining = True
        for link in tuple(self._links):
            link.abort()
        self._signer.close()

    def dismiss(self, known: Collection[Policy]) -> None:
        """End the links of front-ends whose policy is not among those known any more."""
        for link in tuple(self._links):
            if link.policy not in known:
                link.dismiss("unregistered_frontend", "it is not registered any more")

    # Keys

    def reload(self) -> None:
        """Take in keys that were added or removed; if the token is broken, nothing changes."""
        try:
            changed = self._token.reload()
        except TokenError as error:
            _log.error("cannot reload the token", error=str(error))
            return
        if changed:
            self._take_keys()

    def _take_keys(self) -> None:
        records = self._token.keys()
        self._rights.take_keys(records)
        counts = Counter(record.algorithm for record in records)
        for algorithm in Algorithm:
            metrics.WORKER_KEYS.labels(algorithm).set(counts[algorithm])
        _log.info("keys taken in", keys=len(records))

    # What links ask of their host

    def admit(self, link: Link, certificate: bytes) -> Policy | None:
        policy = self._rights.policy_of(certificate)
        if policy is None:
            fingerprint = sha256(certificate).hexdigest()
            self._turned_away("unknown_frontend", f"no front-end with fingerprint {fingerprint}")
            return None
        if self._draining:
            return None
        self._links.add(link)
        self._idle.clear()
        metrics.WORKER_LINKS.labels(policy.frontend).inc()
        self._on_links(len(self._links))
        _log.info("link up", frontend=policy.frontend)
        return policy

    def order(self, link: Link, orders: list[tuple[int, Order]]) -> None:
        came = perf_counter()
        self._in_flight.value += len(orders)
        self._signer.submit([((link, number, came), order) for number, order in orders])

    def refused(self, link: Link, refusal: Refusal) -> None:
        metrics.WORKER_REFUSALS.labels(refusal.reason).inc()
        held_back = self._sampler.admit(f"{link.frontend} {refusal.reason}", self._loop.time())
        if held_back is not None:
            _log.warning(
                "request refused",
                frontend=link.frontend,
                reason=refusal.reason,
                held_back=held_back,
            )

    def broken(self, link: Link, reason: str) -> None:
        metrics.WORKER_LINK_ERRORS.labels(reason).inc()

    def ended(self, link: Link) -> None:
        if link not in self._links:
            return
        self._links.remove(link)
        metrics.WORKER_LINKS.labels(link.frontend).dec()
        self._on_links(len(self._links))
        _log.info("link down", frontend=link.frontend)
        if not self._links:
            self._idle.set()

    # Answers

    def _answered(self, answers: list[Answer[_Ticket]]) -> None:
        now = perf_counter()
        signed, seconds, signatures = self._signed, self._seconds, self.signatures
        links = set()
        withheld = 0
        for answer in answers:
            (link, request_id, came), order, outcome = answer
            if order.record is not None and isinstance(outcome, bytes):
                withheld += 1
                continue
            link.answer(request_id, outcome)
            links.add(link)
            algorithm = order.algorithm
            if isinstance(outcome, bytes):
                signed[algorithm].pending += 1
                signatures[order.ski] += 1
            else:
                metrics.WORKER_OPERATIONS.labels(algorithm, _FAILURES[outcome]).inc()
            seconds[algorithm].observe(now - came)
        if withheld:
            self._record(answers)
        self._in_flight.value -= len(answers) - withheld
        for link in links:
            link.flush()

    def _record(self, answers: list[Answer[_Ticket]]) -> None:
        """Let no signature leave before its record is durable."""
        records = [
            (answer, answer[1].record)
            for answer in answers
            if answer[1].record is not None and isinstance(answer[2], bytes)
        ]
        if self._audit is None:
            self._recorded([answer for answer, _ in records], False)
        else:
            self._audit.submit(records)

    def _recorded(self, answers: list[Answer[_Ticket]], recorded: bool) -> None:
        """Release what was withheld, or refuse it: the log's remedy is in its own message."""
        self._answered(
            [
                (ticket, order._replace(record=None), outcome if recorded else ErrorCode.INTERNAL)
                for ticket, order, outcome in answers
            ]
        )
