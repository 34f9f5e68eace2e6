"""Opens what a member knows: the catalogue and the view of it, as soon as they can be had."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from random import Random
from typing import NamedTuple

from cryptography import x509

from offload.catalogue.base import Catalogue, CatalogueError, CatalogueUnavailable
from offload.catalogue.envelope import Verifier
from offload.catalogue.opening import open_catalogue
from offload.catalogue.verified import Verified
from offload.cluster.view import View
from offload.config import CatalogueSettings, SqliteSettings
from offload.observe.log import get_logger

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0

_log = get_logger(__name__)


class Opened(NamedTuple):
    """To be closed in the other order."""

    catalogue: Catalogue
    view: View

    async def close(self) -> None:
        """Close both."""
        await self.view.close()
        await self.catalogue.close()


async def opened(
    settings: CatalogueSettings,
    authority: x509.Certificate,
    seen: Mapping[str, int],
    random: Random,
    *,
    revoked: Collection[str] = (),
    verified: Verified | None = None,
    told: Callable[[CatalogueError | None], None] = lambda error: None,
) -> Opened:
    """Try until it is open, ever more slowly; the worker serves from its local copy meanwhile.

    The view is to be told to proceed once the local copy has what is there.

    seen: the highest versions by path of an earlier run; revoked: certificates of members that were
    removed by then; verified: what need not be verified again. told: why it is not open yet, and
    None in the end.
    """
    pause = FIRST_PAUSE
    while True:
        try:
            result = await _open(settings, Verifier(authority, revoked, verified), seen)
        except CatalogueError as error:
            _log.warning("the catalogue cannot be opened", error=str(error), seconds=pause)
            told(error)
        else:
            told(None)
            return result
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(LONGEST_PAUSE, 2 * pause)


async def _open(settings: CatalogueSettings, verifier: Verifier, seen: Mapping[str, int]) -> Opened:
    if isinstance(settings, SqliteSettings) and not settings.path.exists():
        # A member opens what was founded: an empty catalogue in its place would be of no use.
        raise CatalogueUnavailable(f"{settings.path} is not there: found a cluster, or put it back")
    catalogue = await open_catalogue(settings)
    try:
        return Opened(catalogue, await View.open(catalogue, verifier, seen=seen, proceed=False))
    except BaseException:
        await catalogue.close()
        raise
