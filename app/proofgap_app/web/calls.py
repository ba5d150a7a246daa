"""One request, as a handler gets it: who asks, the ledger, and what was sent, read as strictly as everything else.

Owns how names and values of a query, a form and a JSON body become records. Refuses to know what they are for.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from proofgap.audit import Actor
from proofgap.errors import BadInputError
from proofgap.facts import Struct
from proofgap.text import ID_LENGTH_MAX, TEXT_LENGTH_MAX, check_id, check_text, shown
from proofgap_app.web.bell import Bell
from proofgap_app.web.few import Few
from proofgap_app.web.metrics import Metrics
from proofgap_app.web.problems import Code, HttpError
from proofgap_app.web.shield import SEAT, Seat
from proofgap_app.web.site_settings import SiteSettings
from proofgap_store import Ledger

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=ID_LENGTH_MAX)]
"""An id or a name; that it is fit text is checked where it enters (`proofgap.text`)."""

PLACE, PLACE_LENGTH_MAX = "after", 6_000
"""What names a place in a list, and how long it may be: it may hold the name of a file, of up to 4,096 bytes, as Base64."""

JSON = "application/json"
NDJSON = "application/x-ndjson"
FORM = "application/x-www-form-urlencoded"
_FIELDS_MAX = 100
_HANDED_IN = re.compile(r"^(new\.)?(details\.|given\.)?")
S = TypeVar("S", bound=Struct)


class Means(StrEnum):
    """By what somebody is known."""

    TOKEN = "token"  # noqa: S105 - a kind, no secret
    SESSION = "session"


class Principal(NamedTuple):
    """Who asks, and by what they are known; ``session`` names the session, for whoever ends it."""

    actor: Actor
    means: Means
    session: str | None = None


Identify = Callable[[Request], Principal | None]
"""Tells who sent a request; ``None``: nobody who is known. Called in a thread, for it may read the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every handler works with; ``described`` gives the OpenAPI document.

    What takes long, and works in the threads of the server all the while, is for few at once.
    """

    ledger: Ledger
    settings: SiteSettings
    bell: Bell
    metrics: Metrics
    identify: Identify
    described: Callable[[], dict[str, Any]]
    verifying: Few = field(default_factory=lambda: Few(1, "The log is being verified already.", 10))
    exporting: Few = field(default_factory=lambda: Few(2, "Others take the log out just now.", 10))
    signing_in: Few = field(default_factory=lambda: Few(4, "Many people sign in just now.", 5))  # by the provider


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way through a handler."""

    request: Request
    around: Surroundings
    principal: Principal | None
    body: bytes = b""

    @property
    def ledger(self) -> Ledger:
        """Give the ledger."""
        return self.around.ledger

    @property
    def settings(self) -> SiteSettings:
        """Say how the site is set up."""
        return self.around.settings

    @property
    def bell(self) -> Bell:
        """Give what wakes those who wait for news."""
        return self.around.bell

    @property
    def actor(self) -> Actor:
        """Give who asks.

        Raises:
            HttpError: nobody is signed in.

        """
        if self.principal is None:
            raise HttpError(Code.UNAUTHENTICATED, "This needs somebody who is signed in.", CHALLENGE)
        return self.principal.actor

    async def is_heard_after(self, seconds: float, event_id: int) -> bool:
        """Wait for something new after an event; from then on aside from the crowd of those that are under way.

        News wakes all who wait at once: so they do not come back into the crowd, where they would keep everybody out.
        Tells whether whoever asks is still there: who has left waits no longer, and takes nobody's place.
        """
        seat: Seat = self.request.scope[SEAT]
        seat.leave()
        leaving = asyncio.create_task(self._left())
        ringing = asyncio.create_task(self.bell.wait(event_id, seconds))
        try:
            await asyncio.wait({leaving, ringing}, return_when=asyncio.FIRST_COMPLETED)
            return not leaving.done()
        finally:
            leaving.cancel()
            ringing.cancel()

    async def _left(self) -> None:
        while (await self.request.receive())["type"] != "http.disconnect":
            pass

    def demand_known(self) -> None:
        """Ask again who this is: whoever waits or follows a stream outlives tokens and sessions.

        Raises:
            HttpError: they are not let in any more.

        """
        found = self.around.identify(self.request)
        if found is None or self.principal is None or found.actor.id != self.principal.actor.id:
            raise HttpError(Code.UNAUTHENTICATED, "The session or token is over.", CHALLENGE)

    @property
    def workspace(self) -> str:
        """Give the workspace that the path names."""
        return self.named("ws")

    def named(self, part: str) -> str:
        """Give a part of the path, checked as an id."""
        return check_id(part, self.request.path_params[part])

    def header(self, name: str) -> str | None:
        """Give a header; one that came twice is read as one list, as RFC 9110 has it."""
        found = self.request.headers.getlist(name)
        return ", ".join(found) if found else None


CHALLENGE = {"www-authenticate": 'Bearer realm="proofgap"'}
"""What a 401 must name: how to be known."""


def read_query(request: Request, shape: type[S]) -> S:
    """Read the query of a request.

    Raises:
        BadInputError: a name is unknown or came twice, or a value is not acceptable.

    """
    return _read_pairs(request.scope["query_string"], shape)


def read_form(call: Call, shape: type[S]) -> S:
    """Read a form that a page sent. Raises as `read_query` does, and `HttpError` for a body that is no form."""
    _demand_type(call, FORM)
    return _read_pairs(call.body, shape)


def form_fields(call: Call) -> dict[str, str]:
    """Read a form by its names, the texts unchecked: for whoever says of each field what is wrong with it.

    Raises:
        HttpError: the body is no form.
        BadInputError: a name came twice.

    """
    _demand_type(call, FORM)
    return dict(_pairs(call.body))


def _read_pairs(sent: bytes, shape: type[S]) -> S:
    pairs = _pairs(sent)
    for name, value in pairs:
        check_text(shown(name), value, length_max=PLACE_LENGTH_MAX if name == PLACE else TEXT_LENGTH_MAX)
    found = _converted(dict(pairs), shape, is_text=True)
    for name, value in pairs:
        if getattr(found, name) is None:  # the word null is no null
            raise BadInputError(name, f"'{shown(value)}' is not known", "Leave it out.")
    return found


def _pairs(sent: bytes) -> list[tuple[str, str]]:
    try:
        pairs = parse_qsl(
            sent.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(sent),
            errors="strict",
            max_num_fields=_FIELDS_MAX,
        )
    except ValueError:
        raise HttpError(Code.MALFORMED_REQUEST, "These are no names and values.") from None
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise BadInputError(shown(name), "occurs more than once", "Send it once.")
    return pairs


def read_json(call: Call, shape: type[S]) -> S:
    """Read a JSON body.

    Raises:
        HttpError: it is no JSON, or says that it is something else.
        BadInputError: a field is unknown, missing, or not acceptable.

    """
    _demand_type(call, JSON)
    return _converted(decoded(call.body), shape, is_text=False)


def decoded(body: bytes) -> object:
    """Read JSON of any shape.

    Raises:
        HttpError: it is none.

    """
    try:
        found: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise HttpError(Code.MALFORMED_REQUEST, "The body is no JSON.") from None
    return found


def listed(call: Call, shape: type[S], count_max: int) -> list[S]:
    """Read a list of records: a JSON array, or JSON lines.

    Raises:
        HttpError: it is neither.
        BadInputError: there are none, too many, or one is not acceptable.

    """
    kind = media_type(call)
    if kind == NDJSON:
        found: object = [decoded(line) for line in call.body.splitlines() if line.strip()]
    elif kind == JSON:
        found = decoded(call.body)
    else:
        raise HttpError(Code.UNSUPPORTED_MEDIA_TYPE, f"The body must be {JSON} or {NDJSON}.")
    if not isinstance(found, list) or not 1 <= len(found) <= count_max:
        raise BadInputError("", f"the body is no list of 1 to {count_max} records", "Send so many at a time.")
    return [_converted(record, shape, is_text=False, within=f"[{number}]") for number, record in enumerate(found)]


def media_type(call: Call) -> str:
    """Give the media type of the body, without its parameters."""
    return (call.header("content-type") or "").partition(";")[0].strip().lower()


def _demand_type(call: Call, wanted: str) -> None:
    if media_type(call) != wanted:
        raise HttpError(Code.UNSUPPORTED_MEDIA_TYPE, f"The body must be {wanted}.")


def _converted(found: object, shape: type[S], *, is_text: bool, within: str = "") -> S:
    try:
        return msgspec.convert(found, shape, strict=not is_text)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at ")
        place = path.strip("`").lstrip("$").lstrip(".")
        raise BadInputError(
            within + (place or _unknown(problem)), shown(problem, length_max=200), "Correct it; nothing is guessed."
        ) from None


@contextmanager
def facts_at(place: str, shape: type[Struct]) -> Iterator[None]:
    """Name a fact that is refused by its place in the body: the ledger knows it by its name, whoever handed it in.

    Raises:
        BadInputError: as it came, with that place.

    """
    try:
        yield
    except BadInputError as error:
        name = _HANDED_IN.sub("", error.field)
        if re.split(r"[.[]", name)[0] not in shape.__struct_fields__:
            raise
        raise BadInputError(f"{place}.{name}", error.problem, error.remedy) from error


def _unknown(problem: str) -> str:
    """Give the name that the library's message is about, where it names one and no path."""
    return shown(problem.partition("`")[2].rpartition("`")[0]) if "`" in problem else "body"


def form_of(values: Mapping[str, str | None]) -> dict[str, str]:
    """Leave out what is not known, for the query of a link."""
    return {name: value for name, value in values.items() if value is not None}
