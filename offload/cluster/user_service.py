"""Officers, key users and auditors: who they are, and tokens of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from offload.catalogue import paths
from offload.catalogue.records import UserRecord
from offload.cluster.actor import Actor, Handlers
from offload.cluster.acts import CreateUser, ListUsers, MintToken, RemoveUser, SetRole
from offload.cluster.approval import is_officer, strictest
from offload.cluster.authority import fingerprint, pem
from offload.cluster.bearer import Bearers
from offload.cluster.changes import Writing, decided
from offload.cluster.failures import NotAllowed, NotFound, Taken, WrongState
from offload.cluster.node import Node
from offload.cluster.persistence import persist
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
            raise _taken(act.user)
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
        path = paths.USERS + act.user

        def decide(unsure: bool) -> Writing | None:
            there = self._node.view.users.get(act.user)
            if there is None:
                return decided(self._node.view, {path: user})
            if unsure and there.fingerprint == user.fingerprint:
                return None
            raise _taken(act.user)

        await persist(self._node, decide)
        return _view(user, pem(certificate).decode())

    async def _set_role(self, _actor: Actor, act: SetRole) -> UserView:
        def decide(_unsure: bool) -> Writing | None:
            user = self._found(act.user)
            if user.role == act.role:
                return None
            depends = self._staying(user) if act.role != "officer" else ()
            changed = user.model_copy(update={"role": act.role})
            return decided(self._node.view, {paths.USERS + act.user: changed}, *depends)

        await persist(self._node, decide)
        return _view(self._found(act.user))

    async def _remove(self, _actor: Actor, act: RemoveUser) -> Done:
        def decide(unsure: bool) -> Writing | None:
            if unsure and act.user not in self._node.view.users:
                return None
            depends = self._staying(self._found(act.user))
            return decided(self._node.view, {paths.USERS + act.user: None}, *depends)

        await persist(self._node, decide)
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

    def _staying(self, leaving: UserRecord) -> tuple[str, ...]:
        """What must not change meanwhile, so that enough officers stay; raises WrongState."""
        view = self._node.view
        if not is_officer(leaving):
            return ()
        staying = [one for one in view.users.values() if is_officer(one) and one is not leaving]
        needed = max(1, strictest(view.cluster.approvals))
        if len(staying) < needed:
            raise WrongState(
                f"without {leaving.name!r} there would be {len(staying)} officers, but there must "
                f"be {needed}: make another officer, or let fewer approvals be needed"
            )
        return (paths.CLUSTER, *(paths.USERS + one.name for one in staying))


def _taken(name: str) -> Taken:
    return Taken(f"there is a user {name!r} already: take another name")


def _view(user: UserRecord, certificate: str = "") -> UserView:
    return UserView(
        name=user.name,
        role=user.role,
        fingerprint=user.fingerprint,
        created=user.created,
        certificate=certificate,
    )
