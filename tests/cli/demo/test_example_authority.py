from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from offload.cli.demo.example_authority import ExampleAuthority
from offload.cluster.request import make_request


def test_it_certifies_the_key_of_a_request_for_the_site(tmp_path: Path) -> None:
    authority = ExampleAuthority(tmp_path / "site", datetime.now(UTC))
    key = ec.generate_private_key(ec.SECP256R1())
    issued = x509.load_pem_x509_certificate(
        authority.certify(make_request("whoever", key)).encode()
    )
    assert issued.public_key() == key.public_key()
    issued.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.path.read_bytes()))
    names = issued.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [path.name for path in (tmp_path / "site").iterdir()] == ["authority.pem"]
