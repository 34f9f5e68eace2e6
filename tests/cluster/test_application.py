import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError

from offload.cluster.application import Application
from offload.cluster.failures import Invalid
from offload.cluster.fingerprint import key_fingerprint
from offload.cluster.standing import Standing
from offload.cluster.transport import published
from offload.token.base import TransportKeys

KEY = ec.generate_private_key(ec.SECP256R1())
STANDING = Standing(address="10.0.0.2:2407", api="10.0.0.2:8443")


@pytest.fixture(scope="module")
def transport() -> TransportKeys:
    public = rsa.generate_private_key(65537, 3072).public_key()
    encoded = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return TransportKeys(encoded, b"h" * 32)


def made(transport: TransportKeys) -> Application:
    return Application.make(
        KEY,
        invitation="0" * 32,
        member="worker-2",
        token="software",
        transport=published(transport),
        standing=STANDING,
    )


def test_who_has_the_key_signs_all_of_it(transport: TransportKeys) -> None:
    application = made(transport)
    assert application.verified() == KEY.public_key()
    assert application.fingerprint == key_fingerprint(KEY.public_key())
    again = Application.model_validate_json(application.model_dump_json())
    assert again.verified() == KEY.public_key()


@pytest.mark.parametrize(
    "changes",
    [
        {"invitation": "1" * 32},
        {"member": "worker-3"},
        {"token": "pkcs11"},
        {"standing": STANDING.model_copy(update={"zone": "x"})},
        {"proof": ""},
        {"proof": "AAAA"},
    ],
)
def test_nothing_of_it_can_be_altered(transport: TransportKeys, changes: dict[str, object]) -> None:
    with pytest.raises(Invalid, match="not signed"):
        made(transport).model_copy(update=changes).verified()


def test_other_transport_keys_are_not_slipped_in(transport: TransportKeys) -> None:
    other = published(TransportKeys(transport.rsa, b"x" * 32))
    with pytest.raises(Invalid, match="not signed"):
        made(transport).model_copy(update={"transport": other}).verified()


def test_what_is_too_long_is_not_taken(transport: TransportKeys) -> None:
    values = made(transport).model_dump()
    for field in ("invitation", "member", "request", "proof"):
        with pytest.raises(ValidationError):
            Application.model_validate({**values, field: "x" * 10_000})
