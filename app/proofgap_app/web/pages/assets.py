"""The files that the pages are drawn with: style, script, fonts and icon, all of this package.

Their addresses change with their content (`rendering.asset`), so a browser may keep each for ever. Fonts are named by
the style sheet alone, and change with a release at most.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from types import MappingProxyType

from starlette.responses import Response

from proofgap.errors import NotFoundError
from proofgap_app.web.calls import Call
from proofgap_app.web.pages.rendering import PACKAGE, STATIC
from proofgap_app.web.problems import Code
from proofgap_app.web.table import Route, Scope

FILES = MappingProxyType(
    {
        "console.css": "text/css; charset=utf-8",
        "live.js": "text/javascript; charset=utf-8",
        "icon.svg": "image/svg+xml",
        "ibm-plex-sans-latin-400-normal.woff2": "font/woff2",
        "ibm-plex-sans-latin-600-normal.woff2": "font/woff2",
        "ibm-plex-mono-latin-400-normal.woff2": "font/woff2",
        "OFL.txt": "text/plain; charset=utf-8",
    }
)
"""Every file that is served, with its media type: nothing else of the package is ever given out."""

_FOR_EVER = {"cache-control": "public, max-age=31536000, immutable"}


def file(call: Call) -> Response:
    """Give a file that the pages are drawn with.

    Raises:
        NotFoundError: there is none of this name.

    """
    name = call.request.path_params["file"]
    if name not in FILES:
        raise NotFoundError("file", name)
    return Response(_content(name), headers=_FOR_EVER, media_type=FILES[name])


@cache
def _content(name: str) -> bytes:
    return files(PACKAGE).joinpath("static", name).read_bytes()


ROUTES = (
    Route(
        method="GET", path=f"{STATIC}{{file}}", handler=file, scope=Scope.PUBLIC, summary="A file of the pages",
        media=tuple(dict.fromkeys(FILES.values())), problems=(Code.NOT_FOUND,), is_page=True,
    ),
)  # fmt: skip
