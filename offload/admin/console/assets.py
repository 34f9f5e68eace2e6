"""The console's files, served with headers that let a page load and do nothing else."""

from __future__ import annotations

from importlib import resources
from typing import Final, NamedTuple

from aiohttp import web

from offload.admin.observation import Handler

_PACKAGE: Final = "offload.admin.console"

# Labels, zones and reasons are somebody's text: should one ever be put in as HTML, the browser
# refuses it (trusted types), and runs no script but ours.
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""Content-Security-Policy (CSP level 3)."""

_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # Another version of the member has other files, and they belong together.
    "Cache-Control": "no-store",
}


class Asset(NamedTuple):
    """A file of this package. paths: where it is served."""

    file: str
    media_type: str
    paths: tuple[str, ...]

    def response(self) -> web.Response:
        """The answer to a request for it."""
        content = resources.files(_PACKAGE).joinpath(self.file).read_bytes()
        return web.Response(
            body=content, content_type=self.media_type, charset="utf-8", headers=_HEADERS
        )


ASSETS: Final = (
    Asset("index.html", "text/html", ("/", "/console/")),
    Asset("console.css", "text/css", ("/console/console.css",)),
    Asset("console.js", "text/javascript", ("/console/console.js",)),
    Asset("icon.svg", "image/svg+xml", ("/console/icon.svg",)),
)


def add_to(app: web.Application) -> None:
    """Serve the console; anybody may load it, for it holds nothing."""
    for asset in ASSETS:
        for path in asset.paths:
            app.router.add_get(path, _serving(asset), allow_head=False)


def _serving(asset: Asset) -> Handler:
    async def serve(_request: web.Request) -> web.StreamResponse:
        return asset.response()

    return serve
