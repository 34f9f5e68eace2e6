"""Approvals, pages and other people's pages, as they look over REST."""

from collections.abc import AsyncIterator

import pytest
from support.pki import PKI
from support.rest import Rest, managed, served, serving

from offload.cluster.actor import Actor
from offload.cluster.acts import CreateKey, DestroyKey, ListKeys, ShowKey
from offload.cluster.management import Management
from offload.cluster.views import KeyPage, View


class Made(View):
    """The part of a key's view that a location is made of."""

    label: str
    generation: int


@pytest.fixture
async def rest(pki: PKI) -> AsyncIterator[Rest]:
    async with served(pki) as made:
        yield made


async def test_an_act_that_needs_approval_is_done_once_it_has_it(rest: Rest) -> None:
    await rest.policy(key_destroy=2)
    pending = await rest.ask("kim", "POST", "/v1/keys/www/destroy")
    assert pending.status == 202
    location = pending.headers["Location"]
    assert location == f"/v1/approvals/{pending.json()['approval']}"

    for officer in ("olga", "otto"):
        waiting = (await rest.ask(officer, "GET", location)).json()
        assert waiting["act"] == DestroyKey(key="www").canonical().decode()
        signature = rest.signature(officer, waiting["statement"])
        body = {"signature": signature}
        assert (await rest.ask(officer, "POST", f"{location}/sign", body)).status == 200

    headers = {"Offload-Approval": pending.json()["approval"]}
    other = await rest.ask("kim", "POST", "/v1/keys/other/destroy", headers=headers)
    assert other.status == 409
    done = await rest.ask("kim", "POST", "/v1/keys/www/destroy", headers=headers)
    assert done.status == 200
    again = await rest.ask("kim", "POST", "/v1/keys/www/destroy", headers=headers)
    assert again.status == 404
    assert rest.done == [DestroyKey(key="www")]


@pytest.mark.parametrize("approval", ["", "x", "../users/olga", "0" * 31, "0" * 33])
async def test_an_approval_that_is_none_is_refused(rest: Rest, approval: str) -> None:
    headers = {"Offload-Approval": approval}
    answer = await rest.ask("kim", "POST", "/v1/keys/www/destroy", headers=headers)
    assert answer.status == 400
    assert rest.done == []


async def test_nothing_is_changed_without_an_audit_log(rest: Rest) -> None:
    rest.audit.broken = True
    answer = await rest.ask("kim", "POST", "/v1/keys", {"label": "www"})
    assert answer.status == 503
    assert "audit log" in answer.json()["detail"]
    assert int(answer.headers["Retry-After"]) > 0
    assert rest.done == []
    assert (await rest.ask("kim", "GET", "/v1/keys")).status == 200


async def test_a_refusal_is_in_the_audit_log(rest: Rest) -> None:
    await rest.ask("ada", "POST", "/v1/keys", {"label": "www"})
    assert rest.outcomes() == [("ada", "key.create", "not-allowed")]


async def test_another_sites_page_changes_nothing(rest: Rest) -> None:
    for origin in ("https://evil.example", "null", f"{rest.url}.evil.example"):
        answer = await rest.ask("kim", "POST", "/v1/keys/www/suspend", headers={"Origin": origin})
        assert answer.status == 403
    assert rest.done == []
    own = await rest.ask("kim", "POST", "/v1/keys/www/suspend", headers={"Origin": rest.url})
    assert own.status == 200


async def test_a_page_names_the_next_one(pki: PKI) -> None:
    async def keys(_actor: Actor, act: ListKeys) -> KeyPage:
        return KeyPage(keys=(), next="" if act.after else "www@1")

    async with managed(pki) as rest:
        rest.management = Management(rest.node, [{ListKeys: keys}])
        async with serving(rest):
            first = await rest.ask("kim", "GET", "/v1/keys?limit=1&label=w*")
            following = first.headers["Link"].partition(">")[0].removeprefix("<")
            assert following == "/v1/keys?limit=1&label=w%2A&after=www%401"
            last = await rest.ask("kim", "GET", following)
    assert last.json()["next"] == ""
    assert "Link" not in last.headers


async def test_what_was_made_says_where_it_is(pki: PKI) -> None:
    async def create(_actor: Actor, act: CreateKey) -> Made:
        return Made(label=act.label, generation=1)

    async with managed(pki) as rest:
        rest.management = Management(rest.node, [{CreateKey: create}])
        async with serving(rest):
            answer = await rest.ask("kim", "POST", "/v1/keys", {"label": "www"})
    assert (answer.status, answer.headers["Location"]) == (201, "/v1/keys/www@1")


async def test_a_fault_of_ours_tells_nothing_of_itself(
    pki: PKI, capfd: pytest.CaptureFixture[str]
) -> None:
    async def show(_actor: Actor, _act: ShowKey) -> Made:
        raise RuntimeError("hush")

    async with managed(pki) as rest:
        rest.management = Management(rest.node, [{ShowKey: show}])
        async with serving(rest):
            answer = await rest.ask("kim", "GET", "/v1/keys/www")
    assert answer.status == 500
    assert b"hush" not in answer.body
    assert b"Traceback" not in answer.body
