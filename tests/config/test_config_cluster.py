from pathlib import Path

import pytest
from support.configuration import FRONTEND, WORKER, loaded, problems

from offload.config import EtcdSettings, SqliteSettings

MEMBER = WORKER[: WORKER.index("[[worker.frontends]]")]
ETCD = """
[worker.cluster]
state = "state"
api = "10.0.0.1:2408"
[worker.cluster.catalogue]
kind = "etcd"
endpoints = ["https://10.0.0.1:2379", "https://[::1]:2379"]
trust = "ca.pem"
certificate = "etcd.pem"
key = "etcd.key"
user = "worker"
password_file = "password"
"""
AT = "worker.cluster.catalogue"


def test_a_catalogue_is_a_file_unless_it_is_said_otherwise(file: Path) -> None:
    text = MEMBER + '[worker.cluster]\nstate = "state"\ncatalogue = { path = "catalogue.db" }\n'
    worker = loaded(file, text).worker
    assert worker is not None
    assert worker.cluster is not None
    assert worker.cluster.catalogue == SqliteSettings(path=file.parent / "catalogue.db")
    assert (worker.cluster.zone, worker.cluster.capacity, worker.cluster.lease) == ("", 1.0, 5.0)


def test_a_catalogue_in_etcd(file: Path) -> None:
    worker = loaded(file, MEMBER + ETCD.replace("10.0.0.1:2379", "10.0.0.1:2379/")).worker
    assert worker is not None
    assert worker.cluster is not None
    catalogue = worker.cluster.catalogue
    assert isinstance(catalogue, EtcdSettings)
    assert catalogue.endpoints == ("https://10.0.0.1:2379", "https://[::1]:2379")
    assert catalogue.trust == file.parent / "ca.pem"
    assert catalogue.prefix == "/offload/"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("https://10.0.0.1:2379", "10.0.0.1:2379", f"{AT}.endpoints[0]: '10.0.0.1:2379' is not an"),
        ("https://10.0.0.1:2379", "https://a", f"{AT}.endpoints[0]: 'https://a' has no port"),
        ("https://10.0.0.1:2379", "https://a:0", f"{AT}.endpoints[0]: 'https://a:0' has port 0"),
        ("https://10.0.0.1:2379", "https://a:1/b", f"{AT}.endpoints[0]: 'https://a:1/b' has no po"),
        ("https://10.0.0.1:2379", "http://a:1", f"{AT}.endpoints: some endpoints are https and"),
        ("https://10.0.0.1:2379", "https://[::1]:2379", f"{AT}.endpoints: endpoint 'https://[::1]"),
        ("https://", "http://", f"{AT}: the endpoints are http, without TLS; write https, or"),
        ('trust = "ca.pem"\n', "", f"{AT}: trust is missing; name the CA that issued etcd's"),
        ('key = "etcd.key"\n', "", f"{AT}: certificate is of no use without key; add key"),
        ('certificate = "etcd.pem"\n', "", f"{AT}: key is of no use without certificate; add"),
        ('user = "worker"\n', "", f"{AT}: password_file is of no use without user; add user"),
        ('password_file = "password"\n', "", f"{AT}: user is of no use without password_file"),
        ('kind = "etcd"', 'kind = "etcd"\nprefix = "a"', f"{AT}.prefix: 'a' is not a prefix; wri"),
        ('kind = "etcd"', 'kind = "ldap"', f"{AT}: is of an unknown kind; use kind = 'sqlite' or"),
        (
            'kind = "etcd"',
            'kind = "etcd"\nusr = "a"',
            f"{AT}.usr: unknown key; did you mean 'user'",
        ),
        ('state = "state"', "", "worker.cluster.state: is missing; add it"),
        ('state = "state"', 'state = "s"\nzone = "a b"', "worker.cluster.zone: 'a b' is not a nam"),
        ('state = "state"', 'state = "s"\ncapacity = 0', "worker.cluster.capacity: 0 is not valid"),
        ("10.0.0.1:2408", "0.0.0.0:2408", "worker: others cannot reach '0.0.0.0:2408'; write the "),
    ],
)
def test_what_is_wrong_in_a_cluster_is_said(file: Path, old: str, new: str, said: str) -> None:
    text = ETCD
    assert old in text
    # Removed at the trust, certificate or key of etcd, not at the worker's own.
    lines = problems(file, MEMBER + text.replace(old, new))
    assert any(line.startswith(said) for line in lines), lines
    assert "; " in lines[0]


def test_a_member_grants_nothing_itself(file: Path) -> None:
    granting = WORKER + ETCD
    assert problems(file, granting)[0].startswith(
        "worker: frontends are of no use with [worker.cluster], which registers front-ends itself;"
    )


def test_a_member_says_where_it_is_reached(file: Path) -> None:
    everywhere = MEMBER.replace("127.0.0.1:2407", "0.0.0.0:2407") + ETCD
    assert "write the HOST:PORT that they can as cluster.advertise" in problems(file, everywhere)[0]
    told = everywhere.replace('state = "state"', 'state = "s"\nadvertise = "10.0.0.1:2407"')
    assert loaded(file, told).worker is not None


CLUSTERED = (
    FRONTEND.replace('workers = [{ name = "worker-1", address = "127.0.0.1:2407" }]\n', "")
    + '[frontend.cluster]\nname = "frontend-1"\nstate = "state"\ncatalogue = { path = "c.db" }\n'
)


def test_a_front_end_takes_workers_and_certificates_from_the_cluster(file: Path) -> None:
    text = CLUSTERED.replace('certificates = ["site.pem"]', 'keys = ["www-p256", "www-rsa"]')
    front_end = loaded(file, text).frontend
    assert front_end is not None
    assert front_end.pool.workers == ()
    assert front_end.sites[0].keys == ("www-p256", "www-rsa")
    assert front_end.sites[0].certificates == ()


def test_without_a_cluster_a_front_end_names_workers_and_files(file: Path) -> None:
    alone = CLUSTERED[: CLUSTERED.index("[frontend.cluster]")]
    assert problems(file, alone)[0].startswith("frontend: pool.workers is empty; add at least one")
    keyed = FRONTEND.replace("certificates = [", "keys = [").replace("site.pem", "www")
    assert problems(file, keyed)[0].startswith("frontend: sites[0].keys are keys of a cluster; add")


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ("", "frontend.sites[0]: has no certificates; name their files, or"),
        ('certificates = ["a"]\nkeys = ["b"]', "frontend.sites[0]: has both certificates and keys"),
        ('keys = ["a", "a"]', "frontend.sites[0]: key 'a' stands twice; remove one"),
        ('keys = ["a/b"]', "frontend.sites[0].keys[0]: 'a/b' is not a label; use"),
    ],
)
def test_a_site_has_certificates_or_keys(file: Path, new: str, said: str) -> None:
    lines = problems(file, CLUSTERED.replace('certificates = ["site.pem"]', new))
    assert lines[0].startswith(said), lines
