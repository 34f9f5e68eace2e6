"""Mutual TLS: a certificate of the cluster's CA, or none."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from support.pki import PKI
from support.rest import Rest, served


@pytest.fixture
async def rest(pki: PKI) -> AsyncIterator[Rest]:
    async with served(pki) as made:
        yield made


async def test_a_client_is_known_by_its_certificate(rest: Rest) -> None:
    answer = await rest.ask("kim", "GET", "/v1/session")
    assert (answer.json()["name"], answer.json()["via"]) == ("kim", "certificate")


async def test_a_client_without_one_is_let_in_as_nobody(rest: Rest) -> None:
    answer = await rest.ask("", "GET", "/v1/session")
    assert answer.status == 401


async def test_a_certificate_of_another_authority_ends_the_connection(
    rest: Rest, tmp_path: Path
) -> None:
    rest.identities["mallory"] = PKI(tmp_path, "other root").identity("kim")
    with pytest.raises(aiohttp.ClientError):
        await rest.ask("mallory", "GET", "/v1/session")


async def test_an_expired_certificate_ends_the_connection(rest: Rest) -> None:
    rest.identities["late"] = rest.pki.identity("kim", days=-1)
    with pytest.raises(aiohttp.ClientError):
        await rest.ask("late", "GET", "/v1/session")


async def test_older_versions_of_tls_are_refused(rest: Rest) -> None:
    context = rest.client_context("kim")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector) as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"{rest.url}/v1/session")
