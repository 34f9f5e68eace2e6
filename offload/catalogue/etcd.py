"""The catalogue in etcd (v3, from 3.4 on), for several machines."""

from __future__ import annotations

import base64
import math
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Final, Self

from offload.catalogue.base import (
    Batch,
    CatalogueError,
    CatalogueUnavailable,
    Compacted,
    Conflict,
    Delete,
    Entry,
    LeaseExpired,
    Put,
    Snapshot,
    Unchanged,
    Write,
)
from offload.catalogue.etcd_answers import Meaning
from offload.catalogue.etcd_client import EtcdClient, Message, Refused, Unknown
from offload.catalogue.etcd_watch import EtcdWatch
from offload.catalogue.rules import check_commit, check_key, range_end, range_start
from offload.config import EtcdSettings

_PAGE: Final = 1000
_MARKS: Final = 1024
_FIRST: Final = "\x01"
"""No key begins with less, but for the marks, which lists and watches therefore never see."""


class EtcdCatalogue:
    """Every request has a deadline and goes to another endpoint when one fails.

    A commit whose fate is not known is repeated only where its checks keep it from being carried
    out twice, which is so if it checks a key that it writes. Together with such a commit a mark is
    written: a random value at one of a thousand hidden keys. Found again, it proves that a commit
    was carried out whose answer was lost. All other commits raise CatalogueUnavailable then.
    """

    def __init__(self, client: EtcdClient, prefix: str, idle_seconds: float) -> None:
        """Use `open`."""
        self._client, self._prefix, self._idle = client, prefix, idle_seconds
        self._watches: set[EtcdWatch] = set()
        self._closed = False

    @classmethod
    async def open(
        cls,
        settings: EtcdSettings,
        *,
        attempt_seconds: float = 2.0,
        total_seconds: float = 10.0,
        idle_seconds: float = 3.0,
    ) -> Self:
        """Nothing is sent yet, so that etcd may be down; raises CatalogueError for the settings.

        attempt_seconds and total_seconds bound a request to one endpoint and to all together;
        idle_seconds is how long a watch is silent before its member is asked whether it is well.
        """
        client = EtcdClient(settings, attempt_seconds=attempt_seconds, total_seconds=total_seconds)
        return cls(client, settings.prefix, idle_seconds)

    async def get(self, key: str) -> Entry | None:
        check_key(key)
        answer = await self._ask("v3/kv/range", {"key": self._name(key)})
        entries = [self._entry(found) for found in answer.get("kvs", ())]
        return entries[0] if entries else None

    async def list(
        self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0
    ) -> Snapshot:
        """In pages, all as of the first one's revision."""
        entries: list[Entry] = []
        page, more, at = _PAGE, True, revision
        while more and (not limit or len(entries) < limit):
            wanted = min(page, limit - len(entries)) if limit else page
            try:
                answer = await self._page(prefix, after, wanted, at)
            except Refused as refused:
                if refused.refusal.meaning is not Meaning.LARGE or page == 1:
                    raise _explained(refused, at) from refused
                page //= 2
                continue
            at = at or int(answer["header"]["revision"])
            entries += [self._entry(found) for found in answer.get("kvs", ())]
            more = bool(answer.get("more"))
            after = entries[-1].key if entries else after
        return Snapshot(tuple(entries), at, more)

    async def _page(self, prefix: str, after: str, limit: int, revision: int) -> Message:
        if self._closed:
            raise CatalogueUnavailable("the catalogue is closed")
        start, end = self._bounds(prefix, after)
        question: dict[str, str | bool] = {"revision": str(revision), "limit": str(limit)}
        if end == "\0" or start < end:
            question |= {"key": _encoded(start), "range_end": _encoded(end)}
        else:
            # Nothing is there, but the revision is asked for.
            question |= {"key": _encoded(self._bounds(prefix)[0]), "count_only": True}
        return await self._client.call("v3/kv/range", question)

    async def commit(self, writes: Sequence[Write], checks: Sequence[Unchanged] = ()) -> int:
        check_commit(writes, checks)
        guarded = {write.key for write in writes} & {check.key for check in checks}
        mark = Put(f"\0{secrets.randbelow(_MARKS)}", secrets.token_bytes(16))
        transaction: dict[str, list[Message]] = {
            "compare": [self._compare(check) for check in checks],
            "success": [self._operation(write) for write in writes],
        }
        if guarded:
            transaction["success"].append(self._operation(mark))
        try:
            answer = await self._ask("v3/kv/txn", transaction, repeatable=False)
        except Unknown:
            if not guarded:
                raise
            return await self._settle(transaction, mark)
        return _committed(answer, checks)

    async def _settle(self, transaction: Message, mark: Put) -> int:
        """Carry out a guarded commit that may have been carried out already."""
        answer = await self._ask("v3/kv/txn", transaction)
        if answer.get("succeeded"):
            return _revision(answer)
        found = await self._ask("v3/kv/range", {"key": self._name(mark.key)})
        for entry in map(self._entry, found.get("kvs", ())):
            if entry.value == mark.value:
                return entry.revision
        raise CatalogueUnavailable(
            "etcd lost the answer to a change, and what it was based on has changed since:"
            " read before repeating"
        )

    async def watch(self, prefix: str, after: int) -> AsyncGenerator[Batch, None]:
        start, end = self._bounds(prefix)
        keys = {"key": _encoded(start), "range_end": _encoded(end)}
        strip = len(self._prefix.encode())
        watch = EtcdWatch(self._client, keys, strip, after, self._idle)
        self._watches.add(watch)
        try:
            async with aclosing(watch.batches()) as batches:
                async for batch in batches:
                    if self._closed:
                        break
                    yield batch
        finally:
            self._watches.discard(watch)

    async def lease(self, seconds: float) -> int:
        answer = await self._ask("v3/lease/grant", {"TTL": str(math.ceil(seconds))})
        return int(answer["ID"])

    async def keep_alive(self, lease: int) -> None:
        answer = await self._ask("v3/lease/keepalive", {"ID": str(lease)})
        if int(answer["result"].get("TTL", 0)) <= 0:
            raise LeaseExpired(f"lease {lease} is over: take a new one")

    async def revoke(self, lease: int) -> None:
        with suppress(LeaseExpired):
            await self._ask("v3/lease/revoke", {"ID": str(lease)})

    async def close(self) -> None:
        self._closed = True
        for watch in self._watches:
            watch.close()
        await self._client.close()

    async def _ask(self, path: str, body: Message, *, repeatable: bool = True) -> Message:
        if self._closed:
            raise CatalogueUnavailable("the catalogue is closed")
        try:
            return await self._client.call(path, body, repeatable=repeatable)
        except Refused as refused:
            raise _explained(refused) from refused

    def _bounds(self, prefix: str, after: str = "") -> tuple[str, str]:
        """The first key and the one behind the last; the latter NUL if there is no last one."""
        start = range_start(prefix or _FIRST, after)
        return self._prefix + start, range_end(self._prefix + prefix) or "\0"

    def _name(self, key: str) -> str:
        return _encoded(self._prefix + key)

    def _entry(self, found: Message) -> Entry:
        name = base64.b64decode(found["key"]).decode()
        value = base64.b64decode(found.get("value", ""))
        return Entry(name.removeprefix(self._prefix), value, int(found["mod_revision"]))

    def _compare(self, check: Unchanged) -> Message:
        return {
            "key": self._name(check.key),
            "target": "MOD",
            "result": "EQUAL",
            "mod_revision": str(check.revision),
        }

    def _operation(self, write: Write) -> Message:
        name = self._name(write.key)
        if isinstance(write, Delete):
            return {"request_delete_range": {"key": name}}
        value = base64.b64encode(write.value).decode()
        return {"request_put": {"key": name, "value": value, "lease": str(write.lease)}}


def _committed(answer: Message, checks: Sequence[Unchanged]) -> int:
    if not answer.get("succeeded"):
        names = ", ".join(check.key for check in checks)
        raise Conflict(f"one of {names} has changed: read again")
    return _revision(answer)


def _revision(answer: Message) -> int:
    return int(answer["header"]["revision"])


def _encoded(name: str) -> str:
    return base64.b64encode(name.encode()).decode()


def _explained(refused: Refused, revision: int = 0) -> Exception:
    refusal = refused.refusal
    if refusal.lease_is_over:
        return LeaseExpired("the lease is over: take a new one")
    if refusal.compacted:
        return Compacted(f"the history since revision {revision} is gone: list anew")
    if refusal.to_come:
        return ValueError(f"revision {revision} is yet to come")
    return CatalogueError(f"etcd refuses what was asked: {refusal.text}")
