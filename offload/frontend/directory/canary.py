"""A handshake with a certificate that no client is served with yet."""

from __future__ import annotations

import asyncio

from offload.pool.errors import SigningError
from offload.pool.operation import SigningOperation
from offload.pool.signer import Signer
from offload.tls.rehearsal import Rehearsal
from offload.tls.session import Session, TLSError
from offload.tls.signature import SignatureRequest
from offload.tls.site import Site


class CanaryFailed(Exception):
    """No handshake came about; the text has the reason."""


async def rehearse(site: Site, name: str, pool: Signer) -> None:
    """Make a whole handshake with the site in memory, signed by a worker. Raises CanaryFailed.

    name: what the client in memory asks for; the worker hears of it as it does of any client's.
    """
    rehearsal = Rehearsal(Session(site), name)
    try:
        request = rehearsal.begin()
        while request is not None:
            request = rehearsal.resume(await _signed(request, site.stated_name(name), pool))
        if not rehearsal.complete:
            raise CanaryFailed("the handshake stopped halfway")
    except (SigningError, TLSError) as error:
        raise CanaryFailed(str(error)) from error
    finally:
        rehearsal.abort()


async def _signed(request: SignatureRequest, name: str, pool: Signer) -> bytes:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def ended(_: SigningOperation) -> None:
        if not done.done():
            done.set_result(None)

    key = request.key
    operation = SigningOperation(
        key.ski, key.algorithm, request.scheme, request.version, request.payload, name, b"", ended
    )
    pool.submit(operation)
    try:
        await done
    finally:
        operation.cancel()
    if operation.error is not None:
        raise operation.error
    if operation.signature is None or not request.is_answered_by(operation.signature):
        raise CanaryFailed(f"worker {operation.worker} gave a wrong signature")
    return operation.signature
