"""What a call must look like before anything is read: the form of a report, and times that have passed.

Owns checks that need no database. Refuses to know what a call does (`ledger`).
"""

from __future__ import annotations

from collections.abc import Sequence

from proofgap.audit import digest
from proofgap.errors import BadInputError
from proofgap.facts import RunEvent
from proofgap.records import Item, RunDetails

_CLOCK_SKEW_US_MAX = 60_000_000
_NOTHING_GIVEN = RunDetails()


def check_report(event: RunEvent, given: RunDetails, items: Sequence[Item]) -> None:
    """Hold a report to its form: items, and nothing but items.

    Raises:
        BadInputError: items came with another event, or a report came with other facts.

    """
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
