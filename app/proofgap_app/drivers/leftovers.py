"""What lay in a target before a run, told from what the run wrote: a leftover of an earlier restore is no evidence of this one.

Theory. A target may hold exactly what the backup holds, and the run may have written none of it. The system stamps a file whenever
its content, names, owner, permissions or times change (``st_ctime``), and no program can choose that stamp. The newest stamp
among the items that are there when a plan is made is the plan's marker: what has a newer one was written or given away since; what has not, and is
as in the backup, is a leftover. Only stamps of the target itself are compared, so no two clocks have to agree. Where stamps are
too coarse, or follow the time of last change, a restored file may pass for a leftover, and never the other way round.
A stamp is renewed by whoever gives files to another owner, too. So what the run says that it found there and left alone is a
leftover whatever its stamp: what a run reports can take away from evidence, and never add to it.

Owns the marker of files, and what a leftover's check says. Refuses to know what is compared.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

from msgspec import structs

from proofgap.errors import BadInputError
from proofgap.facts import ItemResult
from proofgap.records import Check, CheckResult, Item, Level
from proofgap.text import shown
from proofgap_app.drivers.base import Action, Plan, PlannedItem
from proofgap_app.drivers.target import Target

LEFTOVER = "not_written_since_the_plan"
"""What is observed of something that is as in the backup, and was there before the run."""

IN_PLACE = "in_place_before"
"""The reason why an item was left alone that the target held already."""


def marked(plan: Plan, items: Iterable[PlannedItem]) -> Plan:
    """Give the plan with the newest stamp that these items have in the target: zero when none of them is there."""
    with Target(plan.request.target_path) as target:
        found = [_looked_up(target, item) for item in items if item.parts]
    return replace(plan, marker=newest(found))


def newest(found: Iterable[os.stat_result | None]) -> str:
    """Give the newest stamp, in nanoseconds since 1970, as it goes on record."""
    return str(max((status.st_ctime_ns for status in found if status is not None), default=0))


def left_alone(item: Item) -> bool:
    """Tell whether a run says of an item that it was there already, as in the backup."""
    return item.result is ItemResult.SUCCEEDED and item.action == Action.UNCHANGED


def unless_left_over(check: Check, status: os.stat_result | None, plan: Plan) -> Check:
    """Give what a check is worth: one that passed on what was there before the plan was made is none."""
    is_old = status is not None and plan.marker is not None and status.st_ctime_ns <= number_of(plan.marker)
    if not (is_old or check.subject in plan.in_place) or check.result is not CheckResult.PASSED:
        return check
    return structs.replace(
        check, method="none", level=Level.L0, expected=None, observed=LEFTOVER, result=CheckResult.SKIPPED
    )


def told_of(method: str, plan: Plan) -> str:
    """Give the method of evidence, with what it cannot tell for want of a marker: a run that was reported from outside may have none."""
    return method if plan.marker is not None else f"{method}; what was there before the run is not told apart"


def number_of(marker: str) -> int:
    """Give a marker as the number that it is. Raises `BadInputError` when it is none of ours."""
    if not (marker.isascii() and marker.isdigit()):
        raise BadInputError("marker", f"{shown(marker)} is no number", "Restore again: the run cannot be compared.")
    return int(marker)


def _looked_up(target: Target, item: PlannedItem) -> os.stat_result | None:
    try:
        return target.lookup(item.parts)
    except OSError:
        return None
