"""What stands around every page, and how a page becomes an answer.

Refuses to know what a page shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import NamedTuple

from starlette.responses import HTMLResponse, Response

from proofgap.access import MAY, Action, Role
from proofgap.errors import NotFoundError
from proofgap.text import check_id
from proofgap_app.web.calls import Call
from proofgap_app.web.pages import addresses
from proofgap_app.web.pages.rendering import render
from proofgap_app.web.problems import Code, HttpError
from proofgap_store import Around
from proofgap_store.questions import is_number

_FOR_ONE_PERSON = {"cache-control": "private, no-cache", "vary": "Cookie, Authorization"}


class Frame(NamedTuple):
    """What stands around every page: where this is, who looks, and as what."""

    person: str
    role: str | None = None
    workspace: str | None = None
    environment: str | None = None
    roles: frozenset[Role] = frozenset()

    @property
    def may_audit(self) -> bool:
        """Whether the log of everything is for them."""
        return bool(self.roles & MAY[Action.AUDIT])


def frame(call: Call, roles: Iterable[Role] = (), scope: tuple[str | None, str | None] = (None, None)) -> Frame:
    """Give the frame of a page for whoever asks."""
    held = frozenset(roles)
    named = ", ".join(role.capitalize() for role in sorted(held)) or None
    return Frame(call.actor.name or call.actor.id, named, *scope, roles=held)


def frame_around(call: Call, around: Around) -> Frame:
    """Give the frame of a page about one run."""
    return frame(call, around.roles, (around.record.workspace, around.record.environment))


def frame_anywhere(call: Call) -> Frame:
    """Give the frame of a page that is about no one environment: with the roles that whoever asks holds anywhere."""
    return frame(call, held_anywhere(call.ledger.desk.roles(call.actor.id)))


def held_anywhere(roles: Mapping[tuple[str, str], frozenset[Role]]) -> frozenset[Role]:
    """Give every role that is held, wherever it is."""
    return frozenset(role for held in roles.values() for role in held)


def answered(template: str, status: int = HTTPStatus.OK, **values: object) -> Response:
    """Give a page as an answer that is for one person, and for nobody else."""
    return HTMLResponse(render(template, **values), status, _FOR_ONE_PERSON)


def run_named(call: Call) -> str:
    """Give the id of the run that the path names."""
    return check_id("run", addresses.text_of(call.request.path_params["run"]))


def event_named(call: Call) -> int:
    """Give the number of the event that the path names.

    Raises:
        NotFoundError: what it names is no number of an event.

    """
    named = call.named("event_id")
    if not is_number(named):
        raise NotFoundError("audit event", named)
    return int(named)


def refuse_prefetch(call: Call) -> None:
    """Refuse to show in advance what nobody looks at: that a decision was shown is recorded.

    Raises:
        HttpError: a browser fetches the page before anybody asked for it.

    """
    if "prefetch" in (call.header("sec-purpose") or ""):
        raise HttpError(Code.FORBIDDEN, "That a decision is shown is recorded: it is not fetched in advance.")
