"""What we do with one session of an HSM. Every function may raise PKCS11Error.

Objects of ours: for each key a private and a public key object with CKA_ID the subject key
identifier and CKA_LABEL the label; for each generation of the cluster key an AES key; one RSA pair
for transport. Private and secret keys are CKA_PRIVATE and CKA_SENSITIVE: their values leave the
HSM under another key or not at all.
"""

import hmac
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from pkcs11.constants import Attribute, MechanismFlag, ObjectClass
from pkcs11.exceptions import (
    AttributeReadOnly,
    AttributeSensitive,
    AttributeTypeInvalid,
    AttributeValueInvalid,
    FunctionFailed,
    PKCS11Error,
)
from pkcs11.mechanisms import KeyType, Mechanism
from pkcs11.types import Session

from offload.keys.algorithm import Algorithm
from offload.keys.record import KeyRecord
from offload.token.base import ClusterKeyMissing, KeyNotFound, TokenError, WrappedKeyInvalid
from offload.token.enclosing import AES_KEY, TRANSPORT_BITS, rsa_recipient, wrap
from offload.token.pkcs11_mechanisms import (
    KEY_WRAPS,
    KINDS,
    OAEP,
    Signing,
    Template,
    kind_of,
    public_key_of,
    public_template,
)
from offload.token.proof import identify

TRANSPORT_LABEL = "offload transport key"
_TRANSPORT_ID = b"offload-transport"
_CLUSTER_LABEL = "offload cluster key "

_SIGNING = MechanismFlag.SIGN | MechanismFlag.VERIFY
_WRAPPING = MechanismFlag.WRAP | MechanismFlag.UNWRAP
_KEPT: Template = {Attribute.TOKEN: True}
_SEALED: Template = {Attribute.PRIVATE: True, Attribute.SENSITIVE: True}

# In one call, for each costs a round trip; a module leaves out those that an object has not.
_PUBLIC = (
    Attribute.ID,
    Attribute.LABEL,
    Attribute.KEY_TYPE,
    Attribute.START_DATE,
    Attribute.MODULUS,
    Attribute.PUBLIC_EXPONENT,
    Attribute.EC_PARAMS,
    Attribute.EC_POINT,
)
_NOT_THERE = (AttributeTypeInvalid, AttributeSensitive, AttributeValueInvalid, FunctionFailed)

_UNKNOWN_DATE = date(1970, 1, 1)


@dataclass(slots=True)
class HsmSession:
    """A session, the mechanism that is RFC 5649 here, and the private keys found so far."""

    raw: Session
    key_wrap: Mechanism
    found: dict[bytes, Any] = field(default_factory=dict)

    def close(self) -> None:
        """End it."""
        self.raw.close()

    def private(self, key_id: bytes) -> Any:
        """The private key object with that CKA_ID; raises KeyNotFound."""
        key = self.found.get(key_id)
        if key is None:
            key = first(self.raw, {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.ID: key_id})
            if key is None:
                raise KeyNotFound(f"no key {key_id.hex()} in the token")
            self.found[key_id] = key
        return key

    def sign(self, key_id: bytes, signing: Signing) -> bytes:
        """The signature as TLS carries it; raises KeyNotFound."""
        key = self.private(key_id)
        return sign_with(key, signing)

    def cluster_key(self, generation: int) -> Any:
        """The AES key object of a generation; raises ClusterKeyMissing."""
        key = first(self.raw, _cluster_template(generation))
        if key is None:
            raise ClusterKeyMissing(
                f"the token has no cluster key of generation {generation}: let a member that has"
                " it enclose it to this token"
            )
        return key


def sign_with(key: Any, signing: Signing) -> bytes:
    """A signature by a private key object, as TLS carries it."""
    signature: bytes = key.sign(
        signing.data, mechanism=signing.mechanism, mechanism_param=signing.parameters
    )
    return signing.encoded(signature)


def first(session: Session, template: Template) -> Any:
    """A private or secret key object that matches, or None."""
    return next(iter(_sealed(session, template)), None)


def _sealed(session: Session, template: Template) -> list[Any]:
    # All of them: a search that is left half-way blocks the next one on this session.
    found = list(session.get_objects(template))
    if not found:
        # To who is logged out, or whose HSM is away, a module shows one without such keys: this
        # fails then.
        session.token.slot.get_token()
        with _temporary_key(session):
            return []
    return found


def list_keys(session: Session) -> dict[bytes, tuple[KeyRecord, bytes]]:
    """SKI -> record and CKA_ID of every signing key that has its public half beside it.

    Keys that other tools made are among them, under the identifiers that those gave them.
    """
    held = {
        bytes(_read(key, (Attribute.ID,)).get(Attribute.ID, b""))
        for key in _sealed(session, {**_KEPT, Attribute.CLASS: ObjectClass.PRIVATE_KEY})
    }
    keys: dict[bytes, tuple[KeyRecord, bytes]] = {}
    for public in list(session.get_objects({**_KEPT, Attribute.CLASS: ObjectClass.PUBLIC_KEY})):
        attributes = _read(public, _PUBLIC)
        record = _record(attributes)
        if record is None:
            continue
        own = attributes.get(Attribute.ID, b"")
        # The second: what a crash left between the two halves of giving a key its identifier.
        key_id = next((each for each in (own, record.ski) if each and each in held), None)
        if key_id is not None and record.label != TRANSPORT_LABEL:
            keys[record.ski] = (record, key_id)
    return keys


def find_key(session: Session, ski: bytes) -> KeyRecord | None:
    """The key whose both halves have the identifier `ski`, or None."""
    if first(session, {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.ID: ski}) is None:
        return None
    publics = session.get_objects({Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.ID: ski})
    records = [_record(_read(public, _PUBLIC)) for public in list(publics)]
    return next((each for each in records if each is not None and each.ski == ski), None)


def _read(item: Any, names: tuple[Attribute, ...]) -> dict[Attribute, Any]:
    try:
        return dict(item.get_attributes(list(names)))
    except (*_NOT_THERE, ValueError):
        return {name: value for name in names for value in _read_one(item, name)}


def _read_one(item: Any, name: Attribute) -> Iterator[Any]:
    try:
        yield item[name]
    except (*_NOT_THERE, ValueError, NotImplementedError):
        return


def _record(public: dict[Attribute, Any]) -> KeyRecord | None:
    """What the attributes of a public key object say; None if it is no key that we serve."""
    encoded = public_key_of(public)
    if encoded is None:
        return None
    try:
        algorithm, ski = identify(encoded)
    except WrappedKeyInvalid:
        return None
    made = public.get(Attribute.START_DATE) or _UNKNOWN_DATE
    created = datetime(made.year, made.month, made.day, tzinfo=UTC)
    label = str(public.get(Attribute.LABEL) or ski.hex())
    return KeyRecord(ski, label, algorithm, encoded, created)


def generate(
    session: Session, label: str, algorithm: Algorithm, extractable: bool, today: date
) -> KeyRecord:
    """A new pair in the HSM; raises SchemeNotAllowed."""
    kind = kind_of(algorithm)
    # The identifier comes of the public key, which is not there yet.
    provisional = os.urandom(20)
    arguments: dict[str, Any] = {
        "id": provisional,
        "label": label,
        "store": True,
        "capabilities": _SIGNING,
        "mechanism": kind.generate,
        "private_template": {**_SEALED, Attribute.EXTRACTABLE: extractable},
    }
    if kind.bits:
        public, private = session.generate_keypair(kind.key_type, kind.bits, **arguments)
    else:
        curve = {Attribute.EC_PARAMS: kind.parameters}
        parameters = session.create_domain_parameters(kind.key_type, curve, local=True)
        public, private = parameters.generate_keypair(**arguments)
    try:
        record = _record(_read(public, _PUBLIC))
        if record is None:
            raise FunctionFailed("the module does not show the public key")
        _name(private, record.ski)
        _name(public, record.ski)
        _date(public, today)
    except BaseException:
        private.destroy()
        public.destroy()
        raise
    return _record(_read(public, _PUBLIC)) or record


def _name(item: Any, ski: bytes) -> None:
    try:
        item[Attribute.ID] = ski
    except (AttributeReadOnly, AttributeValueInvalid):
        # The provisional one stays: both halves bear it, and that is what holds them together.
        return


def _date(item: Any, today: date) -> None:
    try:
        item[Attribute.START_DATE] = today
    except (AttributeReadOnly, AttributeTypeInvalid, AttributeValueInvalid):
        # The day a key was made is good to know; the catalogue keeps the exact time.
        return


def moves(session: HsmSession, algorithm: Algorithm) -> bool:
    """Whether the module wraps keys of that algorithm at all, tried with one of the session's."""
    if KINDS[algorithm].key_type is not KeyType.EC_EDWARDS:
        return True
    curve = {Attribute.EC_PARAMS: KINDS[algorithm].parameters}
    parameters = session.raw.create_domain_parameters(KeyType.EC_EDWARDS, curve, local=True)
    public, private = parameters.generate_keypair(
        capabilities=_SIGNING,
        mechanism=KINDS[algorithm].generate,
        private_template={**_SEALED, Attribute.EXTRACTABLE: True},
    )
    try:
        return can_leave(session, private)
    finally:
        private.destroy()
        public.destroy()


def can_leave(session: HsmSession, private: Any) -> bool:
    """Whether the module wraps such a key at all: SoftHSM 2.6 does not wrap Ed25519 keys."""
    with _temporary_key(session.raw) as key:
        try:
            return bool(key.wrap_key(private, mechanism=session.key_wrap))
        except PKCS11Error:
            return False


def unwrap(
    session: HsmSession, key: Any, wrapped: bytes, label: str, public_key: bytes, *, store: bool
) -> Any:
    """The private half of `public_key` (SPKI, DER) by the AES key object `key` (RFC 5649)."""
    algorithm, ski = identify(public_key)
    return key.unwrap_key(
        ObjectClass.PRIVATE_KEY,
        kind_of(algorithm).key_type,
        wrapped,
        id=ski,
        label=label,
        mechanism=session.key_wrap,
        capabilities=MechanismFlag.SIGN,
        store=store,
        template={**_SEALED, Attribute.EXTRACTABLE: True},
    )


def add_public(session: Session, label: str, public_key: bytes, today: date) -> KeyRecord:
    """The public half beside a private one; what a crash left of an earlier try is replaced."""
    _, ski = identify(public_key)
    same = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.ID: ski}
    for old in list(session.get_objects(same)):
        old.destroy()
    public: Any = session.create_object(
        {
            **same,
            **public_template(public_key),
            Attribute.LABEL: label,
            Attribute.TOKEN: True,
            Attribute.VERIFY: True,
        }
    )
    _date(public, today)
    record = _record(_read(public, _PUBLIC))
    assert record is not None
    return record


def destroy(session: HsmSession, ski: bytes, key_id: bytes) -> None:
    """Both halves, the private one first: without it the other is nothing."""
    session.found.pop(key_id, None)
    for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY):
        for name in {ski, key_id}:
            template = {Attribute.CLASS: kind, Attribute.ID: name}
            for item in list(session.raw.get_objects(template)):
                item.destroy()


def transport(session: Session) -> tuple[Any, bytes]:
    """The private transport key object and its public key (SPKI, DER); made if there is none."""
    pair = _transport(session)
    if pair is None:
        session.generate_keypair(
            KeyType.RSA,
            TRANSPORT_BITS,
            id=_TRANSPORT_ID,
            label=TRANSPORT_LABEL,
            store=True,
            capabilities=_WRAPPING,
            private_template={**_SEALED, Attribute.EXTRACTABLE: False},
        )
        pair = _transport(session)
    if pair is None:
        raise FunctionFailed("the module does not show the transport key")
    return pair


def _transport(session: Session) -> tuple[Any, bytes] | None:
    # Two processes may each have made one: all take the one with the smallest modulus.
    halves = [
        {
            bytes(_read(key, (Attribute.MODULUS,)).get(Attribute.MODULUS, b"")): key
            for key in _sealed(session, {Attribute.CLASS: kind, Attribute.ID: _TRANSPORT_ID})
        }
        for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY)
    ]
    for modulus in sorted(halves[0].keys() & halves[1].keys()):
        encoded = public_key_of(_read(halves[1][modulus], _PUBLIC))
        if encoded is not None:
            return halves[0][modulus], encoded
    return None


@contextmanager
def recipient(session: Session, public_key: bytes) -> Iterator[Any]:
    """Somebody's RSA key (SPKI, DER) as an object of this session; raises TokenError."""
    rsa_recipient(public_key)
    key = session.create_object(
        {
            **public_template(public_key),
            Attribute.CLASS: ObjectClass.PUBLIC_KEY,
            Attribute.TOKEN: False,
            Attribute.WRAP: True,
        }
    )
    try:
        yield key
    finally:
        key.destroy()


@contextmanager
def _temporary_key(session: Session) -> Iterator[Any]:
    key = session.generate_key(
        KeyType.AES,
        AES_KEY * 8,
        capabilities=_WRAPPING,
        # It leaves the HSM as well, under the key of whom a private key is enclosed to.
        template={**_SEALED, Attribute.EXTRACTABLE: True},
    )
    try:
        yield key
    finally:
        key.destroy()


def enclose(session: HsmSession, private: Any, public_key: bytes) -> bytes:
    """A private key under a fresh AES key, and that under an RSA key; see `enclosing`."""
    with recipient(session.raw, public_key) as to, _temporary_key(session.raw) as key:
        outer: bytes = to.wrap_key(key, mechanism=Mechanism.RSA_PKCS_OAEP, mechanism_param=OAEP)
        inner: bytes = key.wrap_key(private, mechanism=session.key_wrap)
        return outer + inner


def open_key(private: Any, enclosed: bytes, name: Template | None = None) -> Any:
    """An AES key enclosed to our transport key, as an object; kept under `name` if it has one."""
    return private.unwrap_key(
        ObjectClass.SECRET_KEY,
        KeyType.AES,
        enclosed,
        mechanism=Mechanism.RSA_PKCS_OAEP,
        mechanism_param=OAEP,
        capabilities=_WRAPPING,
        store=name is not None,
        # A cluster key is enclosed to every member that joins; under RSA keys, never bare.
        template={**_SEALED, **(name or {}), Attribute.EXTRACTABLE: True},
    )


def generate_cluster_key(session: Session, generation: int) -> None:
    """The cluster key: sensitive; extractable, for it is enclosed to members that join."""
    session.generate_key(
        KeyType.AES,
        AES_KEY * 8,
        store=True,
        capabilities=_WRAPPING,
        template={**_SEALED, **cluster_name(generation), Attribute.EXTRACTABLE: True},
    )


def enclose_key(session: Session, key: Any, public_key: bytes) -> bytes:
    """An AES key object under somebody's RSA key (SPKI, DER)."""
    with recipient(session, public_key) as to:
        enclosed: bytes = to.wrap_key(key, mechanism=Mechanism.RSA_PKCS_OAEP, mechanism_param=OAEP)
        return enclosed


def same_key(session: HsmSession, one: Any, other: Any) -> bool:
    """Whether two AES key objects have the same value, which is not seen by us."""
    with _temporary_key(session.raw) as probe:
        wrapped = [key.wrap_key(probe, mechanism=session.key_wrap) for key in (one, other)]
    return hmac.compare_digest(*wrapped)


def cluster_generations(session: Session) -> frozenset[int]:
    """The generations of the cluster key in the HSM."""
    labels = (
        str(_read(key, (Attribute.LABEL,)).get(Attribute.LABEL, ""))
        for key in _sealed(session, {**_KEPT, Attribute.CLASS: ObjectClass.SECRET_KEY})
    )
    numbers = (each.removeprefix(_CLUSTER_LABEL) for each in labels if _CLUSTER_LABEL in each)
    return frozenset(int(number) for number in numbers if number.isdecimal())


def cluster_name(generation: int) -> Template:
    """Label and identifier of the cluster key of a generation."""
    return {
        Attribute.LABEL: f"{_CLUSTER_LABEL}{generation}",
        Attribute.ID: f"offload-cluster-{generation}".encode(),
    }


def _cluster_template(generation: int) -> Template:
    return {**cluster_name(generation), Attribute.CLASS: ObjectClass.SECRET_KEY}


def probe_key_wrap(session: Session) -> Mechanism:
    """The mechanism by which this module wraps as RFC 5649 does; raises TokenError.

    Two keys whose values everybody knows show it, for some modules pad in another way under the
    second name. A module that takes no values from outside is believed.
    """
    # Of whole blocks: SoftHSM 2.6 fills up what is not with zeros, which the length then counts.
    listed = [each for each in KEY_WRAPS if each in session.token.slot.get_mechanisms()]
    key, content = bytes(range(AES_KEY)), bytes(range(24))
    try:
        wrapping = _known(session, KeyType.AES, key, {Attribute.WRAP: True})
        probe = _known(session, KeyType.GENERIC_SECRET, content, {Attribute.EXTRACTABLE: True})
    except PKCS11Error:
        good = listed
    else:
        good = [each for each in listed if _wraps(wrapping, probe, each) == wrap(key, content)]
        probe.destroy()
        wrapping.destroy()
    if not good:
        raise TokenError("the HSM wraps no keys as RFC 5649 says: it can be no member's token")
    return good[0]


def _known(session: Session, kind: KeyType, value: bytes, template: Template) -> Any:
    return session.create_object(
        {
            Attribute.CLASS: ObjectClass.SECRET_KEY,
            Attribute.KEY_TYPE: kind,
            Attribute.TOKEN: False,
            Attribute.VALUE: value,
            **template,
        }
    )


def _wraps(wrapping: Any, key: Any, mechanism: Mechanism) -> bytes:
    try:
        wrapped: bytes = wrapping.wrap_key(key, mechanism=mechanism)
        return wrapped
    except PKCS11Error:
        return b""


def algorithms(session: Session) -> frozenset[Algorithm]:
    """What the module makes keys of."""
    mechanisms = session.token.slot.get_mechanisms()
    return frozenset(name for name, kind in KINDS.items() if kind.generate in mechanisms)
