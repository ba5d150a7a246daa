"""What a committed event answers, and the two headers that make it safe to send again: key and version.

The ledger keeps the receipt of every key for as long as it keeps the event, so a retry gets the first answer however
late it comes; and it looks for the key before it looks at the version, so a retry of a success is no conflict. Two
requests with one key at once are one event: the database lets one in, and the other finds its receipt.

Owns these headers. Refuses to know what was fired.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import Response

from proofgap.facts import Struct
from proofgap.text import check_id
from proofgap_app.web.calls import Call
from proofgap_app.web.problems import Code, HttpError
from proofgap_app.web.replies import reply
from proofgap_store import Receipt

KEY = "Idempotency-Key"
VERSION = "If-Match"
FENCE = "Fencing-Token"
_REPLAYED = "idempotent-replayed"
_ANY_ETAG = re.compile(r'(W/)?"[^"]*"(\s*,\s*(W/)?"[^"]*")*')
_ETAG = re.compile(r'"([0-9]{1,15})(-[0-9a-f]{16})?"')  # what follows the version is what the caller was shown of it


class Fired(Struct):
    """What a committed event did; ``event`` and ``source`` are null where the run was created by it."""

    run: str
    subject: str
    event: str | None
    source: str | None
    status: str
    version: int
    event_id: int
    leaf: str


def key_of(call: Call, *, must: bool = True) -> str | None:
    """Give the idempotency key that came with a request; in quotes or without.

    Raises:
        HttpError: there must be one, and is none.
        BadInputError: it is none.

    """
    sent = call.header(KEY)
    if sent is None:
        if must:
            raise HttpError(Code.KEY_MISSING, f"{KEY} is missing.")
        return None
    bare = sent[1:-1] if len(sent) > 1 and sent[0] == sent[-1] == '"' else sent
    return check_id(KEY, bare)


def version_of(call: Call) -> int:
    """Give the version that the caller saw.

    Raises:
        HttpError: there is none, it is no ETag, or none of a run: whatever is there now, it is not what was seen.

    """
    sent = call.header(VERSION)
    if sent is None or sent.strip() == "*":  # any version: then the last writer would win
        raise HttpError(Code.PRECONDITION_REQUIRED, f"{VERSION} must name the version of the run that you saw.")
    found = _ETAG.fullmatch(sent.strip())
    if found is None and not _ANY_ETAG.fullmatch(sent.strip()):
        raise HttpError(Code.MALFORMED_REQUEST, f"{VERSION} is no ETag.")
    if found is None:
        raise HttpError(Code.VERSION_MISMATCH, f"{VERSION} names no version of a run.")
    return int(found[1])


def fence_of(call: Call) -> str | None:
    """Give the token of the claim that the run is executed under, where the caller has one."""
    sent = call.header(FENCE)
    return None if sent is None else check_id(FENCE, sent)


def fired(receipt: Receipt) -> Fired:
    """Write a receipt. The decision is not in it: whoever wants it asks for theirs."""
    return Fired(
        run=receipt.run_id,
        subject=receipt.subject,
        event=receipt.event,
        source=receipt.source,
        status=receipt.status,
        version=receipt.version,
        event_id=receipt.event_id,
        leaf=receipt.leaf,
    )


def answer(receipt: Receipt, headers: Mapping[str, str]) -> Response:
    """Answer with what a committed event did; the same again, and marked so, where the key had its answer already."""
    replayed = {_REPLAYED: "true"} if receipt.replayed else {}
    etag = {"etag": f'"{receipt.version}"'} if receipt.subject == receipt.run_id else {}
    return reply(fired(receipt), HTTPStatus.CREATED, {**headers, **etag, **replayed})
