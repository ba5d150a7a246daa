"""Plan and preview of what is restored as files, whatever tool puts them there.

Owns what a plan's digest covers, what its problems are, and the arithmetic of a preview. Refuses to read backups.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from proofgap.records import Completeness
from proofgap_app.drivers.archives import Listing
from proofgap_app.drivers.base import (
    Action,
    Depth,
    Identity,
    Kind,
    Plan,
    PlannedItem,
    Preview,
    PreviewItem,
    Request,
    Unit,
)
from proofgap_app.drivers.evidence import canonical_sha256
from proofgap_app.drivers.manifest import Manifest
from proofgap_app.drivers.names import shown
from proofgap_app.drivers.selection import Selection

_PROBLEMS_SHOWN_MAX = 20
_EXPANSION_MAX = 1000
_EXPANDED_BYTES_UNSUSPICIOUS = 10 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found of a backup.

    Attributes:
        driver: name of the driver.
        tool: what reads it, with its version.
        identity: which backup it is.
        listing: what it holds.
        manifest: what it should hold, where somebody said so.
        stated: whether it holds all it was meant to hold, as the backup run said.
        can_inflate: it is one file that could expand to far more than it is.

    """

    driver: str
    tool: str
    identity: Identity
    listing: Listing
    manifest: Manifest
    stated: Completeness = Completeness.UNKNOWN
    can_inflate: bool = False


def plan_of(request: Request, found: Found, selection: Selection) -> Plan:
    """Give the plan; its digest is over everything that decides what is written."""
    sizes = [item.size for item in selection.items if item.position is not None]
    content = {
        "driver": found.driver,
        "backup": [found.identity.size, found.identity.sha256],
        "target": shown(request.target),
        "overwrite": request.overwrite,
        "expects_nothing": request.expects_nothing,
        "options": dict(request.options),
        "items": [_canonical(item) for item in (*selection.items, *selection.folders)],
    }
    return Plan(
        driver=found.driver,
        tool_version=found.tool,
        request=request,
        unit=Unit.FILE,
        items=selection.items,
        folders=selection.folders,
        bytes_total=sum(size for size in sizes if size is not None) if None not in sizes else None,
        identity=found.identity,
        source_completeness=_completeness(selection, found),
        problems=_listing_problems(selection, found),
        digest=canonical_sha256(content),
    )


def _canonical(item: PlannedItem) -> list[object]:
    link = None if item.link is None else shown(item.link)
    return [item.key, item.kind, item.size, item.mode, item.mtime_ns, item.owner, item.sha256, link, item.refused]


def _completeness(selection: Selection, found: Found) -> Completeness:
    """Only a manifest, or the backup run, can say that a backup is complete; damage, or a name it lacks, says that it is not."""
    lacking = any(item.kind in {Kind.MISSING, Kind.UNREADABLE} for item in selection.items)
    if lacking or found.listing.damage is not None:
        return Completeness.INCOMPLETE
    return Completeness.COMPLETE if found.manifest and found.stated is Completeness.UNKNOWN else found.stated


def _listing_problems(selection: Selection, found: Found) -> tuple[str, ...]:
    listing = found.listing
    problems = [f"{item.key}: {item.refused}" for item in selection.items if item.refused is not None]
    if listing.damage is not None:
        damage = f"THE BACKUP IS DAMAGED: {listing.damage.problem}; it may hold more than the {len(listing.entries)} members that could be listed"
        problems.insert(0, damage)
    if found.stated is Completeness.INCOMPLETE:
        problems.insert(0, "THE BACKUP IS INCOMPLETE: its own run said so")
    if found.can_inflate:
        problems.extend(_inflation(selection, found.identity))
    return tuple(problems)


def preview_of(
    plan: Plan, items: tuple[PreviewItem, ...], depth: Depth, target_fingerprint: str, more: Iterable[str] = ()
) -> Preview:
    """Give the preview; ``more`` are problems that only looking at the backup's content could find."""
    numbers = Counter(item.action for item in items)
    return Preview(
        created=numbers[Action.CREATED],
        overwritten=numbers[Action.OVERWRITTEN],
        unchanged=numbers[Action.UNCHANGED],
        skipped=numbers[Action.SKIPPED],
        unavailable=numbers[Action.NONE],
        depth=depth,
        target_fingerprint=target_fingerprint,
        problems=_abridged([*plan.problems, *more, *_space_problems(plan), *_new_problems(plan, items)]),
        items=items,
    )


def _new_problems(plan: Plan, items: tuple[PreviewItem, ...]) -> list[str]:
    """Name what only the preview could find; what the plan refused is among the plan's problems already."""
    return [
        f"{seen.key}: {seen.reason_code}"
        for planned, seen in zip(plan.items, items, strict=True)
        if seen.action is Action.NONE and planned.refused is None
    ]


def _space_problems(plan: Plan) -> list[str]:
    place = _nearest_existing(plan.request.target_path)
    problems = []
    if not os.access(place, os.W_OK | os.X_OK):
        problems.append(f"target {shown(plan.request.target_path)}: {shown(place)} is not writable")
    needed, free = plan.bytes_total or 0, shutil.disk_usage(place).free
    if needed > free:
        problems.append(f"target {shown(plan.request.target_path)}: {needed} bytes are needed, {free} are free")
    return problems


def _inflation(selection: Selection, identity: Identity) -> Iterable[str]:
    needed = sum(item.size or 0 for item in selection.items)
    if needed > max(identity.size * _EXPANSION_MAX, _EXPANDED_BYTES_UNSUSPICIOUS):
        yield f"the backup of {identity.size} bytes expands to {needed}: more than {_EXPANSION_MAX} times"


def _nearest_existing(path: Path) -> Path:
    return next(place for place in (path, *path.resolve().parents) if place.exists())


def _abridged(problems: list[str]) -> tuple[str, ...]:
    more = len(problems) - _PROBLEMS_SHOWN_MAX
    return (*problems[:_PROBLEMS_SHOWN_MAX], *([f"and {more} more"] if more > 0 else []))
