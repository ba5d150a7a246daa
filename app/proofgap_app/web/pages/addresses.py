"""Where each page is: every path of the site that the pages link to.

An id may be any text (imported runs bring their own), so a part of a path is written with ``~`` where a URL has
``%``: no server, proxy or browser unpacks, joins or splits it on the way. Ids of this ledger stay as they are.
"""

from __future__ import annotations

from urllib.parse import quote, unquote, urlencode

RUNS = "/runs"
NEW = "/new"
AUDIT = "/audit"
MACHINE = "/machine"
_STEPS_OF_PATHS = {".", ".."}


def part(text: str) -> str:
    """Write a text as one part of a path."""
    quoted = quote(text, safe="").replace("~", "%7E").replace("%", "~")
    return quoted.replace(".", "~2E") if quoted in _STEPS_OF_PATHS else quoted


def text_of(path_part: str) -> str:
    """Read what `part` wrote; what it never wrote reads as some text that names nothing."""
    return unquote(path_part.replace("~", "%"), errors="replace")


def run(run_id: str, page: str = "") -> str:
    """Give the address of a run, or of one of its pages."""
    return f"{RUNS}/{part(run_id)}{page and '/' + page}"


def new_like(run_id: str) -> str:
    """Give the address of the form of a new run, filled in as a run before."""
    return with_query(NEW, like=run_id)


def new_from(scope: str, source: str) -> str:
    """Give the address of the form of a new run, filled in from a registered source of an environment."""
    return with_query(NEW, scope=scope, source=source)


def decision(run_id: str, event_id: int) -> str:
    """Give the address of a decision as it was shown: it is read from the log."""
    return run(run_id, f"decisions/{event_id}")


def event(log: str, event_id: int) -> str:
    """Give the address of an event in the log of its run, of which ``log`` is the address."""
    return f"{log}?start={event_id}#e{event_id}"


def audit_event(event_id: int) -> str:
    """Give the address of an event in the log of everything that somebody audits."""
    return f"{AUDIT}/events/{event_id}"


def with_query(path: str, **values: str | None) -> str:
    """Add what is asked for to a path, in the given order; what is not given is left out."""
    chosen = {name: value for name, value in values.items() if value}
    return f"{path}?{urlencode(chosen)}" if chosen else path


def stream(workspace: str, run_id: str, after: str) -> str:
    """Give the address at which the API says that a run moved, from a place in the log on."""
    path = f"/v1/workspaces/{quote(workspace, safe='')}/restore-runs/{quote(run_id, safe='')}/stream"
    return with_query(path, after=after)


def news(workspace: str) -> str:
    """Give the address at which the API says which runs of a workspace moved."""
    return f"/v1/workspaces/{quote(workspace, safe='')}/events"
