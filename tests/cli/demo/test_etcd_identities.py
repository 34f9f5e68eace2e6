import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from offload.cli.demo.etcd_identities import CLIENT, MEMBER, TRUST, write_identities


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_members_may_be_clients_and_no_certificate_has_a_common_name(tmp_path: Path) -> None:
    write_identities(tmp_path, datetime.now(UTC))
    trust = certificate(tmp_path / TRUST)
    uses = {}
    for name in (MEMBER, CLIENT):
        issued = certificate(tmp_path / f"{name}.pem")
        issued.verify_directly_issued_by(trust)
        assert not issued.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        extension = issued.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        uses[name] = set(extension.value)
        assert (tmp_path / f"{name}.key").stat().st_mode & 0o777 == 0o600
    both = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert uses == {MEMBER: both, CLIENT: {ExtendedKeyUsageOID.CLIENT_AUTH}}
    assert not (tmp_path / "authority.key").exists()


def test_each_key_is_that_of_its_certificate(tmp_path: Path) -> None:
    write_identities(tmp_path, datetime.now(UTC))
    for name in (MEMBER, CLIENT):
        context = ssl.create_default_context(cafile=tmp_path / TRUST)
        context.load_cert_chain(tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
