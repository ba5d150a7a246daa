"""How an answer is written: JSON, the versions of what it shows, and places in a list.

Owns the forms. Refuses to know what is in them.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, NoReturn
from urllib.parse import quote, urlencode

import msgspec
from starlette.responses import Response

from proofgap.errors import BadInputError
from proofgap_app.web.calls import JSON, PLACE_LENGTH_MAX, Call

LIMIT = 50
"""How many rows a page of a list has, unless asked otherwise."""

Limit = Annotated[int, msgspec.Meta(ge=1, le=200)]
"""How many rows a page of a list may have."""

Cursor = Annotated[str, msgspec.Meta(min_length=1, max_length=PLACE_LENGTH_MAX, pattern="^[A-Za-z0-9_-]+$")]
"""A place in a list, as the page before gave it."""

_ENCODER = msgspec.json.Encoder()
_OF_VIEWER = {"cache-control": "private, no-cache", "vary": "Authorization, Cookie"}


def encoded(value: object) -> bytes:
    """Write a value as JSON."""
    return _ENCODER.encode(value)


def reply(value: object, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON that is for whoever asked, and for nobody else."""
    return Response(encoded(value), status, {**_OF_VIEWER, **(headers or {})}, media_type=JSON)


def versioned(call: Call, value: object, etag: str) -> Response:
    """Answer with JSON that has a version; with nothing where the caller has this version already."""
    headers = {**_OF_VIEWER, "etag": etag}
    if is_known(call.header("if-none-match"), etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return reply(value, headers=headers)


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Tell whether a caller has a version already (RFC 9110, section 13.1.2: compared weakly)."""
    if if_none_match is None:
        return False
    named = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in named or etag.removeprefix("W/") in named


def paged(call: Call, rows: Sequence[object], following: str | None, asked: Mapping[str, str]) -> Response:
    """Answer with one page of a list, and the way to the next one."""
    headers = {}
    if following is not None and rows:
        query = urlencode({**asked, "after": following})
        headers["link"] = f'<{place_of_request(call)}?{query}>; rel="next"'
    return reply({"items": rows, "next": following}, headers=headers)


def place_of_request(call: Call) -> str:
    """Give the path of a request as a header may name it: percent-encoded, as it was sent."""
    sent: bytes = call.request.scope["raw_path"]
    return quote(sent.decode("latin-1"), safe="/%:@!$&'()*+,;=~")


def path_of(pattern: str, **parts: str) -> str:
    """Give a path as a header may name it: each part percent-encoded, for an id may be any text."""
    return pattern.format(**{name: quote(part, safe="") for name, part in parts.items()})


def cursor(place: str) -> str:
    """Write a place in a list so that nobody reads more into it than that."""
    return urlsafe_b64encode(place.encode()).decode().rstrip("=")


def place_of(after: str) -> str:
    """Read a place in a list.

    Raises:
        BadInputError: it is none.

    """
    try:
        return urlsafe_b64decode(after + "=" * (-len(after) % 4)).decode()
    except ValueError:
        no_place()


def no_place() -> NoReturn:
    """Refuse what is no place in a list.

    Raises:
        BadInputError: always.

    """
    raise BadInputError("after", "is no place in a list", "Use the value of next of the page before.") from None
