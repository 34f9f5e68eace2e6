from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from support.commands import Commands


def test_a_front_end_comes_and_goes(officer: Commands, tmp_path: Path) -> None:
    place = tmp_path / "front"
    lines = officer("cluster", "register", "front-1", "-d", place, "--zone", "b")
    assert lines[0] == "registered 'front-1'; in its configuration:"
    assert f'  trust = "{place}/authority.pem"' in lines
    certificate = x509.load_pem_x509_certificate((place / "front-1.pem").read_bytes())
    key = load_pem_private_key((place / "front-1.key").read_bytes(), None)
    assert certificate.public_key() == key.public_key()
    authority = x509.load_pem_x509_certificate((place / "authority.pem").read_bytes())
    certificate.verify_directly_issued_by(authority)
    (_, row) = officer("cluster", "frontends")
    assert row.split()[:3] == ["front-1", "b", "no"]
    again = ("cluster", "register", "front-1", "-d", tmp_path / "again")
    assert "there is a front-end 'front-1' already" in officer.refused(*again)
    assert not (tmp_path / "again").exists()
    assert officer("cluster", "unregister", "front-1") == ["unregistered 'front-1'"]
    assert officer("cluster", "frontends", "--json") == []


def test_a_registration_that_officers_approve(
    embedded: Commands, cluster: Path, tmp_path: Path
) -> None:
    embedded("cluster", "policy", "--approvals", "frontend.register=1")
    register = ("cluster", "register", "front-1", "-d", tmp_path / "front")
    embedded.refused(*register)
    approval = embedded.json("approval", "list")["id"]
    olga = embedded.with_options(
        "-c", str(cluster / "worker.toml"), "--client", str(cluster / "client.toml")
    )
    olga("approval", "sign", approval, "--yes")
    assert embedded.json(*register, "--approval", approval)["name"] == "front-1"
    assert (tmp_path / "front/front-1.pem").is_file()
