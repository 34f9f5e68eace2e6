"""The files that a configuration names: are they there, readable, sound and private?

`problems()` finds what would stop a start, `warnings()` what would not. An expired certificate
is a warning, as with nginx: refusing it would keep an operator from reloading anything else,
and turn one late renewal into the outage of every site.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

from offload.config import EtcdSettings, Identity, Problem, SoftwareTokenSettings

if TYPE_CHECKING:
    from offload.config import (
        CatalogueSettings,
        Frontend,
        Settings,
        Site,
        TokenSettings,
        Worker,
    )

_SOON = timedelta(days=14)


class _Refused(Exception):
    """A file that cannot be used: the text and the remedy of a Problem."""

    def __init__(self, text: str, remedy: str) -> None:
        super().__init__(text)
        self.text, self.remedy = text, remedy


class _Chain(NamedTuple):
    key: str
    path: Path
    certificates: list[x509.Certificate]


def problems(settings: Settings) -> list[Problem]:
    """What in the named files would stop a start, one Problem for each key."""
    return list(_all_problems(settings))


def warnings(settings: Settings, now: datetime | None = None) -> list[Problem]:
    """Expired, not yet valid or soon expiring certificates; call it when problems() is empty."""
    now = now or datetime.now(UTC)
    return [
        problem
        for chain in _chains(settings)
        for certificate in chain.certificates[:1]
        if (problem := _validity(chain, certificate, now)) is not None
    ]


def _all_problems(settings: Settings) -> Iterator[Problem]:
    if settings.frontend is not None:
        yield from _frontend(settings.frontend)
    if settings.worker is not None:
        yield from _worker(settings.worker)


def _frontend(frontend: Frontend) -> Iterator[Problem]:
    yield from _identity("frontend.pool.identity", frontend.pool.identity)
    yield from _attempt("frontend.pool.trust", lambda: _authorities(frontend.pool.trust))
    for index, site in enumerate(frontend.sites):
        yield from _site(f"frontend.sites[{index}]", site)
    if (cluster := frontend.cluster) is not None:
        yield from _attempt("frontend.cluster.state", partial(_directory, cluster.state))
        yield from _catalogue("frontend.cluster.catalogue", cluster.catalogue)


def _worker(worker: Worker) -> Iterator[Problem]:
    yield from _identity("worker.identity", worker.identity)
    yield from _attempt("worker.trust", lambda: _authorities(worker.trust))
    yield from _token(worker.token)
    if (cluster := worker.cluster) is not None:
        yield from _attempt("worker.identity.key", partial(_signing, worker.identity.key))
        yield from _attempt("worker.cluster.state", partial(_own_directory, cluster.state))
        yield from _catalogue("worker.cluster.catalogue", cluster.catalogue)


def _token(settings: TokenSettings) -> Iterator[Problem]:
    if isinstance(settings, SoftwareTokenSettings):
        yield from _attempt("worker.token.directory", partial(_directory, settings.directory))
        passphrase = partial(_private, settings.passphrase_file)
        yield from _attempt("worker.token.passphrase_file", passphrase)
    elif settings.pin_file is not None:
        yield from _attempt("worker.token.pin_file", partial(_private, settings.pin_file))


def _catalogue(key: str, settings: CatalogueSettings) -> Iterator[Problem]:
    if not isinstance(settings, EtcdSettings):
        yield from _attempt(f"{key}.path", partial(_directory, settings.path.parent))
        return
    if (trust := settings.trust) is not None:
        yield from _attempt(f"{key}.trust", partial(_authorities, trust))
    if settings.certificate is not None and settings.key is not None:
        yield from _identity(key, Identity(certificate=settings.certificate, key=settings.key))
    if (password := settings.password_file) is not None:
        yield from _attempt(f"{key}.password_file", partial(_private, password))


def _attempt(key: str, action: Callable[[], object]) -> Iterator[Problem]:
    try:
        action()
    except _Refused as refused:
        yield Problem(key, refused.text, refused.remedy)


def _identity(key: str, identity: Identity) -> Iterator[Problem]:
    found = [
        *_attempt(f"{key}.certificate", lambda: _chain(identity.certificate)),
        *_attempt(f"{key}.key", lambda: _private(identity.key)),
    ]
    yield from found
    if not found:
        yield from _attempt(f"{key}.key", lambda: _matching(identity))


def _site(key: str, site: Site) -> Iterator[Problem]:
    kinds: dict[str, Path] = {}
    for index, path in enumerate(site.certificates):
        place = f"{key}.certificates[{index}]"
        yield from _attempt(place, partial(_served, path, kinds))


def _served(path: Path, kinds: dict[str, Path]) -> None:
    if b"PRIVATE KEY-----" in _content(path):
        raise _Refused(
            f"{path} holds a private key, which a front-end must never have",
            "keep only the certificates in it and put the key into a worker's token",
        )
    # OpenSSL keeps one certificate for each type of key: a second one would replace the first.
    kind = _kind(_public_key(path, _chain(path)[0]))
    if kind in kinds:
        raise _Refused(
            f"{path} and {kinds[kind]} both have an {kind} key",
            "keep one certificate for each type of key",
        )
    kinds[kind] = path


def _chain(path: Path) -> list[x509.Certificate]:
    """The certificates in a PEM file, leaf first, each issued by the next."""
    content = _content(path)
    try:
        certificates = x509.load_pem_x509_certificates(content)
    except ValueError:
        raise _Refused(
            f"{path} holds no PEM certificate that can be read",
            "write the certificate first, then those that issued it, as PEM",
        ) from None
    for number, (subject, issuer) in enumerate(pairwise(certificates)):
        if not _issued(subject, issuer):
            raise _Refused(
                f"{path}: certificate {number + 1} is not issued by certificate {number + 2}",
                "order the chain: the site's own first, then each one's issuer",
            )
    return certificates


def _issued(subject: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        subject.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    except UnsupportedAlgorithm:
        return subject.issuer == issuer.subject
    return True


def _authorities(path: Path) -> None:
    for certificate in _pem_certificates(path):
        try:
            constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        except x509.ExtensionNotFound:
            continue
        if constraints.value.ca:
            return
    raise _Refused(f"{path} holds no CA certificate", "name the private CA's certificate")


def _pem_certificates(path: Path) -> list[x509.Certificate]:
    content = _content(path)
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        raise _Refused(
            f"{path} holds no PEM certificate that can be read", "write it as PEM"
        ) from None


def _public_key(path: Path, certificate: x509.Certificate) -> PublicKeyTypes:
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise _Refused(
            f"{path} has a key of an unknown type", "use an RSA, ECDSA, Ed25519 or ML-DSA key"
        ) from None


def _kind(key: PublicKeyTypes) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return "RSA"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "ECDSA"
    return type(key).__name__.removesuffix("PublicKey")


def _matching(identity: Identity) -> None:
    certificate = _chain(identity.certificate)[0]
    public = _public_key(identity.certificate, certificate)
    if _encoded(_private_key(identity.key).public_key()) != _encoded(public):
        raise _Refused(
            f"{identity.key} is not the key of {identity.certificate}",
            "name the key that the certificate was issued for",
        )


def _signing(path: Path) -> None:
    """Refuse a key that a member cannot sign its records with."""
    key = _private_key(path)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _Refused(f"{path} is no P-256 key", "join the cluster with a P-256 key")


def _private_key(path: Path) -> PrivateKeyTypes:
    content = _content(path)
    try:
        return serialization.load_pem_private_key(content, password=None)
    except TypeError:
        text = f"{path} is encrypted with a passphrase"
    except (ValueError, UnsupportedAlgorithm):
        text = f"{path} holds no PEM private key that can be read"
    raise _Refused(text, "write an unencrypted PEM key with mode 0600") from None


def _encoded(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None


def _private(path: Path) -> None:
    """Refuse a secret that others than its owner can reach."""
    _content(path)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise _Refused(
            f"{path} has mode {mode:04o}, so others can reach a secret", f"run 'chmod 600 {path}'"
        )


def _own_directory(path: Path) -> None:
    """Refuse a directory that others than its owner can look into."""
    _directory(path)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise _Refused(
            f"{path} has mode {mode:04o}, so others can reach it", f"run 'chmod 700 {path}'"
        )


def _directory(path: Path) -> None:
    try:
        next(path.iterdir(), None)
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> _Refused:
    reason = (error.strerror or str(error)).lower()
    return _Refused(f"{path} cannot be read: {reason}", "check the path and its permissions")


def _chains(settings: Settings) -> Iterator[_Chain]:
    named: list[tuple[str, Path]] = []
    if settings.frontend is not None:
        named.append(
            ("frontend.pool.identity.certificate", settings.frontend.pool.identity.certificate)
        )
        named += [
            (f"frontend.sites[{number}].certificates[{index}]", path)
            for number, site in enumerate(settings.frontend.sites)
            for index, path in enumerate(site.certificates)
        ]
    if settings.worker is not None:
        named.append(("worker.identity.certificate", settings.worker.identity.certificate))
    for key, path in named:
        yield _Chain(key, path, _pem_certificates(path))


def _validity(chain: _Chain, certificate: x509.Certificate, now: datetime) -> Problem | None:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < start:
        text = f"{chain.path} is not valid before {start:%Y-%m-%d %H:%M} UTC"
        return Problem(chain.key, text, "check the clock or issue it again")
    if now > end:
        text = f"{chain.path} expired on {end:%Y-%m-%d %H:%M} UTC"
        return Problem(chain.key, text, "clients refuse it, so renew it now")
    if end - now < _SOON and end - start > 2 * _SOON:
        return Problem(chain.key, f"{chain.path} expires on {end:%Y-%m-%d}", "renew it")
    return None
