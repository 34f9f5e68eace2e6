"""The process that speaks with the catalogue for the whole front-end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import aclosing
from random import Random

from offload.catalogue import paths
from offload.catalogue.base import Catalogue, CatalogueError, Compacted, Event
from offload.catalogue.presence import Presence
from offload.catalogue.records import AliveRecord
from offload.config import FrontendCluster
from offload.frontend.directory.board import Board
from offload.frontend.directory.file import DirectoryFile
from offload.frontend.directory.picture import Picture
from offload.frontend.directory.report import merged, reports
from offload.observe import metrics
from offload.observe.log import get_logger

_PREFIXES = (paths.MEMBERS, paths.ALIVE, paths.CERTIFICATES)
_PAUSES = (0.1, 5.0)
"""Seconds before the catalogue is tried again: the first time, and the longest."""
_FIRST = 3.0
"""Seconds that the catalogue has at the start before the front-end goes on with what it knows."""
_TICK = 1.0

Open = Callable[[], Awaitable[Catalogue]]


class Clerk:
    """From `start` to `stop`; belongs to the running loop."""

    def __init__(
        self,
        settings: FrontendCluster,
        labels: Collection[str],
        open_catalogue: Open,
        *,
        picture: Picture,
        file: DirectoryFile,
        board: Board,
        clock: Callable[[], float],
        random: Random,
    ) -> None:
        """labels: of all sites. clock: monotonic seconds."""
        self._settings, self._labels, self._open = settings, labels, open_catalogue
        self._picture, self._file, self._board = picture, file, board
        self._clock, self._random = clock, random
        self._catalogue: Catalogue | None = None
        self._presence: Presence | None = None
        self._published = b""
        self._alive: set[str] = set()
        self._unread = set(_PREFIXES)
        self._unsaved = False
        self._answered = clock()
        self._reachable = True
        self._tasks: list[asyncio.Task[None]] = []
        self._log = get_logger("directory")

    async def start(self) -> None:
        """Begin with what the file has, and look for the catalogue."""
        loop = asyncio.get_running_loop()
        self._load()
        loop.add_reader(self._board.clerks_bell, self._hear)
        self._tasks = [loop.create_task(self._run()), loop.create_task(self._watch_over())]

    async def stop(self) -> None:
        """Withdraw from the catalogue; never raises."""
        asyncio.get_running_loop().remove_reader(self._board.clerks_bell)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._presence is not None:
            await self._presence.withdraw()
        if self._catalogue is not None:
            await self._catalogue.close()

    async def failed(self) -> None:
        """Raise what has ended the clerk's work, once something has; it never ends by itself."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    def _load(self) -> None:
        """Who was alive when the file was written is not known to be so now: left out."""
        try:
            saved = self._file.load()
        except (OSError, ValueError) as error:
            self._log.error("the directory's file cannot be read", reason=str(error))
            return
        if saved is not None:
            self._picture.take(saved.values)
            self._save()

    async def _run(self) -> None:
        self._catalogue = await self._opened()
        path = paths.FRONTENDS + self._settings.name
        self._presence = Presence(
            self._catalogue, path, self._publish, self._settings.lease, random=self._random
        )
        self._presence.start()
        async with asyncio.TaskGroup() as group:
            for prefix in _PREFIXES:
                group.create_task(self._follow(self._catalogue, prefix))

    async def _opened(self) -> Catalogue:
        pause, longest = _PAUSES
        while True:
            try:
                return await self._open()
            except CatalogueError as error:
                self._fail(error)
            await asyncio.sleep(pause * self._random.uniform(0.5, 1.0))
            pause = min(2 * pause, longest)

    async def _follow(self, catalogue: Catalogue, prefix: str) -> None:
        """Keep what is under the prefix current, for ever."""
        first, longest = _PAUSES
        pause = first
        while True:
            try:
                snapshot = await catalogue.list(prefix)
                if prefix == paths.ALIVE:
                    self._alive.clear()
                self._take(prefix, [Event(*entry) for entry in snapshot.entries])
                pause = first
                async with aclosing(catalogue.watch(prefix, snapshot.revision)) as batches:
                    async for batch in batches:
                        self._take(prefix, batch.events)
            except Compacted:
                self._log.info("the catalogue's history was cut off: reading it anew", path=prefix)
            except CatalogueError as error:
                self._fail(error)
                await asyncio.sleep(pause * self._random.uniform(0.5, 1.0))
                pause = min(2 * pause, longest)

    def _take(self, prefix: str, events: list[Event] | tuple[Event, ...]) -> None:
        self._answered = self._clock()
        self._unread.discard(prefix)
        if prefix == paths.ALIVE:
            for event in events:
                name = event.key.removeprefix(prefix)
                (self._alive.add if _is_ready(event.value) else self._alive.discard)(name)
            news = self._picture.set_alive(self._alive)
        else:
            refused = dict(self._picture.refused)
            # The last word on each path: what is missing was not removed by a member.
            values = {event.key: event.value for event in events if event.value is not None}
            news = self._picture.take(values)
            self._complain(refused)
        first = not self._unread and not self._board.settled
        if (news or first) and not self._unsaved:
            self._unsaved = True
            asyncio.get_running_loop().call_soon(self._save)

    def _complain(self, before: dict[str, str]) -> None:
        for path, reason in self._picture.refused.items():
            if before.get(path) != reason:
                self._log.error("a value of the catalogue is refused", path=path, reason=reason)
        metrics.DIRECTORY_REFUSED.labels(self._settings.name).set(len(self._picture.refused))

    def _save(self) -> None:
        self._unsaved = False
        try:
            self._file.save(self._picture.values, self._picture.alive)
        except OSError as error:
            self._log.error(
                "the directory's file cannot be written; what changes is not followed",
                path=str(self._file.path), reason=str(error),
            )  # fmt: skip
        if not self._unread:
            self._board.settle()
        self._board.ring_all()

    def _fail(self, error: CatalogueError) -> None:
        self._log.warning("the catalogue does not answer; going on as it was", reason=str(error))
        self._settle()

    def _settle(self) -> None:
        if not self._board.settled:
            self._board.settle()
            self._board.ring_all()

    def _hear(self) -> None:
        """A process has reached something, or is gone."""
        self._board.answer(self._board.clerks_bell)
        if self._presence is not None and self._record() != self._published:
            self._presence.update()

    def _publish(self) -> bytes:
        self._published = self._record()
        return self._published

    def _record(self) -> bytes:
        return merged(self._settings.name, self._labels, reports(self._board)).body()

    async def _watch_over(self) -> None:
        began = self._clock()
        while True:
            now = self._clock()
            if self._presence is not None and self._presence.shown:
                self._answered = now
            metrics.DIRECTORY_AGE.labels(self._settings.name).set(now - self._answered)
            self._note(now - self._answered < 2 * self._settings.lease)
            if now - began >= _FIRST:
                self._settle()
            await asyncio.sleep(_TICK)

    def _note(self, reachable: bool) -> None:
        if self._reachable and not reachable:
            self._log.warning("the catalogue is out of reach; going on with what is known")
        elif reachable and not self._reachable:
            self._log.info("the catalogue answers again")
        self._reachable = reachable


def _is_ready(value: bytes | None) -> bool:
    """Whether work may be sent there; a value that cannot be read still says that it is there."""
    if value is None:
        return False
    try:
        return AliveRecord.model_validate_json(value).ready
    except ValueError:
        return True
