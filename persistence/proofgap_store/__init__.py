"""The ledger: where runs are kept, and the only way to change them. Start with `ledger`.

Knows SQL and transactions, and is the only part of proofgap that does.
"""

from proofgap_store.access import Access
from proofgap_store.audit import Audit
from proofgap_store.declaring import Gap, RestoredLedger
from proofgap_store.desk import Around, CheckPage, Desk, Earlier, LogPart, NumberedCheck, Review, Step
from proofgap_store.dispatching import Deliverable, RunDispatcher
from proofgap_store.durations import StayQuery, Stays
from proofgap_store.engine import RefusedByDatabaseError, UnavailableError, shown_address
from proofgap_store.exporting import Export, Manifest
from proofgap_store.feed import Feed
from proofgap_store.fleet import Fleet
from proofgap_store.fleet_shapes import (
    Beat,
    Claim,
    Drill,
    Held,
    NewDrill,
    NewWorker,
    Queue,
    Reaped,
    Ticked,
    Waiting,
    WorkerInfo,
    WorkerState,
)
from proofgap_store.following import Backlog, Following, Look, Moved, News, Reach, Tallies, Tally
from proofgap_store.formats import ExportFormat
from proofgap_store.holds import Hold, HoldOn
from proofgap_store.inline import InlineDispatcher
from proofgap_store.ledger import Ledger
from proofgap_store.maintenance import Database, upgrade
from proofgap_store.moving import MovedLedger
from proofgap_store.outside import CustodyError
from proofgap_store.procrastination import ProcrastinateDispatcher
from proofgap_store.pruning import Pruned, PruneOrder
from proofgap_store.read import Noted
from proofgap_store.reasons import Cause, Change, DecisionHistory, Why
from proofgap_store.redaction import Erasure, Redaction
from proofgap_store.replaying import Replay
from proofgap_store.roles_postgresql import RoleCheck
from proofgap_store.rotation import LogKey
from proofgap_store.schema import GuardsError
from proofgap_store.seen import Seen
from proofgap_store.sequencer import Checkpointed, UnsignedError
from proofgap_store.sessions import Sessions
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
from proofgap_store.signing_in import Entrance, Session
from proofgap_store.signing_out import OpenSession
from proofgap_store.sources import Source
from proofgap_store.tokens import Issued, NewToken, Token
from proofgap_store.verification import Anchors, Depth, Verification
from proofgap_store.verifying import verify_file
from proofgap_store.views import Page, Query
from proofgap_store.workers import WorkerLostError

__all__ = [
    "Access",
    "Anchors",
    "Around",
    "Audit",
    "Backlog",
    "Beat",
    "Cause",
    "Change",
    "CheckPage",
    "Checkpointed",
    "Claim",
    "CustodyError",
    "Database",
    "DatabaseCheck",
    "DecisionHistory",
    "Deliverable",
    "Depth",
    "Desk",
    "Diagnosis",
    "Drill",
    "Earlier",
    "Entrance",
    "Erasure",
    "Export",
    "ExportFormat",
    "Feed",
    "Fleet",
    "Following",
    "Gap",
    "GuardsError",
    "Held",
    "HistoryEvent",
    "Hold",
    "HoldOn",
    "ImportResult",
    "InlineDispatcher",
    "Issued",
    "Ledger",
    "ListedRun",
    "Listing",
    "LogKey",
    "LogListing",
    "LogPage",
    "LogPart",
    "LogQuery",
    "LoggedEvent",
    "Look",
    "Manifest",
    "Moved",
    "MovedLedger",
    "NewDrill",
    "NewRun",
    "NewToken",
    "NewWorker",
    "News",
    "Noted",
    "NumberedCheck",
    "OpenSession",
    "Opening",
    "Page",
    "ProcrastinateDispatcher",
    "PruneOrder",
    "Pruned",
    "Query",
    "Queue",
    "Reach",
    "Reaped",
    "Receipt",
    "Redaction",
    "RefusedByDatabaseError",
    "Replay",
    "RestoredLedger",
    "Review",
    "RoleCheck",
    "RunDispatcher",
    "Seen",
    "Session",
    "Sessions",
    "Shown",
    "Signing",
    "Source",
    "StayQuery",
    "Stays",
    "Step",
    "Tallies",
    "Tally",
    "Ticked",
    "Token",
    "UnavailableError",
    "UnsignedError",
    "Upgraded",
    "Verification",
    "Waiting",
    "Why",
    "WorkerInfo",
    "WorkerLostError",
    "WorkerState",
    "shown_address",
    "upgrade",
    "verify_file",
]
