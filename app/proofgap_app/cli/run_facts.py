"""How the facts of a run's events are named on the command line.

Owns the groups of options that several commands share, and how long a preview lasts. Refuses to fire anything (`runs`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from cyclopts import Parameter
from msgspec.structs import replace

from proofgap.errors import BadInputError
from proofgap.facts import EndReason
from proofgap.records import RunDetails, microseconds
from proofgap_app.cli.options import Whole, is_duration, moment, seconds


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be restored.

    Attributes:
        into: the target.
        driver: the tool that restores.
        purpose: why, in your words.

    """

    into: str | None = None
    driver: str | None = None
    purpose: str | None = None


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a check or a preview found.

    Attributes:
        plan_digest: digest of the plan.
        target_fingerprint: fingerprint of the target as it was found.

    """

    plan_digest: str | None = None
    target_fingerprint: str | None = None


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a preview showed.

    Attributes:
        expires_in: how long the preview may be acted on, such as 30m.
        expires_at: until when it may be acted on, in RFC 3339.
        depth: metadata (listings were read) or data (every byte of the backup was read).
        created: items that would be created.
        overwritten: items that would be overwritten.
        skipped: items that would be skipped.

    """

    expires_in: str | None = None
    expires_at: str | None = None
    depth: Literal["metadata", "data"] | None = None
    created: Whole | None = None
    overwritten: Whole | None = None
    skipped: Whole | None = None


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The place of a run among those that wait for a worker.

    Attributes:
        priority: from 0 to 1000; the higher one is executed first, and 0 is what runs have otherwise.
        deadline: by when it must have ended, in RFC 3339, or from now, such as 4h.

    """

    priority: Whole | None = None
    deadline: str | None = None

    def on(self, details: RunDetails) -> RunDetails:
        """Give the details with what was stated.

        Raises:
            BadInputError: names the option.

        """
        if self.priority is not None and not 0 <= self.priority <= PRIORITY_MAX:
            raise BadInputError("--priority", f"{self.priority} is out of range", "Use a whole number from 0 to 1000.")
        return replace(details, priority=self.priority, deadline_us=_until("--deadline", self.deadline))


WANTED, PLAN, SHOWN, LINE = Wanted(), Plan(), Shown(), Line()
PRIORITY_MAX = 1000


class BlockReason(StrEnum):
    """Why a run ends before it is executed."""

    APPROVAL_REJECTED = EndReason.APPROVAL_REJECTED
    SOURCE_INCOMPLETE = EndReason.SOURCE_INCOMPLETE
    TARGET_BUSY = EndReason.TARGET_BUSY
    TARGET_CHANGED = EndReason.TARGET_CHANGED
    PREVIEW_EXPIRED = EndReason.PREVIEW_EXPIRED
    EMPTY_SELECTION = EndReason.EMPTY_SELECTION
    VALIDATION = EndReason.VALIDATION


def _until(field: str, text: str | None) -> int | None:
    """Read a moment that is stated as such, or as a time from now; in microseconds since 1970-01-01 UTC."""
    if text is None:
        return None
    if is_duration(text):
        return time.time_ns() // 1000 + int(seconds(field, text) * 1_000_000)
    return microseconds(moment(field, text))


def expiry(shown: Shown) -> int | None:
    """Say until when a preview may be acted on, in microseconds since 1970-01-01 UTC; ``None``: for ever."""
    if shown.expires_in is not None and shown.expires_at is not None:
        raise BadInputError("--expires-in", "and --expires-at say the same thing twice", "Give one of them.")
    if shown.expires_in is not None:
        return time.time_ns() // 1000 + int(seconds("--expires-in", shown.expires_in) * 1_000_000)
    return None if shown.expires_at is None else microseconds(moment("--expires-at", shown.expires_at))
