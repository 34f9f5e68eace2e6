"""Real etcd clusters, one for each module that asks for it."""

from collections.abc import Iterator

import pytest
from support.etcd import EtcdCluster, etcd_cluster
from support.pki import PKI


@pytest.fixture(scope="module")
def one_etcd(tmp_path_factory: pytest.TempPathFactory, pki: PKI) -> Iterator[EtcdCluster]:
    """A single member."""
    with etcd_cluster(tmp_path_factory.mktemp("etcd"), pki, 1) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def three_etcds(tmp_path_factory: pytest.TempPathFactory, pki: PKI) -> Iterator[EtcdCluster]:
    """Three members."""
    with etcd_cluster(tmp_path_factory.mktemp("etcds"), pki, 3) as cluster:
        yield cluster
