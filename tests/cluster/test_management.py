"""The one way in: what is refused, what is recorded, and in which order."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from pydantic import BaseModel
from support.pki import PKI
from support.rest import Rest, managed

from offload.audit.sink import AuditUnavailable
from offload.catalogue.base import CatalogueDenied, CatalogueUnavailable, Conflict
from offload.cluster.actor import Actor
from offload.cluster.acts import Act, CreateKey, ListKeys, ShowKey, SuspendKey
from offload.cluster.failures import (
    ApprovalNeeded,
    Invalid,
    ManagementError,
    NotAllowed,
    NotFound,
    Taken,
    Unavailable,
    WrongState,
)
from offload.cluster.management import Management, mapped
from offload.cluster.views import Done
from offload.keys.algorithm import UnsupportedKey
from offload.keys.role import Role
from offload.keys.state import IllegalStep
from offload.token.base import (
    KeyNotFound,
    LabelTaken,
    NotExtractable,
    SchemeNotAllowed,
    TokenUnavailable,
    WrappedKeyInvalid,
)

KIM = Actor("kim", Role.KEY_USER)
ADA = Actor("ada", Role.AUDITOR)
CREATE = CreateKey(label="www")


@pytest.fixture
async def rest(pki: PKI) -> AsyncIterator[Rest]:
    async with managed(pki) as made:
        yield made


def failing(rest: Rest, error: BaseException) -> Management:
    async def handle(_actor: Actor, _act: Act) -> BaseModel:
        raise error

    return Management(rest.node, [{CreateKey: handle, ListKeys: handle}])


async def test_an_act_is_recorded_before_it_is_done_and_after(rest: Rest) -> None:
    seen: list[int] = []

    async def handle(_actor: Actor, _act: Act) -> Done:
        seen.append(len(rest.audit.records))
        return Done()

    management = Management(rest.node, [{CreateKey: handle}])
    assert await management.perform(KIM, CREATE) == Done()
    assert seen == [1]
    assert rest.audit.records == [
        {
            "kind": "management",
            "actor": "kim",
            "role": "key-user",
            "via": "certificate",
            "act": "key.create",
            "target": "www",
            "digest": CREATE.digest(),
            "outcome": outcome,
        }
        for outcome in ("begun", "done")
    ]


async def test_what_a_role_does_not_cover_is_refused_and_recorded(rest: Rest) -> None:
    with pytest.raises(NotAllowed, match="key-user"):
        await rest.management.perform(ADA, CREATE)
    assert rest.done == []
    assert rest.outcomes() == [("ada", "key.create", "not-allowed")]


async def test_a_refused_read_is_recorded_and_others_are_not(rest: Rest) -> None:
    await rest.management.perform(ADA, ListKeys())
    with pytest.raises(NotAllowed):
        await rest.management.perform(Actor("front", Role.APPLIANCE), ListKeys())
    assert rest.outcomes() == [("front", "key.list", "not-allowed")]


async def test_nothing_is_changed_that_cannot_be_recorded(rest: Rest) -> None:
    rest.audit.broken = True
    with pytest.raises(Unavailable, match="audit log"):
        await rest.management.perform(KIM, CREATE)
    assert rest.done == []
    await rest.management.perform(KIM, ShowKey(key="www"))
    with pytest.raises(NotAllowed):
        await rest.management.perform(ADA, CREATE)


async def test_nothing_is_begun_whose_outcome_might_find_no_room(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def _full() -> None:
        raise AuditUnavailable("the disk is full")

    monkeypatch.setattr(rest.audit, "check", _full)
    with pytest.raises(Unavailable, match="the disk is full"):
        await rest.management.perform(KIM, CREATE)
    assert (rest.done, rest.audit.records) == ([], [])


async def test_an_act_that_was_done_stands_even_if_its_outcome_cannot_be_recorded(
    rest: Rest,
) -> None:
    async def handle(_actor: Actor, _act: Act) -> Done:
        rest.audit.broken = True
        return Done()

    management = Management(rest.node, [{CreateKey: handle}])
    assert await management.perform(KIM, CREATE) == Done()
    with pytest.raises(Unavailable):
        await management.perform(KIM, CREATE)


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (CatalogueUnavailable("no majority"), Unavailable),
        (CatalogueDenied("who are you"), Unavailable),
        (Conflict("changed"), Unavailable),
        (TokenUnavailable("no HSM"), Unavailable),
        (TimeoutError(), Unavailable),
        (KeyNotFound("none"), NotFound),
        (LabelTaken("there"), Taken),
        (NotExtractable("never"), WrongState),
        (IllegalStep("destroyed"), WrongState),
        (SchemeNotAllowed("no"), Invalid),
        (WrappedKeyInvalid("altered"), Invalid),
        (UnsupportedKey("dsa"), Invalid),
    ],
    ids=lambda one: one.__class__.__name__ if isinstance(one, Exception) else "",
)
async def test_failures_of_other_rooms_become_ours(
    rest: Rest, error: Exception, meaning: type[ManagementError]
) -> None:
    with pytest.raises(ManagementError) as caught:
        await failing(rest, error).perform(KIM, CREATE)
    assert type(caught.value) is meaning
    assert caught.value.__cause__ is error


def test_what_may_have_been_done_is_said_to_be_so() -> None:
    for error in (CatalogueUnavailable("no majority"), TimeoutError()):
        assert "may have been done" in str(mapped(error))


@pytest.mark.parametrize(
    ("error", "outcome", "detail"),
    [
        (Taken("there is one"), "refused", "there is one"),
        (Unavailable("later"), "unavailable", "later"),
        (RuntimeError("hush"), "failed", "RuntimeError"),
    ],
)
async def test_what_comes_of_an_act_is_recorded(
    rest: Rest, error: Exception, outcome: str, detail: str
) -> None:
    with pytest.raises(type(error)):
        await failing(rest, error).perform(KIM, CREATE)
    assert rest.audit.records[-1]["outcome"] == outcome
    assert rest.audit.records[-1]["detail"] == detail


async def test_an_act_that_takes_too_long_ends(rest: Rest) -> None:
    async def handle(_actor: Actor, _act: Act) -> Done:
        await asyncio.Event().wait()
        return Done()

    management = Management(rest.node, [{CreateKey: handle}], seconds=0.01)
    with pytest.raises(Unavailable, match="too long"):
        await management.perform(KIM, CREATE)
    assert rest.outcomes()[-1] == ("kim", "key.create", "unavailable")


async def test_an_act_that_is_interrupted_leaves_a_record(rest: Rest) -> None:
    doing = asyncio.Event()

    async def handle(_actor: Actor, _act: Act) -> Done:
        doing.set()
        await asyncio.Event().wait()
        return Done()

    management = Management(rest.node, [{CreateKey: handle}])
    task = asyncio.create_task(management.perform(KIM, CREATE))
    await doing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rest.outcomes()[-1] == ("kim", "key.create", "interrupted")


async def test_an_act_that_nobody_does_here_is_refused(rest: Rest) -> None:
    management = Management(rest.node, [])
    for act in (ListKeys(), CREATE):
        with pytest.raises(WrongState, match="another"):
            await management.perform(KIM, act)


async def test_two_services_for_one_act_are_a_mistake(rest: Rest) -> None:
    async def handle(_actor: Actor, _act: Act) -> Done:
        return Done()

    with pytest.raises(ValueError, match="key\\.create"):
        Management(rest.node, [{CreateKey: handle}, {CreateKey: handle}])


async def test_answers_are_what_handlers_are_annotated_with(rest: Rest) -> None:
    assert rest.management.answers()[CreateKey] is Done


async def test_a_spent_approval_is_told_of_when_the_act_fails(rest: Rest) -> None:
    await rest.policy(key_create=1)
    management = failing(rest, Taken("there is one"))
    with pytest.raises(ApprovalNeeded) as needed:
        await management.perform(KIM, CREATE)
    await rest.sign("olga", needed.value.approval)
    with pytest.raises(Taken, match=r"there is one; approval [0-9a-f]{32} is used up"):
        await management.perform(KIM, CREATE, approval=needed.value.approval)
    assert [outcome for _, act, outcome in rest.outcomes() if act == "key.create"] == [
        "begun",
        "approval-needed",
        "begun",
        "refused",
    ]
    assert rest.audit.records[-1]["approval"] == needed.value.approval


async def test_an_approval_that_is_not_needed_is_not_asked_for(rest: Rest) -> None:
    await rest.management.perform(KIM, SuspendKey(key="www"), approval="0" * 32)
    assert rest.done == [SuspendKey(key="www")]
