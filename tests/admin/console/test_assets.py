"""The console's files: what they are, the headers they bring, and what they may not hold."""

import re
from collections.abc import AsyncIterator
from importlib import resources

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from offload.admin.console.assets import ASSETS, add_to
from offload.admin.observation import observed

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}
PATHS = [path for asset in ASSETS for path in asset.paths]


def content(name: str) -> str:
    return resources.files("offload.admin.console").joinpath(name).read_text()


@pytest.fixture
async def client() -> AsyncIterator[TestClient[web.Request, web.Application]]:
    app = web.Application(middlewares=[observed])
    add_to(app)
    async with TestClient(TestServer(app)) as made:
        yield made


@pytest.mark.parametrize("path", PATHS)
async def test_headers_let_a_page_do_nothing_but_load(
    client: TestClient[web.Request, web.Application], path: str
) -> None:
    answer = await client.get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert answer.status == 200
    assert dict(one.split(" ", 1) for one in policy.split("; ")) == POLICY
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html"),
        ("/console/", "text/html"),
        ("/console/console.css", "text/css"),
        ("/console/console.js", "text/javascript"),
        ("/console/icon.svg", "image/svg+xml"),
    ],
)
async def test_each_file_has_its_type(
    client: TestClient[web.Request, web.Application], path: str, media_type: str
) -> None:
    answer = await client.get(path)
    assert answer.content_type == media_type
    assert answer.charset == "utf-8"
    assert await answer.text()


async def test_nothing_else_of_the_package_is_served(
    client: TestClient[web.Request, web.Application],
) -> None:
    for path in ("/console/assets.py", "/console/__init__.py", "/console/%2e%2e/api.py"):
        assert (await client.get(path)).status == 404


def test_every_file_that_the_page_names_is_served() -> None:
    named = re.findall(r'(?:src|href)="(/[^"]*)"', content("index.html"))
    assert set(named) <= set(PATHS)
    assert set(PATHS) - {"/", "/console/"} == set(named)


def test_the_page_has_nothing_inline() -> None:
    page = content("index.html")
    assert not re.search(r"<script(?![^>]*\ssrc=)", page)
    assert not re.search(r"<style|\sstyle=|\son\w+=", page)


@pytest.mark.parametrize("name", [asset.file for asset in ASSETS])
def test_no_file_names_another_host(name: str) -> None:
    named = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]+[^\s\"']*", content(name)))
    assert named <= {"http://www.w3.org/2000/svg"}


def test_the_script_puts_in_text_alone_and_keeps_nothing() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|Function\("
        r"|localStorage|sessionStorage|indexedDB|document\.cookie"
    )
    assert not forbidden.search(content("console.js"))
