"""What the target holds now, and what a plan would make of it.

Owns the choice between creating, replacing, leaving and skipping; preview and execution make it with the same
functions. Refuses to write.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from proofgap_app.drivers.archives import DamagedError, Digests
from proofgap_app.drivers.base import Action, Kind, Plan, PlannedItem, PreviewItem
from proofgap_app.drivers.target import Target, reason_of

SKIPPED_ON_PURPOSE = frozenset({"unsafe_path", "special_file", "link_leads_outside"})
"""Refusals that protect the target: such an item is skipped, and an error is noted. All other refusals are failures."""

EXISTS = "exists_and_differs"


def fingerprint(target: Target, plan: Plan) -> str:
    """Give the SHA-256 of what is at every path the plan may touch."""
    hasher = hashlib.sha256()
    for item in plan.items:
        if item.refused is None:
            hasher.update(f"{item.key}\t{_state(target, item)}\n".encode())
    return hasher.hexdigest()


class IntoDirectory:
    """What all drivers have in common that restore into a directory."""

    def place(self, plan: Plan) -> Path:
        """Give the directory that is restored into."""
        return plan.request.target_path

    def fingerprint(self, plan: Plan) -> str:
        """Give the SHA-256 of existence, kind, size, time of last change and permissions of every path the plan touches."""
        with Target(plan.request.target_path) as target:
            return fingerprint(target, plan)


def _state(target: Target, item: PlannedItem) -> str:
    try:
        status = target.lookup(item.parts)
    except OSError as error:
        return reason_of(error)
    if status is None:
        return "absent"
    # A directory's size and time change with its content, and its content may be what the plan itself writes.
    own = "" if stat.S_ISDIR(status.st_mode) else f"{status.st_size} {status.st_mtime_ns}"
    return f"{status.st_mode:o} {own}"


def obstacle(item: PlannedItem, status: os.stat_result | None) -> str | None:
    """Give the reason why an item cannot be put where this is; a directory is never replaced, nor replaces anything."""
    if status is None:
        return None
    there, wanted = stat.S_ISDIR(status.st_mode), item.kind is Kind.DIRECTORY
    if there == wanted:
        return None
    return "is_a_directory" if there else "not_a_directory"


def may_be_equal(item: PlannedItem, status: os.stat_result | None) -> bool:
    """Whether the kind and the size of what is there allow its content to be the item's."""
    return status is not None and stat.S_ISREG(status.st_mode) and item.size in {None, status.st_size}


def foresee(target: Target, item: PlannedItem, found: Digests, *, overwrite: bool) -> PreviewItem:
    """Say what would become of one item."""
    digest = found.get(item.position) if item.position is not None else None
    if item.refused is not None:
        action = Action.SKIPPED if item.refused in SKIPPED_ON_PURPOSE else Action.NONE
        return PreviewItem(key=item.key, action=action, reason_code=item.refused)
    if isinstance(digest, DamagedError):
        return PreviewItem(key=item.key, action=Action.NONE, reason_code=digest.reason_code)
    if None not in (item.sha256, digest) and item.sha256 != digest:
        return PreviewItem(key=item.key, action=Action.NONE, reason_code="manifest_mismatch")
    try:
        return _foresee_at(target, item, digest, overwrite=overwrite)
    except OSError as error:
        return PreviewItem(key=item.key, action=Action.NONE, reason_code=reason_of(error))


def _foresee_at(target: Target, item: PlannedItem, digest: str | None, *, overwrite: bool) -> PreviewItem:
    status = target.lookup(item.parts)
    blocked = obstacle(item, status)
    if blocked is not None:
        return PreviewItem(key=item.key, action=Action.NONE, reason_code=blocked)
    if status is None:
        return PreviewItem(key=item.key, action=Action.CREATED)
    if _is_equal(target, item, status, digest):
        return PreviewItem(key=item.key, action=Action.UNCHANGED)
    if overwrite:
        return PreviewItem(key=item.key, action=Action.OVERWRITTEN)
    return PreviewItem(key=item.key, action=Action.SKIPPED, reason_code=EXISTS)


def _is_equal(target: Target, item: PlannedItem, status: os.stat_result, digest: str | None) -> bool:
    if item.kind is Kind.DIRECTORY:
        return True
    if item.kind is Kind.SYMLINK:
        return target.link_text(item.parts) == item.link
    return digest is not None and may_be_equal(item, status) and target.digest(item.parts) == digest
