"""Officers, key users and auditors: who they are, and tokens of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from offload.catalogue import paths
from offload.catalogue.base import Unchanged
from offload.catalogue.records import UserRecord
from offload.cluster.actor import Actor, Handlers
from offload.cluster.acts import CreateUser, ListUsers, MintToken, RemoveUser, SetRole
from offload.cluster.approval import is_officer, strictest
from offload.cluster.authority import fingerprint, pem
from offload.cluster.bearer import Bearers
from offload.cluster.failures import NotAllowed, NotFound, Taken, WrongState
from offload.cluster.node import Node
from offload.cluster.request import RequestedKey, requested_key
from offload.cluster.views import Done, TokenView, UserList, UserView

IssueClient = Callable[[str, RequestedKey], Awaitable[x509.Certificate]]
"""Issues the certificate of a user called so, for the key; `TokenAuthority.issue_client`."""


class UserService:
    """Belongs to one member."""

    def __init__(self, node: Node, issue: IssueClient, bearers: Bearers) -> None:
        self._node, self._issue, self._bearers = node, issue, bearers

    @property
    def handlers(self) -> Handlers:
        """The acts done here."""
        return {
            ListUsers: self._list,
            CreateUser: self._create,
            SetRole: self._set_role,
            RemoveUser: self._remove,
            MintToken: self._mint,
        }

    async def _list(self, _actor: Actor, _act: ListUsers) -> UserList:
        users = self._node.view.users
        return UserList(users=tuple(_view(users[name]) for name in sorted(users)))

    async def _create(self, _actor: Actor, act: CreateUser) -> UserView:
        if act.user in self._node.view.users:
            raise Taken(f"there is a user {act.user!r} already: take another name")
        public = requested_key(act.request)
        certificate = await self._issue(act.user, public)
        encoded = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        user = UserRecord(
            name=act.user,
            role=act.role,
            fingerprint=fingerprint(certificate),
            public_key=encoded.decode(),
            created=self._node.clock(),
        )
        await self._node.write({paths.USERS + act.user: user})
        return _view(user, pem(certificate).decode())

    async def _set_role(self, _actor: Actor, act: SetRole) -> UserView:
        user = self._found(act.user)
        changed = user.model_copy(update={"role": act.role})
        checks = self._still_enough(user) if act.role != "officer" else []
        await self._node.write({paths.USERS + act.user: changed}, checks=checks)
        return _view(changed)

    async def _remove(self, _actor: Actor, act: RemoveUser) -> Done:
        user = self._found(act.user)
        await self._node.write({paths.USERS + act.user: None}, checks=self._still_enough(user))
        return Done()

    async def _mint(self, actor: Actor, act: MintToken) -> TokenView:
        if actor.via == "token":
            raise NotAllowed("a token mints no other: authenticate with your certificate")
        bearer = await self._bearers.mint(self._found(actor.name), act.seconds)
        return TokenView(token=bearer.token, expires=bearer.expires)

    def _found(self, name: str) -> UserRecord:
        user = self._node.view.users.get(name)
        if user is None:
            raise NotFound(f"there is no user {name!r}")
        return user

    def _still_enough(self, leaving: UserRecord) -> list[Unchanged]:
        """What must not change meanwhile, so that enough officers stay; raises WrongState."""
        view = self._node.view
        if not is_officer(leaving):
            return []
        staying = [one for one in view.users.values() if is_officer(one) and one is not leaving]
        needed = max(1, strictest(view.cluster.approvals))
        if len(staying) < needed:
            raise WrongState(
                f"without {leaving.name!r} there would be {len(staying)} officers, but there must "
                f"be {needed}: make another officer, or let fewer approvals be needed"
            )
        others = (paths.CLUSTER, *(paths.USERS + one.name for one in staying))
        return [Unchanged(path, view.revision_of(path)) for path in others]


def _view(user: UserRecord, certificate: str = "") -> UserView:
    return UserView(
        name=user.name,
        role=user.role,
        fingerprint=user.fingerprint,
        created=user.created,
        certificate=certificate,
    )
