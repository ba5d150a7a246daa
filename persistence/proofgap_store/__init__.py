"""The ledger: where runs are kept, and the only way to change them. Start with `ledger`.

Knows SQL and transactions, and is the only part of proofgap that does.
"""

from proofgap_store.access import Access
from proofgap_store.audit import Audit
from proofgap_store.declaring import Gap, RestoredLedger
from proofgap_store.durations import StayQuery, Stays
from proofgap_store.engine import RefusedByDatabaseError, UnavailableError, shown_address
from proofgap_store.exporting import Export, Manifest
from proofgap_store.formats import ExportFormat
from proofgap_store.holds import Hold, HoldOn
from proofgap_store.ledger import Ledger
from proofgap_store.maintenance import Database, upgrade
from proofgap_store.moving import Moved
from proofgap_store.outside import CustodyError
from proofgap_store.pruning import Pruned, PruneOrder
from proofgap_store.reasons import Cause, Change, Why
from proofgap_store.redaction import Erasure, Redaction
from proofgap_store.replaying import Replay
from proofgap_store.roles_postgresql import RoleCheck
from proofgap_store.rotation import LogKey
from proofgap_store.schema import GuardsError
from proofgap_store.seen import Seen
from proofgap_store.sequencer import Checkpointed, UnsignedError
from proofgap_store.shapes import (
    DatabaseCheck,
    Diagnosis,
    HistoryEvent,
    ImportResult,
    ListedRun,
    Listing,
    LoggedEvent,
    LogListing,
    LogPage,
    LogQuery,
    NewRun,
    Opening,
    Receipt,
    Shown,
    Signing,
    Upgraded,
)
from proofgap_store.verification import Anchors, Depth, Verification
from proofgap_store.verifying import verify_file
from proofgap_store.views import Page, Query

__all__ = [
    "Access",
    "Anchors",
    "Audit",
    "Cause",
    "Change",
    "Checkpointed",
    "CustodyError",
    "Database",
    "DatabaseCheck",
    "Depth",
    "Diagnosis",
    "Erasure",
    "Export",
    "ExportFormat",
    "Gap",
    "GuardsError",
    "HistoryEvent",
    "Hold",
    "HoldOn",
    "ImportResult",
    "Ledger",
    "ListedRun",
    "Listing",
    "LogKey",
    "LogListing",
    "LogPage",
    "LogQuery",
    "LoggedEvent",
    "Manifest",
    "Moved",
    "NewRun",
    "Opening",
    "Page",
    "PruneOrder",
    "Pruned",
    "Query",
    "Receipt",
    "Redaction",
    "RefusedByDatabaseError",
    "Replay",
    "RestoredLedger",
    "RoleCheck",
    "Seen",
    "Shown",
    "Signing",
    "StayQuery",
    "Stays",
    "UnavailableError",
    "UnsignedError",
    "Upgraded",
    "Verification",
    "Why",
    "shown_address",
    "upgrade",
    "verify_file",
]
