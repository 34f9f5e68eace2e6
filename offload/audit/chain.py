"""The newest segment of a chain, open for appending, shared by the processes of a worker.

They exclude each other by a lock on the directory. Who has the lock reads what others appended,
and may then append. A record that a crash left unfinished is overwritten by the next ones; which
must say so, see `torn`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from offload.audit.record import MAX_LINE, NOTHING, BadRecord, Head, parse
from offload.audit.segment import first_records, segment_name
from offload.audit.sink import AuditUnavailable

# What one crash can leave unfinished at most is one batch.
_WINDOW = 4 << 20
# Room that must be left, so that an act can be recorded after it was done.
_RESERVE = 1 << 20


class Chain:
    """One process's hold of it; for one thread at a time. Methods raise OSError."""

    def __init__(self, directory: Path, segment_bytes: int) -> None:
        """Opens the newest segment, or makes the first; directories are made for the owner alone.

        A segment is continued in a new one when it has reached `segment_bytes`.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = directory
        self._segment_bytes = segment_bytes
        self._segment = -1
        self._end = 0
        self.head = NOTHING
        self.torn = b""
        """Bytes after the last record that an interrupted write left; overwritten by `write`."""
        self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Give up the files, and the lock if it is held."""
        os.close(self._directory)
        if self._segment >= 0:
            os.close(self._segment)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from appending; `head` and `torn` are true while it lasts."""
        fcntl.flock(self._directory, fcntl.LOCK_EX)
        try:
            self._catch_up()
            yield
        finally:
            fcntl.flock(self._directory, fcntl.LOCK_UN)

    def check_room(self) -> None:
        """Raise AuditUnavailable if the file system is about to be full, or read-only."""
        status = os.fstatvfs(self._directory)
        if status.f_flag & os.ST_RDONLY:
            raise AuditUnavailable(f"{self._path} is on a read-only file system: mount it writable")
        if status.f_bavail * status.f_frsize < _RESERVE:
            raise AuditUnavailable(f"the disk of {self._path} is full: make room on it")

    def write(self, content: bytes, head: Head) -> None:
        """Append whole lines, after which the chain's head is `head`; durable when it returns."""
        if self._end >= self._segment_bytes and not self.torn:
            self._open(self.head.seq + 1, os.O_CREAT | os.O_EXCL)
        try:
            self._put(content)
        except OSError:
            # What was there before must not vanish without a record of it.
            if not self.torn:
                with suppress(OSError):
                    os.ftruncate(self._segment, self._end)
            raise
        self._end += len(content)
        self.head, self.torn = head, b""

    def _put(self, content: bytes) -> None:
        view, position = memoryview(content), self._end
        while view:
            written = os.pwrite(self._segment, view, position)
            view, position = view[written:], position + written
        if self.torn:
            os.ftruncate(self._segment, position)
        os.fdatasync(self._segment)

    def _catch_up(self) -> None:
        if self._segment < 0:
            self._open_newest()
        while True:
            status = os.fstat(self._segment)
            if status.st_nlink == 0:
                raise AuditUnavailable(f"the audit log in {self._path} was deleted: put it back")
            if status.st_size != self._end:
                self._read_tail(status.st_size)
            if not self._continued():
                return
            self._open(self.head.seq + 1)

    def _continued(self) -> bool:
        """Whether another process began the next segment."""
        if self._end == 0:
            return False
        try:
            os.stat(segment_name(self.head.seq + 1), dir_fd=self._directory)
        except FileNotFoundError:
            return False
        return True

    def _open_newest(self) -> None:
        firsts = first_records(self._path)
        if not firsts:
            self._open(1, os.O_CREAT | os.O_EXCL)
            return
        # The newest may be empty still: the head is in the one before.
        for first in firsts[-2:]:
            self._open(first)
            self._read_tail(os.fstat(self._segment).st_size)
        if self.head is NOTHING and firsts[-1] != 1:
            raise AuditUnavailable(
                f"{self._path} lacks the segment before {segment_name(firsts[-1])}: put it back"
            )

    def _open(self, first: int, flags: int = 0) -> None:
        flags |= os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        opened = os.open(segment_name(first), flags, 0o600, dir_fd=self._directory)
        if self._segment >= 0:
            os.close(self._segment)
        self._segment, self._end = opened, 0
        if flags & os.O_CREAT:
            os.fsync(self._directory)

    def _read_tail(self, size: int) -> None:
        if size < self._end:
            raise AuditUnavailable(
                f"records of {self._path} are gone: run 'offload audit verify', then restart"
            )
        start = max(self._end, size - _WINDOW)
        tail = os.pread(self._segment, size - start, start)
        good, head = _last_record(tail)
        torn = tail[good:]
        if (b"\n" in torn and b"\0" not in torn) or (head is None and start > self._end):
            raise AuditUnavailable(
                f"the last record in {self._path} is not as it was written: run 'offload audit"
                " verify', keep the files for examination"
            )
        self._end, self.torn = start + good, torn
        if head is not None:
            self.head = head


def _last_record(tail: bytes) -> tuple[int, Head | None]:
    """Where the last record of `tail` that is as it was written ends, and its head; else 0."""
    end = tail.rfind(b"\n") + 1
    while end:
        start = tail.rfind(b"\n", max(0, end - 1 - MAX_LINE), end - 1) + 1
        try:
            return end, parse(tail[start:end]).head
        except BadRecord:
            end = start
    return 0, None
