"""What the ledger takes and gives back: values, no behaviour.

Owns the public shapes of the store. Times are microseconds since 1970-01-01 UTC.
"""

from __future__ import annotations

from typing import Any

from msgspec import field

from proofgap.audit import EventType
from proofgap.decision import Decision
from proofgap.facts import Count, Struct, Viewer
from proofgap.records import RunDetails, RunRecord
from proofgap.wording import DecisionState


class NewRun(Struct):
    """A run that is to be created as a draft."""

    workspace: str = "default"
    environment: str = "local"
    is_dry_run: bool = False
    details: RunDetails = RunDetails()


class Receipt(Struct):
    """What a committed event did. The same key gives the same receipt again, marked as ``replayed``."""

    subject: str  # the run, or the evidence snapshot, that moved
    run_id: str
    event: str | None  # None: it was created
    source: str | None
    status: str
    version: int
    event_id: int
    leaf: str
    decision: Decision
    replayed: bool = False


class Shown(Struct):
    """What one person was shown of one run, and the audit event that says so.

    ``record`` holds what they may see of it: a withheld operation run or snapshot is not in it. ``note`` says why the run
    ended, in the words of whoever ended it; ``None``: it did not end, nobody said, it was erased, or they may not read the log.
    """

    record: RunRecord
    decision: Decision
    viewer: Viewer
    facts_digest: (
        str | None
    )  # of all that the decision was made from; None: some of that may be withheld from this viewer
    event_id: int
    at_us: int
    note: str | None = None
    unchanged: int = 0  # item rows of what succeeded because the target held it already
    holds_environment: bool = False  # it ended, and nobody has released its environment yet: nothing starts there


class ListedRun(Struct):
    """One row of a list."""

    record: RunRecord
    decision: Decision
    facts_digest: str  # as the event of the list names it; not to be shown to whom evidence is withheld


class Listing(Struct):
    """One page of runs, newest first; ``next`` continues after it. ``event_id`` is ``None`` when nothing was shown."""

    rows: tuple[ListedRun, ...]
    next: str | None
    event_id: int | None


class Opening(Struct):
    """What an event committed to: the value, and the salt (hex) with which it gives the commitment."""

    salt: str
    value: str


class HistoryEvent(Struct):
    """One event of a run's log, as recorded.

    ``openings`` are the values that it committed to, by path, as far as they were not erased. Of a pruned event
    ``entry`` holds its place and no word of what it said.
    """

    event_id: int
    leaf: str
    entry: dict[str, Any]
    openings: dict[str, Opening] = field(default_factory=dict)

    @property
    def is_pruned(self) -> bool:
        """Whether its payload was pruned."""
        return "pruned" in self.entry


class LoggedEvent(HistoryEvent, kw_only=True):
    """One event of the log, with its exact bytes; of a pruned one, what stands in their place."""

    payload: bytes


class LogQuery(Struct):
    """Which events to read: all that are visible, unless narrowed.

    ``since_us`` and ``until_us`` are times of recording, in microseconds since 1970-01-01 UTC: from, and before.
    ``state`` selects the events by which that decision was made or shown; ``refused`` the refused attempts.
    """

    run: str | None = None
    stream: str | None = None
    actor: str | None = None
    workspace: str | None = None
    environment: str | None = None
    types: tuple[EventType, ...] = ()
    state: DecisionState | None = None
    refused: bool = False
    since_us: Count | None = None
    until_us: Count | None = None


class LogPage(Struct):
    """How many events at most, from which end, and after which place: the ``next`` of the page before."""

    limit: int = 50
    after: str | None = None
    oldest_first: bool = False


class LogListing(Struct):
    """One page of events; ``next`` continues after it, and is ``None`` at the end."""

    events: tuple[LoggedEvent, ...]
    next: str | None


class ImportResult(Struct):
    """What an import did: runs taken in, runs that were there already, links that led nowhere."""

    imported: int
    unchanged: int
    conflicts: int


class Signing(Struct):
    """Whether the log can be signed, and how far it is.

    ``key`` names the key in force by name and id; ``key_mode`` is the mode of its file in octal. ``head_size`` is how
    many events the head file saw. What keeps the next checkpoint from being signed is in ``key_problem`` and
    ``head_problem``; ``head_conflict`` says that the head file saw another log than this one.
    """

    key: str
    key_file: str
    key_mode: str | None
    key_problem: str | None
    head_file: str
    head_size: int | None
    head_problem: str | None
    head_conflict: str | None
    unsequenced: int
    unsequenced_since_us: int | None
    checkpoint_size: int | None
    checkpoint_at_us: int | None


class Diagnosis(Struct):
    """How the ledger and its database are."""

    database: str  # its kind and version
    revision: str | None
    runs: int
    events: int
    missing_guards: tuple[str, ...]
    foreign_guards: tuple[str, ...]
    log_failures: int
    signing: Signing
    warnings: tuple[str, ...]


class DatabaseCheck(Struct):
    """What a look at the database found: parts that are missing or foreign, damaged pages, rows that point nowhere."""

    missing_guards: tuple[str, ...]
    foreign_guards: tuple[str, ...]
    damage: tuple[str, ...]
    dangling: tuple[str, ...]


class Upgraded(Struct):
    """What an upgrade did: the revisions of the schema before and after it, and how many events were there."""

    before: str
    after: str
    events: int
    unsequenced: int
