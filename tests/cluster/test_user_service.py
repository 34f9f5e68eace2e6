"""Users come, change and go; officers stay enough."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from support.pki import PKI
from support.rest import Rest, managed

from offload.catalogue import paths
from offload.cluster.acts import CreateUser, ListUsers, MintToken, RemoveUser, SetRole
from offload.cluster.authority import fingerprint
from offload.cluster.bearer import Bearers
from offload.cluster.failures import Invalid, NotAllowed, NotFound, Taken, Unavailable, WrongState
from offload.cluster.request import make_request
from offload.cluster.views import TokenView, UserList, UserView

REQUEST = make_request("whoever", ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
async def rest(pki: PKI) -> AsyncIterator[Rest]:
    async with managed(pki) as made:
        yield made


async def test_a_user_gets_a_certificate(rest: Rest) -> None:
    act = CreateUser(user="uma", role="auditor", request=REQUEST)
    view = await rest.management.perform(rest.actor("olga"), act)
    assert isinstance(view, UserView)
    certificate = x509.load_pem_x509_certificate(view.certificate.encode())
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert list(usage.value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    user = rest.node.view.users["uma"]
    assert (user.role, user.fingerprint) == ("auditor", fingerprint(certificate))
    assert view.fingerprint == user.fingerprint


async def test_a_name_is_given_once(rest: Rest) -> None:
    act = CreateUser(user="kim", role="officer", request=REQUEST)
    with pytest.raises(Taken, match="'kim'"):
        await rest.management.perform(rest.actor("olga"), act)


async def test_a_request_that_is_none_is_refused(rest: Rest) -> None:
    act = CreateUser(user="uma", role="auditor", request="PEM")
    with pytest.raises(Invalid):
        await rest.management.perform(rest.actor("olga"), act)


async def test_users_are_listed_by_name(rest: Rest) -> None:
    listed = await rest.management.perform(rest.actor("ada"), ListUsers())
    assert isinstance(listed, UserList)
    assert [(one.name, one.role) for one in listed.users] == [
        ("ada", "auditor"),
        ("kim", "key-user"),
        ("olga", "officer"),
        ("otto", "officer"),
    ]


async def test_a_role_can_be_changed(rest: Rest) -> None:
    await rest.management.perform(rest.actor("olga"), SetRole(user="kim", role="auditor"))
    assert rest.node.view.users["kim"].role == "auditor"


async def test_who_is_not_there_is_not_found(rest: Rest) -> None:
    for act in (SetRole(user="nobody", role="auditor"), RemoveUser(user="nobody")):
        with pytest.raises(NotFound, match="'nobody'"):
            await rest.management.perform(rest.actor("olga"), act)


async def test_the_last_officer_stays(rest: Rest) -> None:
    await rest.management.perform(rest.actor("olga"), RemoveUser(user="olga"))
    for act in (RemoveUser(user="otto"), SetRole(user="otto", role="auditor")):
        with pytest.raises(WrongState, match="there must be 1"):
            await rest.management.perform(rest.actor("otto"), act)
    await rest.management.perform(rest.actor("otto"), SetRole(user="otto", role="officer"))


async def test_approvals_can_still_be_given(rest: Rest) -> None:
    await rest.policy(key_destroy=2)
    with pytest.raises(WrongState, match="there must be 2"):
        await rest.management.perform(rest.actor("olga"), RemoveUser(user="otto"))
    await rest.management.perform(rest.actor("olga"), RemoveUser(user="kim"))


async def test_two_officers_cannot_remove_each_other_at_once(rest: Rest) -> None:
    results = await asyncio.gather(
        rest.management.perform(rest.actor("olga"), RemoveUser(user="otto")),
        rest.management.perform(rest.actor("otto"), RemoveUser(user="olga")),
        return_exceptions=True,
    )
    refused = [one for one in results if isinstance(one, WrongState | Unavailable)]
    assert len(refused) == 1
    assert len(rest.node.view.users.keys() & {"olga", "otto"}) == 1


async def test_a_name_can_be_used_again(rest: Rest) -> None:
    await rest.management.perform(rest.actor("olga"), RemoveUser(user="kim"))
    act = CreateUser(user="kim", role="auditor", request=REQUEST)
    await rest.management.perform(rest.actor("olga"), act)
    assert rest.node.view.users["kim"].role == "auditor"
    assert paths.USERS + "kim" not in rest.node.view.untrusted


async def test_a_token_is_for_the_caller(rest: Rest) -> None:
    view = await rest.management.perform(rest.actor("kim"), MintToken(seconds=60))
    assert isinstance(view, TokenView)
    assert view.token not in repr(view)
    user = await Bearers(rest.node).user(view.token)
    assert user is not None
    assert user.name == "kim"


async def test_a_token_mints_no_other(rest: Rest) -> None:
    with pytest.raises(NotAllowed, match="certificate"):
        await rest.management.perform(rest.actor("kim")._replace(via="token"), MintToken())
