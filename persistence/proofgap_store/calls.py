"""What a call must look like before anything is read: who calls, under which key, the form of a report, times that have passed.

Owns checks that need no database. Refuses to know what a call does (`ledger`, `access`).
"""

from __future__ import annotations

from collections.abc import Sequence

from proofgap.audit import Actor, digest
from proofgap.errors import BadInputError
from proofgap.facts import RunEvent
from proofgap.records import Item, RunDetails
from proofgap.text import check_id
from proofgap_store.transitions import Call, fingerprint

_CLOCK_SKEW_US_MAX = 60_000_000
_NOTHING_GIVEN = RunDetails()


def made(now_us: int, actor: Actor, at_us: int | None = None, key: str | None = None, *request: object) -> Call:
    """Give a call as it is made now (microseconds since 1970 UTC); ``request`` is everything that is asked for.

    Raises:
        BadInputError: the actor's name or the key is none, or what happened has not happened yet.

    """
    check_id("actor", actor.id)
    if key is not None:
        check_id("key", key)
    check_time("at_us", at_us, now_us)
    return Call(actor, now_us if at_us is None else at_us, now_us, key, fingerprint(*request) if key else "")


def check_report(event: RunEvent, given: RunDetails, items: Sequence[Item]) -> None:
    """Hold a report to its form: items, and nothing but items; and a start to its own: whose a run is says its claim.

    Raises:
        BadInputError: items came with another event, a report came with other facts, or a start named a worker.

    """
    if event is RunEvent.START and given != _NOTHING_GIVEN:
        raise BadInputError(
            "given", "does not belong to a start that is no claim", "Register a worker, and let it claim."
        )
    if event is not RunEvent.REPORT and items:
        raise BadInputError("items", f'do not belong to the event "{event}"', "Send them with report.")
    if event is RunEvent.REPORT and given != _NOTHING_GIVEN:
        raise BadInputError("given", "does not belong to a report", "A report's facts are added up from its items.")


def check_time(field: str, given_us: int | None, now_us: int) -> None:
    """Hold a time that was handed in to the past: nothing recorded happens later than it is recorded.

    Raises:
        BadInputError: it is no whole number of microseconds since 1970, or lies in the future.

    """
    if given_us is None:
        return
    if type(given_us) is not int or not 0 <= given_us <= now_us + _CLOCK_SKEW_US_MAX:
        raise BadInputError(
            field,
            f"{given_us!r} is no time from 1970 until now",
            "Hand in a time that has passed, in microseconds since 1970 UTC.",
        )


def digest_of_items(items: Sequence[Item]) -> str | None:
    """Give the digest of reported items in the order in which they can be read again: by key."""
    return digest(sorted(items, key=lambda item: item.key)) if items else None
