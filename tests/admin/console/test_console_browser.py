"""The console in Chromium, on a real cluster: what is seen, what a click does, what is refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.chromium import Page, browsing
from support.console import HOSTILE, ConsoleCluster, console_cluster
from support.pki import PKI

from offload.admin.authentication import LocalAuthenticator
from offload.cluster import acts
from offload.cluster.failures import ApprovalNeeded
from offload.keys.state import State

pytestmark = pytest.mark.needs("chromium")
SHOWN = HOSTILE.replace("\u202e", "\\u202e")


@asynccontextmanager
async def looking(directory: Path, pki: PKI) -> AsyncIterator[tuple[ConsoleCluster, Page]]:
    """A full cluster and a browser, which must have found nothing to complain about at the end."""
    async with console_cluster(directory, pki) as cluster:
        await cluster.fill()
        async with browsing(directory / "browser") as page:
            yield cluster, page
            assert page.complaints == []
            assert {
                url.split("/", 3)[2] for url in page.requests if not url.startswith("data:")
            } == {cluster.url.removeprefix("https://")}


async def sign_in(cluster: ConsoleCluster, page: Page, user: str) -> None:
    await page.shows("Sign in")
    await page.type("#token", await cluster.token(user))
    await page.press("Enter")
    await page.shows(user, "Sign out")


async def row(page: Page, name: str) -> str:
    """The text of the row that the name heads."""
    heads = f"one.cells[0].innerText.startsWith({json.dumps(name)})"
    find = f"[...document.querySelectorAll('tbody tr')].find((one) => {heads})"
    await page.until(f"Boolean({find})")
    text = await page.run(f"{find}.innerText")
    assert isinstance(text, str)
    return " ".join(text.split())


async def test_keys_are_shown_and_acted_on_and_nothing_is_run(tmp_path: Path, pki: PKI) -> None:
    async with looking(tmp_path, pki) as (cluster, page):
        await cluster.serve()
        await page.open(cluster.url + "/")
        await refused_token(page)
        await sign_in(cluster, page, "kim")
        await keys(page)
        await acted(cluster, page)
        await filtered(page)
        await rotation(page)
        await hostile_zone(page)
        await kept_nowhere(page)


async def refused_token(page: Page) -> None:
    await page.shows("offload user token")
    await page.type("#token", "offload_wrong")
    await page.press("Enter")
    await page.shows("the token is over, or it never was one")


async def keys(page: Page) -> None:
    await page.shows("example", "8 keys in the cluster")
    assert "active p-256" in await row(page, "www@1")
    assert "worker-1" in await row(page, "www@1")
    assert "suspended ed25519 3 of 3" in await row(page, "api@1")
    assert "deactivated" in await row(page, "old@1")
    assert "pre-active" in await row(page, "next@1")
    assert "1 of 1, not replicated" in await row(page, "mail@1")
    short = await row(page, "www@2")
    assert "2 of 3" in short
    assert "worker-3 missing" in short
    await page.shows("1 short of workers")


async def acted(cluster: ConsoleCluster, page: Page) -> None:
    await page.click("api@1")
    await page.click("Resume")
    await page.shows("Resume api@1?")
    await page.press("Escape")
    await page.until("!document.querySelector('dialog').open")
    assert cluster.key("api").state is State.SUSPENDED
    await page.click("Resume")
    await page.click("Resume api@1")
    await page.shows("api@1 is active.")
    assert cluster.key("api").state is State.ACTIVE
    await page.click("Deactivate")
    await page.shows("To go on, type api@1", "This cannot be undone")
    assert await page.run("document.querySelector('#confirm-yes').disabled")
    await page.type("#confirm-name", "api@1")
    await page.click("Deactivate api@1")
    await page.shows("api@1 is deactivated.")
    assert cluster.key("api").state is State.DEACTIVATED
    await page.click("← All keys")


async def filtered(page: Page) -> None:
    await page.until("Boolean(document.querySelector('input[name=label]'))")
    await page.type("input[name=label]", "ma*")
    await page.press("Enter")
    await page.until("document.querySelectorAll('tbody tr').length === 1")
    assert "mail@1" in await page.text("tbody")
    await page.click("Clear")
    await page.until("document.querySelectorAll('tbody tr').length === 8")


async def rotation(page: Page) -> None:
    await page.click("www@2")
    await page.shows("Rotation from www@1 to www@2", "Waiting:", "Fewer workers have it than")
    assert await page.text("[aria-current=step]") == "replicating"


async def hostile_zone(page: Page) -> None:
    await page.click("Members 1")
    await page.shows("Zone a", "Zone zone-b", f"Zone {SHOWN}", "worker-5 asks to join")
    assert await page.run("document.querySelectorAll('main img').length") == 0


async def kept_nowhere(page: Page) -> None:
    assert await page.run("localStorage.length + sessionStorage.length") == 0
    assert (await page.send("Network.getCookies"))["cookies"] == []
    assert await page.run("location.href.includes('offload_')") is False
    await page.reload()
    await page.shows("Sign in")
    assert "worker-5" not in await page.text()


async def test_officers_see_what_waits_and_nothing_they_may_not(tmp_path: Path, pki: PKI) -> None:
    async with looking(tmp_path, pki) as (cluster, page):
        await cluster.serve()
        approval = await waiting(cluster)
        await page.open(cluster.url + "/console/#/approvals")
        await sign_in(cluster, page, "olga")
        await page.shows("key.compromise", "0 of 2 officers", "is that of this text")
        await page.shows(f"offload approval sign {approval}")
        assert "<img src=x onerror=alert(1)>" in await page.text("main pre")
        await cluster.sign("olga", approval)
        await page.shows("1 of 2 officers", "You have signed; others have to.")
        await enrolments(cluster, page)
        await suspended_with_approval(cluster, page)
        await not_for_officers(page)
        await over(cluster, page)


async def waiting(cluster: ConsoleCluster) -> str:
    with pytest.raises(ApprovalNeeded) as asked:
        await cluster.do("kim", acts.CompromiseKey(key="shop", reason=HOSTILE))
    return asked.value.approval


async def enrolments(cluster: ConsoleCluster, page: Page) -> None:
    pending = cluster.members[0].services.enrolment.pending()["worker-5"].fingerprint
    grouped = " ".join(pending[start : start + 4] for start in range(0, 64, 4))
    await page.click("Members 1")
    await page.shows(f"offload cluster approve worker-5 '{grouped}'")


async def suspended_with_approval(cluster: ConsoleCluster, page: Page) -> None:
    await page.click("Keys")
    await page.click("shop@1")
    await page.click("Suspend (needs 1 officer)")
    await page.click("Suspend shop@1")
    await page.shows("Suspend shop@1 waits for officers", "needs one officer")
    listed = (await cluster.do("olga", acts.ListApprovals())).approvals
    mine = next(one for one in listed if one.name == "key.suspend")
    assert cluster.key("shop").state is State.ACTIVE
    await cluster.sign("otto", mine.id)
    await page.click("Approvals 2")
    await page.click("Suspend shop@1 now")
    await page.click("Suspend shop@1")
    await page.shows("shop@1 is suspended.")
    assert cluster.key("shop").state is State.SUSPENDED


async def not_for_officers(page: Page) -> None:
    await page.click("Audit")
    await page.shows("The role officer does not cover audit.show")
    assert not [url for url in page.requests if "/v1/audit" in url]


async def over(cluster: ConsoleCluster, page: Page) -> None:
    await page.click("Keys")
    await page.shows("worker-1")
    cluster.base.clock.forward(901)
    await page.shows("Signed out: the token is over")
    assert "worker-1" not in await page.text()


async def test_with_a_certificate_nobody_signs_in(tmp_path: Path, pki: PKI) -> None:
    async with looking(tmp_path, pki) as (cluster, page):
        # As on the network with a certificate, which this browser does not have.
        await cluster.serve(LocalAuthenticator(cluster.actor("ada")))
        await page.resize(360, 740)
        await page.open(cluster.url + "/#/audit")
        await page.shows("ada, auditor", "key.create", "key.rotate", "countersigned")
        assert "Sign out" not in await page.text("header")
        assert "verified" in await row(page, "worker-1")
        await fits_and_reads_well(page)
        await pauses_while_hidden(page)


async def fits_and_reads_well(page: Page) -> None:
    for view in ("Keys", "Members 1", "Approvals", "Audit"):
        await page.click(view)
        await page.until(f"document.querySelector('h1').innerText === {view.split()[0]!r}")
        await page.until("document.querySelector('main .card')")
        assert await page.run("document.documentElement.scrollWidth") <= 360
        for scheme in ("light", "dark"):
            await page.colours(scheme)
            assert await page.run(FAINT) == []


async def pauses_while_hidden(page: Page) -> None:
    hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true})"
    await page.run(hide % "true")
    asked = len(page.requests)
    await page.click("Keys")
    await page.until("document.querySelector('h1').innerText === 'Keys'")
    assert page.requests[asked:] == []
    await page.run(hide % "false")
    await page.run("void document.dispatchEvent(new Event('visibilitychange'))")
    await page.shows("www@1")


# Texts whose contrast is below 4.5 (WCAG 2.2, 1.4.3), but for what is disabled.
FAINT = """(() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const painted = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const linear = (value) => value <= 10.3 ? value / 3294.6 : ((value / 255 + .055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  const faint = (one) => {
    const grounds = [];
    for (let at = one; at; at = at.parentElement)
      grounds.unshift(getComputedStyle(at).backgroundColor);
    const [a, b] = [luminance(painted(grounds)),
      luminance(painted([...grounds, getComputedStyle(one).color]))];
    return (Math.max(a, b) + .05) / (Math.min(a, b) + .05) < 4.5;
  };
  return [...document.querySelectorAll("body *")].filter((one) => one.checkVisibility()
    && !one.disabled && [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim())
    && faint(one)).map((one) => one.outerHTML);
})()"""
