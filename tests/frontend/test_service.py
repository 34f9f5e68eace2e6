"""A site's counters in one process, and the choice of a service by name."""

from random import Random

import pytest
from support.pki import Issued
from support.serving import Growth, settings

from offload.config import Limits as LimitSettings
from offload.frontend.limits import Limits
from offload.frontend.service import Service, Services, count_failed_handshake
from offload.observe import metrics
from offload.tls.session import Facts
from offload.tls.site import Sites

FACTS = Facts("TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519", False, "h2")


@pytest.fixture
def services(issued: Issued) -> Services:
    sites = {"names": ("service.test",)}, {"names": ("*.other.test",)}, {"default": True}
    limits = Limits(LimitSettings(), 1)
    return Services(Sites.from_settings(settings(issued, *sites).sites), Random(1), limits)


def chosen(services: Services, name: str | None) -> Service:
    service = services.choose(name)
    assert service is not None
    return service


def handshakes(facts: Facts, group: str, resumed: str) -> Growth:
    agreed = facts.version, group, facts.cipher, resumed
    return Growth(metrics.HANDSHAKES, "service.test", *agreed, "complete")


def test_services_are_found_as_their_sites_are(services: Services) -> None:
    names = ["service.test", "a.other.test", "unknown.test", None]
    found = [chosen(services, name).site.name for name in names]
    assert found == ["service.test", "*.other.test", "default", "default"]
    assert chosen(services, "unknown.test") is chosen(services, None)


def test_without_a_default_a_name_may_have_no_service(issued: Issued) -> None:
    sites = Sites.from_settings(settings(issued, {"names": ("service.test",)}).sites)
    assert Services(sites, Random(1), Limits(LimitSettings(), 1)).choose("unknown.test") is None


def test_all_services_are_listed(services: Services) -> None:
    assert [each.site.name for each in services] == ["service.test", "*.other.test", "default"]
    assert all(len(each.backends) == 1 for each in services)


def test_completed_handshakes_are_counted_by_what_they_agreed_on(services: Services) -> None:
    service = chosen(services, "service.test")
    full, resumed = handshakes(FACTS, "X25519", "no"), handshakes(FACTS, "X25519", "yes")
    none = handshakes(FACTS, "none", "no")
    service.count_handshake(FACTS, 0.003)
    service.count_handshake(FACTS, 0.004)
    service.count_handshake(FACTS._replace(resumed=True), 0.001)
    service.count_handshake(FACTS._replace(group=""), 0.001)
    assert (full.value, resumed.value, none.value) == (2, 1, 1)


def test_time_of_a_handshake_is_observed(services: Services) -> None:
    def observed() -> tuple[float, float]:
        metrics.flush()
        labels = {"site": "service.test", "resumed": "no"}
        name = "offload_handshake_seconds"
        values = (
            metrics.REGISTRY.get_sample_value(f"{name}_{part}", labels) for part in ("count", "sum")
        )
        count, total = values
        return count or 0, total or 0

    count, total = observed()
    chosen(services, "service.test").count_handshake(FACTS, 0.25)
    assert observed() == (count + 1, total + 0.25)


def test_failed_handshakes_are_counted_with_and_without_a_site(services: Services) -> None:
    none = "none", "none", "none", "none"
    known = Growth(metrics.HANDSHAKES, "service.test", *none, "tls_error")
    unknown = Growth(metrics.HANDSHAKES, "none", *none, "not_tls")
    count_failed_handshake(chosen(services, "service.test"), "tls_error")
    count_failed_handshake(None, "not_tls")
    assert (known.value, unknown.value) == (1, 1)


def test_bytes_are_counted_for_each_site_and_direction(services: Services) -> None:
    service = chosen(services, "service.test")
    request, response = (
        Growth(metrics.BYTES, "service.test", each) for each in ("request", "response")
    )
    service.request_bytes.pending += 3
    service.response_bytes.pending += 5
    assert (request.value, response.value) == (3, 5)


def test_canaries_have_services_of_their_own_until_there_are_others(
    services: Services, issued: Issued
) -> None:
    (canary,) = Sites.from_settings(settings(issued, {"names": ("service.test",)}).sites).all
    services.set_canaries({"secret.canary.offload.invalid": canary})
    assert chosen(services, "secret.canary.offload.invalid").site is canary
    assert chosen(services, "service.test").site is not canary
    services.set_canaries({})
    assert chosen(services, "secret.canary.offload.invalid").site.name == "default"
    assert canary not in [service.site for service in services]
