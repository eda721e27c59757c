"""The page that a browser talks through: its files, and what it may do.

It loads nothing from elsewhere and reaches no other server. Its token is in the fragment of the
link, which browsers send to nobody.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_FILES = Path(str(resources.files("covo_cli"))) / "serve" / "page"

_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
}

HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in _POLICY.items()),
    "Permissions-Policy": "microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
"""Sent with every file of the page."""


class _PageFiles(StaticFiles):
    """The page's files, with :data:`HEADERS`."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response


async def _page(request: Request) -> FileResponse:
    return FileResponse(_FILES / "index.html", headers=HEADERS)


def page_routes() -> tuple[BaseRoute, ...]:
    """Return the routes of the page, which need no token."""
    return (Route("/", _page), Mount("/page", _PageFiles(directory=_FILES)))


def page_link(address: str, token: str = "") -> str:
    """Return the link to the page at ``address``; it carries ``token``, where one is given."""
    return f"{address}/#token={quote(token, safe='')}" if token else f"{address}/"
