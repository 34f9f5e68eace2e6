"""The catalogue that the configuration names."""

from __future__ import annotations

from offload.catalogue.base import Catalogue
from offload.config import CatalogueSettings, EtcdSettings


async def open_catalogue(settings: CatalogueSettings) -> Catalogue:
    """Open it on the running loop; raises CatalogueError."""
    if isinstance(settings, EtcdSettings):
        from offload.catalogue.etcd import EtcdCatalogue

        return await EtcdCatalogue.open(settings)
    from offload.catalogue.sqlite import SqliteCatalogue

    return await SqliteCatalogue.open(settings.path)
