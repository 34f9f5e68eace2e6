"""What enters the view, what never does, and how it keeps current."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from support.cluster import (
    NOW,
    cluster_record,
    found,
    identity,
    member_record,
    put,
    signer,
    verifier,
)

from offload.catalogue import paths
from offload.catalogue.base import Delete, Put
from offload.catalogue.fake import FakeCatalogue
from offload.catalogue.records import AliveRecord, HoldingRecord, LabelRecord, UserRecord
from offload.cluster.opened import removal
from offload.cluster.view import NotFounded, View

USER = paths.USERS + "olga"
WAIT = 10.0


def user(version: int = 1, role: str = "officer") -> UserRecord:
    return UserRecord.model_validate(
        {
            "name": "olga",
            "role": role,
            "fingerprint": "",
            "public_key": "",
            "created": NOW,
            "version": version,
        }
    )


@pytest.fixture
async def catalogue() -> AsyncIterator[FakeCatalogue]:
    catalogue = FakeCatalogue()
    await found(catalogue, "a", "b")
    yield catalogue
    await catalogue.close()


@pytest.fixture
async def view(catalogue: FakeCatalogue) -> AsyncIterator[View]:
    view = await View.open(catalogue.another(), verifier())
    yield view
    await view.close()


async def reached(view: View, revision: int) -> None:
    async with asyncio.timeout(WAIT):
        await view.reached(revision)


async def test_loads_what_members_signed(catalogue: FakeCatalogue) -> None:
    await put(catalogue, "b", {USER: user(), "rotations/www": b'{"version":3}'})
    await catalogue.commit(
        [Put("alive/a", AliveRecord(name="a", since=NOW).body()), Put("tokens/x", b"opaque")]
    )
    view = await View.open(catalogue, verifier())
    assert view.cluster == cluster_record()
    assert view.present == ("a", "b")
    assert view.users == {"olga": user()}
    assert view.alive["a"].since == NOW
    assert view.raw("rotations/") == {"rotations/www": b'{"version":3}'}
    assert view.raw("tokens/") == {}
    assert view.version_of("rotations/www") == 3
    assert view.signed_by("b") == ("rotations/www", USER)
    assert view.untrusted == {}
    assert view.revision_of(USER) > 0 == view.revision_of("users/nobody")
    await view.close()


async def test_a_catalogue_without_a_cluster_is_not_taken() -> None:
    catalogue = FakeCatalogue()
    with pytest.raises(NotFounded, match="holds no cluster"):
        await View.open(catalogue, verifier())
    await put(catalogue, "a", {paths.CLUSTER: cluster_record()})
    with pytest.raises(NotFounded, match="'a', which is no member"):
        await View.open(catalogue, verifier())


async def test_follows_changes_and_tells_of_them(catalogue: FakeCatalogue, view: View) -> None:
    told: list[Sequence[str]] = []
    end = view.subscribe(told.append)
    await reached(view, await put(catalogue, "a", {USER: user()}))
    await reached(view, await put(catalogue, "a", {USER: removal(2)}))
    assert told == [[USER], [USER]]
    assert view.users == {}
    end()
    await reached(view, await put(catalogue, "a", {USER: user(3)}))
    assert len(told) == 2


async def test_a_callback_that_fails_harms_nobody(catalogue: FakeCatalogue, view: View) -> None:
    def fail(changed: Sequence[str]) -> None:
        raise ZeroDivisionError

    view.subscribe(fail)
    await reached(view, await put(catalogue, "a", {USER: user()}))
    await reached(view, await put(catalogue, "a", {USER: user(2)}))
    assert view.users["olga"].version == 2


async def test_what_a_stranger_signed_never_enters(catalogue: FakeCatalogue, view: View) -> None:
    await put(catalogue, "a", {USER: user()})
    forged = await put(catalogue, "stranger", {USER: user(2, "auditor")})
    await reached(view, forged)
    assert view.users["olga"].role == "officer"
    assert "'stranger', which is no member" in view.untrusted[USER]
    assert view.revision_of(USER) == forged
    await reached(view, await put(catalogue, "a", {USER: user(2)}))
    assert view.untrusted == {}


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("users/pete", b"{}", "not signed at all"),
        ("users/pete", signer("a").seal(USER, user().body()), "as it stands"),
        ("users/pete", signer("a").seal("users/pete", user().body()), "belongs at users/olga"),
        ("users/pete", signer("a").seal("users/pete", b"{}"), "not readable"),
        ("keys/zz", signer("a").seal("keys/zz", b"{}"), "not readable"),
        ("alive/a", b"{}", "not readable"),
    ],
)
async def test_what_does_not_belong_is_refused(
    catalogue: FakeCatalogue, view: View, path: str, value: bytes, reason: str
) -> None:
    await reached(view, await catalogue.commit([Put(path, value)]))
    assert reason in view.untrusted[path]
    assert view.users == {}
    await reached(view, await catalogue.commit([Delete(path)]))
    assert view.untrusted == {}


async def test_only_the_holder_says_what_it_holds(catalogue: FakeCatalogue, view: View) -> None:
    ski = "01" * 20
    path = f"holdings/{ski}/a"
    holding = HoldingRecord(member="a", ski=ski, state="held")
    await reached(view, await put(catalogue, "b", {path: holding}))
    assert "'b' wrote it" in view.untrusted[path]
    await reached(view, await put(catalogue, "a", {path: holding}))
    assert view.holdings[bytes.fromhex(ski)] == {"a": holding}
    await reached(view, await catalogue.commit([Delete(path)]))
    assert view.holdings == {}


async def test_an_older_version_is_refused(catalogue: FakeCatalogue, view: View) -> None:
    await put(catalogue, "a", {USER: user(3)})
    await reached(view, await put(catalogue, "a", {USER: user(2, "auditor")}))
    assert view.users["olga"].version == 3
    assert "version 2, but 3 was seen" in view.untrusted[USER]


async def test_of_two_that_were_signed_at_once_the_first_counts(
    catalogue: FakeCatalogue, view: View
) -> None:
    # Two members write at the same moment; who runs the store has the loser's value too.
    await put(catalogue, "a", {USER: user(3)})
    await reached(view, await put(catalogue, "b", {USER: user(3, "auditor")}))
    assert view.users["olga"].role == "officer"
    assert "another version 3" in view.untrusted[USER]
    await reached(view, await put(catalogue, "b", {USER: user(3)}))
    assert view.untrusted == {}
    await put(catalogue, "a", {USER: removal(4)})
    await reached(view, await put(catalogue, "a", {USER: user(4)}))
    assert view.users == {}


async def test_a_removal_is_remembered(catalogue: FakeCatalogue) -> None:
    await put(catalogue, "a", {USER: user(3)})
    revision = await put(catalogue, "a", {USER: removal(4)})
    view = await View.open(catalogue, verifier())
    assert view.users == {}
    assert view.revision_of(USER) == revision
    await reached(view, await put(catalogue, "a", {USER: user(3)}))
    assert view.users == {}
    await view.close()


async def test_what_is_taken_away_without_a_signature_stays(catalogue: FakeCatalogue) -> None:
    # Members leave a mark where they remove such things: this is the doing of who runs the store.
    view = await View.open(catalogue, verifier())
    told: list[Sequence[str]] = []
    view.subscribe(told.append)
    entry = await catalogue.get(paths.CLUSTER)
    assert entry is not None
    await reached(view, await put(catalogue, "b", {USER: user()}))
    gone = [paths.CLUSTER, "members/b", USER]
    await reached(view, await catalogue.commit([Delete(path) for path in gone]))
    assert (view.cluster, view.present) == (cluster_record(), ("a", "b"))
    assert view.users["olga"] == user()
    assert sorted(view.untrusted) == sorted(gone)
    assert view.revision_of(USER) == 0 < view.version_of(USER)
    await reached(view, await put(catalogue, "b", {USER: user(2, "auditor")}))
    await reached(view, await catalogue.commit([Put(paths.CLUSTER, entry.value)]))
    assert view.users["olga"].role == "auditor"
    assert list(view.untrusted) == ["members/b"]
    assert told == [[USER], [USER], [paths.CLUSTER]]
    await view.close()


async def test_what_never_entered_does_not_leave(catalogue: FakeCatalogue, view: View) -> None:
    told: list[Sequence[str]] = []
    view.subscribe(told.append)
    await catalogue.commit([Put("keys/no key", b"{}"), Put("holdings/none", b"{}")])
    await reached(view, await catalogue.commit([Delete("keys/no key"), Delete("holdings/none")]))
    assert told == []
    assert view.untrusted == {}


async def test_versions_of_an_earlier_run_count(catalogue: FakeCatalogue) -> None:
    await put(catalogue, "a", {USER: user(3)})
    first = await View.open(catalogue, verifier())
    await first.close()
    await put(catalogue, "a", {USER: user(2)})
    view = await View.open(catalogue, verifier(), seen=first.versions())
    assert view.users == {}
    assert "3 was seen" in view.untrusted[USER]
    await view.close()


async def test_a_new_member_signs_and_a_removed_one_does_not(
    catalogue: FakeCatalogue, view: View
) -> None:
    # In one commit, in an order of paths in which what is signed comes before who signed.
    label = LabelRecord(label="www", generations=(), current="")
    newcomer = signer("c")
    await catalogue.commit(
        [
            Put("labels/www", newcomer.seal("labels/www", label.body())),
            Put("members/c", signer("a").seal("members/c", member_record("c").body())),
        ]
    )
    revision = await put(catalogue, "c", {USER: user()})
    await reached(view, revision)
    assert "c" in view.present
    assert (view.labels["www"], view.users["olga"]) == (label, user())
    removed = member_record("c", state="removed", version=2)
    await put(catalogue, "a", {"members/c": removed})
    await reached(view, await put(catalogue, "c", {USER: user(2)}))
    assert "c" not in view.present
    assert view.users["olga"] == user()
    assert "no member" in view.untrusted[USER]


async def test_nobody_admits_himself(catalogue: FakeCatalogue, view: View) -> None:
    await reached(view, await put(catalogue, "c", {"members/c": member_record("c")}))
    assert view.present == ("a", "b")


async def test_a_removed_member_does_not_bring_itself_back(catalogue: FakeCatalogue) -> None:
    other = catalogue.another()
    view = await View.open(other, verifier())
    revision = await put(
        catalogue, "a", {"members/b": member_record("b", state="removed", version=2)}
    )
    await reached(view, revision)
    other.down = True
    await put(catalogue, "b", {"members/b": member_record("b", version=9)})
    await put(catalogue, "b", {USER: user()})
    revision = await put(catalogue, "a", {"labels/www": LabelRecord(
        label="www", generations=(), current=""
    )})  # fmt: skip
    catalogue.compact()
    other.down = False
    await reached(view, revision)
    await view.close()
    again = await View.open(catalogue, verifier(view.revoked), seen=view.versions())
    for each in (view, again):
        assert each.present == ("a",)
        assert each.users == {}
        assert "no member" in each.untrusted["members/b"]
    await again.close()


async def test_what_a_later_member_signed_is_taken_once_it_is_one(
    catalogue: FakeCatalogue, view: View
) -> None:
    await reached(view, await put(catalogue, "c", {USER: user()}))
    assert view.users == {}
    await reached(view, await put(catalogue, "a", {"members/c": member_record("c")}))
    assert view.users["olga"] == user()
    assert view.untrusted == {}


async def test_a_member_needs_a_certificate_for_its_name(
    catalogue: FakeCatalogue, view: View
) -> None:
    borrowed = member_record("c", certificate=identity("b").certificate.decode())
    await reached(view, await put(catalogue, "a", {"members/c": borrowed}))
    assert "not that of a worker of that name" in view.untrusted["members/c"]
    none = member_record("c", certificate="", version=2)
    await reached(view, await put(catalogue, "a", {"members/c": none}))
    assert "has no certificate" in view.untrusted["members/c"]


async def test_who_signed_for_himself_counts_no_other_at_the_start(
    catalogue: FakeCatalogue,
) -> None:
    # The record of `d` is signed by `c`, whom nobody admitted and who has no record.
    await put(catalogue, "c", {"members/d": member_record("d")})
    await put(catalogue, "d", {USER: user()})
    view = await View.open(catalogue, verifier())
    assert view.present == ("a", "b")
    assert view.users == {}
    await view.close()


async def test_reads_anew_when_history_was_cut(catalogue: FakeCatalogue) -> None:
    other = catalogue.another()
    await put(catalogue, "a", {USER: user(), "users/pete": user()})
    await put(catalogue, "a", {"rotations/x": b"{}"})
    view = await View.open(other, verifier())
    told: list[Sequence[str]] = []
    view.subscribe(told.append)
    other.down = True
    await put(catalogue, "a", {USER: user(2)})
    await catalogue.commit([Delete("rotations/x")])
    revision = await put(catalogue, "b", {"labels/www": LabelRecord(
        label="www", generations=(), current=""
    )})  # fmt: skip
    catalogue.compact()
    other.down = False
    await reached(view, revision)
    assert view.users["olga"].version == 2
    assert view.raw("rotations/") == {}
    assert [sorted(paths) for paths in told] == [["labels/www", "rotations/x", USER]]
    await view.close()


async def test_many_values_are_verified_side_by_side(catalogue: FakeCatalogue) -> None:
    values: dict[str, bytes] = {f"rotations/{number:04}": b"{}" for number in range(1200)}
    for at in range(0, len(values), 100):
        await put(catalogue, "a", dict(list(values.items())[at : at + 100]))
    await put(catalogue, "stranger", {"rotations/0700": b"{}"})
    view = await View.open(catalogue, verifier(), keep=("rotations/",))
    assert len(view.raw("rotations/")) == 1199
    assert list(view.untrusted) == ["rotations/0700"]
    assert view.sealed("rotations/0001") is not None
    assert view.sealed("members/a") is None
    await view.close()


async def test_a_false_record_of_a_member_does_not_silence_it(catalogue: FakeCatalogue) -> None:
    other = catalogue.another()
    view = await View.open(other, verifier())
    await view.complete()
    other.down = True
    await put(catalogue, "stranger", {"members/b": member_record("b", version=2)})
    revision = await put(catalogue, "b", {USER: user()})
    catalogue.compact()
    other.down = False
    await reached(view, revision)
    assert view.users["olga"] == user()
    assert "members/b" in view.untrusted
    await view.close()


async def test_it_goes_on_when_it_is_told_to(catalogue: FakeCatalogue) -> None:
    view = await View.open(catalogue, verifier(), proceed=False)
    assert view.cluster.name == "test"
    revision = await put(catalogue, "a", {USER: user()})
    assert (view.revision, view.users) == (0, {})
    view.proceed()
    view.proceed()
    await reached(view, revision)
    assert view.users["olga"] == user()
    await view.close()
