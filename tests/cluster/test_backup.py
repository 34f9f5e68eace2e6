"""Backups: what is in them, what is refused, and restorations that are cut off."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta

import pytest
from support.cluster import NOW, authority, cluster_record, identity, signer

from offload.catalogue import paths
from offload.catalogue.base import Catalogue, CatalogueUnavailable, Put, Unchanged, Write
from offload.catalogue.fake import FakeCatalogue
from offload.cluster.authority import Authority
from offload.cluster.backup import BackupRefused, back_up, read, restore

ROOT = authority().certificate
TRANSIENT = (
    "alive/w1",
    "frontends/f",
    "tokens/t",
    "idempotency/u/1",
    "intents/w1/a@1",
    "invitations/i",
    "enrolments/w9",
    "approvals/a",
)


async def filled(keys: int = 3) -> FakeCatalogue:
    """A catalogue of a cluster with some keys and what lasts for a while only."""
    catalogue = FakeCatalogue()
    cluster = signer("w1").seal(paths.CLUSTER, cluster_record().body())
    await catalogue.commit([Put(paths.CLUSTER, cluster), *(Put(path, b"x") for path in TRANSIENT)])
    for number in range(keys):
        await catalogue.commit([Put(f"{paths.KEYS}{number:04}", f"wrapped é {number}".encode())])
    await catalogue.commit([Put("binary", b"\x00\xff\n\xc3")])
    return catalogue


async def backup_of(catalogue: Catalogue, by: str = "w1") -> bytes:
    certificate = identity(by).certificate.decode()
    return b"".join([line async for line in back_up(catalogue, signer(by), certificate, NOW)])


async def contents(catalogue: Catalogue) -> dict[str, bytes]:
    return {entry.key: entry.value for entry in (await catalogue.list("")).entries}


async def test_what_is_restored_is_what_was_backed_up() -> None:
    catalogue = await filled()
    content = await backup_of(catalogue)
    empty = FakeCatalogue()

    assert await restore(empty, content, ROOT) == 5
    expected = await contents(catalogue)
    assert set(TRANSIENT) < set(expected)
    assert await contents(empty) == {
        key: value for key, value in expected.items() if key not in TRANSIENT
    }


async def test_its_head_says_what_it_is() -> None:
    catalogue = await filled()
    head = read(await backup_of(catalogue), ROOT).head

    assert (head.by, head.made) == ("w1", NOW)
    assert head.revision == (await catalogue.list("")).revision


async def test_large_catalogues_take_several_commits() -> None:
    catalogue = await filled(keys=1203)
    await catalogue.commit([Put("large", bytes(1 << 20))])
    await catalogue.commit([Put("larger", bytes(1 << 20))])
    empty = FakeCatalogue()

    assert await restore(empty, await backup_of(catalogue), ROOT) == 1207
    assert len(await contents(empty)) == 1207


async def test_it_is_of_one_revision_while_others_write() -> None:
    catalogue = await filled(keys=600)
    before = {k: v for k, v in (await contents(catalogue)).items() if k not in TRANSIENT}
    certificate = identity("w1").certificate.decode()
    lines: list[bytes] = []
    async for line in back_up(catalogue, signer("w1"), certificate, NOW):
        if len(lines) == 10:
            await catalogue.commit([Put(f"{paths.KEYS}0590", b"new"), Put("zzz", b"new")])
        lines.append(line)

    empty = FakeCatalogue()
    await restore(empty, b"".join(lines), ROOT)
    assert await contents(empty) == before


async def test_a_change_of_any_line_is_found() -> None:
    content = await backup_of(await filled())
    lines = content.splitlines(keepends=True)
    altered = [
        *(content[:end] for end in (0, 1, len(content) // 2, len(content) - 1)),
        *(b"".join(lines[:index] + lines[index + 1 :]) for index in range(len(lines))),
        b"".join([lines[0], lines[2], lines[1], *lines[3:]]),
        b"".join([*lines[:2], lines[1], *lines[2:]]),
        content + b"\n",
        content + lines[-1],
        content.replace(b"wrapped", b"Wrapped", 1),
        lines[0].replace(b"2026", b"2027") + b"".join(lines[1:]),
        b"null\n" * 3,
        b"\xff\n" * 3,
    ]
    for each in altered:
        catalogue = FakeCatalogue()
        with pytest.raises(BackupRefused):
            await restore(catalogue, each, ROOT)
        assert await contents(catalogue) == {}


async def test_every_flipped_byte_is_found() -> None:
    content = await backup_of(await filled(keys=1))
    for index in range(0, len(content), 3):
        altered = bytearray(content)
        altered[index] ^= 1
        with pytest.raises(BackupRefused):
            read(bytes(altered), ROOT)


async def test_a_backup_of_another_cluster_is_refused() -> None:
    other = Authority.create("cluster", NOW)
    content = await backup_of(await filled())

    with pytest.raises(BackupRefused, match="certificate"):
        await restore(FakeCatalogue(), content, other.certificate)


async def test_nobody_but_a_worker_can_sign_one() -> None:
    catalogue = await filled()
    client = authority().issue_frontend("w1", NOW + timedelta(days=1)).certificate.decode()
    lines = [line async for line in back_up(catalogue, signer("w1"), client, NOW)]

    with pytest.raises(BackupRefused, match="worker"):
        await restore(FakeCatalogue(), b"".join(lines), ROOT)


async def test_it_is_restored_into_an_empty_catalogue_alone() -> None:
    catalogue = FakeCatalogue()
    await catalogue.commit([Put("something", b"")])

    with pytest.raises(BackupRefused, match="not empty"):
        await restore(catalogue, await backup_of(await filled()), ROOT)
    assert list(await contents(catalogue)) == ["something"]


async def test_a_backup_without_a_cluster_is_refused() -> None:
    catalogue = FakeCatalogue()
    await catalogue.commit([Put("keys/a", b"")])
    with pytest.raises(BackupRefused, match="no cluster"):
        await restore(FakeCatalogue(), await backup_of(catalogue), ROOT)


class FailingCatalogue(FakeCatalogue):
    """Breaks at one commit, which is carried out or not before."""

    def __init__(self, at: int, *, done: bool) -> None:
        super().__init__()
        self._at, self._done = at, done

    async def commit(self, writes: Sequence[Write], checks: Sequence[Unchanged] = ()) -> int:
        self._at -= 1
        if self._at == 0 and not self._done:
            raise CatalogueUnavailable("broken")
        revision = await super().commit(writes, checks)
        if self._at == 0:
            raise CatalogueUnavailable("broken after all")
        return revision


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
async def test_a_restoration_that_was_cut_off_is_no_cluster_and_goes_on(
    at: int, done: bool
) -> None:
    content = await backup_of(await filled(keys=150))
    catalogue = FailingCatalogue(at, done=done)

    if at == 4 and done:
        await restore(catalogue, content, ROOT)
    else:
        with pytest.raises(CatalogueUnavailable):
            await restore(catalogue, content, ROOT)
        assert await catalogue.get(paths.CLUSTER) is None
        assert await restore(catalogue, content, ROOT) == 152
    restored = await contents(catalogue)
    assert len(restored) == 152
    assert paths.RESTORING not in restored


async def test_another_backup_does_not_go_on_where_one_was_cut_off() -> None:
    catalogue = FailingCatalogue(2, done=True)
    with pytest.raises(CatalogueUnavailable):
        await restore(catalogue, await backup_of(await filled()), ROOT)

    with pytest.raises(BackupRefused, match="not empty"):
        await restore(catalogue, await backup_of(await filled(keys=4)), ROOT)


async def test_lines_are_json() -> None:
    for line in (await backup_of(await filled())).splitlines():
        assert isinstance(json.loads(line), dict)
