"""Everything that stands in the catalogue, verified, in memory, and kept current by a watch.

What no present member signed, what was moved to another path and what is older than what was seen
there before never enters: the value before it stays, and `untrusted` tells. So it is with a value
of which no member signed that it is removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, groupby
from random import Random
from typing import NamedTuple

from cryptography import x509

from offload.catalogue import paths
from offload.catalogue.base import Catalogue, CatalogueError, Compacted, Entry, Event
from offload.catalogue.envelope import Untrusted, Verifier
from offload.catalogue.records import (
    AliveRecord,
    ApplianceRecord,
    CertificateRecord,
    ClusterRecord,
    FrontendRecord,
    HoldingRecord,
    LabelRecord,
    MemberRecord,
    Record,
    UserRecord,
)
from offload.cluster.contents import Contents
from offload.cluster.opened import (
    FOREIGN,
    UNSIGNED,
    Opened,
    claimed_member,
    is_versioned,
    open_value,
)
from offload.keys.managed import ManagedKey
from offload.observe import metrics
from offload.observe.log import get_logger

_log = get_logger("cluster.view")

_PAGE = 1000
_CHUNK = 250  # values that one thread verifies in one go: some 25 ms
_LONGEST_WAIT = 5.0
_LATER = (paths.HOLDINGS, paths.USAGE)

Callback = Callable[[Sequence[str]], None]


class NotFounded(CatalogueError):
    """The catalogue has no cluster that this member could trust."""


class _Refused(NamedTuple):
    reason: str
    event: Event


class View:
    """See the module; made by `open`. Belongs to one event loop."""

    def __init__(self, catalogue: Catalogue, verifier: Verifier, seen: Mapping[str, int]) -> None:
        """For `open`."""
        self.revision = 0
        self._catalogue, self._verifier = catalogue, verifier
        self._contents = Contents()
        self._revisions: dict[str, int] = {}
        self._signers: dict[str, str] = {}
        self._versions: dict[str, int] = dict(seen)
        self._refused: dict[str, _Refused] = {}
        self._sealed: dict[str, bytes] = {}
        self._loaded = 0
        self._later: list[Event] = []
        self._keep: tuple[str, ...] = ()
        self._callbacks: list[Callback] = []
        self._news = asyncio.get_running_loop().create_future()
        self._threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="view")
        self._watching: asyncio.Task[None] | None = None
        self._present: tuple[str, ...] | None = None
        self._random = Random()  # noqa: S311 - spreads reconnections, guards nothing

    @classmethod
    async def open(
        cls,
        catalogue: Catalogue,
        verifier: Verifier,
        *,
        seen: Mapping[str, int] | None = None,
        keep: Sequence[str] = (),
        proceed: bool = True,
    ) -> View:
        """Load everything and start to watch; holdings and usage enter later, see `complete`.

        seen: versions by path that are the least to be accepted, from an earlier run.
        keep: prefixes whose values `sealed` is to have. proceed: False leaves it to the method of
        that name to go on with what enters later. Raises CatalogueError, and NotFounded if
        there is no cluster's record that a member signed.
        """
        view = cls(catalogue, verifier, seen or {})
        view._keep = tuple(keep)
        try:
            await view._load()
            if view._contents.cluster is None:
                reason = view.untrusted.get(paths.CLUSTER, "it holds no cluster")
                raise NotFounded(f"the catalogue cannot be used: {reason}")
        except BaseException:
            view._threads.shutdown()
            raise
        if proceed:
            view.proceed()
        return view

    def proceed(self) -> None:
        """Go on after `open`, if that was not done yet: take in the rest, and watch."""
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name="catalogue view")

    async def close(self) -> None:
        """Watch no longer; what was read stays."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})
        self._threads.shutdown()

    def __repr__(self) -> str:
        return f"<View revision={self.revision} keys={len(self.keys)} refused={len(self._refused)}>"

    # What there is

    @property
    def cluster(self) -> ClusterRecord:
        """The cluster's own record."""
        assert self._contents.cluster is not None, "open() refuses a catalogue without one"
        return self._contents.cluster

    @property
    def members(self) -> Mapping[str, MemberRecord]:
        """Members in all states, by name."""
        return self._contents.members

    @property
    def alive(self) -> Mapping[str, AliveRecord]:
        """Members that keep their lease."""
        return self._contents.alive

    @property
    def present(self) -> tuple[str, ...]:
        """The names of the members that are not removed, in order."""
        if self._present is None:
            self._present = tuple(
                sorted(name for name, one in self.members.items() if one.state == "present")
            )
        return self._present

    @property
    def keys(self) -> Mapping[bytes, ManagedKey]:
        """All generations of all keys, by SKI."""
        return self._contents.keys

    @property
    def labels(self) -> Mapping[str, LabelRecord]:
        """The generations of each label."""
        return self._contents.labels

    @property
    def holdings(self) -> Mapping[bytes, Mapping[str, HoldingRecord]]:
        """Who holds a key, or has erased it: by SKI, then by member."""
        return self._contents.holdings

    @property
    def certificates(self) -> Mapping[str, CertificateRecord]:
        """What front-ends serve with, by label."""
        return self._contents.certificates

    @property
    def appliances(self) -> Mapping[str, ApplianceRecord]:
        """The front-ends registered, by name."""
        return self._contents.appliances

    @property
    def users(self) -> Mapping[str, UserRecord]:
        """Officers, key users and auditors, by name."""
        return self._contents.users

    @property
    def frontends(self) -> Mapping[str, FrontendRecord]:
        """What running front-ends say of themselves; not signed."""
        return self._contents.frontends

    def raw(self, prefix: str) -> Mapping[str, bytes]:
        """Bodies of values that have no record here, by path, in order of their paths."""
        kind = prefix[: prefix.find("/") + 1]
        others = self._contents.others.get(kind, {})
        return {path: others[path] for path in sorted(others) if path.startswith(prefix)}

    def at(self, path: str) -> Record | ManagedKey | bytes | None:
        """The record at a path, its body where it has no record here; None if nothing is there."""
        value: Record | ManagedKey | bytes | None = self._contents.at(path)
        return value

    def signer_of(self, path: str) -> str:
        """Who signed what stands there; '' if nobody did."""
        return self._signers.get(path, "")

    def opened(self, path: str, value: bytes) -> bytes:
        """The body of a value that was read elsewhere, if a present member signed it for that path.

        For what `raw` does not have, such as tokens. Raises Untrusted.
        """
        return self._verifier.open(path, value)

    def sealed(self, path: str) -> bytes | None:
        """The value as it stands in the catalogue, where `open` was told to keep it."""
        return self._sealed.get(path)

    def revision_of(self, path: str) -> int:
        """Of the last change at `path`, whether it was accepted or not; 0 if nothing is there."""
        return self._revisions.get(path, 0)

    def version_of(self, path: str) -> int:
        """The highest version accepted at `path`, 0 if there was none: the next is one more."""
        return self._versions.get(path, 0)

    def versions(self) -> Mapping[str, int]:
        """For `seen` of a later `open`."""
        return self._versions

    @property
    def revoked(self) -> frozenset[str]:
        """Certificates of removed members, for the `Verifier` of a later `open`."""
        return self._verifier.revoked

    def signed_by(self, member: str) -> tuple[str, ...]:
        """The paths whose values that member signed, in order."""
        return tuple(sorted(path for path, name in self._signers.items() if name == member))

    @property
    def untrusted(self) -> Mapping[str, str]:
        """Paths whose latest value was refused, and why."""
        return {path: refused.reason for path, refused in self._refused.items()}

    # What changes

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call back with the paths changed after each batch; returns what ends it."""
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    async def until(self, predicate: Callable[[View], bool]) -> None:
        """Return once it is true; bound the wait with asyncio.timeout."""
        while not predicate(self):
            await asyncio.shield(self._news)

    async def complete(self) -> None:
        """Return once everything that stood in the catalogue at the start is here."""
        await self.until(lambda view: view.revision > 0)

    async def reached(self, revision: int) -> None:
        """Return once everything up to that revision is seen."""
        await self.until(lambda view: view.revision >= revision)

    # Loading and watching

    async def _load(self) -> None:
        """Read everything; what is not there any more goes. Members come first: they sign.

        Holdings and usage, which outnumber all else, wait to be verified until all else is there.
        """
        members = await self._catalogue.list(paths.MEMBERS)
        self._admit_claimed(members.entries)
        found = {entry.key for entry in members.entries}
        changed = await self._take([Event(*entry) for entry in members.entries])
        after, more = "", True
        while more:
            page = await self._catalogue.list("", after=after, limit=_PAGE)
            found.update(entry.key for entry in page.entries)
            # A member changed meanwhile comes by the watch, which begins before these pages.
            events = [Event(*one) for one in page.entries if not one.key.startswith(paths.MEMBERS)]
            self._later += [one for one in events if one.key.startswith(_LATER)]
            changed += await self._take([one for one in events if not one.key.startswith(_LATER)])
            more = page.more and bool(page.entries)
            after = page.entries[-1].key if more else ""
        gone = [path for path in self._revisions if path not in found]
        changed += [path for path in gone if self._forget(path)]
        self._loaded = members.revision
        self._told(self.revision, changed)

    async def _complete(self) -> None:
        """Take in what was left for later; from here on everything read is seen."""
        later, self._later = self._later, []
        self._told(self._loaded, await self._take(later))

    def _admit_claimed(self, entries: Sequence[Entry]) -> None:
        """Trust whoever has a member's certificate and a record that such a member signed."""
        claims = {}
        for entry in entries:
            if entry.revision > self._revisions.get(entry.key, 0):
                with contextlib.suppress(Untrusted):
                    member = claimed_member(entry.value)
                    if member.state == "present" and member.version >= self.version_of(entry.key):
                        self._admit(member)
                        claims[member.name] = entry
        while doubtful := [name for name, one in claims.items() if not self._opens(one)]:
            for name in doubtful:
                del claims[name]
                self._verifier.dismiss(name)
                # A false record does not undo the true one that was seen before.
                known = self.members.get(name)
                if known is not None and known.state == "present":
                    self._admit(known)

    def _opens(self, entry: Entry) -> bool:
        try:
            open_value(self._verifier, entry.key, entry.value)
        except Untrusted:
            return False
        return True

    def _admit(self, member: MemberRecord) -> None:
        try:
            certificate = x509.load_pem_x509_certificate(member.certificate.encode())
        except ValueError:
            raise Untrusted(f"the record of {member.name!r} has no certificate") from None
        self._verifier.admit(member.name, certificate)

    async def _watch(self) -> None:
        """Keep current; what the catalogue cannot do now is tried again."""
        wait = 0.05
        while True:
            try:
                if self._loaded > self.revision:
                    await self._complete()
                async with contextlib.aclosing(self._catalogue.watch("", self.revision)) as batches:
                    async for batch in batches:
                        wait = 0.05
                        self._told(batch.revision, await self._take(batch.events))
                return
            except Compacted:
                await self._load_again()
            except CatalogueError as error:
                _log.warning("the catalogue cannot be watched", reason=str(error))
                await asyncio.sleep(wait * (0.5 + self._random.random()))
                wait = min(_LONGEST_WAIT, 2 * wait)

    async def _load_again(self) -> None:
        _log.info("the catalogue's history was cut off: reading it anew", revision=self.revision)
        self._later = []
        with contextlib.suppress(Compacted):
            await self._load()

    async def _take(self, events: Sequence[Event]) -> list[str]:
        """Take in changes in their order; returns the paths that changed."""
        news = [one for one in events if one.revision > self._revisions.get(one.key, 0)]
        # Within one commit, who signs is known before what he signed.
        news.sort(key=lambda one: (one.revision, not one.key.startswith(paths.MEMBERS)))
        changed: list[str] = []
        for of_members, run in groupby(news, lambda one: one.key.startswith(paths.MEMBERS)):
            if of_members:
                for event in run:
                    changed += self._install(event, self._open(event))
            else:
                changed += await self._take_many(list(run))
        return changed

    async def _take_many(self, events: list[Event]) -> list[str]:
        if len(events) <= _CHUNK:
            opened = self._open_all(events)
        else:
            loop = asyncio.get_running_loop()
            chunks = [events[at : at + _CHUNK] for at in range(0, len(events), _CHUNK)]
            done = [loop.run_in_executor(self._threads, self._open_all, one) for one in chunks]
            opened = list(chain.from_iterable(await asyncio.gather(*done)))
        changed: list[str] = []
        for event, result in zip(events, opened, strict=True):
            changed += self._install(event, result)
        return changed

    def _open_all(self, events: Sequence[Event]) -> list[Opened | str]:
        return [self._open(event) for event in events]

    def _open(self, event: Event) -> Opened | str:
        """The value, or why it is refused; may run in any thread."""
        path, value, _ = event
        if value is None or path.startswith(FOREIGN):
            return Opened(path, None, 0, "")
        try:
            return open_value(self._verifier, path, value)
        except Untrusted as error:
            return str(error)

    def _install(self, event: Event, result: Opened | str) -> list[str]:
        """Take in one change; returns the paths that changed with it."""
        path = event.key
        if event.value is None:
            return [path] if self._forget(path) else []
        self._revisions[path] = event.revision
        try:
            if isinstance(result, str):
                raise Untrusted(result)
            return self._accept(event, result)
        except Untrusted as error:
            self._refuse(event, str(error))
            return []

    def _accept(self, event: Event, opened: Opened) -> list[str]:
        path = opened.path
        if opened.version < self.version_of(path):
            raise Untrusted(
                f"{path} is version {opened.version}, but {self.version_of(path)} was seen"
            )
        if self._is_other(opened):
            raise Untrusted(f"{path} is another version {opened.version} than was seen")
        admitted = isinstance(opened.value, MemberRecord) and self._member(opened.value)
        if is_versioned(path) or opened.version:
            self._versions[path] = opened.version
        self._refused.pop(path, None)
        if path.startswith(FOREIGN):
            return [path]
        self._contents.put(path, opened.value)
        if opened.signer:
            self._signers[path] = opened.signer
        if path.startswith(self._keep) and event.value is not None:
            self._sealed[path] = event.value
        return [path, *(self._look_again() if admitted else ())]

    def _is_other(self, opened: Opened) -> bool:
        """Whether two members signed different values of one version, and we have the other one.

        One of them lost, but who runs the store has seen both, and could change one for the other.
        """
        path = opened.path
        known = is_versioned(path) and path in self._signers
        same_version = opened.version == self.version_of(path)
        return known and same_version and self._contents.at(path) != opened.value

    def _member(self, member: MemberRecord) -> bool:
        """Trust it or not from now on; says whether it is trusted."""
        self._present = None
        if member.state == "present":
            self._admit(member)
            return True
        self._verifier.dismiss(member.name)
        with contextlib.suppress(ValueError):
            self._verifier.revoke(x509.load_pem_x509_certificate(member.certificate.encode()))
        return False

    def _look_again(self) -> list[str]:
        """What was refused may be what the member just admitted signed."""
        changed = []
        for refused in list(self._refused.values()):
            of_member = refused.event.key.startswith(paths.MEMBERS)
            if refused.event.value is not None and not of_member:
                result = self._open(refused.event)
                if isinstance(result, Opened):
                    changed += self._install(refused.event, result)
        return changed

    def _refuse(self, event: Event, reason: str) -> None:
        self._refused[event.key] = _Refused(reason, event)
        _log.warning("a value of the catalogue is refused", path=event.key, reason=reason)

    def _forget(self, path: str) -> bool:
        """Nothing stands there any more; returns whether that changes anything."""
        known = self._revisions.pop(path, None) is not None
        self._refused.pop(path, None)
        # The marks of approvals go with their leases.
        if path in self._signers and is_versioned(path) and not path.startswith(paths.APPROVALS):
            if self._contents.at(path) is not None:
                # A member would have left its mark: who runs the store took it away.
                self._refuse(Event(path, None, 0), f"no member signed that {path} is removed")
            return False
        self._sealed.pop(path, None)
        if self._signers.pop(path, None) is None and not path.startswith(UNSIGNED):
            return known and path.startswith(FOREIGN)
        self._contents.put(path, None)
        return True

    def _told(self, revision: int, changed: Sequence[str]) -> None:
        """Wake who waits, and call back."""
        self.revision = max(revision, self.revision)
        metrics.CLUSTER_UNTRUSTED.labels().set(len(self._refused))
        news, self._news = self._news, asyncio.get_running_loop().create_future()
        news.set_result(None)
        if not changed:
            return
        for callback in tuple(self._callbacks):
            try:
                callback(changed)
            except Exception:
                _log.exception("a change of the catalogue was not followed", paths=len(changed))
