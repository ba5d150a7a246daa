"""The OpenAPI document: read off the table of routes and the record types that handlers take and give.

Nothing in it is written twice, so it cannot say anything else than what is served. Owns the form (OpenAPI 3.1). Refuses
to know any route.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from proofgap.text import ID_LENGTH_MAX, TEXT_LENGTH_MAX
from proofgap_app.web import calls
from proofgap_app.web.problems import MEANINGS, MEDIA_TYPE, Code, Problem
from proofgap_app.web.table import Route, Scope

_UNFIT = (
    r"\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufdd0-\ufdef\ufeff"
    r"\ufff9-\ufffb\ufffe\uffff"
)
_TEXT = {"type": "string", "pattern": f"^[^{_UNFIT}]*$", "maxLength": TEXT_LENGTH_MAX}
_ID = {
    "type": "string",
    "pattern": rf"^[^{_UNFIT}\s]([^{_UNFIT}]*[^{_UNFIT}\s])?$",
    "minLength": 1,
    "maxLength": ID_LENGTH_MAX,
}
_ANY_TEXT = {"type": "string"}  # what is not understood there is as good as not sent
_OF_HEADERS = {
    "If-Match": {"type": "string", "pattern": '^"[0-9]{1,15}(-[0-9a-f]{16})?"$'},
    "If-None-Match": _ANY_TEXT,
    "Last-Event-ID": _ANY_TEXT,
    "Prefer": _ANY_TEXT,
}
_PART = re.compile(r"{(\w+)}")
_REFERENCE = "#/components/schemas/{name}"
_ALWAYS = (Code.MALFORMED_REQUEST, Code.TOO_LARGE, Code.WRONG_HOST, Code.UNAVAILABLE)
_HEADERS = {
    "Idempotency-Key": "The same key with the same request gives the first answer again, for as long as the ledger is kept.",
    "If-Match": 'The version of the run that the caller saw, such as "3"; or its whole ETag.',
    "If-None-Match": "The version that the caller has already.",
    "Fencing-Token": "The token of the claim that the run is executed under.",
    "Prefer": "How many seconds to wait for a run at most, such as wait=20.",
    "Last-Event-ID": "The last event that the caller was told of.",
}


_BROUGHT = {
    "Content-Disposition": "What to call the file.",
    "ETag": "The version of what is shown.",
    "Idempotent-Replayed": "true, where the key had its answer already.",
    "Link": "The next page, where there may be one (RFC 8288).",
    "Location": "Where to read it.",
    "Preference-Applied": "How many seconds were waited for at most.",
    "Proofgap-Event": "The number of the event by which it was given out.",
    "Repr-Digest": "The SHA-256 of the whole (RFC 9530).",
    "Retry-After": "After how many seconds to come again.",
    "WWW-Authenticate": "How to be known.",
}
_BY_STATUS = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}


def document(routes: Sequence[Route], origin: str) -> dict[str, Any]:
    """Write the document of every route that is for programs."""
    shown = [route for route in routes if not route.is_page]
    schemas, components = msgspec.json.schema_components(list(_shapes(shown)), ref_template=_REFERENCE)
    named = dict(zip(map(_key, _shapes(shown)), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in shown:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, named, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "proofgap",
            "version": _version(),
            "description": "Restore runs, from draft to outcome; never more recovery than the evidence proves.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": origin}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {name: _strict(schema) for name, schema in components.items()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "An API token."}},
        },
    }


def _version() -> str:
    try:
        return version("proofgap")
    except PackageNotFoundError:
        return "0"


def _shapes(routes: Iterable[Route]) -> list[Any]:
    found: dict[str, Any] = {_key(Problem): Problem}
    for route in routes:
        for shape in (route.gives, *route.takes.values(), *route.shapes.values()):
            if shape is not None:
                found.setdefault(_key(shape), shape)
    return list(found.values())


def _key(shape: Any) -> str:  # noqa: ANN401 - any type
    return repr(shape)


def _operation(route: Route, named: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": f"{route.handler.__module__.rpartition('.')[2]}_{route.name}",
        "summary": route.summary,
        "description": (route.handler.__doc__ or "").partition("\n")[0],
        "tags": [route.handler.__module__.rpartition(".")[2]],
        "parameters": [*_path(route), *_query(route, named, components), *_headers(route)],
        "responses": _responses(route, named),
    }
    if route.scope is Scope.PUBLIC:
        found["security"] = []
    taken = _taken(route, named)
    if taken:
        found["requestBody"] = {"required": True, "content": taken}
    return found


def _strict(schema: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Say of every text of a schema what all text must be: no shape says it, for it holds everywhere (`proofgap.text`)."""
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _strict(part) for name, part in schema.items()}
    is_free = found.get("type") == "string" and not {"enum", "pattern", "format"} & {*found}
    return {**_TEXT, **found} if is_free else found


def _path(route: Route) -> list[dict[str, Any]]:
    return [{"name": name, "in": "path", "required": True, "schema": _ID} for name in _PART.findall(route.path)]


def _query(route: Route, named: dict[str, Any], components: dict[str, Any]) -> list[dict[str, Any]]:
    shape = route.shapes.get("query")
    if shape is None:
        return []
    properties = components[named[_key(shape)]["$ref"].rpartition("/")[2]]["properties"]
    return [
        {"name": name, "in": "query", "required": False, "schema": _strict(_known(schema))}
        for name, schema in properties.items()
    ]


def _known(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave null out of a parameter's schema: a query has no null, what is not known is left away."""
    ways = [way for way in schema.get("anyOf", ()) if way != {"type": "null"}]
    bare = {name: value for name, value in schema.items() if name not in {"anyOf", "default"} or value is not None}
    bare.pop("anyOf", None)
    return {**bare, **ways[0]} if len(ways) == 1 else schema


def _headers(route: Route) -> list[dict[str, Any]]:
    found = []
    for header in route.headers:
        name = header.rstrip("?")
        must = not header.endswith("?") and name in {"Idempotency-Key", "If-Match"}
        schema = _OF_HEADERS.get(name, _ID)
        found.append({"name": name, "in": "header", "required": must, "schema": schema, "description": _HEADERS[name]})
    return found


def _taken(route: Route, named: dict[str, Any]) -> dict[str, Any]:
    found = {kind: {"schema": _schema(shape, named)} for kind, shape in route.takes.items()}
    if "body" in route.shapes:
        found[calls.JSON] = {"schema": _schema(route.shapes["body"], named)}
    return found


def _schema(shape: Any, named: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - any type
    return {"type": "string"} if shape is None else named[_key(shape)]


def _responses(route: Route, named: dict[str, Any]) -> dict[str, Any]:
    content = {kind: {"schema": _schema(route.gives if kind == calls.JSON else None, named)} for kind in route.media}
    brought = _brought(*route.brings)
    found: dict[str, Any] = {str(int(route.status)): {"description": route.summary, "content": content, **brought}}
    if "Prefer?" in route.headers:
        found["204"] = {"description": "There is none.", **brought}
    if "If-None-Match" in route.headers:
        found["304"] = {"description": "The caller has this version already.", **brought}
    if route.status == 201 and route.method == "PUT":  # noqa: PLR2004 - created; 200 where it was there
        found["200"] = {"description": "It was there already, and is the same.", "content": content, **brought}
    for status, codes in sorted(_problems(route).items()):
        found[str(status)] = {
            "description": " Or: ".join(f"{code}: {MEANINGS[code].title}." for code in codes),
            "content": {MEDIA_TYPE: {"schema": named[_key(Problem)]}},
            **(_brought(_BY_STATUS[status]) if status in _BY_STATUS else {}),
        }
    return found


def _brought(*names: str) -> dict[str, Any]:
    """Say which headers an answer bears, beside those of every answer; with ``?``: where they apply."""
    found = {
        name.rstrip("?"): {
            "description": _BROUGHT[name.rstrip("?")],
            "required": not name.endswith("?"),
            "schema": _ANY_TEXT,
        }
        for name in names
    }
    return {"headers": found} if found else {}


def _problems(route: Route) -> dict[int, list[Code]]:
    codes = [*_ALWAYS, *map(Code, route.problems)]
    if route.scope is not Scope.PUBLIC:
        codes.append(Code.UNAUTHENTICATED)
    if route.shapes or route.takes or _PART.search(route.path) or route.headers:
        codes.append(Code.INVALID_REQUEST)
    if "body" in route.shapes or "form" in route.shapes or route.takes:
        codes.append(Code.UNSUPPORTED_MEDIA_TYPE)
    if route.method not in {"GET", "HEAD"}:
        codes.append(Code.CROSS_SITE)
    found: dict[int, list[Code]] = {}
    for code in dict.fromkeys(codes):
        found.setdefault(MEANINGS[code].status, []).append(code)
    return found
