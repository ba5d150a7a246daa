"""From checks to a report: what the comparison found, and the digest that seals it.

Owns the arithmetic of evidence. Refuses to know how a check was made.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import msgspec

from proofgap.records import Check, CheckResult, SnapshotDetails, Verdict
from proofgap_app.drivers.base import EvidenceReport


def passed_if(equal: bool) -> CheckResult:  # noqa: FBT001 - the verdict is the value passed through
    """Turn a comparison into a result."""
    return CheckResult.PASSED if equal else CheckResult.FAILED


def report_on(
    checks: Sequence[Check], *, subjects_checked: int, expected_empty: bool, method: str, producer: str
) -> EvidenceReport:
    """Say what the checks found. ``subjects_checked`` counts what was compared in the target, not what should have been."""
    numbers = Counter(check.result for check in checks)
    found = SnapshotDetails(
        verdict=_verdict(numbers, subjects_checked=subjects_checked, expected_empty=expected_empty),
        subjects_checked=subjects_checked,
        expected_empty=expected_empty,
        producer=producer,
        method=method,
        content_sha256=canonical_sha256(checks),
    )
    return EvidenceReport(found, tuple(checks))


def canonical_sha256(value: object) -> str:
    """Give the SHA-256 of a value as JSON with sorted keys: the same for the same value, in every process."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()


def _verdict(numbers: Counter[CheckResult], *, subjects_checked: int, expected_empty: bool) -> Verdict:
    if numbers[CheckResult.FAILED]:
        return Verdict.MISMATCH
    nothing_compared = subjects_checked == 0 and not expected_empty
    return Verdict.INCONCLUSIVE if numbers[CheckResult.SKIPPED] or nothing_compared else Verdict.MATCH
