"""A directory for somebody who gets a certificate: his key is made here and stays.

NAME.key, request.pem     before there is a certificate
NAME.key, NAME.pem, authority.pem     afterwards
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from offload.cli.building import built_beside
from offload.cli.files import write_public, write_secret
from offload.cli.refusal import NeedsApproval
from offload.cluster.authority import key_pem
from offload.cluster.request import make_request

TRUST = "authority.pem"
_REQUEST = "request.pem"


@contextmanager
def requested(directory: Path, name: str) -> Iterator[str]:
    """The request (PEM) for a new key in the directory, which is gone if the block fails.

    If officers have to approve first it stays, and the same request is had again the next time:
    what they approve is that one. Raises Failure if there is anything else in the directory.
    """
    waiting = directory / _REQUEST
    known = waiting.is_file() and (directory / f"{name}.key").is_file()
    if not known:
        _make(directory, name)
    try:
        yield waiting.read_text()
    except NeedsApproval:
        raise
    except BaseException:
        if not known:
            shutil.rmtree(directory)
        raise


def issued(directory: Path, name: str, certificate: str, authority: str) -> None:
    """The certificate (PEM) is there, and that of the cluster's CA."""
    write_public(directory / f"{name}.pem", certificate.encode())
    write_public(directory / TRUST, authority.encode())
    (directory / _REQUEST).unlink()


def _make(directory: Path, name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    with built_beside(directory) as place:
        write_secret(place / f"{name}.key", key_pem(key))
        write_public(place / _REQUEST, make_request(name, key).encode())
