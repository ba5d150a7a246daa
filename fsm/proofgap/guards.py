"""Why each guard says no, and what to do about it: the words, no logic.

Owns what a refused worker reads. Refuses to know when a guard says no (`lifecycle`).
"""

from __future__ import annotations

from types import MappingProxyType

RUN_GUARDS = MappingProxyType(
    {
        "approver_is_somebody_else": "whoever asked for a restore cannot approve it, nor whoever made the token that asked, nor whoever prepared its plan or made the token that did, and nobody approves twice; let a second person approve",
        "preview_names_a_plan": "the preview names no plan, so there is nothing to approve; check and preview with its plan_digest",
        "is_not_a_dry_run": "a dry run is never executed; create a run that is none",
        "preview_is_current": "the preview has expired; preview again",
        "plan_is_unchanged": "the plan is not the one that was previewed; preview again",
        "target_is_unchanged": "the target changed since the preview; check and preview again",
        "selection_is_not_empty": "nothing is selected; change the scope, or block the run",
        "is_approved": "approvals by other people are missing; let them approve this plan",
        "nothing_is_known_to_be_unapplied": "items are known to have failed or not to have been applied; use complete_partially",
        "nothing_contradicts_completion": "its exit code, end reason or counts contradict a completion; use complete_with_errors, complete_partially or fail",
        "nothing_was_written": "it is not proven that nothing was written",
        "reason_is_given": "a block needs its reason; hand in end_reason",
    }
)

EVIDENCE_GUARDS = MappingProxyType(
    {
        "subjects_were_checked": "evidence needs at least one checked subject, or a plan that expected emptiness; hand in subjects_checked",
        "is_the_latest": "a snapshot captured later is already active",
    }
)
