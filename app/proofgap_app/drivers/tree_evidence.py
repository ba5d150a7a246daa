"""Evidence for a tree of files that a tool restored: what the target holds now, against what the repository's own data says.

Theory. The expectation comes from the repository, by a call that has nothing to do with the execution: the digests that the
backup tool keeps of the content. Where a manifest of the source is at hand, its digests are compared as well. One check per
item, as for all files (`files_evidence`): existence, then size, then content. An item whose expectation cannot be had, because
the repository is damaged there, is a skipped check, and the report is inconclusive at best; so is one that is as in the backup, and
was there before the run (`leftovers`).

Owns these comparisons. Refuses to know any tool, and to read anything that an execution reported.
"""

from __future__ import annotations

import os
import stat
from typing import Protocol

from proofgap.records import Check, CheckResult, Level
from proofgap_app.drivers.archives import DamagedError
from proofgap_app.drivers.base import EvidenceReport, Kind, Plan, PlannedItem, Progress
from proofgap_app.drivers.evidence import passed_if, report_on
from proofgap_app.drivers.leftovers import told_of, unless_left_over
from proofgap_app.drivers.names import shown
from proofgap_app.drivers.target import Target, reason_of

_NAMES = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
_WANTED = {Kind.DIRECTORY: "directory", Kind.SYMLINK: "link", Kind.SPECIAL: "special file"}


class Expectation(Protocol):
    """What the content of items should be."""

    method: str
    """How content is compared, in a few words."""

    def expected(self, item: PlannedItem) -> str | DamagedError:
        """Give the digest that the repository has of an item's content, or the text of a link; or why it has none."""
        ...

    def observed(self, target: Target, item: PlannedItem) -> str | None:
        """Give the same digest of what is in the target; ``None`` when it is no file. Raises ``OSError``."""
        ...


def collect(plan: Plan, expect: Expectation, subjects: tuple[PlannedItem, ...], progress: Progress) -> EvidenceReport:
    """Check these items of the plan."""
    checks: list[Check] = []
    done = 0
    with Target(plan.request.target_path) as target:
        for item in subjects:
            checks.append(_check(target, item, expect, plan))
            done += item.size or 0
            progress(done, len(checks))
    return report_on(
        checks,
        subjects_checked=sum(check.result is not CheckResult.SKIPPED for check in checks),
        expected_empty=plan.expects_nothing and plan.selected == 0,
        method=told_of(
            f"{plan.driver}: existence, size and {expect.method}, of the target against the repository", plan
        ),
        producer=plan.tool_version,
    )


def _check(target: Target, item: PlannedItem, expect: Expectation, plan: Plan) -> Check:
    if item.refused is not None and item.kind is not Kind.MISSING:
        return _skipped(item, item.refused)
    try:
        status = target.lookup(item.parts)
        if status is None:
            return _compared(item, "existence", Level.L4, ("present", "absent"))
        return unless_left_over(_compare(target, item, status, expect), status, plan)
    except OSError as error:
        reason = reason_of(error)
        if reason == "not_a_directory":
            return _compared(item, "existence", Level.L4, ("present", "absent"))
        return _skipped(item, reason)  # what cannot be looked at is not known to be wrong, nor to be right


def _compare(target: Target, item: PlannedItem, status: os.stat_result, expect: Expectation) -> Check:
    wanted, there = _WANTED.get(item.kind, "file"), _NAMES.get(stat.S_IFMT(status.st_mode), "special file")
    if there != wanted or item.kind in {Kind.DIRECTORY, Kind.SPECIAL}:
        return _compared(item, "existence", Level.L4, (wanted, there))
    if item.kind is Kind.SYMLINK:
        return _link(target, item, item.link if item.link is not None else expect.expected(item))
    if item.size not in {None, status.st_size}:
        return _compared(item, "size in bytes", Level.L4, (str(item.size), str(status.st_size)))
    if item.sha256 is not None:  # the manifest of the source is older than the backup, and knows more
        return _compared(
            item, "SHA-256 of content, by the manifest", Level.L5, (item.sha256, target.digest(item.parts))
        )
    expected = expect.expected(item)
    if isinstance(expected, DamagedError):
        return _skipped(item, expected.reason_code)
    return _compared(item, expect.method, Level.L5, (expected, expect.observed(target, item)))


def _link(target: Target, item: PlannedItem, text: str | DamagedError) -> Check:
    if isinstance(text, DamagedError):
        return _skipped(item, text.reason_code)
    return _compared(item, "link text", Level.L5, (shown(text), shown(target.link_text(item.parts) or "")))


def _skipped(item: PlannedItem, reason_code: str) -> Check:
    return Check(subject=item.key, method="none", level=Level.L0, observed=reason_code, result=CheckResult.SKIPPED)


def _compared(item: PlannedItem, method: str, level: Level, values: tuple[str | None, str | None]) -> Check:
    expected, observed = values
    return Check(
        subject=item.key,
        method=method,
        level=level,
        expected=expected,
        observed=observed,
        result=passed_if(expected == observed),
    )
