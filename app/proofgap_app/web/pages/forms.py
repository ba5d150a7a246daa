"""What can be done from a page, as forms: what is asked, what is typed, and under which words it is sent.

Which forms stand on a page follows from the run and from the roles of whoever looks; whether it is allowed is the
ledger's to say, when the form is sent. Refuses to carry anything out (`acting`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from secrets import token_urlsafe
from typing import NamedTuple

from proofgap.access import MAY, Action
from proofgap.audit import digest
from proofgap.errors import BadInputError
from proofgap.facts import TERMINAL_RUN_STATUSES, RunStatus
from proofgap.records import RunRecord, SnapshotRecord
from proofgap_app.web.pages import addresses, words
from proofgap_app.web.pages.sheet import approvals_missing
from proofgap_store import Around

_PREPARING = frozenset({RunStatus.DRAFT, RunStatus.SCOPED, RunStatus.CHECKED, RunStatus.PREVIEWED})


class Field(NamedTuple):
    """One thing that is asked; ``fault`` says what is wrong with what was sent.

    ``kind`` is ``text``, ``lines``, ``check``, ``checked``, ``hidden``, or a kind that HTML has for an input.
    """

    name: str
    label: str = ""
    kind: str = "text"
    value: str = ""
    help: str = ""
    is_needed: bool = False
    fault: str = ""


class Form(NamedTuple):
    """A form: where it is sent, what it does, and under which words; ``fault`` says why it was not done."""

    title: str
    action: str
    button: str
    fields: tuple[Field, ...] = ()
    notes: tuple[str, ...] = ()
    fault: str = ""


_NOTE = Field("note", "Why, in your words", help="It can be erased later: the log holds a commitment to it only.")


ONCE = "once"
"""The name of a field that no two pages have alike: what makes a run is sent twice by whoever clicks twice, and done once."""


def once(value: str = "") -> Field:
    """Give that field, for a new page or for one that comes back."""
    return Field(ONCE, kind="hidden", value=value or token_urlsafe())


def key_of(value: str, wanted: object) -> str | None:
    """Give the idempotency key of what was wanted on a page, by what that field held; ``None``: there was none."""
    return digest({"once": value, "wanted": wanted}) if value else None


def _version(record: RunRecord) -> Field:
    return Field("version", kind="hidden", value=str(record.version))


def of_preview(around: Around) -> Iterator[Form]:
    """Give what can be done with a preview: queue it, and say yes or no to it where others must."""
    record, roles = around.record, around.roles
    if record.status is not RunStatus.PREVIEWED or record.is_dry_run or record.imported:
        return
    if roles & MAY[Action.APPROVE] and record.approvals_required:
        yield approve(record)
        yield reject(record)
    if roles & MAY[Action.PREPARE]:
        yield queue(record)


def queue(record: RunRecord) -> Form:
    """Ask to release the previewed plan for execution, and for the environment by its name."""
    missing = approvals_missing(record)
    waits = (f"{words.amount(missing, 'approval')} by other people still missing.",) if missing else ()
    confirm = Field("confirm", f"Type the environment's name, {record.environment}, to confirm", is_needed=True)
    notes = ("A worker executes exactly this plan, and writes into the target.", *waits)
    fields = (_version(record), confirm, *_place_in_line(record))
    return Form("Queue this run", addresses.run(record.id, "queue"), "Queue", fields, notes)


def _place_in_line(record: RunRecord) -> Iterator[Field]:
    """Ask for the place of a run among those that wait; what is stated already stays, unless another one is."""
    priority, deadline_us = record.details.priority, record.details.deadline_us
    stated = "" if priority is None else f" It is {priority} unless you say another."
    yield Field("priority", "Priority", "number", help=f"From 0 to 1000: the higher one first, 0 without any.{stated}")
    until = "" if deadline_us is None else f" It is {words.minute(deadline_us)} unless you say another."
    ends = "By when it must have ended: a run that still waits is blocked then, one that executes is asked to stop."
    yield Field("deadline", "Deadline, in UTC", "datetime-local", help=f"{ends}{until}")


def said(error: BadInputError) -> str:
    """Write what is wrong and what to do, as it stands beside the field."""
    return words.sentence(f"{error.problem}. {error.remedy}")


def refilled(form: Form, sent: Mapping[str, str], faults: Mapping[str, str]) -> Form:
    """Give a form with what was sent in its fields, and what is wrong: beside a field, or (without a name) above them all."""
    fields = (field._replace(value=sent.get(field.name, ""), fault=faults.get(field.name, "")) for field in form.fields)
    return form._replace(fields=tuple(fields), fault=faults.get("", ""))


def asked_in(form: Form) -> frozenset[str]:
    """Give the names of the fields of a form that people see."""
    return frozenset(field.name for field in form.fields if field.kind != "hidden")


def approve(record: RunRecord) -> Form:
    """Ask for a second person's yes to exactly this plan."""
    notes = (
        "You say yes to exactly the plan above.",
        "Whoever asked for the run or prepared the plan cannot, nor whoever made the token that did.",
    )
    return Form("Approve this plan", addresses.run(record.id, "approve"), "Approve", (_version(record),), notes)


def reject(record: RunRecord) -> Form:
    """Ask for a second person's no, which ends the run."""
    notes = ("The run ends, and is not executed.",)
    return Form("Reject this plan", addresses.run(record.id, "reject"), "Reject", (_version(record), _NOTE), notes)


def of_preparation(around: Around, *, is_local: bool) -> Iterator[Form]:
    """Give the form that makes the preview here, where this server may read backups for whoever asks."""
    record = around.record
    if record.status not in _PREPARING or record.imported or not around.roles & MAY[Action.PREPARE] or not is_local:
        return
    kind = "checked" if record.details.overwrite else "check"
    overwrite = Field("overwrite", "Replace what exists in the target and differs", kind=kind, value="yes")
    notes = ("Backup and target are read by this server; nothing is written. A large backup takes a while.",)
    yield Form("Make the preview here", addresses.run(record.id, "prepare"), "Check and preview", (overwrite,), notes)


def cancel(record: RunRecord) -> Form | None:
    """Ask to cancel a run that does not execute yet, or its worker to stop; ``None``: it has ended, or never moves."""
    if record.status in TERMINAL_RUN_STATUSES or record.imported:
        return None
    is_running = record.status is RunStatus.RUNNING
    title = "Ask the worker to stop" if is_running else "Cancel this run"
    by = record.details.cancel_requested_by
    asked = () if by is None else (f"{by} asked already, and it executes still.",)
    notes = ("What was written by then stays written." if is_running else "The run ends, and is not executed.", *asked)
    stop = (Field("stop", kind="hidden", value="yes"),) if is_running else ()
    return Form(title, addresses.run(record.id, "cancel"), title, (_version(record), *stop, _NOTE), notes)


def retry(record: RunRecord) -> Form:
    """Ask for a new run that tries again."""
    notes = ("A new draft is made of the same backup, target and selection. This run stays as it is.",)
    return Form("Retry as a new run", addresses.run(record.id, "retry"), "Retry", (once(),), notes)


def review(record: RunRecord, snapshot: SnapshotRecord) -> Form:
    """Ask somebody to say that they looked at a snapshot."""
    fields = (Field("snapshot", kind="hidden", value=snapshot.id), _NOTE._replace(label="What you say of it"))
    notes = ("It is recorded that you looked at it, and when. It changes no decision, and claims nothing.",)
    return Form("Acknowledge this evidence", addresses.run(record.id, "review"), "I have reviewed it", fields, notes)
