"""proofgap: tracks every restore run from draft to outcome, and never claims more recovery than evidence proves.

The core is pure: it reads no clock, no file and no database. Start with `lifecycle` (what is legal), then
`decision` (what it means). The ledger is in the package ``proofgap_store``.

Everything public is in ``__all__``; a name is imported when it is first used, so that whoever only decides does not
pay for the machines.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proofgap.access import Role as Role
    from proofgap.audit import Actor as Actor
    from proofgap.claims import FORBIDDEN_CLAIMS as FORBIDDEN_CLAIMS
    from proofgap.claims import Claim as Claim
    from proofgap.decision import RULES_VERSION as RULES_VERSION
    from proofgap.decision import Decision as Decision
    from proofgap.decision import decide as decide
    from proofgap.errors import BadInputError as BadInputError
    from proofgap.errors import ForbiddenError as ForbiddenError
    from proofgap.errors import GuardRefusedError as GuardRefusedError
    from proofgap.errors import KeyReusedError as KeyReusedError
    from proofgap.errors import NotAllowedError as NotAllowedError
    from proofgap.errors import NotFoundError as NotFoundError
    from proofgap.errors import ProofgapError as ProofgapError
    from proofgap.errors import RefusedError as RefusedError
    from proofgap.errors import StaleError as StaleError
    from proofgap.facts import Attention as Attention
    from proofgap.facts import Counts as Counts
    from proofgap.facts import EndReason as EndReason
    from proofgap.facts import Facts as Facts
    from proofgap.facts import ItemResult as ItemResult
    from proofgap.facts import OperationEvent as OperationEvent
    from proofgap.facts import OperationFacts as OperationFacts
    from proofgap.facts import OperationOutcome as OperationOutcome
    from proofgap.facts import OperationStatus as OperationStatus
    from proofgap.facts import RunEvent as RunEvent
    from proofgap.facts import RunFacts as RunFacts
    from proofgap.facts import RunStatus as RunStatus
    from proofgap.facts import SnapshotEvent as SnapshotEvent
    from proofgap.facts import SnapshotFacts as SnapshotFacts
    from proofgap.facts import SnapshotStatus as SnapshotStatus
    from proofgap.facts import Viewer as Viewer
    from proofgap.hooks import ProjectForRecord as ProjectForRecord
    from proofgap.lifecycle import EvidenceSnapshotMachine as EvidenceSnapshotMachine
    from proofgap.lifecycle import OperationRunMachine as OperationRunMachine
    from proofgap.lifecycle import RestoreRunMachine as RestoreRunMachine
    from proofgap.moves import move as move
    from proofgap.records import Check as Check
    from proofgap.records import Item as Item
    from proofgap.records import Moment as Moment
    from proofgap.records import RunDetails as RunDetails
    from proofgap.records import RunRecord as RunRecord
    from proofgap.records import SnapshotDetails as SnapshotDetails
    from proofgap.records import Step as Step
    from proofgap.wording import DecisionState as DecisionState

_PLACES = {
    "access": ("Role",),
    "audit": ("Actor",),
    "claims": ("FORBIDDEN_CLAIMS", "Claim"),
    "decision": ("RULES_VERSION", "Decision", "decide"),
    "errors": (
        "BadInputError",
        "ForbiddenError",
        "GuardRefusedError",
        "KeyReusedError",
        "NotAllowedError",
        "NotFoundError",
        "ProofgapError",
        "RefusedError",
        "StaleError",
    ),
    "facts": (
        "Attention",
        "Counts",
        "EndReason",
        "Facts",
        "ItemResult",
        "OperationEvent",
        "OperationFacts",
        "OperationOutcome",
        "OperationStatus",
        "RunEvent",
        "RunFacts",
        "RunStatus",
        "SnapshotEvent",
        "SnapshotFacts",
        "SnapshotStatus",
        "Viewer",
    ),
    "hooks": ("ProjectForRecord",),
    "lifecycle": ("EvidenceSnapshotMachine", "OperationRunMachine", "RestoreRunMachine"),
    "moves": ("move",),
    "records": ("Check", "Item", "Moment", "RunDetails", "RunRecord", "SnapshotDetails", "Step"),
    "wording": ("DecisionState",),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "FORBIDDEN_CLAIMS",
    "RULES_VERSION",
    "Actor",
    "Attention",
    "BadInputError",
    "Check",
    "Claim",
    "Counts",
    "Decision",
    "DecisionState",
    "EndReason",
    "EvidenceSnapshotMachine",
    "Facts",
    "ForbiddenError",
    "GuardRefusedError",
    "Item",
    "ItemResult",
    "KeyReusedError",
    "Moment",
    "NotAllowedError",
    "NotFoundError",
    "OperationEvent",
    "OperationFacts",
    "OperationOutcome",
    "OperationRunMachine",
    "OperationStatus",
    "ProjectForRecord",
    "ProofgapError",
    "RefusedError",
    "RestoreRunMachine",
    "Role",
    "RunDetails",
    "RunEvent",
    "RunFacts",
    "RunRecord",
    "RunStatus",
    "SnapshotDetails",
    "SnapshotEvent",
    "SnapshotFacts",
    "SnapshotStatus",
    "StaleError",
    "Step",
    "Viewer",
    "decide",
    "move",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'proofgap' has no attribute {name!r}")
    found: object = getattr(import_module(f"proofgap.{_MODULE_OF[name]}"), name)
    globals()[name] = found
    return found
