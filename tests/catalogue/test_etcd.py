"""The catalogue in one real etcd: who may do what, and what etcd forgets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.etcd import PREFIX, EtcdCluster
from support.pki import PKI

from offload.catalogue import paths
from offload.catalogue.base import (
    Catalogue,
    CatalogueDenied,
    CatalogueError,
    CatalogueUnavailable,
    Compacted,
    Put,
    Unchanged,
)
from offload.catalogue.etcd import EtcdCatalogue
from offload.config import EtcdSettings

pytestmark = pytest.mark.needs("etcd")


@pytest.fixture
async def member(one_etcd: EtcdCluster) -> AsyncIterator[EtcdCatalogue]:
    catalogue = await EtcdCatalogue.open(one_etcd.settings())
    yield catalogue
    await catalogue.close()


@pytest.fixture
async def frontend(one_etcd: EtcdCluster) -> AsyncIterator[EtcdCatalogue]:
    catalogue = await EtcdCatalogue.open(one_etcd.settings("frontend"))
    yield catalogue
    await catalogue.close()


async def first(catalogue: Catalogue, prefix: str, after: int) -> object:
    """The first batch of a watch."""
    batches = catalogue.watch(prefix, after)
    try:
        async with asyncio.timeout(10):
            return await anext(batches)
    finally:
        await batches.aclose()


async def test_a_frontend_reads_what_is_public(
    member: EtcdCatalogue, frontend: EtcdCatalogue
) -> None:
    public = [path + "a" if path.endswith("/") else path for path in paths.PUBLIC]
    start = (await frontend.list(paths.MEMBERS)).revision
    await member.commit([Put(path, b"public") for path in public])

    for path in public:
        assert await frontend.get(path) is not None
    assert len((await frontend.list(paths.MEMBERS, after="x")).entries) == 0
    assert await first(frontend, paths.MEMBERS, start)


async def test_a_frontend_writes_about_itself_alone(
    member: EtcdCatalogue, frontend: EtcdCatalogue
) -> None:
    lease = await frontend.lease(60)
    await frontend.commit([Put(f"{paths.FRONTENDS}a", b"mine", lease)])
    await frontend.keep_alive(lease)
    assert await member.get(f"{paths.FRONTENDS}a") is not None
    await frontend.revoke(lease)

    for path in (*paths.PUBLIC, paths.KEYS, paths.APPLIANCES):
        with pytest.raises(CatalogueDenied):
            await frontend.commit([Put(f"{path}a", b"")])


@pytest.mark.parametrize("path", [paths.KEYS, paths.CLUSTER_KEYS, paths.TOKENS, ""])
async def test_a_frontend_reads_no_key(
    member: EtcdCatalogue, frontend: EtcdCatalogue, path: str
) -> None:
    revision = await member.commit([Put(f"{path}secret", b"wrapped")])

    with pytest.raises(CatalogueDenied, match="grant"):
        await frontend.get(f"{path}secret")
    with pytest.raises(CatalogueDenied):
        await frontend.list(path)
    with pytest.raises(CatalogueDenied):
        await first(frontend, path, revision - 1)


async def test_what_is_under_another_prefix_is_not_there(
    one_etcd: EtcdCluster, member: EtcdCatalogue
) -> None:
    inner = await EtcdCatalogue.open(one_etcd.settings(prefix=f"{PREFIX}inner/"))
    start = await member.commit([Put("outside", b"")])
    await inner.commit([Put("a", b"1")], [Unchanged("a", 0)])

    assert [entry.key for entry in (await inner.list("")).entries] == ["a"]
    assert await member.get("inner/a") is not None
    assert await first(inner, "", start)
    await inner.close()


async def test_no_list_shows_the_marks_of_commits(member: EtcdCatalogue) -> None:
    before = len((await member.list("")).entries)
    await member.commit([Put("marked", b"")], [Unchanged("marked", 0)])

    assert len((await member.list("")).entries) == before + 1


async def test_large_lists_are_read_whole(member: EtcdCatalogue) -> None:
    for page in range(11):
        await member.commit([Put(f"many/{page:02}-{each:02}", bytes(5000)) for each in range(99)])

    listed = await member.list("many/")
    assert len(listed.entries) == 11 * 99
    assert [entry.key for entry in listed.entries] == sorted(e.key for e in listed.entries)
    assert len((await member.list("many/", limit=1050)).entries) == 1050


async def test_forgotten_history_is_said(one_etcd: EtcdCluster, member: EtcdCatalogue) -> None:
    old = await member.commit([Put("history", b"1")])
    now = await member.commit([Put("history", b"2")])
    one_etcd.ask("v3/kv/compaction", {"revision": str(now)}, token=one_etcd.root_token())

    with pytest.raises(Compacted):
        await member.list("history", revision=old)
    with pytest.raises(Compacted):
        await first(member, "history", old - 1)
    assert (await member.list("history", revision=now)).revision == now


async def test_a_wrong_password_is_said(one_etcd: EtcdCluster, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("wrong")
    settings = one_etcd.settings().model_copy(update={"password_file": password})
    catalogue = await EtcdCatalogue.open(settings)

    with pytest.raises(CatalogueDenied, match="see to name and password") as raised:
        await catalogue.get("a")
    assert "wrong" not in str(raised.value)
    with pytest.raises(CatalogueDenied):
        await first(catalogue, "", 0)
    # A password that was put right needs no restart.
    password.write_text("member\n")
    assert await catalogue.get("absent") is None
    await catalogue.close()


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"user": None}, "user and password"),
        ({"password_file": None}, "name one"),
        ({"password_file": Path("/nowhere")}, "permissions"),
    ],
)
async def test_missing_credentials_are_said(
    one_etcd: EtcdCluster, change: dict[str, object], remedy: str
) -> None:
    catalogue = await EtcdCatalogue.open(one_etcd.settings().model_copy(update=change))

    with pytest.raises(CatalogueDenied, match=remedy):
        await catalogue.get("a")
    await catalogue.close()


async def test_a_client_certificate_with_a_common_name_is_said(
    one_etcd: EtcdCluster, pki: PKI
) -> None:
    identity = pki.identity("named")
    change = {"certificate": identity.certificate_path, "key": identity.key_path}
    catalogue = await EtcdCatalogue.open(one_etcd.settings().model_copy(update=change))

    with pytest.raises(CatalogueDenied, match="empty subject"):
        await catalogue.get("a")
    await catalogue.close()


async def test_nobody_connects_without_a_certificate(one_etcd: EtcdCluster) -> None:
    change = {"certificate": None, "key": None}
    settings = one_etcd.settings().model_copy(update=change)
    catalogue = await EtcdCatalogue.open(settings, total_seconds=0.5)

    with pytest.raises(CatalogueUnavailable, match="certificate"):
        await catalogue.get("a")
    await catalogue.close()


async def test_a_store_of_another_authority_is_not_talked_to(
    one_etcd: EtcdCluster, tmp_path: Path
) -> None:
    other = PKI(tmp_path, "another root")
    settings = one_etcd.settings().model_copy(update={"trust": other.root_path})
    catalogue = await EtcdCatalogue.open(settings, total_seconds=0.5)

    with pytest.raises(CatalogueUnavailable, match="certificate"):
        await catalogue.get("a")
    await catalogue.close()


@pytest.mark.parametrize(
    "endpoint", ["etcd:2379", "ftp://etcd:2379", "https://etcd:2379/x", "http://192.0.2.1:2379", ""]
)
async def test_endpoints_that_cannot_be_used_are_refused(endpoint: str) -> None:
    settings = EtcdSettings.model_construct(kind="etcd", endpoints=(endpoint,))
    with pytest.raises(CatalogueError, match="https://HOST:PORT"):
        await EtcdCatalogue.open(settings)


async def test_certificates_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    settings = EtcdSettings(
        kind="etcd", endpoints=("https://127.0.0.1:1",), trust=tmp_path / "absent"
    )
    with pytest.raises(CatalogueError, match="trust"):
        await EtcdCatalogue.open(settings)
