"""What an end reason means to the person who reads it, and what to do about it: the words, no logic.

Refuses to know when a reason holds (`proofgap.outcome`, `proofgap.lifecycle`).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

from proofgap.facts import EndReason


class Meaning(NamedTuple):
    """What happened, and what to do now."""

    what: str
    remedy: str


MEANINGS = MappingProxyType(
    {
        EndReason.VALIDATION: Meaning(
            "The request or the backup is not valid, or the plan is not the one that was previewed.",
            "Correct what the note names, then retry as a new run.",
        ),
        EndReason.EMPTY_SELECTION: Meaning(
            "Nothing was selected, and the plan does not say that this is right.", "Retry with a wider selection."
        ),
        EndReason.APPROVAL_REJECTED: Meaning(
            "Somebody who was asked to approve this restore said no.",
            "Talk to whoever said no before you retry; the log names them.",
        ),
        EndReason.PREVIEW_EXPIRED: Meaning(
            "The preview was too old to act on.", "Retry as a new run, and queue it while its preview is current."
        ),
        EndReason.TARGET_BUSY: Meaning(
            "Another restore holds the target.", "Wait until that restore has ended, then retry as a new run."
        ),
        EndReason.TARGET_CHANGED: Meaning(
            "The target is not what the preview showed.", "Find out who writes to it, then retry as a new run."
        ),
        EndReason.SOURCE_INCOMPLETE: Meaning(
            "The backup is known to be incomplete, or cannot be read.",
            "Choose another backup; what is missing here cannot be restored from this one.",
        ),
        EndReason.NOTHING_APPLIED: Meaning(
            "Nothing was selected, or nothing was written.", "Look at the item outcomes for why, then retry."
        ),
        EndReason.TOOL_ABORTED: Meaning(
            "The tool stopped before its end. Some of what was requested may have been written.",
            "Look at its last messages and at the target before you retry.",
        ),
        EndReason.WORKER_LOST: Meaning(
            "The worker vanished, or was stopped by a signal that nobody asked for. How far it came is not known.",
            "Look at the target before you retry: it may be half written.",
        ),
        EndReason.CANCEL_REQUESTED: Meaning(
            "Somebody asked to stop it.", "Retry as a new run when it is wanted again."
        ),
    }
)
"""Every end reason with its meaning."""

OUTCOME_RULES = MappingProxyType(
    {
        1: "the lease was lost, or a signal came that nobody asked for",
        2: "somebody asked to stop, and the tool stopped early",
        3: "nothing was selected",
        4: "the tool stopped before its end",
        5: "nothing was applied, and that is proven",
        6: "selected items failed or were not wholly applied, or that cannot be excluded",
        7: "all items were applied, yet errors were reported",
        8: "the tool reached its end, and the counts agree with the plan",
        9: "the tool reached its end, and the counts are not known",
        10: "the tool reached its end, and the counts contradict the plan",
    }
)
"""The ten outcome rules in words, by their numbers."""
