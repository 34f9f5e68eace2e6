"""Signatures are recorded before they leave: in batches, beside the event loop.

While one batch is made durable the next one gathers, so the time of one fsync is shared by all
signatures that came meanwhile: the busier, the cheaper each.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Generic, TypeVar

from offload.audit.sink import AuditSink, AuditUnavailable
from offload.observe.log import get_logger

MAX_WAITING: Final = 4096
"""Signatures that wait for their record; more are refused at once."""
MAX_BATCH: Final = 256

_log = get_logger("audit.signatures")

Ticket = TypeVar("Ticket")


def signature_fields(
    *,
    site: str,
    frontend: str,
    ski: bytes,
    generation: int,
    scheme: str,
    client_random: bytes = b"",
    transcript_hash: bytes = b"",
) -> dict[str, Any]:
    """The fields of a signature's record. site: the name that the front-end gave; client_random:
    what names a TLS 1.2 handshake; transcript_hash: what names one of TLS 1.3, of which the worker
    sees no more. They are left out where they are not known.
    """
    fields = {
        "site": site,
        "frontend": frontend,
        "ski": ski.hex(),
        "generation": generation,
        "scheme": scheme,
    }
    if client_random:
        fields["client_random"] = client_random.hex()
    if transcript_hash:
        fields["transcript_hash"] = transcript_hash.hex()
    return fields


class SignatureAudit(Generic[Ticket]):
    """Takes records with tickets that mean something to the caller, and gives the tickets back."""

    def __init__(
        self,
        sink: AuditSink,
        loop: asyncio.AbstractEventLoop,
        settled: Callable[[list[Ticket], bool], None],
        *,
        waiting: int = MAX_WAITING,
    ) -> None:
        """`settled` is called on the loop with the tickets of a batch, in the order in which they
        came: True if they are recorded, and may be released; False if they must be refused.
        """
        self._sink, self._loop, self._settled = sink, loop, settled
        self._most = waiting
        self._waiting: deque[tuple[Ticket, Mapping[str, Any]]] = deque()
        self._due = False
        self._writing: asyncio.Future[bool] | None = None
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")

    def submit(self, records: Sequence[tuple[Ticket, Mapping[str, Any]]]) -> None:
        """Have them recorded; called on the loop. All of one turn of it go together."""
        room = 0 if self._closed else self._most - len(self._waiting)
        self._waiting.extend(records[:room])
        refused = [ticket for ticket, _ in records[room:]]
        if refused:
            self._loop.call_soon(self._settled, refused, False)
        if self._waiting and not self._due and self._writing is None:
            self._due = True
            self._loop.call_soon(self._begin)

    async def close(self) -> None:
        """Refuse what waits, and return when the batch that is being written is settled."""
        self._closed = True
        refused = [ticket for ticket, _ in self._waiting]
        self._waiting.clear()
        if self._writing is not None:
            await asyncio.wait([self._writing])
            await asyncio.sleep(0)
        if refused:
            self._settled(refused, False)
        self._thread.shutdown()

    def _begin(self) -> None:
        self._due = False
        if not self._waiting:
            return
        count = min(len(self._waiting), MAX_BATCH)
        batch = [self._waiting.popleft() for _ in range(count)]
        records = [fields for _, fields in batch]
        tickets = [ticket for ticket, _ in batch]
        self._writing = self._loop.run_in_executor(self._thread, self._append, records)
        self._writing.add_done_callback(lambda done: self._ended(tickets, done.result()))

    def _ended(self, tickets: list[Ticket], recorded: bool) -> None:
        self._writing = None
        # The next batch is on its way while this one is handed out.
        if self._waiting:
            self._begin()
        self._settled(tickets, recorded)

    def _append(self, records: list[Mapping[str, Any]]) -> bool:
        try:
            self._sink.append("signature", *records)
        except AuditUnavailable as error:
            _log.error("signatures refused: they cannot be recorded", reason=str(error))
            return False
        except Exception:
            # Without a record no signature leaves, whatever went wrong.
            _log.exception("recording signatures broke")
            return False
        return True
