"""The words an operator reads for each decision state: data, no logic.

Owns the seven states and their exact strings. Refuses to know which state holds (`decision`).
Source: restore result state contract, "State Matrix", and ``docs/decision-rules.md``.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class DecisionState(StrEnum):
    """What an operator is told about a restore run."""

    NOT_EXECUTED = "not_executed"
    IN_PROGRESS = "in_progress"
    COMPLETED_PROOF_INCOMPLETE = "completed_proof_incomplete"
    COMPLETED_WITH_EVIDENCE = "completed_with_evidence"
    NEEDS_REVIEW = "needs_review"
    FAILED = "failed"
    BLOCKED_OR_CANCELLED = "blocked_or_cancelled"


class Availability(StrEnum):
    """Whether a proof or an evidence snapshot can be opened."""

    AVAILABLE = "available"
    IN_PROGRESS = "in_progress"
    UNAVAILABLE = "unavailable"


class Wording(NamedTuple):
    """The fixed strings of one decision state."""

    status: str
    reason: str
    impact: str
    next_action: str
    next_action_otherwise: str  # when the thing that the next action opens does not exist (for this viewer)
    without_counts: str


AVAILABILITY_LABELS = MappingProxyType(
    {
        Availability.AVAILABLE: "Available",
        Availability.IN_PROGRESS: "In progress",
        Availability.UNAVAILABLE: "Unavailable",
    }
)
METADATA_ONLY = "metadata-only"
SO_FAR = "so far"
AT_LEAST = "at least"
COLLAPSED = "collapsed"

WORDING = MappingProxyType(
    {
        DecisionState.NOT_EXECUTED: Wording(
            status="Not executed",
            reason="This record proves preview truth, not environment recovery.",
            impact="No execution proof or post-run evidence exists yet.",
            next_action="Review preview",
            next_action_otherwise="Continue preparation",
            without_counts="Result summary unavailable",
        ),
        DecisionState.IN_PROGRESS: Wording(
            status="Execution in progress",
            reason="Restore execution is currently running.",
            impact="Results and evidence are not final yet.",
            next_action="View operation progress",
            next_action_otherwise="View operation progress",
            without_counts="In progress",
        ),
        DecisionState.COMPLETED_PROOF_INCOMPLETE: Wording(
            status="Completed, recovery proof incomplete",
            reason="Execution completed, but post-run evidence is not available yet.",
            impact="Do not treat this restore as verified recovery until evidence has been reviewed.",
            next_action="Open operation proof",
            next_action_otherwise="Review proof gap",
            without_counts="Result summary unavailable",
        ),
        DecisionState.COMPLETED_WITH_EVIDENCE: Wording(
            status="Completed with evidence available",
            reason="Execution proof and post-run evidence are available.",
            impact="Review evidence before treating the restore as recovery proof.",
            next_action="Open evidence",
            next_action_otherwise="Open evidence",
            without_counts="Result summary unavailable",
        ),
        DecisionState.NEEDS_REVIEW: Wording(
            status="Completed with items needing review",
            reason="Some items were skipped, partially applied, or failed.",
            impact="Review item outcomes before relying on the result.",
            next_action="Review item outcomes",
            next_action_otherwise="Review item outcomes",
            without_counts="Result summary unavailable",
        ),
        DecisionState.FAILED: Wording(
            status="Restore failed",
            reason="The restore did not complete successfully.",
            impact="Some requested changes may not have been applied.",
            next_action="Review failure details",
            next_action_otherwise="Review failure details",
            without_counts="Failure details required",
        ),
        DecisionState.BLOCKED_OR_CANCELLED: Wording(
            status="Restore blocked / cancelled",
            reason="Restore did not execute due to cancellation or blocker.",
            impact="No recovery proof exists.",
            next_action="Review blocker",
            next_action_otherwise="Review blocker",
            without_counts="Unavailable",
        ),
    }
)
