"""A serving process's part: pool and sites are as the directory's file says."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from offload.frontend.directory.board import Board
from offload.frontend.directory.canary import CanaryFailed, rehearse
from offload.frontend.directory.file import DirectoryFile, Saved
from offload.frontend.directory.picture import Picture
from offload.frontend.directory.report import Report
from offload.observe import metrics
from offload.observe.log import get_logger
from offload.pool.signer import Signer
from offload.pool.spec import WorkerSpec
from offload.tls.site import Site, SiteError

_ATTEMPTS = 3
"""Of a canary: a worker may be about to get the key."""
_PAUSE = 0.5
_SETTLED = 10.0
"""Seconds to wait for the clerk's first word; after that, a front-end serves with what it has."""


class Canary(NamedTuple):
    """A generation that is about to be served: `name` finds it, in lower case."""

    ski: str
    chain: str
    name: str


class Workers(Signer, Protocol):
    """What the follower needs of the pool."""

    def set_workers(self, specs: Sequence[WorkerSpec]) -> None:
        """Have these workers from now on."""


SetCanaries = Callable[[Mapping[str, Site]], None]


class Follower:
    """From `start` to `stop`. Belongs to the running loop of the process of its `row`."""

    def __init__(
        self,
        sites: Sequence[Site],
        pool: Workers,
        set_canaries: SetCanaries,
        *,
        picture: Picture,
        file: DirectoryFile,
        board: Board,
        row: int,
    ) -> None:
        """`set_canaries` has sites found by their secret names."""
        self._sites = [site for site in sites if site.settings.keys]
        self._labels = sorted({label for site in self._sites for label in site.settings.keys})
        self._pool, self._set_canaries = pool, set_canaries
        self._picture, self._file, self._board, self._row = picture, file, board, row
        self._seen: Saved | None = None
        self._workers: list[WorkerSpec] | None = None
        self._zones: set[str] = set()
        self._canaries: dict[str, Canary] = {}
        self._staging: dict[str, Site] = {}
        self._rehearsals: dict[str, asyncio.Task[None]] = {}
        self._staged: dict[str, str] = {}
        self._failed: dict[str, str] = {}
        self._missing: set[str] = set()
        self._rung = asyncio.Event()
        self._log = get_logger("directory")

    async def start(self) -> None:
        """Catch up, before anything is served; then follow."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._board.bell(self._row), self._ring)
        try:
            async with asyncio.timeout(_SETTLED):
                while not self._board.settled:
                    await self._rung.wait()
                    self._rung.clear()
        except TimeoutError:
            self._log.warning("the directory is not read yet; serving with what there is")
        self.catch_up()

    async def stop(self) -> None:
        """Follow no longer; what is served stays."""
        asyncio.get_running_loop().remove_reader(self._board.bell(self._row))
        tasks = list(self._rehearsals.values())
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    def catch_up(self) -> None:
        """Read the file, act on what is new, and say how far this process has come."""
        try:
            saved = self._file.load()
        except (OSError, ValueError) as error:
            self._log.error("the directory's file cannot be read", reason=str(error))
            saved = None
        if saved is not None and saved != self._seen:
            self._seen = saved
            self._picture.take(saved.values)
            self._picture.set_alive(saved.alive)
            self._follow()
        self._tell()

    def _ring(self) -> None:
        self._board.answer(self._board.bell(self._row))
        self._rung.set()
        if self._board.settled:
            self.catch_up()

    def _follow(self) -> None:
        workers = self._picture.workers()
        if workers != self._workers and workers:
            self._workers = workers
            self._pool.set_workers(workers)
            self._count(workers)
            self._log.info("workers", names=[each.name for each in workers])
        self._install()
        self._stage()

    def _count(self, workers: Sequence[WorkerSpec]) -> None:
        zones = Counter(each.zone or "none" for each in workers)
        for zone in self._zones | zones.keys():
            metrics.POOL_MEMBERS.labels(zone).set(zones[zone])
        self._zones |= zones.keys()

    def _install(self) -> None:
        certificates = self._picture.certificates
        chains = {
            label: certificates[label].chain.encode()
            for label in self._labels
            if label in certificates and certificates[label].chain
        }
        for site in self._sites:
            before = site.skis
            installed = site.install(chains)
            for problem in installed.problems:
                self._log.error(
                    "a certificate cannot be used; the site goes on as before",
                    site=site.name, reason=problem,
                )  # fmt: skip
            if site.skis != before:
                skis = {label: ski.hex() for label, ski in site.skis.items()}
                self._log.info(
                    "certificates", site=site.name, keys=skis, tickets=installed.tickets_kept
                )
        self._complain(set(self._labels) - chains.keys())
        for label, ski in self._serving().items():
            if label in certificates and certificates[label].ski == ski:
                generation = metrics.CERTIFICATE_GENERATION.labels(label)
                generation.set(certificates[label].generation)

    def _complain(self, missing: set[str]) -> None:
        for label in sorted(missing - self._missing):
            self._log.warning(
                "no certificate for this key yet: its sites are not served; create the key and"
                " install a certificate",
                key=label,
            )
        self._missing = missing

    def _stage(self) -> None:
        """Have the canaries that there shall be, and rehearse those that are new."""
        wanted = {
            label: Canary(record.canary_ski, record.canary_chain, record.canary_name.lower())
            for label, record in self._picture.certificates.items()
            if label in self._labels and record.canary_ski
        }
        for label in [label for label, one in self._canaries.items() if wanted.get(label) != one]:
            self._forget(label)
        for label, canary in wanted.items():
            if label not in self._canaries:
                self._canaries[label] = canary
                self._begin(label, canary)
        self._set_canaries(
            {
                self._canaries[label].name: site
                for label, site in self._staging.items()
                if self._canaries[label].name
            }
        )

    def _begin(self, label: str, canary: Canary) -> None:
        site = next(one for one in self._sites if label in one.settings.keys)
        try:
            made = site.with_chain(label, canary.chain.encode())
        except SiteError as error:
            self._failed[canary.ski] = str(error)
            return
        if bytes.fromhex(canary.ski) not in made.keys:
            self._failed[canary.ski] = "the certificate is not one of that key"
            return
        self._staging[label] = made
        work = self._rehearse(label, canary, made)
        self._rehearsals[label] = asyncio.get_running_loop().create_task(work)

    def _forget(self, label: str) -> None:
        canary = self._canaries.pop(label)
        self._staging.pop(label, None)
        self._staged.pop(label, None)
        self._failed.pop(canary.ski, None)
        task = self._rehearsals.pop(label, None)
        if task is not None:
            task.cancel()

    async def _rehearse(self, label: str, canary: Canary, site: Site) -> None:
        reason = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_PAUSE)
            try:
                await rehearse(site, canary.name or site.name, self._pool)
            except CanaryFailed as error:
                reason = str(error)
            else:
                self._staged[label] = canary.ski
                self._log.info("canary handshake made", key=label, ski=canary.ski)
                break
        else:
            self._failed[canary.ski] = reason
            self._log.error("canary handshake failed", key=label, ski=canary.ski, reason=reason)
        self._tell()

    def _serving(self) -> dict[str, str]:
        """Label to SKI, where all sites of the label agree."""
        serving: dict[str, str] = {}
        for label in self._labels:
            sites = [site for site in self._sites if label in site.settings.keys]
            skis = {site.skis.get(label, b"").hex() for site in sites}
            serving[label] = skis.pop() if len(skis) == 1 else ""
        return serving

    def _tell(self) -> None:
        report = Report(serving=self._serving(), staged=self._staged, failed=self._failed)
        self._board.write(self._row, report.body())
        self._board.ring_clerk()
