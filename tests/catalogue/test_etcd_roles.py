"""What the roles in etcd cover."""

from offload.catalogue import paths
from offload.catalogue.etcd_roles import Grant, frontend_grants, worker_grants


def covers(grant: Grant, key: str) -> bool:
    return grant.start <= key < grant.end if grant.end else grant.start == key


def test_workers_have_everything_under_the_prefix() -> None:
    (grant,) = worker_grants("/offload/")
    assert grant == Grant("READWRITE", "/offload/", "/offload0")


def test_frontends_have_what_is_public_and_their_own() -> None:
    grants = frontend_grants("/offload/")
    for path in paths.PUBLIC:
        assert any(covers(grant, f"/offload/{path}") for grant in grants)
    for path in (paths.KEYS, paths.CLUSTER_KEYS, paths.USERS, paths.TOKENS, "clusters"):
        assert not any(covers(grant, f"/offload/{path}a") for grant in grants)
    written = [grant for grant in grants if grant.permission == "READWRITE"]
    assert written == [Grant("READWRITE", "/offload/frontends/", "/offload/frontends0")]
