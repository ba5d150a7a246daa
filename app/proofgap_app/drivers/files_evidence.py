"""Evidence for restored files: what the target holds now, against what the backup or its manifest says.

Theory. The expectation never comes from the execution: it is the manifest's digest where there is one, else the
SHA-256 of the content read from the backup once more. One check per item; its method says how far it got: a file that
is absent fails at existence (L4), one of another size at size (L4), any other is compared by digest (L5). What the
backup cannot tell any more is a skipped check, and then the report is inconclusive at best; so is what is as in the backup,
and was there before the run (`leftovers`).

Without a manifest the expectation is what the backup *holds*: a byte that rotted in an uncompressed tar archive or in a
directory before the restore is not visible in it.

Owns these comparisons. Refuses to read anything an execution reported.
"""

from __future__ import annotations

import os
import stat

from proofgap.records import Check, CheckResult, Level
from proofgap_app.drivers.archives import Archive, DamagedError, Digests, content_digests
from proofgap_app.drivers.base import EvidenceReport, Kind, Plan, PlannedItem, Progress
from proofgap_app.drivers.evidence import passed_if, report_on
from proofgap_app.drivers.leftovers import told_of, unless_left_over
from proofgap_app.drivers.names import shown
from proofgap_app.drivers.target import Target, reason_of

DOUBTFUL = "source_damaged_content_not_vouched_for"
METHOD = "files: existence, size and SHA-256 of the target against the backup"


def collect(plan: Plan, archive: Archive, progress: Progress) -> EvidenceReport:
    """Check every item of the plan."""
    unknown = {item.position for item in plan.items if item.position is not None and item.sha256 is None}
    found = content_digests(archive, unknown, progress)
    checks: list[Check] = []
    done = 0
    damaged = from_damaged_stream(plan)
    with Target(plan.request.target_path) as target:
        for item in plan.items:
            is_doubtful = damaged and is_unvouched(item)
            checks.append(_skipped(item, DOUBTFUL) if is_doubtful else _check(target, item, found, plan))
            done += item.size or 0
            progress(done, len(checks))
    return report_on(
        checks,
        subjects_checked=sum(check.result is not CheckResult.SKIPPED for check in checks),
        expected_empty=plan.expects_nothing and plan.selected == 0,
        method=told_of(METHOD, plan),
        producer=plan.tool_version,
    )


def from_damaged_stream(plan: Plan) -> bool:
    """Tell whether the backup is one stream that is damaged somewhere: then any content read from it may be wrong."""
    return any(item.kind is Kind.UNREADABLE for item in plan.items)


def is_unvouched(item: PlannedItem) -> bool:
    """Tell whether an item has content, and no manifest has its digest."""
    return item.position is not None and item.sha256 is None and item.refused is None


def _check(target: Target, item: PlannedItem, found: Digests, plan: Plan) -> Check:
    if item.kind is Kind.MISSING:
        return _compare(target, item, item.sha256, plan)
    if item.refused is not None:
        return _skipped(item, item.refused)
    if item.position is None:
        return _compare(target, item, None, plan)
    expected = item.sha256 or found[item.position]
    if isinstance(expected, DamagedError):
        return _skipped(item, expected.reason_code)
    return _compare(target, item, expected, plan)


def _skipped(item: PlannedItem, reason_code: str) -> Check:
    return Check(
        subject=item.key, method="none", level=Level.L0, expected=None, observed=reason_code, result=CheckResult.SKIPPED
    )


def _compare(target: Target, item: PlannedItem, digest: str | None, plan: Plan) -> Check:
    try:
        status = target.lookup(item.parts)
        if status is None:
            return _verdict(item, "existence", Level.L4, "present", "absent")
        return unless_left_over(_compare_what_is_there(target, item, status, digest), status, plan)
    except OSError as error:
        reason_code = reason_of(error)
        if reason_code == "not_a_directory":
            return _verdict(item, "existence", Level.L4, "present", "absent")
        # What cannot be looked at is not known to be wrong, nor to be right.
        return _skipped(item, reason_code)


def _compare_what_is_there(target: Target, item: PlannedItem, status: os.stat_result, digest: str | None) -> Check:
    wanted = {Kind.DIRECTORY: "directory", Kind.SYMLINK: "link"}.get(item.kind, "file")
    if _kind(status.st_mode) != wanted or item.kind is Kind.DIRECTORY:
        return _verdict(item, "existence", Level.L4, wanted, _kind(status.st_mode))
    if item.kind is Kind.SYMLINK:
        return _verdict(item, "link text", Level.L5, shown(item.link or ""), shown(target.link_text(item.parts) or ""))
    if item.size not in {None, status.st_size}:
        return _verdict(item, "size in bytes", Level.L4, str(item.size), str(status.st_size))
    return _verdict(item, "SHA-256 of content", Level.L5, digest, target.digest(item.parts))


def _verdict(item: PlannedItem, method: str, level: Level, expected: str | None, observed: str | None) -> Check:
    return Check(
        subject=item.key,
        method=method,
        level=level,
        expected=expected,
        observed=observed,
        result=passed_if(expected == observed),
    )


def _kind(mode: int) -> str:
    names = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
    return names.get(stat.S_IFMT(mode), "special file")
