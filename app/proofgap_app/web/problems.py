"""What went wrong, as a program reads it: RFC 9457 problems, their codes, and which error becomes which.

Owns the closed set of codes and their words. Refuses to know which request failed, and how a page looks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from types import MappingProxyType
from typing import NamedTuple

import msgspec
from starlette.responses import Response

from proofgap.errors import (
    BadInputError,
    ForbiddenError,
    KeyReusedError,
    NotAllowedError,
    NotFoundError,
    ProofgapError,
    RefusedError,
    StaleError,
)
from proofgap_store import GuardsError, RefusedByDatabaseError, UnavailableError
from proofgap_store.workers import WorkerLostError

MEDIA_TYPE = "application/problem+json"
_STEP = re.compile(r"[^.\[\]]+")


class Code(StrEnum):
    """What can go wrong. Codes are never taken away and never change their meaning."""

    TRANSITION_NOT_ALLOWED = "transition-not-allowed"
    GUARD_FAILED = "guard-failed"
    CONFLICT = "conflict"
    WORKER_LOST = "worker-lost"
    VERSION_MISMATCH = "version-mismatch"
    PRECONDITION_REQUIRED = "precondition-required"
    KEY_MISSING = "idempotency-key-missing"
    KEY_REUSED = "idempotency-key-reused"
    INVALID_REQUEST = "invalid-request"
    MALFORMED_REQUEST = "malformed-request"
    UNAUTHENTICATED = "unauthenticated"
    SIGN_IN_FAILED = "sign-in-failed"
    CROSS_SITE = "cross-site-request"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    NOT_ACCEPTABLE = "not-acceptable"
    TOO_SLOW = "request-timeout"
    TOO_LARGE = "too-large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    WRONG_HOST = "wrong-host"
    RATE_LIMITED = "rate-limited"
    INTERNAL = "internal-error"
    UNAVAILABLE = "unavailable"


class Meaning(NamedTuple):
    """Which status a code goes with, its title, and what to do about it."""

    status: int
    title: str
    remedy: str


MEANINGS: Mapping[Code, Meaning] = MappingProxyType(
    {
        Code.TRANSITION_NOT_ALLOWED: Meaning(
            409, "The run takes no such event now", "Look at allowed, or read the run again."
        ),
        Code.GUARD_FAILED: Meaning(409, "A guard refused the event", "Do what detail names, then fire it again."),
        Code.CONFLICT: Meaning(409, "It contradicts what is there", "Read what is there, and decide anew."),
        Code.WORKER_LOST: Meaning(
            409, "The worker is not active any more", "Stop its tools at once, and register anew."
        ),
        Code.VERSION_MISMATCH: Meaning(412, "The record was changed meanwhile", "Read it again, and decide anew."),
        Code.PRECONDITION_REQUIRED: Meaning(
            428, "The version that you saw is missing", 'Send If-Match with the ETag of the run, such as "3".'
        ),
        Code.KEY_MISSING: Meaning(400, "The idempotency key is missing", "Send Idempotency-Key, new for each request."),
        Code.KEY_REUSED: Meaning(
            422, "The idempotency key was used for another request", "Use a new key for a new request."
        ),
        Code.INVALID_REQUEST: Meaning(422, "The request is not acceptable", "Correct what errors names."),
        Code.MALFORMED_REQUEST: Meaning(400, "The request cannot be read", "Correct its form."),
        Code.UNAUTHENTICATED: Meaning(401, "Nobody is signed in", "Send a token: Authorization: Bearer."),
        Code.SIGN_IN_FAILED: Meaning(403, "The sign-in did not succeed", "Begin again at /sign-in."),
        Code.CROSS_SITE: Meaning(403, "The request came from another site", "Send it from a page of this site."),
        Code.FORBIDDEN: Meaning(403, "You may not do this", "Ask an admin of the workspace for a role that may."),
        Code.NOT_FOUND: Meaning(404, "Nothing to show", "Check the id, and who you are signed in as."),
        Code.METHOD_NOT_ALLOWED: Meaning(405, "There is no such method here", "Use one that Allow names."),
        Code.NOT_ACCEPTABLE: Meaning(406, "There is no such form", "Ask for a media type that detail names."),
        Code.TOO_SLOW: Meaning(408, "The request took too long to arrive", "Send it again, without pauses."),
        Code.TOO_LARGE: Meaning(413, "The request is too large", "Send it in smaller parts."),
        Code.UNSUPPORTED_MEDIA_TYPE: Meaning(415, "The body has another form", "Send a media type that detail names."),
        Code.WRONG_HOST: Meaning(421, "This is not the site that you asked for", "Use the address of this site."),
        Code.RATE_LIMITED: Meaning(429, "Too much at once", "Wait for as many seconds as Retry-After says."),
        Code.INTERNAL: Meaning(500, "Unexpected error", "Look for trace_id in the log of the server."),
        Code.UNAVAILABLE: Meaning(503, "The ledger cannot be used now", "Try again after Retry-After."),
    }
)


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a request, and where: a JSON pointer into its body, or the name of a parameter."""

    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error as a program reads it (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: Code
    instance: str | None = None
    errors: tuple[Mistake, ...] = ()
    guard: str | None = None
    current_state: str | None = None
    allowed: tuple[str, ...] | None = None
    current_version: int | None = None
    trace_id: str | None = None


class HttpError(ProofgapError):
    """Something is wrong with a request that only the web knows of."""

    def __init__(self, code: Code, detail: str, headers: Mapping[str, str] | None = None) -> None:
        """Name the code, what is wrong, and the headers that belong to the answer."""
        self.code, self.detail, self.headers = code, detail, dict(headers or {})
        self.remedy = MEANINGS[code].remedy
        super().__init__(f"{detail} {self.remedy}")


_KINDS: tuple[tuple[type[ProofgapError], Code], ...] = (
    (BadInputError, Code.INVALID_REQUEST),
    (KeyReusedError, Code.KEY_REUSED),
    (ForbiddenError, Code.FORBIDDEN),
    (NotAllowedError, Code.TRANSITION_NOT_ALLOWED),
    (RefusedError, Code.GUARD_FAILED),
    (WorkerLostError, Code.WORKER_LOST),
    (StaleError, Code.VERSION_MISMATCH),
    (NotFoundError, Code.NOT_FOUND),
    (RefusedByDatabaseError, Code.CONFLICT),
    (UnavailableError, Code.UNAVAILABLE),
    (GuardsError, Code.UNAVAILABLE),
)
_HIDDEN = frozenset({Code.CONFLICT, Code.UNAVAILABLE, Code.INTERNAL})  # their words are about the machine it runs on


def code_of(error: Exception) -> Code:
    """Say which code an error has; one that nobody thought of is internal."""
    if isinstance(error, HttpError):
        return error.code
    return next((code for kind, code in _KINDS if isinstance(error, kind)), Code.INTERNAL)


def is_failure(code: Code) -> bool:
    """Tell whether something is wrong with the server, and not with the request."""
    return MEANINGS[code].status >= HTTPStatus.INTERNAL_SERVER_ERROR


def problem_of(error: Exception, *, instance: str | None = None, trace_id: str | None = None) -> Problem:
    """Turn an error into a problem. What is about the machine that it runs on is in its log only, under ``trace_id``."""
    code = code_of(error)
    meaning = MEANINGS[code]
    is_ours = isinstance(error, ProofgapError) and code not in _HIDDEN
    return Problem(
        type=f"/problems/{code}",
        title=meaning.title,
        status=meaning.status,
        detail=" ".join(str(error).split()) if is_ours or isinstance(error, HttpError) else meaning.remedy,
        code=code,
        instance=instance,
        errors=(_mistake(error),) if isinstance(error, BadInputError) and error.field else (),
        guard=error.guard if isinstance(error, RefusedError) else None,
        current_state=error.status if isinstance(error, RefusedError) else None,
        allowed=error.allowed if isinstance(error, RefusedError) else None,
        current_version=error.actual if isinstance(error, StaleError) else None,
        trace_id=trace_id if is_failure(code) else None,
    )


def headers_of(error: Exception) -> dict[str, str]:
    """Give the headers that belong to an error: what it brought itself, and when to come back."""
    brought = error.headers if isinstance(error, HttpError) else {}
    return {**({"retry-after": "1"} if code_of(error) is Code.UNAVAILABLE else {}), **brought}


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Give the response of a problem."""
    return Response(msgspec.json.encode(problem), problem.status, dict(headers or {}), media_type=MEDIA_TYPE)


def _mistake(error: BadInputError) -> Mistake:
    pointer = "".join(f"/{step}" for step in _STEP.findall(error.field))
    return Mistake(pointer=pointer, detail=f"{error.problem}. {error.remedy}")
