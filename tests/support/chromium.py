"""A real browser without a window, driven by the DevTools protocol; it reaches 127.0.0.1 alone."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

SECONDS = 20.0
_SHOWN_SECONDS = 15.0

_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # which root cannot have
    "--no-zygote",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-breakpad",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--password-store=basic",
    "--ignore-certificate-errors",  # of the test's own authority
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
)
_LISTENING = re.compile(rb"DevTools listening on (ws://127\.0\.0\.1:\S+)")
# Of the network: a page is answered 401 before somebody has signed in.
_EXPECTED_SOURCES = ("network",)


class PageError(AssertionError):
    """A script failed in the page."""


class Page:
    """A tab. complaints: what the browser reported, breaches of the page's policy among it;
    requests: every address asked for.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self.session = ""
        self.complaints: list[str] = []
        self.requests: list[str] = []

    async def read(self) -> None:
        """Take in what the browser says, until it says no more."""
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            else:
                self._note(said["method"], said.get("params", {}))

    def _note(self, method: str, parameters: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(parameters["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning"):
            self.complaints.append(json.dumps(parameters["args"]))
        elif method == "Log.entryAdded":
            entry = parameters["entry"]
            if entry["source"] not in _EXPECTED_SOURCES:
                self.complaints.append(f"{entry['source']}: {entry['text']}")
        elif method == "Audits.issueAdded":
            self.complaints.append(json.dumps(parameters["issue"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command, and its result."""
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        await self._socket.send_str(json.dumps(message))
        async with asyncio.timeout(SECONDS):
            said = await answer
        if "error" in said:
            raise PageError(f"{method}: {said['error']}")
        result: dict[str, Any] = said["result"]
        return result

    async def run(self, script: str) -> Any:
        """The value of an expression, or of the promise that it is; raises PageError."""
        result = await self.send(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in result:
            raise PageError(json.dumps(result["exceptionDetails"]))
        return result["result"].get("value")

    async def open(self, url: str) -> None:
        """Go there, and wait until it has loaded."""
        await self._load("Page.navigate", url=url)

    async def reload(self) -> None:
        """As with the browser's button."""
        await self._load("Page.reload")

    async def _load(self, command: str, **parameters: Any) -> None:
        self._loaded.clear()
        await self.send(command, **parameters)
        async with asyncio.timeout(SECONDS):
            await self._loaded.wait()

    async def until(self, condition: str) -> None:
        """Return once the expression is true, which is looked at with each frame drawn."""
        never = json.dumps("never: " + condition)
        await self.run(
            "new Promise((resolve, reject) => {"
            f"  const end = performance.now() + {1000 * _SHOWN_SECONDS};"
            f"  const look = () => {{ if ({condition}) resolve(true);"
            "    else if (performance.now() > end)"
            f"      reject(new Error({never} + document.body.innerText));"
            "    else setTimeout(look, 20); }; look(); })"
        )

    async def shows(self, *texts: str) -> None:
        """Wait until all these stand in what can be read."""
        for text in texts:
            await self.until(f"document.body.innerText.includes({json.dumps(text)})")

    async def text(self, selector: str = "body") -> str:
        """What can be read there."""
        found = await self.run(f"document.querySelector({json.dumps(selector)}).innerText")
        assert isinstance(found, str)
        return found

    async def click(self, text: str) -> None:
        """Click the link, button or summary with that text."""
        wanted = json.dumps(text)
        look = (
            "[...document.querySelectorAll('a, button, summary')].find((one) =>"
            f" one.checkVisibility() && !one.disabled && one.innerText.trim() === {wanted})"
        )
        await self.until(f"Boolean({look})")
        await self.run(f"{look}.click()")

    async def type(self, selector: str, text: str) -> None:
        """Type into a field."""
        await self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        await self.send("Input.insertText", text=text)

    async def press(self, key: str) -> None:
        """Press a key such as Enter, Escape or Tab."""
        code = {"Enter": 13, "Escape": 27, "Tab": 9}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        down = {"key": key, "code": key, "windowsVirtualKeyCode": code, **text}
        await self.send("Input.dispatchKeyEvent", type="keyDown", **down)
        await self.send(
            "Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code
        )

    async def resize(self, width: int, height: int) -> None:
        """Look through a window of that size, in CSS pixels."""
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    async def colours(self, scheme: str) -> None:
        """Prefer light or dark."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        await self.send("Emulation.setEmulatedMedia", features=[feature])

    async def picture(self) -> bytes:
        """What is seen, as PNG."""
        return base64.b64decode((await self.send("Page.captureScreenshot", format="png"))["data"])


@asynccontextmanager
async def browsing(directory: Path) -> AsyncIterator[Page]:
    """A browser with one empty page; `directory` is for its files. All its processes end."""
    process = await asyncio.create_subprocess_exec(
        "chromium",
        *_ARGUMENTS,
        f"--user-data-dir={directory / 'profile'}",
        "about:blank",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "HOME": str(directory)},
        start_new_session=True,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(SECONDS):
            address = await _address(process.stderr)
        draining = asyncio.create_task(process.stderr.read())
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(address, max_msg_size=0) as socket,
        ):
            page = Page(socket)
            reading = asyncio.create_task(page.read())
            try:
                await _attach(page)
                yield page
            finally:
                page.session = ""
                await page.send("Browser.close")
                await reading
        await draining
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _address(stderr: asyncio.StreamReader) -> str:
    async for line in stderr:
        if found := _LISTENING.search(line):
            return found[1].decode()
    raise PageError("the browser did not start")


async def _attach(page: Page) -> None:
    targets = (await page.send("Target.getTargets"))["targetInfos"]
    target = next(one["targetId"] for one in targets if one["type"] == "page")
    attached = await page.send("Target.attachToTarget", targetId=target, flatten=True)
    page.session = attached["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
        await page.send(f"{domain}.enable")
