"""A site's context offers what it should and nothing else; the site is found by server name."""

import gc
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from support.handshakes import BACKEND, Client, shake, sign, site
from support.pki import PKI, Issued, shared_key

from offload.config import Site as SiteSettings
from offload.keys.identifier import subject_key_identifier
from offload.tls.openssl import lib
from offload.tls.session import Facts, Session, State, TLSError
from offload.tls.site import Site, SiteError, Sites

TLS_1_2_SUITES = {
    f"ECDHE-{key}-{cipher}"
    for key in ("ECDSA", "RSA")
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
}
TLS_1_3_SUITES = {
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
}


@pytest.fixture(scope="module")
def ecdsa(pki: PKI) -> Issued:
    return pki.site("site.test")


@pytest.fixture(scope="module")
def rsa(pki: PKI) -> Issued:
    return pki.site("site.test", algorithm="rsa-2048")


def with_ciphers(names: bytes) -> Client:
    """A TLS 1.2 client of these cipher suites."""
    return Client(
        version=SSL.TLS1_2_VERSION,
        prepare=lambda context: context.set_cipher_list(names + b":@SECLEVEL=0"),
    )


def with_list(function: Any, names: bytes, version: int = SSL.TLS1_3_VERSION) -> Client:
    """A client whose groups or signature algorithms are `names`."""

    def prepare(context: SSL.Context) -> None:
        assert function(context._context, names) == 1

    return Client(version=version, prepare=prepare)


def agreed(served: Site, client: Client, key: str = "p-256") -> Facts:
    session = Session(served)
    shake(session, client, shared_key(key))
    return session.facts()


def refusal(served: Site, client: Client) -> str:
    """OpenSSL's reason on the server's side; the client gets an alert."""
    session = Session(served)
    with pytest.raises(TLSError) as caught:
        session.handshake(client.step())
    with pytest.raises(SSL.Error, match="alert"):
        client.step(session.output)
    return str(caught.value)


# the context


def test_cipher_suites_are_ephemeral_and_authenticated(ecdsa: Issued) -> None:
    offered = SSL.Connection(site(ecdsa).context, None).get_cipher_list()
    assert set(offered) == TLS_1_2_SUITES | TLS_1_3_SUITES


@pytest.mark.parametrize("name", sorted(TLS_1_2_SUITES))
def test_each_suite_of_tls_1_2_works(ecdsa: Issued, rsa: Issued, name: str) -> None:
    key = "rsa-2048" if "RSA" in name.split("-") else "p-256"
    assert agreed(site(ecdsa, rsa), with_ciphers(name.encode()), key).cipher == name


@pytest.mark.parametrize(
    "name", ["AES128-GCM-SHA256", "AES256-SHA", "DHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA"]
)
def test_static_rsa_and_other_weak_suites_are_refused(rsa: Issued, name: str) -> None:
    assert refusal(site(rsa), with_ciphers(name.encode())) == "no shared cipher"


def test_order_of_the_server_decides(rsa: Issued) -> None:
    client = with_ciphers(b"ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256")
    assert agreed(site(rsa), client, "rsa-2048").cipher == "ECDHE-RSA-AES128-GCM-SHA256"


def test_tls_1_1_is_refused(ecdsa: Issued) -> None:
    client = Client(
        version=SSL.TLS1_1_VERSION,
        prepare=lambda context: context.set_cipher_list(b"ALL:@SECLEVEL=0"),
    )
    assert refusal(site(ecdsa), client) == "unsupported protocol"


def test_tls_1_2_is_refused_where_1_3_is_the_least(ecdsa: Issued) -> None:
    served = site(ecdsa, min_version="1.3")
    assert refusal(served, Client(version=SSL.TLS1_2_VERSION)) == "unsupported protocol"
    assert agreed(served, Client()).version == "TLSv1.3"


@pytest.mark.parametrize("group", ["X25519MLKEM768", "X25519", "P-256", "P-384", "P-521"])
def test_site_speaks_the_groups_of_its_settings(ecdsa: Issued, group: str) -> None:
    client = with_list(lib.SSL_CTX_set1_curves_list, b"X25519MLKEM768:X25519:P-256:P-384:P-521")
    assert agreed(site(ecdsa, groups=(group,)), client).group == group


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_no_common_group_is_refused(ecdsa: Issued, version: int) -> None:
    client = with_list(lib.SSL_CTX_set1_curves_list, b"P-521", version)
    assert "no s" in refusal(site(ecdsa), client)  # no suitable key share, no shared cipher


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_without_tickets_nothing_is_resumed(ecdsa: Issued, version: int) -> None:
    served = site(ecdsa, tickets=False)
    first, session = Client(version=version), Session(served)
    shake(session, first, shared_key("p-256"))
    first.read(session.send(b"x"))
    again = Client(context=first.context, session=first.tls.get_session())
    assert not agreed(served, again).resumed


def test_signature_algorithms_of_the_client_choose_the_certificate(
    ecdsa: Issued, rsa: Issued
) -> None:
    served = site(rsa, ecdsa)
    assert set(served.keys) == {
        subject_key_identifier(each.key.public_key()) for each in (ecdsa, rsa)
    }
    for names, issued, key in (
        (b"rsa_pss_rsae_sha256", rsa, "rsa-2048"),
        (b"ecdsa_secp256r1_sha256", ecdsa, "p-256"),
    ):
        client = with_list(lib.SSL_CTX_set1_sigalgs_list, names)
        agreed(served, client, key)
        assert client.tls.get_peer_certificate(as_cryptography=True) == issued.certificate


def test_client_without_a_common_signature_algorithm_is_refused(ecdsa: Issued) -> None:
    client = with_list(lib.SSL_CTX_set1_sigalgs_list, b"rsa_pss_rsae_sha256")
    assert refusal(site(ecdsa), client) == "no suitable signature algorithm"


def test_chain_is_sent_whole(pki: PKI, tmp_path: Path) -> None:
    leaf = pki.site("site.test")
    path = tmp_path / "chain.pem"
    path.write_bytes(leaf.chain_pem + pki.root_path.read_bytes())
    served = Site(SiteSettings(default=True, certificates=(path,), backends=(BACKEND,)))
    client = Client()
    agreed(served, client)
    chain = client.tls.get_peer_cert_chain(as_cryptography=True)
    assert chain == [leaf.certificate, pki.root]


# certificates and settings that cannot be used


def failing(path: Path) -> str:
    with pytest.raises(SiteError) as caught:
        Site(SiteSettings(names=("site.test",), certificates=(path,), backends=(BACKEND,)))
    text = str(caught.value)
    assert text.startswith(f"{path}: site 'site.test': ")
    return text


def test_missing_certificate_is_named(tmp_path: Path) -> None:
    assert "No such file" in failing(tmp_path / "missing.pem")


@pytest.mark.parametrize(
    "content", [b"", b"no PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_file_that_is_no_certificate_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.pem"
    path.write_bytes(content)
    failing(path)


def test_chain_with_a_broken_second_certificate_is_named(tmp_path: Path, ecdsa: Issued) -> None:
    path = tmp_path / "chain.pem"
    broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    path.write_bytes(ecdsa.chain_pem + broken)
    assert "OpenSSL does not take the certificate" in failing(path)


def test_certificate_of_an_unsupported_key_is_named(tmp_path: Path, ecdsa: Issued) -> None:
    key = ec.generate_private_key(ec.SECP256K1())
    old = ecdsa.certificate
    certificate = (
        x509.CertificateBuilder(old.issuer, old.subject, key.public_key(), 1)
        .not_valid_before(old.not_valid_before_utc)
        .not_valid_after(old.not_valid_after_utc)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "k1.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    assert "secp256k1" in failing(path)


def test_group_that_openssl_does_not_know_is_named(ecdsa: Issued) -> None:
    settings = SiteSettings(
        names=("site.test",), certificates=(ecdsa.certificate_path,), backends=(BACKEND,)
    ).model_copy(update={"groups": ("X25519", "no-such-group")})
    with pytest.raises(SiteError, match="OpenSSL does not take X25519:no-such-group"):
        Site(settings)


# the choice


def sites(certificate: Issued, *settings: dict[str, Any]) -> Sites:
    return Sites.from_settings(
        SiteSettings(certificates=(certificate.certificate_path,), backends=(BACKEND,), **each)
        for each in settings
    )


def test_choice_is_exact_then_wildcard_then_default(ecdsa: Issued) -> None:
    chosen = sites(
        ecdsa,
        {"names": ("*.example.org",)},
        {"names": ("www.example.org", "example.net")},
        {"names": ("*.deep.example.org",)},
        {"default": True},
    )
    wildcard, exact, deep, default = chosen.all
    assert chosen.choose("www.example.org") is exact
    assert chosen.choose("example.net") is exact
    assert chosen.choose("api.example.org") is wildcard
    assert chosen.choose("a.deep.example.org") is deep
    assert chosen.choose("deep.example.org") is wildcard
    for other in ("a.b.example.org", "example.org", "org", "*.example.org.uk", None):
        assert chosen.choose(other) is default


def test_without_a_default_other_names_have_no_site(ecdsa: Issued) -> None:
    chosen = sites(ecdsa, {"names": ("www.example.org", "*.example.net")})
    assert chosen.choose("www.example.org") is chosen.all[0]
    for other in ("example.org", "a.b.example.net", "example.net", "", None):
        assert chosen.choose(other) is None


def test_names_are_found_whatever_their_case_in_the_settings(ecdsa: Issued) -> None:
    chosen = sites(ecdsa, {"names": ("WWW.Example.ORG", "*.Example.NET")})
    assert chosen.choose("www.example.org") is chosen.choose("a.example.net") is chosen.all[0]


@pytest.mark.parametrize(
    ("asked", "stated"),
    [
        ("site.test", "site.test"),
        ("a.shop.test", "a.shop.test"),
        ("b.a.shop.test", "Site.test"),
        ("other.test", "Site.test"),
        (None, "Site.test"),
    ],
)
def test_workers_are_told_a_name_of_the_site(ecdsa: Issued, asked: str | None, stated: str) -> None:
    settings = SiteSettings(
        names=("Site.test", "*.shop.test"),
        certificates=(ecdsa.certificate_path,),
        backends=(BACKEND,),
    )
    assert Site(settings).stated_name(asked) == stated.lower()


def test_a_site_without_a_name_states_what_the_client_asked_for(ecdsa: Issued) -> None:
    settings = SiteSettings(
        default=True, certificates=(ecdsa.certificate_path,), backends=(BACKEND,)
    )
    assert Site(settings).stated_name("other.test") == "other.test"
    assert Site(settings).stated_name(None) == ""


def test_site_is_called_by_its_first_name(ecdsa: Issued) -> None:
    named, default = sites(ecdsa, {"names": ("b.test", "a.test")}, {"default": True}).all
    assert (named.name, default.name) == ("b.test", "default")


# a cluster's certificates, which come and are replaced


def keyed(*labels: str, **settings: Any) -> Site:
    """A site of a cluster's keys; it has no certificate yet."""
    return Site(SiteSettings(default=True, keys=labels, backends=(BACKEND,), **settings))


def numbered(pki: PKI, number: int, algorithm: str = "p-256") -> Issued:
    """A certificate for a key of its own."""
    return pki.site("site.test", algorithm=algorithm, number=number)


def served_by(served: Site, issued: Issued, **options: Any) -> Client:
    """A client after its handshake, which must have been with that certificate and key."""
    client = Client(**options)
    shake(Session(served), client, issued.key)
    assert client.tls.get_peer_certificate(as_cryptography=True) == issued.certificate
    return client


def test_site_without_a_certificate_has_no_keys_until_there_is_one(pki: PKI) -> None:
    served = keyed("web")
    assert not served.keys
    issued = numbered(pki, 0)
    assert served.install({"web": issued.chain_pem, "other": b"not looked at"}) == (True, ())
    assert set(served.keys) == {subject_key_identifier(issued.key.public_key())}
    served_by(served, issued)


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_handshake_under_way_ends_with_the_certificate_it_began_with(
    pki: PKI, version: int
) -> None:
    old, new = numbered(pki, 0), numbered(pki, 1)
    served = keyed("web")
    served.install({"web": old.chain_pem})
    begun, signing = Session(served), Session(served)
    client = Client(trust=pki.root, version=version)
    signing.handshake(client.step())
    assert signing.state is State.SIGNING
    context = served.context
    assert served.install({"web": new.chain_pem}) == (True, ())
    assert served.context is context
    assert signing.request is not None
    signing.resume(sign(old.key, signing.request))
    rest = client.step(signing.output)
    while not client.complete:
        signing.handshake(rest)
        rest = client.step(signing.output)
    assert client.tls.get_peer_certificate(as_cryptography=True) == old.certificate
    # One that had not come to its signature asks for the old key too.
    late = Client(version=version)
    shake(begun, late, old.key)
    assert late.tls.get_peer_certificate(as_cryptography=True) == old.certificate
    served_by(served, new, version=version, trust=pki.root)


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_tickets_outlive_the_certificate(pki: PKI, version: int) -> None:
    old, new = numbered(pki, 0), numbered(pki, 1)
    served = keyed("web")
    served.install({"web": old.chain_pem})
    first, session = Client(version=version), Session(served)
    shake(session, first, old.key)
    first.read(session.send(b"x"))
    served.install({"web": new.chain_pem})
    again, resumed = Client(context=first.context, session=first.tls.get_session()), Session(served)
    assert shake(resumed, again, None) == 0
    assert resumed.facts().resumed


def test_several_keys_are_replaced_one_by_one(pki: PKI) -> None:
    old, new, rsa = numbered(pki, 0), numbered(pki, 1), numbered(pki, 0, "rsa-2048")
    served = keyed("web", "web-rsa")
    both = {"web": old.chain_pem, "web-rsa": rsa.chain_pem}
    served.install(both)
    served.install({**both, "web": new.chain_pem})
    for names, issued in ((b"rsa_pss_rsae_sha256", rsa), (b"ecdsa_secp256r1_sha256", new)):
        client = with_list(lib.SSL_CTX_set1_sigalgs_list, names)
        shake(Session(served), client, issued.key)
        assert client.tls.get_peer_certificate(as_cryptography=True) == issued.certificate


def test_a_key_that_the_site_lost_is_served_no_more_at_the_price_of_tickets(pki: PKI) -> None:
    rsa, ecdsa = numbered(pki, 0, "rsa-2048"), numbered(pki, 0)
    served = keyed("web")
    served.install({"web": rsa.chain_pem})
    assert served.install({"web": ecdsa.chain_pem}) == (False, ())
    served_by(served, ecdsa)
    assert refusal(served, with_list(lib.SSL_CTX_set1_sigalgs_list, b"rsa_pss_rsae_sha256"))


def test_a_chain_that_cannot_be_used_leaves_everything_as_it_was(pki: PKI) -> None:
    first, rsa = numbered(pki, 0), numbered(pki, 0, "rsa-2048")
    served = keyed("web", "web-rsa")
    served.install({"web": first.chain_pem})
    before = served.keys
    broken = first.chain_pem + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    for chain in (b"", b"no PEM", broken):
        (problem,) = served.install({"web": chain}).problems
        assert problem.startswith("web: site 'default': ")
        assert served.keys == before
        served_by(served, first)
    # Another key of the site is not held up.
    assert served.install({"web-rsa": rsa.chain_pem, "web": b"no PEM"}).problems
    assert served.skis.keys() == {"web", "web-rsa"}
    served_by(served, first)


def test_two_keys_of_one_type_are_refused(pki: PKI) -> None:
    first, second = numbered(pki, 0), numbered(pki, 0, "p-384")
    served = keyed("web", "web-384")
    installed = served.install({"web": first.chain_pem, "web-384": second.chain_pem})
    assert "has an ECDSA key as well" in installed.problems[0]
    served_by(served, first)


def test_the_same_again_changes_nothing(pki: PKI) -> None:
    issued = numbered(pki, 0)
    served = keyed("web")
    served.install({"web": issued.chain_pem})
    before = served.keys
    assert served.install({"web": issued.chain_pem}) == (True, ())
    assert served.keys is before


def test_a_site_whose_only_certificate_is_removed_is_served_no_more(pki: PKI) -> None:
    served = keyed("web")
    served.install({"web": numbered(pki, 0).chain_pem})
    assert served.install({}) == (False, ())
    assert not served.keys


def test_a_canary_is_found_by_its_name_alone(pki: PKI) -> None:
    old, new = numbered(pki, 0), numbered(pki, 1)
    served = keyed("web")
    served.install({"web": old.chain_pem})
    chosen = Sites([served])
    canary = served.with_chain("web", new.chain_pem)
    chosen.set_canaries({"secret.canary.offload.invalid": canary})
    assert chosen.choose("secret.canary.offload.invalid") is canary
    assert chosen.choose("other.canary.offload.invalid") is served
    served_by(canary, new)
    served_by(served, old)
    chosen.set_canaries({})
    assert chosen.choose("secret.canary.offload.invalid") is served


def test_a_canary_takes_no_name_of_a_site(ecdsa: Issued) -> None:
    chosen = sites(ecdsa, {"names": ("www.example.org",)})
    chosen.set_canaries({"www.example.org": site(ecdsa)})
    chosen.set_canaries({})
    assert chosen.choose("www.example.org") is chosen.all[0]


def test_a_session_outlives_the_site_that_it_began_with(pki: PKI) -> None:
    issued = numbered(pki, 0)
    session = Session(keyed("web", alpn=("h2",)).with_chain("web", issued.chain_pem))
    gc.collect()
    client = Client(alpn=[b"h2"])
    shake(session, client, issued.key)
    assert session.facts().alpn == "h2"


def test_a_successor_takes_over_the_context_with_its_own_certificates(
    ecdsa: Issued, rsa: Issued
) -> None:
    old, new = site(ecdsa), site(ecdsa, rsa)
    before = old.context
    new.succeed(old)
    assert new.context is not before
    new.take_over()
    assert new.context is before
    assert len(new.keys) == 2


def test_a_successor_s_successor_goes_on_in_the_first_one_s_context(ecdsa: Issued) -> None:
    first, second, third = site(ecdsa), site(ecdsa), site(ecdsa)
    second.succeed(first)
    third.succeed(second)
    third.take_over()
    assert third.context is first.context


def test_a_successor_with_other_settings_or_fewer_keys_has_a_context_of_its_own(
    ecdsa: Issued, rsa: Issued
) -> None:
    old = site(ecdsa, rsa)
    for new in (site(ecdsa), site(ecdsa, rsa, min_version="1.3")):
        own = new.context
        new.succeed(old)
        new.take_over()
        assert new.context is own


def test_sites_succeed_those_of_their_name(ecdsa: Issued) -> None:
    old, new = Sites([site(ecdsa)]), Sites([site(ecdsa)])
    new.succeed(old)
    new.take_over()
    assert new.all[0].context is old.all[0].context


def test_a_default_site_may_take_only_who_names_none(ecdsa: Issued) -> None:
    sites = Sites([site(ecdsa, default=True, match_server_name=True)])
    assert sites.choose(None) is sites.all[0]
    assert sites.choose("strange.test") is None
