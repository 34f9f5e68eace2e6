"""Keys in an HSM, reached through its vendor's PKCS#11 module.

What passes through this process's memory: digests, signatures, public keys, the PIN, and private
keys and cluster keys *wrapped* under keys that stay in tokens. A private key or a cluster key in
the clear never does; there is no call here that asks a module for the value of one.

A token object belongs to the process that opened it: PKCS#11 2.40 leaves undefined what a library
does after fork(). Calls go through `lanes`, so that none waits longer than the deadline, and a
library or an HSM that goes and comes back is found again without a restart.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from datetime import UTC, datetime
from typing import Any, TypeVar

from pkcs11.constants import Attribute, ObjectClass
from pkcs11.exceptions import (
    FunctionFailed,
    GeneralError,
    KeyHandleInvalid,
    KeyNotWrappable,
    KeyUnextractable,
    ObjectHandleInvalid,
    PKCS11Error,
    UserAlreadyLoggedIn,
)
from pkcs11.types import Token as HsmToken

from offload.keys.algorithm import Algorithm
from offload.keys.record import KeyRecord
from offload.keys.scheme import SignatureScheme
from offload.token import pkcs11_session as hsm
from offload.token.base import (
    KeyNotFound,
    LabelTaken,
    NotExtractable,
    SchemeNotAllowed,
    TokenError,
    TransportKeys,
    WrappedKeyInvalid,
)
from offload.token.enclosing import BY_RSA, TRANSPORT_BITS
from offload.token.label import check_label
from offload.token.lanes import Lanes, Lost
from offload.token.pkcs11_mechanisms import Mapper, Signing, kind_of, signing, signing_digest
from offload.token.pkcs11_module import Module, explained, is_gone
from offload.token.pkcs11_session import HsmSession
from offload.token.proof import identify, prove

T = TypeVar("T")

# SKI -> record and CKA_ID.
_Held = dict[bytes, tuple[KeyRecord, bytes]]

P11_KIT = "libp11-kit.so.0"

_TRANSPORT_BYTES = TRANSPORT_BITS // 8
# Seconds that are given to what takes longer than a signature: making a large key, listing many.
_MAKING = 60.0
_LISTING = 300.0
# Seconds that a caller of `reload` waits.
_MOMENT = 0.05
# Listing the keys of a large HSM is not cheap: at most this part of the time goes into it.
_LISTING_SHARE = 1 / 20


class Pkcs11Token:
    """A `ReplicatedToken` in an HSM; see the module."""

    def __init__(self, lanes: Lanes[HsmSession], module: Module, name: str, pause: float) -> None:
        """For `open`. pause: seconds before the keys are listed again after that failed."""
        self._lanes, self._module, self._name, self._pause = lanes, module, name, pause
        self._held: _Held = {}
        self._changes: dict[bytes, tuple[KeyRecord, bytes] | None] = {}
        self._transport: TransportKeys | None = None
        self._changing = threading.Lock()
        self._guard = threading.Lock()
        self._listing: Future[_Held] | None = None
        self._next_listing = 0.0
        self._closed = False

    @classmethod
    def open(
        cls,
        pin: bytes,
        *,
        label: str | None = None,
        serial: str | None = None,
        module: str = P11_KIT,
        sessions: int = 4,
        deadline: float = 10.0,
        pause: float = 1.0,
    ) -> "Pkcs11Token":
        """Log in to the token with that label or serial number.

        sessions: at most so many at once; deadline: seconds that a caller waits for the HSM;
        pause: least seconds between attempts to connect again.
        Raises TokenUnavailable, WrongPassphrase, TokenNotFound, TokenError.
        """
        try:
            loaded = Module.load(module)
        except Lost as error:
            raise TokenError(str(error)) from error
        connector = _Connector(loaded, label, serial, pin)
        lanes = Lanes(connector, count=sessions, deadline=deadline, pause=pause)
        token = cls(lanes, loaded, label or serial or "", pause)
        try:
            # Apart from the listing, which may take long: an HSM that does not answer is told soon.
            token._run(lambda _session: None)
            token._reload(_LISTING)
        except BaseException:
            lanes.close()
            raise
        return token

    def __repr__(self) -> str:
        return f"<Pkcs11Token {self._name!r} keys={len(self._held)}>"

    @property
    def in_process(self) -> frozenset[Algorithm]:
        return frozenset()

    @property
    def kind(self) -> str:
        return "pkcs11"

    @property
    def transport(self) -> TransportKeys:
        if self._transport is None:
            with self._changing:
                _, encoded = self._run(lambda session: hsm.transport(session.raw), deadline=_MAKING)
            self._transport = TransportKeys(encoded)
        return self._transport

    def keys(self) -> Sequence[KeyRecord]:
        return sorted((record for record, _ in self._held.values()), key=lambda key: key.label)

    def sign(self, ski: bytes, scheme: SignatureScheme, content: bytes) -> bytes:
        record, key_id = self._find(ski)
        return self._signed(ski, key_id, signing(record.algorithm, scheme, content))

    def sign_digest(self, ski: bytes, scheme: SignatureScheme, digest: bytes) -> bytes:
        record, key_id = self._find(ski)
        return self._signed(ski, key_id, signing_digest(record.algorithm, scheme, digest))

    def _signed(self, ski: bytes, key_id: bytes, operation: Signing) -> bytes:
        def task(session: HsmSession) -> bytes:
            try:
                return session.sign(key_id, operation)
            except (KeyHandleInvalid, ObjectHandleInvalid):
                # Destroyed, or put there again, by another process.
                session.found.pop(key_id, None)
                return session.sign(key_id, operation)

        try:
            return self._run(task)
        except KeyNotFound:
            self._forget(ski)
            raise KeyNotFound(f"no key {ski.hex()} in the token") from None

    def generate(self, label: str, algorithm: Algorithm, *, extractable: bool = True) -> KeyRecord:
        check_label(label)
        kind_of(algorithm)

        def make(session: HsmSession) -> KeyRecord:
            return hsm.generate(session.raw, label, algorithm, extractable, _today())

        with self._changing:
            self._run(lambda session: _require_free(session, label))
            self._run(lambda session: _require_made_here(session, algorithm, extractable))
            record = self._run(make, repeat=False, deadline=_MAKING)
            return self._remember(record, record.ski)

    def destroy(self, ski: bytes) -> None:
        with self._changing:
            _, key_id = self._find(ski)
            self._run(lambda session: hsm.destroy(session, ski, key_id))
            self._forget(ski)

    def wrap(self, ski: bytes, generation: int) -> bytes:
        _, key_id = self._find(ski)

        def task(session: HsmSession) -> bytes:
            private = _leaving(session, key_id)
            key = session.cluster_key(generation)
            wrapped: bytes = key.wrap_key(private, mechanism=session.key_wrap)
            return wrapped

        return self._leave(task)

    def export(self, ski: bytes, recipient: bytes) -> bytes:
        _, key_id = self._find(ski)
        return self._leave(
            lambda session: hsm.enclose(session, _leaving(session, key_id), recipient)
        )

    def _leave(self, task: Callable[[HsmSession], bytes]) -> bytes:
        def guarded(session: HsmSession) -> bytes:
            try:
                return task(session)
            except (KeyNotWrappable, KeyUnextractable):
                raise NotExtractable("the HSM does not let that key out: make another") from None

        return self._run(guarded)

    def unwrap(self, label: str, public_key: bytes, wrapped: bytes, generation: int) -> KeyRecord:
        def task(session: HsmSession) -> KeyRecord:
            return _take_in(session, session.cluster_key(generation), wrapped, label, public_key)

        return self._take_in(label, public_key, task)

    def import_enclosed(self, label: str, public_key: bytes, enclosed: bytes) -> KeyRecord:
        outer, inner = enclosed[:_TRANSPORT_BYTES], enclosed[_TRANSPORT_BYTES:]

        def task(session: HsmSession) -> KeyRecord:
            private, _ = hsm.transport(session.raw)
            key = _unwrapped(lambda: hsm.open_key(private, outer))
            try:
                return _take_in(session, key, inner, label, public_key)
            finally:
                key.destroy()

        return self._take_in(label, public_key, task)

    def _take_in(
        self, label: str, public_key: bytes, task: Callable[[HsmSession], KeyRecord]
    ) -> KeyRecord:
        check_label(label)
        algorithm, ski = identify(public_key)
        kind_of(algorithm)
        with self._changing:
            try:
                return self._find(ski)[0]
            except KeyNotFound:
                self._run(lambda session: _require_free(session, label))
                self._run(lambda session: _require_made_here(session, algorithm, extractable=True))
                return self._remember(self._run(task, repeat=False, deadline=_MAKING), ski)

    def cluster_keys(self) -> frozenset[int]:
        return self._run(lambda session: hsm.cluster_generations(session.raw))

    def generate_cluster_key(self, generation: int) -> None:
        with self._changing:
            if generation in self.cluster_keys():
                raise TokenError(f"there is a cluster key of generation {generation} already")
            self._run(
                lambda session: hsm.generate_cluster_key(session.raw, generation), repeat=False
            )

    def enclose_cluster_key(self, generation: int, recipient: TransportKeys) -> bytes:
        def task(session: HsmSession) -> bytes:
            key = session.cluster_key(generation)
            return hsm.enclose_key(session.raw, key, recipient.rsa)

        return BY_RSA + self._run(task)

    def accept_cluster_key(self, generation: int, enclosed: bytes) -> None:
        if enclosed[:1] != BY_RSA:
            raise WrappedKeyInvalid("this token opens only what is enclosed to its RSA key")

        def task(session: HsmSession) -> None:
            private, _ = hsm.transport(session.raw)
            _accept(session, private, generation, enclosed[1:])

        with self._changing:
            self._run(task)

    def destroy_cluster_key(self, generation: int) -> None:
        self._run(lambda session: session.cluster_key(generation).destroy())

    def reload(self) -> bool:
        """See Token; the keys are listed aside, at most a twentieth of the time.

        What takes longer than a moment is taken in by a later call, which does not wait any more:
        it may be made by an event loop. `sign` finds a key that is new in the HSM without it.
        """
        return self._reload(_MOMENT)

    def _reload(self, seconds: float) -> bool:
        with self._guard:
            if self._closed:
                return False
            begun = self._listing is not None
            if self._listing is None:
                if time.monotonic() < self._next_listing:
                    return False
                self._listing = self._start_listing()
            listing = self._listing
        if not wait([listing], 0 if begun else seconds).done:
            return False
        with self._guard:
            if self._listing is not listing:
                return False
            self._listing = None
        return self._take(listing.result())

    def _start_listing(self) -> Future[_Held]:
        self._changes = {}
        listing: Future[_Held] = Future()
        threading.Thread(target=self._list, args=(listing,), name="hsm-list", daemon=True).start()
        return listing

    def _list(self, listing: Future[_Held]) -> None:
        started = time.monotonic()
        try:
            held = self._run(lambda session: hsm.list_keys(session.raw), deadline=_LISTING)
        except BaseException as error:
            self._next_listing = time.monotonic() + self._pause
            listing.set_exception(error)
            return
        ended = time.monotonic()
        self._next_listing = ended + (ended - started) / _LISTING_SHARE
        listing.set_result(held)

    def _take(self, listed: _Held) -> bool:
        with self._guard:
            if self._closed:
                return False
            # What we did while the HSM was listing its keys is newer.
            newer = {**listed, **self._changes}
            held = {ski: each for ski, each in newer.items() if each is not None}
            differs = held.keys() != self._held.keys()
            self._held = held
            return differs

    def close(self) -> None:
        self._closed = True
        self._held = {}
        self._lanes.close()

    def _find(self, ski: bytes) -> tuple[KeyRecord, bytes]:
        held = self._held.get(ski)
        if held is not None:
            return held
        if self._closed:
            raise KeyNotFound(f"no key {ski.hex()} in the token: it is closed")
        record = self._run(lambda session: hsm.find_key(session.raw, ski))
        if record is None:
            raise KeyNotFound(f"no key {ski.hex()} in the token")
        self._remember(record, ski)
        return record, ski

    def _remember(self, record: KeyRecord, key_id: bytes) -> KeyRecord:
        with self._guard:
            self._changes[record.ski] = (record, key_id)
            self._held = {**self._held, record.ski: (record, key_id)}
        return record

    def _forget(self, ski: bytes) -> None:
        with self._guard:
            self._changes[ski] = None
            self._held = {other: held for other, held in self._held.items() if other != ski}

    def _run(
        self,
        task: Callable[[HsmSession], T],
        *,
        repeat: bool = True,
        deadline: float | None = None,
    ) -> T:
        def inside(session: HsmSession) -> T:
            with self._module.calling():
                try:
                    return task(session)
                except PKCS11Error as error:
                    raise explained(error) from error

        return self._lanes.run(inside, repeat=repeat, deadline=deadline)


class _Connector:
    """Finds the token and logs in, for Lanes."""

    def __init__(self, module: Module, label: str | None, serial: str | None, pin: bytes) -> None:
        self._module, self._label, self._serial, self._pin = module, label, serial, pin

    def __call__(self) -> "_Connection":
        try:
            return self._attempt()
        except Lost:
            self._module.revive()
            return self._attempt()

    def _attempt(self) -> "_Connection":
        with self._module.calling():
            token = self._module.token(self._label, self._serial)
            try:
                return _Connection(self._module, token, self._pin)
            except PKCS11Error as error:
                raise explained(error) from error


class _Connection:
    """The session that holds the login, which is one for all sessions of the process."""

    def __init__(self, module: Module, token: HsmToken, pin: bytes) -> None:
        self._module, self._token = module, token
        try:
            self._login = token.open(rw=True, user_pin=pin.decode(), attribute_mapper=Mapper())
        except UserAlreadyLoggedIn:
            self._login = token.open(rw=True, attribute_mapper=Mapper())
        self._key_wrap = hsm.probe_key_wrap(self._login)
        module.connected += 1

    def open(self) -> HsmSession:
        with self._module.calling():
            try:
                session = self._token.open(rw=True, attribute_mapper=Mapper())
            except PKCS11Error as error:
                raise Lost(str(explained(error))) from error
        return HsmSession(session, self._key_wrap)

    def close(self) -> None:
        self._module.connected -= 1
        with self._module.calling():
            try:
                self._login.close()
            except PKCS11Error:
                # It is gone, and the login with it.
                return


def _today() -> Any:
    return datetime.now(UTC).date()


def _require_free(session: HsmSession, label: str) -> None:
    taken = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: label}
    if hsm.first(session.raw, taken) is not None or label == hsm.TRANSPORT_LABEL:
        raise LabelTaken(f"there is a key {label!r} already: choose another label")


def _require_made_here(session: HsmSession, algorithm: Algorithm, extractable: bool) -> None:
    if algorithm not in hsm.algorithms(session.raw):
        raise SchemeNotAllowed(f"the HSM has no {algorithm} keys: choose another algorithm")
    if extractable and not hsm.moves(session, algorithm):
        raise SchemeNotAllowed(
            f"the HSM wraps no {algorithm} keys: make it for this token alone, not extractable"
        )


def _leaving(session: HsmSession, key_id: bytes) -> Any:
    private = session.private(key_id)
    if not private[Attribute.EXTRACTABLE]:
        raise NotExtractable("that key was made never to leave this token: make another one")
    return private


def _unwrapped(unwrap: Callable[[], Any]) -> Any:
    """What a module says of bytes that do not unwrap is any of a dozen codes."""
    try:
        return unwrap()
    except PKCS11Error as error:
        if is_gone(error) and not isinstance(error, FunctionFailed | GeneralError):
            raise
        raise WrappedKeyInvalid("the wrapped key was altered or is of another cluster") from error


def _take_in(
    session: HsmSession, key: Any, wrapped: bytes, label: str, public_key: bytes
) -> KeyRecord:
    """Unwrapped twice: the first goes with the session, so that nothing unproven is ever kept."""
    algorithm, _ = identify(public_key)

    def unwrap(store: bool) -> Any:
        return _unwrapped(lambda: hsm.unwrap(session, key, wrapped, label, public_key, store=store))

    trial = unwrap(store=False)
    try:
        prove(
            public_key,
            lambda scheme, content: _unwrapped(
                lambda: hsm.sign_with(trial, signing(algorithm, scheme, content))
            ),
        )
    finally:
        trial.destroy()
    kept = unwrap(store=True)
    try:
        return hsm.add_public(session.raw, label, public_key, _today())
    except BaseException:
        kept.destroy()
        raise


def _accept(session: HsmSession, private: Any, generation: int, enclosed: bytes) -> None:
    name = hsm.cluster_name(generation)
    if generation not in hsm.cluster_generations(session.raw):
        _unwrapped(lambda: hsm.open_key(private, enclosed, name))
        return
    offered = _unwrapped(lambda: hsm.open_key(private, enclosed))
    try:
        if not hsm.same_key(session, offered, session.cluster_key(generation)):
            raise WrappedKeyInvalid(f"another cluster key of generation {generation} is held")
    finally:
        offered.destroy()
