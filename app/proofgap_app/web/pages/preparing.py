"""What was previewed, and how far a run is prepared: the pages before anything is executed.

Pure functions from what the ledger shows. Refuses to know whether a run may be queued: the machine says so when asked.
"""

from __future__ import annotations

from proofgap.access import Action
from proofgap.facts import TERMINAL_RUN_STATUSES, RunStatus
from proofgap.records import PreviewFacts, RunRecord
from proofgap_app.web.pages import addresses, words
from proofgap_app.web.pages.about import About, Link, Section, Table, pairs

_ORDER = ("draft", "scoped", "checked", "previewed")
_PREPARING = frozenset({RunStatus.DRAFT, RunStatus.SCOPED, RunStatus.CHECKED, RunStatus.PREVIEWED})
_STEPS = (
    ("scoped", "Choose what is restored into what"),
    ("checked", "Look at backup and target, make a plan"),
    ("previewed", "Show what the plan would do; nothing is written"),
)


def preview(record: RunRecord, now_us: int) -> About:
    """Say what the plan would do, for how long that may be acted on, who approved it, and where it is made anew."""
    details, shown = record.details, record.details.preview or PreviewFacts()
    would = pairs(
        {
            "Would be created": _count(shown.created),
            "Would be overwritten": _count(shown.overwritten),
            "Would not be restored": _count(shown.skipped),
            "Depth": {
                "data": "every byte of the backup was read",
                "metadata": "listings were read, contents were not",
            }.get(shown.depth or "", shown.depth),
            "May be acted on until": _until(record, now_us),
            "Plan": shown.plan_digest,
            "Approved by": ", ".join(approval.by for approval in details.approvals)
            or (None if record.imported else "nobody"),
            "Approvals needed": None if record.imported else record.approvals_required,
        }
    )
    made = "This is what the plan would do. A preview writes nothing, and proves nothing about the environment."
    parts = (
        Section("What the plan would do", would, ("No preview is recorded." if details.preview is None else made,)),
        Section("What would be restored", _wanted(record), links=_ways_on(record)),
    )
    return About(record.id, "Preview", "Preview", parts)


def _until(record: RunRecord, now_us: int) -> str | None:
    """Say until when a preview may be acted on; ``None``: there is none, or nobody here set an end."""
    shown = record.details.preview
    if shown is None or shown.expires_at_us is None:
        return None if shown is None or record.imported else "no end was set"
    is_over = record.status is RunStatus.PREVIEWED and shown.expires_at_us <= now_us
    return words.moment(shown.expires_at_us) + (": that is over, and it is to be previewed again" if is_over else "")


def _ways_on(record: RunRecord) -> tuple[Link, ...]:
    """Lead to where the preview is made, or made anew, and from a dry run to the restore that it was tried for."""
    label = "Preview again" if record.status is RunStatus.PREVIEWED else "Make the preview"
    may_move = record.status in _PREPARING and not record.imported
    made = (Link(label, addresses.run(record.id, "preparation"), Action.PREPARE),) if may_move else ()
    real = (Link("New run that restores the same", addresses.new_like(record.id), Action.CREATE),)
    return (*made, *(real if record.is_dry_run else ()))


def preparation(record: RunRecord) -> About:
    """Say which steps of the preparation are done, and how to go on."""
    table = Table(
        ("Step", "What it is", "State"),
        tuple((words.sentence(name), what, _state(record, name)) for name, what in _STEPS),
    )
    parts = (
        Section("What is to be restored", _wanted(record)),
        Section("Steps", table=table),
        Section(
            "How to go on",
            notes=_notes(record),
            commands=_commands(record),
            links=_ways(record),
        ),
    )
    return About(record.id, "Preparation", "Preparation", parts)


def _state(record: RunRecord, step: str) -> str:
    """Say whether a step is done, as far as it is recorded: a run may be cancelled at any of them, and an import tells none."""
    if record.imported or record.status is RunStatus.CANCELLED:
        return words.NOT_REPORTED
    reached = _ORDER.index(record.status) if record.status in _ORDER else len(_ORDER)
    return "done" if _ORDER.index(step) <= reached else "to do"


def _ways(record: RunRecord) -> tuple[Link, ...]:
    if record.imported or record.status in TERMINAL_RUN_STATUSES:
        return (Link("Retry as a new run", addresses.run(record.id, "retry"), Action.CREATE),)
    return (Link("Cancel this run", addresses.run(record.id, "cancel"), Action.PREPARE),)


def _wanted(record: RunRecord) -> tuple[tuple[str, str], ...]:
    details = record.details
    return pairs(
        {
            "Backup": details.backup,
            "Target": details.target,
            "Environment": f"{record.workspace}, {record.environment}",
            "Tool": details.driver,
            "Only": ", ".join(details.select) or (None if record.imported else "everything"),
            "What exists and differs": None
            if record.imported
            else "is overwritten"
            if details.overwrite
            else "is left as it is",
            "Items selected": _count(details.selected),
            "Backup is known to be": details.source_completeness,
            "Kind": "dry run: nothing is ever written" if record.is_dry_run else "restore",
            "Requested by": details.requested_by,
            **({} if details.requested_for is None else {"By a token of": details.requested_for}),
            **({"Prepared by": ", ".join(details.prepared_by)} if details.prepared_by else {}),
            **({"Prepared by a token of": ", ".join(details.prepared_for)} if details.prepared_for else {}),
        }
    ) + _stated(record)


def _stated(record: RunRecord) -> tuple[tuple[str, str], ...]:
    """Give what few runs need, where it is stated."""
    details = record.details
    found = {
        "Purpose": details.purpose,
        "Manifest": details.manifest,
        "Options": ", ".join(details.options),
        "Password file": details.password_file,
    }
    return tuple((name, value) for name, value in found.items() if value)


def _count(number: int | None) -> str:
    return words.known(number)


def _notes(record: RunRecord) -> tuple[str, ...]:
    if record.imported:
        return ("This record was imported from another system, and never moves here. Retry it as a new run.",)
    return ("Backup and target are looked at, and the preview is made, where the backup can be read.",)


def _commands(record: RunRecord) -> tuple[str, ...]:
    if record.imported:
        return ()
    if None not in (record.details.backup, record.details.target) and record.status in _PREPARING:
        return (f"proofgap run prepare {record.id}",)
    following = {
        RunStatus.DRAFT: f"proofgap run scope {record.id} --backup BACKUP --into TARGET",
        RunStatus.SCOPED: f"proofgap run check {record.id} --plan-digest DIGEST --selected NUMBER",
        RunStatus.CHECKED: f"proofgap run preview {record.id} --created NUMBER",
    }
    return (following[record.status],) if record.status in following else ()
