"""The configuration says which catalogue it is."""

from pathlib import Path

from support.pki import PKI

from offload.catalogue.etcd import EtcdCatalogue
from offload.catalogue.opening import open_catalogue
from offload.catalogue.sqlite import SqliteCatalogue
from offload.config import EtcdSettings, SqliteSettings


async def test_a_file_is_sqlite(tmp_path: Path) -> None:
    catalogue = await open_catalogue(SqliteSettings(path=tmp_path / "catalogue.db"))
    assert isinstance(catalogue, SqliteCatalogue)
    await catalogue.close()
    assert (tmp_path / "catalogue.db").exists()


async def test_endpoints_are_etcd_which_may_be_down(pki: PKI) -> None:
    settings = EtcdSettings(kind="etcd", endpoints=("https://127.0.0.1:1",), trust=pki.root_path)
    catalogue = await open_catalogue(settings)
    assert isinstance(catalogue, EtcdCatalogue)
    await catalogue.close()
