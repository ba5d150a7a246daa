"""The list of runs, newest first, each with its decision for whoever looks; and the filters over it.

A pure function from what the ledger lists. Refuses to know how a filter is carried out.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from proofgap.errors import BadInputError
from proofgap.facts import Struct
from proofgap.records import RunRecord, microseconds
from proofgap.text import check_id, check_text, shown
from proofgap.wording import WORDING, Availability, DecisionState
from proofgap_app.web.pages import addresses, facts, words
from proofgap_app.web.pages.run import title
from proofgap_store import ListedRun, Listing, Query

ROWS = 50
"""How many runs a page has."""

_YEAR_MAX = 2254  # the last that ends before 2**53 microseconds, up to which every reader of JSON is exact


class Wanted(Struct):
    """What a filter says, as a form sends it: an empty field asks for everything."""

    state: str = ""
    scope: str = ""
    text: str = ""
    since: str = ""
    until: str = ""
    after: str = ""


class Choice(NamedTuple):
    """One value of a field, its words, and whether it is chosen."""

    value: str
    label: str
    is_on: bool


class Row(NamedTuple):
    """One run."""

    page: str
    run_id: str
    title: str
    full_title: str
    scope: str
    state: DecisionState
    status: str
    result: str
    proof: str
    evidence: str
    moved: str


class RunsPage(NamedTuple):
    """A page of runs."""

    rows: tuple[Row, ...]
    event_id: int | None
    following: str | None
    states: tuple[Choice, ...]
    scopes: tuple[Choice, ...]
    wanted: Wanted
    is_filtered: bool
    empty: str
    as_of: str
    workspace: str | None  # the one that is asked for


def query(wanted: Wanted) -> Query:
    """Turn a filter into a question.

    Raises:
        BadInputError: there is no such state, or a day is none.

    """
    if wanted.state and wanted.state not in set(DecisionState):
        raise BadInputError("state", f"'{shown(wanted.state)}' is none", f"Use one of: {', '.join(DecisionState)}.")
    workspace, environment = _asked_scope(wanted.scope)
    return Query(
        workspace=workspace,
        environment=environment,
        state=DecisionState(wanted.state) if wanted.state else None,
        text=check_text("text", wanted.text.strip()) or None,
        since_us=day_us("since", wanted.since),
        until_us=end_of_day_us("until", wanted.until),
        limit=ROWS,
        after=wanted.after or None,
    )


def _asked_scope(text: str) -> tuple[str | None, str | None]:
    return scope_of(text) if text else (None, None)


def scope_of(text: str) -> tuple[str, str]:
    """Read a workspace and an environment out of what `scope_value` wrote.

    Raises:
        BadInputError: it wrote no such thing.

    """
    workspace, _, environment = text.partition("/")
    named = addresses.text_of(workspace), addresses.text_of(environment)
    return check_id("scope", named[0]), check_id("scope", named[1])


def scope_value(scope: tuple[str, str]) -> str:
    """Write a workspace and an environment as one value of a form."""
    return "/".join(map(addresses.part, scope))


def day_us(name: str, text: str) -> int | None:
    """Read a day as the moment at which it begins, in microseconds since 1970-01-01 UTC; ``None`` where none is named.

    Raises:
        BadInputError: it is no day, or further ahead than the ledger counts.

    """
    return _moment_us(name, text, "%Y-%m-%d", "day, such as 2026-11-21")


def minute_us(name: str, text: str) -> int | None:
    """Read a minute in UTC, as a form sends it, in microseconds since 1970-01-01; ``None`` where none is named.

    Raises:
        BadInputError: it is none, or further ahead than the ledger counts.

    """
    return _moment_us(name, text, "%Y-%m-%dT%H:%M", "time, such as 2026-11-21T02:24")


def _moment_us(name: str, text: str, form: str, kind: str) -> int | None:
    if not text:
        return None
    try:
        when = datetime.strptime(text, form).replace(tzinfo=UTC)
    except ValueError:
        when = None
    if when is None or when.year > _YEAR_MAX:
        raise BadInputError(name, f"'{shown(text)}' is none", f"Write a {kind}, up to the year {_YEAR_MAX}.")
    return max(microseconds(when.isoformat()) or 0, 0)


def end_of_day_us(name: str, text: str) -> int | None:
    """Read a day as the moment at which it ends. Raises as `day_us` does."""
    begins = day_us(name, text)
    return None if begins is None else begins + timedelta(days=1) // timedelta(microseconds=1)


def page(found: Listing, wanted: Wanted, scopes: Iterable[tuple[str, str]], now_us: int) -> RunsPage:
    """Give the page of a list."""
    where = {name: getattr(wanted, name) for name in ("state", "scope", "text", "since", "until")}
    is_filtered = any(where.values()) or bool(wanted.after)
    following = None if found.next is None else addresses.with_query(addresses.RUNS, **where, after=found.next)
    return RunsPage(
        rows=tuple(map(_row, found.rows)),
        event_id=found.event_id,
        following=following,
        states=tuple(Choice(state, WORDING[state].status, state == wanted.state) for state in DecisionState),
        scopes=tuple(
            Choice(scope_value(scope), " / ".join(scope), scope_value(scope) == wanted.scope)
            for scope in sorted(scopes)
        ),
        wanted=wanted,
        is_filtered=is_filtered,
        empty=_empty(found, is_filtered=is_filtered),
        as_of=f"{words.clock(now_us)} UTC",
        workspace=_asked_scope(wanted.scope)[0],
    )


def _empty(found: Listing, *, is_filtered: bool) -> str:
    if found.next is not None:
        return "Nothing that matches among the runs that were looked at. Older runs were not looked at yet."
    return "No runs match." if is_filtered else "No runs yet that you may view."


def _row(listed: ListedRun) -> Row:
    record, decision = listed.record, listed.decision
    return Row(
        page=addresses.run(record.id),
        run_id=record.id,
        title=title(record, words.last_part),
        full_title=title(record, str),
        scope=f"{record.workspace} / {record.environment}",
        state=decision.state,
        status=decision.status,
        result=_result(listed),
        proof=decision.operation_proof.label,
        evidence=_evidence(listed),
        moved=_moved(record),
    )


def _moved(record: RunRecord) -> str:
    return words.NOT_REPORTED if record.moved_at_us is None else words.minute(record.moved_at_us)


def _result(listed: ListedRun) -> str:
    """Write a result as short as a table needs it: stored numbers only."""
    summary = listed.decision.result_summary
    if summary.counts is None:
        return summary.text or words.NOT_REPORTED
    labels = facts.parts_of(listed.decision)
    parts = [f"{number:,} {label}" for name, label in labels.items() if (number := getattr(summary.counts, name))]
    total = summary.counts.total
    whole = f"total {words.NOT_REPORTED}" if total is None else words.amount(total, "item")
    qualifier = f" {summary.qualifier}" if summary.qualifier else ""
    kind = ", metadata-only" if summary.metadata_only else ""
    return f"{whole}{qualifier}{kind}" + (f": {', '.join(parts)}" if parts else "")


def _evidence(listed: ListedRun) -> str:
    """Give the evidence's label with what it found: a mismatch is not to be read as a success."""
    found = listed.decision.evidence
    verdict = next((row.details.verdict for row in listed.record.evidence if row.id == found.snapshot_id), None)
    return found.label if verdict is None or found.state is not Availability.AVAILABLE else f"{found.label}: {verdict}"
