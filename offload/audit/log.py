"""The chain of a worker's audit records, as the sink that acts and signatures are recorded in."""

from __future__ import annotations

import os
import re
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from offload.audit import record
from offload.audit.chain import Chain
from offload.audit.fields import encoded
from offload.audit.record import Head
from offload.audit.sink import AuditUnavailable
from offload.observe import metrics

SEGMENT_BYTES = 16 << 20

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_Fields = tuple[str, str]


class _Batch:
    """The records of one `append`: kind and encoded fields of each; `error` says why not."""

    __slots__ = ("done", "error", "records")

    def __init__(self, records: list[_Fields]) -> None:
        self.records = records
        self.done = False
        self.error: AuditUnavailable | None = None


class AuditLog:
    """Appends to the one chain of a worker; all its processes and threads may, at the same time.

    What several threads append at once is made durable together. Opened at the first use, and again
    after an error or a fork.
    """

    def __init__(
        self,
        directory: Path,
        worker: str,
        clock: Callable[[], datetime],
        *,
        cluster: str,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        """`directory` holds the segments; the first record of a new chain names the cluster.

        Raises ValueError for a worker's name that no configuration has.
        """
        if not _NAME.fullmatch(worker):
            raise ValueError(f"{worker!r} is no name of a worker")
        self.directory, self.worker, self.cluster = directory, worker, cluster
        self._clock = clock
        self._segment_bytes = segment_bytes
        self._chain: Chain | None = None
        self._seen = 0
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._waiting: deque[_Batch] = deque()
        self._lock = threading.Lock()

    def append(self, kind: str, *records: Mapping[str, Any]) -> None:
        """Add one record for each mapping; durable when it returns. Raises AuditUnavailable, and
        ValueError for a kind that there is not.
        """
        if kind not in record.KINDS:
            raise ValueError(f"{kind!r} is no kind of audit record")
        if not records:
            return
        self._renew_after_fork()
        batch = _Batch([(kind, encoded(fields)) for fields in records])
        self._waiting.append(batch)
        with self._lock:
            # Whoever had the lock before may have written ours together with its own.
            if not batch.done:
                self._write_waiting()
        if batch.error is not None:
            raise batch.error

    def check(self) -> None:
        """Raise AuditUnavailable if nothing could be appended now."""
        with self._opened() as chain:
            chain.check_room()

    def head(self) -> Head:
        """The last record of the chain now, `NOTHING` before the first; raises AuditUnavailable."""
        with self._opened() as chain:
            return chain.head

    def append_checkpoint(self, make: Callable[[Head], Mapping[str, Any]]) -> Head:
        """Append the record, of kind 'system', that `make` makes of the record right before it.

        The head after it. Raises AuditUnavailable.
        """
        with self._opened() as chain:
            self._write(chain, [])
            self._write(chain, [("system", encoded(make(chain.head)))])
            return chain.head

    def close(self) -> None:
        """Give up the files; a later use opens them again."""
        with self._lock:
            self._drop()

    def _renew_after_fork(self) -> None:
        # A lock on a descriptor that two processes share would exclude neither.
        if self._process != os.getpid():
            self._drop()
            self._start()

    def _drop(self) -> None:
        if self._chain is not None:
            self._chain.close()
            self._chain = None

    @contextmanager
    def _opened(self) -> Iterator[Chain]:
        self._renew_after_fork()
        with self._lock, self._exclusive() as chain:
            yield chain

    @contextmanager
    def _exclusive(self) -> Iterator[Chain]:
        """The chain with its lock; errors become AuditUnavailable, after which it is reopened."""
        try:
            if self._chain is None:
                self._chain = Chain(self.directory, self._segment_bytes)
            with self._chain.locked():
                self._refuse_loss(self._chain.head)
                yield self._chain
        except (OSError, AuditUnavailable) as error:
            metrics.AUDIT_ERRORS.labels().inc()
            self._drop()
            if isinstance(error, AuditUnavailable):
                raise
            reason = (error.strerror or str(error)).lower()
            raise AuditUnavailable(
                f"the audit log in {self.directory} cannot be written ({reason}): see that the"
                " directory is there, belongs to the worker and has room"
            ) from error

    def _refuse_loss(self, head: Head) -> None:
        if head.seq < self._seen:
            raise AuditUnavailable(
                f"the audit log in {self.directory} ends at record {head.seq}, but had"
                f" {self._seen}: put it back, or restart the worker"
            )
        self._seen = head.seq

    def _write_waiting(self) -> None:
        batches = []
        while self._waiting:
            batches.append(self._waiting.popleft())
        failure = AuditUnavailable("the audit log could not be written: see the worker's log")
        for batch in batches:
            batch.done, batch.error = True, failure
        try:
            with self._exclusive() as chain:
                self._write(chain, [fields for batch in batches for fields in batch.records])
        except AuditUnavailable as error:
            failure = error
        else:
            for batch in batches:
                batch.error = None
            return
        for batch in batches:
            batch.error = failure

    def _write(self, chain: Chain, records: list[_Fields]) -> None:
        """Append records, after those that the chain's own condition calls for."""
        records = [*self._of_the_chain(chain), *records]
        if not records:
            return
        time, head, lines = record.timestamp(self._clock()), chain.head, []
        for kind, fields in records:
            made, head = record.line(head, time, self.worker, kind, fields)
            lines.append(made)
        chain.write(b"".join(lines), head)
        self._seen = head.seq
        metrics.AUDIT_LAST_SEQUENCE.labels().set(head.seq)
        for kind, count in Counter(kind for kind, _ in records).items():
            metrics.AUDIT_RECORDS.labels(kind).inc(count)

    def _of_the_chain(self, chain: Chain) -> Iterator[_Fields]:
        if chain.head.seq == 0:
            begun = {"event": "chain begun", "worker": self.worker, "cluster": self.cluster}
            yield "system", encoded(begun)
        if chain.torn:
            cut = {
                "event": "torn record cut",
                "bytes": len(chain.torn),
                "sha256": sha256(chain.torn).hexdigest(),
            }
            yield "system", encoded(cut)
