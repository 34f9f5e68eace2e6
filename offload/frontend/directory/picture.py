"""What members of the cluster have signed, of what front-ends may read; no I/O.

What nobody signed does not enter; an older version than was seen does not either, so that who runs
the catalogue cannot bring back a certificate that was replaced or a member that was removed.
Nothing is taken away because it is missing: a removal is signed as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import orjson
from cryptography import x509

from offload.catalogue import paths
from offload.catalogue.envelope import Untrusted, Verifier
from offload.catalogue.records import CertificateRecord, MemberRecord
from offload.config.address import Address
from offload.keys.identifier import subject_key_identifier
from offload.pool.spec import WorkerSpec


class Picture:
    """members, certificates: by name and label, as of their newest version; `values`: all that was
    accepted, by path, as the catalogue has it; `refused`: paths of what was not, and why.
    """

    def __init__(self, authority: x509.Certificate) -> None:
        """`authority` issued the members' certificates; it comes from a local file."""
        self._verifier = Verifier(authority)
        self._versions: dict[str, int] = {}
        self._alive: frozenset[str] = frozenset()
        self._doubtful: dict[str, tuple[bytes, str]] = {}
        self.members: dict[str, MemberRecord] = {}
        self.certificates: dict[str, CertificateRecord] = {}
        self.values: dict[str, bytes] = {}

    @property
    def alive(self) -> frozenset[str]:
        """Who keeps a lease, as far as is known."""
        return self._alive

    @property
    def refused(self) -> Mapping[str, str]:
        return {path: reason for path, (_, reason) in self._doubtful.items()}

    def workers(self) -> list[WorkerSpec]:
        """The present members that are alive; all present ones where none is.

        A lease tells who is up. When nobody has one, either the catalogue has lost them or all
        workers are down: to try each of them is right both times.
        """
        present = [one for one in self.members.values() if one.state == "present"]
        alive = [one for one in present if one.name in self._alive]
        return [
            WorkerSpec(one.name, Address.parse(one.address), one.zone, one.capacity)
            for one in sorted(alive or present, key=lambda one: one.name)
        ]

    def set_alive(self, names: Iterable[str]) -> bool:
        """Say who keeps a lease; returns whether that is news."""
        alive = frozenset(names)
        news, self._alive = alive != self._alive, alive
        return news

    def take(self, values: Mapping[str, bytes]) -> bool:
        """Take in values as they were found, by path; returns whether anything is new."""
        news = {path: value for path, value in values.items() if self._is_news(path, value)}
        members = [path for path in news if path.startswith(paths.MEMBERS)]
        if members:  # what was refused may be what the member that has come now signed
            news = {path: value for path, (value, _) in self._doubtful.items()} | news
            members = [path for path in news if path.startswith(paths.MEMBERS)]
            self._admit({path: news[path] for path in members})
        others = [path for path in news if path not in members]
        taken = [path for path in (*members, *others) if self._take(path, news[path])]
        return bool(taken)

    def _is_news(self, path: str, value: bytes) -> bool:
        known = path.startswith((paths.MEMBERS, paths.CERTIFICATES))
        return known and value not in (self.values.get(path), self._doubtful.get(path, (b"",))[0])

    def _admit(self, found: Mapping[str, bytes]) -> None:
        """Trust whoever has a member's certificate and a record that such a member signed.

        The records of members vouch for each other, so all are believed until one proves false.
        """
        claims: dict[str, str] = {}
        for path, value in found.items():
            with suppress(Untrusted):
                member = _claimed(path, value)
                if member.state == "present" and member.version >= self._versions.get(path, 0):
                    self._trust(member)
                    claims[member.name] = path
        while liars := [name for name, path in claims.items() if not self._opens(path, found)]:
            for name in liars:
                del claims[name]
                self._distrust(name)

    def _opens(self, path: str, found: Mapping[str, bytes]) -> bool:
        try:
            self._verifier.open(path, found[path])
        except Untrusted:
            return False
        return True

    def _trust(self, member: MemberRecord) -> None:
        try:
            certificate = x509.load_pem_x509_certificate(member.certificate.encode())
        except ValueError:
            raise Untrusted(f"the record of {member.name!r} has no certificate") from None
        self._verifier.admit(member.name, certificate)

    def _revoke(self, member: MemberRecord) -> None:
        with suppress(ValueError):
            self._verifier.revoke(x509.load_pem_x509_certificate(member.certificate.encode()))

    def _distrust(self, name: str) -> None:
        """Trust it no longer, or as before where an earlier record of it was true."""
        self._verifier.dismiss(name)
        earlier = self.members.get(name)
        if earlier is not None and earlier.state == "present":
            self._trust(earlier)

    def _take(self, path: str, value: bytes) -> bool:
        try:
            body = self._verifier.open(path, value)
            version = _version(path, body)
            if version < self._versions.get(path, 0):
                raise Untrusted(f"{path} is version {version}, but {self._versions[path]} was seen")
            self._install(path, body)
        except Untrusted as error:
            self._doubtful[path] = value, str(error)
            return False
        self._versions[path] = version
        self._doubtful.pop(path, None)
        self.values[path] = value
        return True

    def _install(self, path: str, body: bytes) -> None:
        name = path.partition("/")[2]
        removed = body.startswith(b'{"removed"')
        if path.startswith(paths.MEMBERS):
            member = None if removed else _member(path, body)
            if member is not None and member.state == "present":
                self._trust(member)
            else:
                self._verifier.dismiss(name)
                if member is not None:
                    self._revoke(member)
            _set(self.members, name, member)
        else:
            _set(self.certificates, name, None if removed else _certificate(path, body))


def _set(where: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        where.pop(name, None)
    else:
        where[name] = value


def _claimed(path: str, value: bytes) -> MemberRecord:
    """What a member's value says, whoever wrote it."""
    try:
        return _member(path, str(orjson.loads(value)["body"]).encode())
    except (ValueError, TypeError, KeyError):
        raise Untrusted(f"{path} is no member's record") from None


def _member(path: str, body: bytes) -> MemberRecord:
    try:
        member = MemberRecord.model_validate_json(body)
        Address.parse(member.address)
    except ValueError:
        raise Untrusted(f"{path} is not readable; is the cluster newer than this?") from None
    if path != paths.MEMBERS + member.name:
        raise Untrusted(f"{path} holds what belongs to {member.name!r}")
    return member


def _certificate(path: str, body: bytes) -> CertificateRecord:
    try:
        record = CertificateRecord.model_validate_json(body)
    except ValueError:
        raise Untrusted(f"{path} is not readable; is the cluster newer than this?") from None
    if path != paths.CERTIFICATES + record.label:
        raise Untrusted(f"{path} holds what belongs to {record.label!r}")
    found = certified(record.chain.encode())
    if record.chain and (found is None or found != record.ski):
        raise Untrusted(f"{path}: the certificate is not one of the key {record.ski}")
    return record


def certified(chain: bytes) -> str | None:
    """The SKI, in hexadecimal, of the key that a chain's (PEM) leaf certifies; None of none."""
    try:
        key: Any = x509.load_pem_x509_certificate(chain).public_key()
        return subject_key_identifier(key).hex()
    except ValueError:
        return None


def _version(path: str, body: bytes) -> int:
    try:
        version = json.loads(body)["version"]
    except (ValueError, TypeError, KeyError):
        version = None
    if type(version) is not int:
        raise Untrusted(f"{path} has no version")
    return version
