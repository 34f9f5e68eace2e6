import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.pki import PKI

from offload import config_files
from offload.cli import state
from offload.cluster.authority import Authority, pem
from offload.cluster.profile import CertificateProfile
from offload.config import ConfigurationError, Settings, load

SITE = "certificates/localhost-p256.pem"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made") / "state"
    state.create(directory, state.Plan())
    return directory


@pytest.fixture
def directory(made: Path, tmp_path: Path) -> Path:
    """A state directory of the test's own."""
    return Path(shutil.copytree(made, tmp_path / "state"))


def complaints(directory: Path, name: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(directory / f"{name}.toml", environment={})
    return [str(problem) for problem in caught.value.problems]


def settings(directory: Path) -> Settings:
    return load(directory / "frontend.toml", environment={})


@pytest.mark.parametrize("name", ["frontend", "worker"])
def test_a_fresh_state_directory_is_good(directory: Path, name: str) -> None:
    loaded = load(directory / f"{name}.toml", environment={})
    assert config_files.problems(loaded) == []
    assert config_files.warnings(loaded) == []


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def break_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def open_to_all(path: Path) -> None:
    path.chmod(0o644)


@pytest.mark.parametrize(
    ("name", "file", "harm", "said"),
    [
        ("frontend", SITE, remove, "frontend.sites[0].certificates[0]: {} cannot be read: no such"),
        ("frontend", SITE, empty, "frontend.sites[0].certificates[0]: {} holds no PEM certificate"),
        ("frontend", SITE, break_off, "frontend.sites[0].certificates[0]: {} holds no PEM cert"),
        ("frontend", "authority/authority.pem", remove, "frontend.pool.trust: {} cannot be read"),
        ("frontend", "authority/authority.pem", empty, "frontend.pool.trust: {} holds no PEM"),
        (
            "frontend",
            "identities/frontend-1.key",
            open_to_all,
            "frontend.pool.identity.key: {} has mode 0644, so others can reach a secret; run ",
        ),
        (
            "frontend",
            "identities/frontend-1.key",
            empty,
            "frontend.pool.identity.key: {} holds no PEM private key that can be read; write an",
        ),
        (
            "frontend",
            "identities/frontend-1.pem",
            remove,
            "frontend.pool.identity.certificate: {} cannot be read: no such file or directory; che",
        ),
        ("worker", "token.passphrase", open_to_all, "worker.token.passphrase_file: {} has mode 06"),
        ("worker", "token.passphrase", remove, "worker.token.passphrase_file: {} cannot be read"),
        ("worker", "identities/worker-1.key", open_to_all, "worker.identity.key: {} has mode 0644"),
        ("worker", "authority/authority.pem", remove, "worker.trust: {} cannot be read: no such"),
    ],
)
def test_a_bad_file_is_said_with_its_key(
    directory: Path, name: str, file: str, harm: Callable[[Path], None], said: str
) -> None:
    path = directory / file
    harm(path)
    (complaint,) = complaints(directory, name)
    assert complaint.startswith(said.format(path))
    assert "; " in complaint


def test_a_token_that_is_not_there_is_said(directory: Path) -> None:
    shutil.rmtree(directory / "token")
    (complaint,) = complaints(directory, "worker")
    assert complaint.startswith(f"worker.token.directory: {directory}/token cannot be read: no suc")


def test_a_private_key_in_a_site_certificate_is_refused(directory: Path) -> None:
    path = directory / SITE
    path.write_bytes(path.read_bytes() + (directory / "identities/worker-1.key").read_bytes())
    (complaint,) = complaints(directory, "frontend")
    assert "holds a private key, which a front-end must never have" in complaint


def test_a_chain_in_the_wrong_order_is_refused(directory: Path) -> None:
    path = directory / SITE
    path.write_bytes((directory / state.SITE_AUTHORITY).read_bytes() + path.read_bytes())
    (complaint,) = complaints(directory, "frontend")
    assert "certificate 1 is not issued by certificate 2; order the chain" in complaint


def test_a_chain_in_the_right_order_is_taken(directory: Path) -> None:
    path = directory / SITE
    path.write_bytes(path.read_bytes() + (directory / state.SITE_AUTHORITY).read_bytes())
    assert settings(directory).frontend is not None


def test_two_certificates_for_one_type_of_key_are_refused(directory: Path) -> None:
    shutil.copy(directory / "certificates/localhost-rsa.pem", directory / SITE)
    (complaint,) = complaints(directory, "frontend")
    assert "both have an RSA key; keep one certificate for each type of key" in complaint


def test_the_key_of_another_identity_is_refused(directory: Path) -> None:
    shutil.copy(directory / "identities/worker-1.key", directory / "identities/frontend-1.key")
    (complaint,) = complaints(directory, "frontend")
    assert "frontend-1.key is not the key of" in complaint


def test_trust_without_an_authority_is_refused(directory: Path) -> None:
    shutil.copy(directory / SITE, directory / "authority/authority.pem")
    (complaint,) = complaints(directory, "frontend")
    assert complaint.startswith("frontend.pool.trust:")
    assert "holds no CA certificate" in complaint


@pytest.mark.parametrize(
    ("start", "days", "said"),
    [(-400, 365, "expired on"), (+2, 30, "is not valid before"), (-85, 90, "expires on")],
)
def test_dates_are_warned_of_and_stop_nothing(
    directory: Path, start: int, days: int, said: str
) -> None:
    now = datetime.now(UTC)
    authority = Authority.create("example", now)
    public = authority.certificate.public_key()
    begin = now + timedelta(days=start)
    made = authority.issue(public, ["localhost"], CertificateProfile.SERVER, begin, days)
    (directory / SITE).write_bytes(pem(made))
    (warning,) = config_files.warnings(settings(directory), now)
    assert warning.key == "frontend.sites[0].certificates[0]"
    assert said in warning.text


def test_a_short_lived_certificate_is_not_warned_of_all_its_life(directory: Path) -> None:
    now = datetime.now(UTC)
    authority = Authority.create("example", now)
    public = authority.certificate.public_key()
    made = authority.issue(public, ["localhost"], CertificateProfile.SERVER, now, 7)
    (directory / SITE).write_bytes(pem(made))
    assert config_files.warnings(settings(directory), now) == []


def member(directory: Path, catalogue: str) -> Path:
    """The worker's configuration as that of a member of a cluster."""
    file = directory / "worker.toml"
    alone = file.read_text()
    text = alone[: alone.index("[[worker.frontends]]")]
    file.write_text(f'{text}\n[worker.cluster]\nstate = "state"\ncatalogue = {catalogue}\n')
    (directory / "state").mkdir(mode=0o700)
    return file


ETCD = """{ kind = "etcd", endpoints = ["https://127.0.0.1:2379"], user = "worker",\
 trust = "authority/authority.pem", certificate = "identities/worker-1.pem",\
 key = "identities/worker-1.key", password_file = "etcd.password" }"""


def test_what_a_member_needs_is_good(directory: Path) -> None:
    (directory / "etcd.password").write_text("secret")
    (directory / "etcd.password").chmod(0o600)
    assert load(member(directory, ETCD), environment={}).worker is not None


def test_what_a_member_needs_is_checked(directory: Path) -> None:
    member(directory, ETCD.replace("authority/authority.pem", SITE))
    open_to_all(directory / "state")
    (directory / "etcd.password").write_text("secret")
    shutil.copy(directory / "identities/frontend-1.key", directory / "identities/other.key")
    text = (directory / "worker.toml").read_text()
    other = text.replace("worker-1.key", "other.key", 2).replace("other.key", "worker-1.key", 1)
    (directory / "worker.toml").write_text(other)
    said = complaints(directory, "worker")
    assert [line.partition(":")[0] for line in said] == [
        "worker.cluster.state",
        "worker.cluster.catalogue.trust",
        "worker.cluster.catalogue.key",
        "worker.cluster.catalogue.password_file",
    ]
    assert f"run 'chmod 700 {directory}/state'" in said[0]


def test_a_member_s_key_can_sign_its_records(directory: Path, pki: PKI) -> None:
    issued = pki.identity("worker-1", algorithm="p-384")
    member(directory, '{ path = "catalogue.db" }')
    shutil.copy(issued.certificate_path, directory / "identities/worker-1.pem")
    shutil.copy(issued.key_path, directory / "identities/worker-1.key")
    (complaint,) = complaints(directory, "worker")
    assert complaint.startswith("worker.identity.key: ")
    assert "is no P-256 key; join the cluster with a P-256 key" in complaint


def test_the_directory_of_a_catalogue_is_checked(directory: Path) -> None:
    member(directory, '{ path = "nowhere/catalogue.db" }')
    (complaint,) = complaints(directory, "worker")
    assert complaint.startswith("worker.cluster.catalogue.path: ")
    assert "nowhere cannot be read: no such file or directory" in complaint


def test_what_a_front_end_of_a_cluster_needs_is_checked(directory: Path) -> None:
    file = directory / "frontend.toml"
    cluster = 'name = "frontend-1"\nstate = "state"\ncatalogue = { path = "catalogue.db" }\n'
    file.write_text(f"{file.read_text()}\n[frontend.cluster]\n{cluster}")
    (complaint,) = complaints(directory, "frontend")
    assert complaint.startswith("frontend.cluster.state: ")
    (directory / "state").mkdir()
    assert settings(directory).frontend is not None
