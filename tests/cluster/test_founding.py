import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from support.cluster import NOW

from offload.catalogue import paths
from offload.catalogue.base import Catalogue, CatalogueUnavailable, Unchanged, Write
from offload.catalogue.envelope import Verifier
from offload.catalogue.fake import FakeCatalogue
from offload.catalogue.records import ClusterRecord, MemberRecord, UserRecord
from offload.cluster.authority import fingerprint
from offload.cluster.failures import Invalid, Taken
from offload.cluster.founding import Founded, Plan, prepare, publish, require_none, undo
from offload.cluster.standing import Standing
from offload.keys.algorithm import Algorithm
from offload.keys.managed import ManagedKey, Purpose
from offload.token.base import LabelTaken, TokenError
from offload.token.sealing import Cost
from offload.token.software import SoftwareToken

STANDING = Standing(zone="a", address="127.0.0.1:2407", api="localhost:8443")
PLAN = Plan("example", "worker-1", "alice", STANDING, frontends=("frontend-1",), key_users=("kim",))


def fresh_token(directory: Path) -> SoftwareToken:
    return SoftwareToken.create(directory, b"passphrase", Cost(64, 1, 1))


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftwareToken]:
    made = fresh_token(tmp_path_factory.mktemp("token"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def founded(token: SoftwareToken) -> Founded:
    return prepare(token, PLAN, NOW)


def opened(founded: Founded, path: str) -> bytes:
    verifier = Verifier(x509.load_pem_x509_certificate(founded.authority))
    verifier.admit("worker-1", x509.load_pem_x509_certificate(founded.member.certificate))
    return verifier.open(path, founded.values[path])


def test_the_first_member_signs_every_record(founded: Founded) -> None:
    for path in founded.values:
        opened(founded, path)
    member = MemberRecord.model_validate_json(opened(founded, paths.MEMBERS + "worker-1"))
    assert (member.state, member.zone, member.token) == ("present", "a", "software")
    assert member.certificate.encode() == founded.member.certificate


def test_the_authority_key_is_one_of_the_cluster_and_wrapped(
    founded: Founded, token: SoftwareToken, tmp_path: Path
) -> None:
    cluster = ClusterRecord.model_validate_json(opened(founded, paths.CLUSTER))
    key = ManagedKey.from_json(json.loads(opened(founded, paths.KEYS + cluster.authority_ski)))
    assert key.purpose is Purpose.AUTHORITY
    assert key.replicated
    assert not key.signs
    other = fresh_token(tmp_path / "other")
    other.accept_cluster_key(1, token.enclose_cluster_key(1, other.transport))
    taken = other.unwrap("authority", key.public_key, key.wrapped, key.wrapped_under)
    assert taken.ski == key.ski
    other.close()


def test_users_are_known_by_fingerprint(founded: Founded) -> None:
    user = UserRecord.model_validate_json(opened(founded, paths.USERS + "alice"))
    certificate = x509.load_pem_x509_certificate(founded.officer.certificate)
    assert (user.role, user.fingerprint) == ("officer", fingerprint(certificate))
    user = UserRecord.model_validate_json(opened(founded, paths.USERS + "kim"))
    assert user.role == "key-user"


def test_the_member_is_a_server_of_its_name_and_hosts(founded: Founded) -> None:
    certificate = x509.load_pem_x509_certificate(founded.member.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["worker-1", "localhost"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_a_token_of_another_cluster_is_refused(founded: Founded, token: SoftwareToken) -> None:
    with pytest.raises(TokenError):
        prepare(token, PLAN, NOW)


@pytest.mark.parametrize(
    "plan",
    [
        Plan("example", "10.0.0.1", "alice", STANDING),
        Plan("a/b", "worker-1", "alice", STANDING),
        Plan("example", "worker-1", "../alice", STANDING),
        Plan("example", "worker-1", "alice", STANDING, key_users=("a b",)),
        Plan("example", "worker-1", "alice", STANDING, frontends=("",)),
    ],
)
def test_a_bad_name_is_refused_before_anything_is_made(tmp_path: Path, plan: Plan) -> None:
    token = fresh_token(tmp_path / "token")
    with pytest.raises(Invalid):
        prepare(token, plan, NOW)
    assert token.cluster_keys() == frozenset()
    token.close()


def test_a_founding_that_comes_to_nothing_leaves_a_token_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = fresh_token(tmp_path / "token")
    undo(token, prepare(token, PLAN, NOW))
    assert (token.cluster_keys(), token.keys()) == (frozenset(), [])

    def fail(*_: object) -> bytes:
        raise TokenError("the HSM is gone")

    with monkeypatch.context() as patch, pytest.raises(TokenError):
        patch.setattr(token, "wrap", fail)
        prepare(token, PLAN, NOW)
    assert (token.cluster_keys(), token.keys()) == (frozenset(), [])
    taken = token.generate("cluster-authority@1", Algorithm.P_256)
    with pytest.raises(LabelTaken):
        prepare(token, PLAN, NOW)
    assert (token.cluster_keys(), token.keys()) == (frozenset(), [taken])
    token.close()


async def test_there_is_one_cluster_in_a_catalogue(founded: Founded) -> None:
    catalogue = FakeCatalogue()
    await require_none(catalogue)
    await publish(catalogue, founded)
    assert {one.key for one in (await catalogue.list("")).entries} == set(founded.values)
    with pytest.raises(Taken, match="already"):
        await require_none(catalogue)
    await publish(catalogue, founded)
    other = Founded(
        founded.authority,
        founded.member,
        founded.officer,
        {},
        {},
        {**founded.values, paths.CLUSTER: b"other"},
    )
    with pytest.raises(Taken, match="already"):
        await publish(catalogue, other)
    await catalogue.close()


class Flaky(FakeCatalogue):
    """Applies a commit and fails all the same, the first time."""

    lost = 1

    async def commit(self, writes: Sequence[Write], checks: Sequence[Unchanged] = ()) -> int:
        revision = await super().commit(writes, checks)
        if self.lost:
            self.lost -= 1
            raise CatalogueUnavailable("no answer")
        return revision


async def test_a_commit_whose_answer_was_lost_counts(founded: Founded) -> None:
    catalogue: Catalogue = Flaky()
    await publish(catalogue, founded, pause=0)
    assert await catalogue.get(paths.CLUSTER) is not None
    await catalogue.close()
