"""How the facts of a run's events are named on the command line.

Owns the groups of options that several commands share, and how long a preview lasts. Refuses to fire anything (`runs`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from cyclopts import Parameter

from proofgap.errors import BadInputError
from proofgap.facts import EndReason
from proofgap.records import microseconds
from proofgap_app.cli.options import Whole, moment, seconds


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


WANTED, PLAN, SHOWN = Wanted(), Plan(), Shown()


class BlockReason(StrEnum):
    """Why a run ends before it is executed."""

    APPROVAL_REJECTED = EndReason.APPROVAL_REJECTED
    SOURCE_INCOMPLETE = EndReason.SOURCE_INCOMPLETE
    TARGET_BUSY = EndReason.TARGET_BUSY
    TARGET_CHANGED = EndReason.TARGET_CHANGED
    PREVIEW_EXPIRED = EndReason.PREVIEW_EXPIRED
    EMPTY_SELECTION = EndReason.EMPTY_SELECTION
    VALIDATION = EndReason.VALIDATION


def expiry(shown: Shown) -> int | None:
    """Say until when a preview may be acted on, in microseconds since 1970-01-01 UTC; ``None``: for ever."""
    if shown.expires_in is not None and shown.expires_at is not None:
        raise BadInputError("--expires-in", "and --expires-at say the same thing twice", "Give one of them.")
    if shown.expires_in is not None:
        return time.time_ns() // 1000 + int(seconds("--expires-in", shown.expires_in) * 1_000_000)
    return None if shown.expires_at is None else microseconds(moment("--expires-at", shown.expires_at))
