"""What operators do to a run from its pages: every form that changes it, each ending in a verb of the ledger.

The guards are the ledger's, as everywhere; a page adds one question of its own, the name of the environment before a
run is queued. Owns what each form does, and which page shows what came of it. Refuses to know how a form is read, and how
one comes back (`answering`).
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from starlette.responses import RedirectResponse, Response

from proofgap.access import Action
from proofgap.errors import BadInputError, NotFoundError, StaleError
from proofgap.facts import EndReason, RunEvent, RunStatus, SnapshotStatus
from proofgap.records import RunDetails, RunRecord, SnapshotRecord
from proofgap.text import check_id, shown
from proofgap_app.web.calls import Call, form_fields, read_form
from proofgap_app.web.pages import addresses, forms, overtaken, runs
from proofgap_app.web.pages.answering import Act, Sent, asked, done, scope_of_run, too_late
from proofgap_app.web.pages.frames import run_named
from proofgap_app.web.problems import Code, HttpError
from proofgap_app.web.table import Handler, Route, Scope
from proofgap_app.worker.preparing import prepare
from proofgap_store.clock import now_us

_HTML = ("text/html",)
_PRIORITY_MAX = 1000


def prepare_run(call: Call) -> Response:
    """Check and preview a run here."""
    run_id = run_named(call)
    call.ledger.peek(run_id, call.actor)
    sent = read_form(call, Sent)
    if call.settings.sign_in is not None:
        raise HttpError(Code.FORBIDDEN, "This server serves others, and reads no backups for them; a worker does.")
    call.ledger.access.demand(Action.PREPARE, scope_of_run(call, run_id), call.actor)
    try:
        prepare(call.ledger, run_id, call.actor, now_us, overwrite=bool(sent.overwrite))
    except OSError as error:
        raise BadInputError("backup", f"cannot be read: {error.strerror or error}", "Look at the blocker.") from error
    return _shown(run_id)


def queue_run(call: Call) -> Response:
    """Release a previewed plan, once the environment was typed by name."""

    def queue(run_id: str, sent: Sent) -> Response:
        call.ledger.access.demand(Action.PREPARE, scope_of_run(call, run_id), call.actor)
        return _fired(call, run_id, RunEvent.QUEUE, sent, _place_in_line(sent, scope_of_run(call, run_id)[1]))

    return done(call, Act("Not queued", Action.PREPARE, forms.queue), queue)


def _place_in_line(sent: Sent, environment: str) -> RunDetails:
    """Read the form of a queue. Raises `BadInputError`, which names the field: one of them is not as it is asked for."""
    if sent.confirm != environment:
        raise BadInputError(
            "confirm", f"is not the name of the environment, '{environment}'", "Type it as it is written."
        )
    return RunDetails(priority=_priority(sent.priority), deadline_us=runs.minute_us("deadline", sent.deadline))


def _priority(text: str) -> int | None:
    if text and not (
        text.isascii() and text.isdecimal() and len(text) <= len(str(_PRIORITY_MAX)) and int(text) <= _PRIORITY_MAX
    ):
        raise BadInputError("priority", f"'{shown(text)}' is out of range", "Use a whole number from 0 to 1000.")
    return int(text) if text else None


def approve_plan(call: Call) -> Response:
    """Approve exactly the plan that was previewed."""
    act = Act("Not approved", Action.APPROVE, forms.approve)
    return done(call, act, lambda run_id, sent: _fired(call, run_id, RunEvent.APPROVE, sent))


def reject_plan(call: Call) -> Response:
    """Say no to a plan, which ends the run."""

    def reject(run_id: str, sent: Sent) -> Response:
        call.ledger.access.demand(Action.APPROVE, scope_of_run(call, run_id), call.actor)
        return _fired(call, run_id, RunEvent.BLOCK, sent, RunDetails(end_reason=EndReason.APPROVAL_REJECTED))

    return done(call, Act("Not rejected", Action.APPROVE, forms.reject), reject)


def ask_cancel(call: Call) -> Response:
    """Ask whether a run is to be cancelled."""
    return _whether(call, Action.PREPARE, "Cancel", forms.cancel)


def cancel_run(call: Call) -> Response:
    """Cancel a run that does not execute yet; ask the worker to stop one that does."""

    def cancel(run_id: str, sent: Sent) -> Response:
        if sent.stop:
            return _stopped(call, run_id, sent)
        is_running = call.ledger.peek(run_id, call.actor).status is RunStatus.RUNNING
        return _fired(call, run_id, RunEvent.REQUEST_CANCEL if is_running else RunEvent.CANCEL, sent)

    return done(call, Act("Not cancelled", Action.PREPARE, forms.cancel), cancel)


def _stopped(call: Call, run_id: str, sent: Sent) -> Response:
    """Ask the worker to stop, whichever version was looked at: each report of a worker makes a new one, and a stop is for all.

    Raises:
        StaleError: it has ended meanwhile.

    """
    record, version = call.ledger.peek(run_id, call.actor), _version(sent)
    if record.status is not RunStatus.RUNNING:
        raise StaleError(run_id, version, record.version)
    call.ledger.fire(run_id, RunEvent.REQUEST_CANCEL, call.actor, note=_note(sent))
    return _shown(run_id)


def ask_retry(call: Call) -> Response:
    """Ask whether a run is to be tried again."""
    return _whether(call, Action.CREATE, "Retry", forms.retry)


def _whether(call: Call, asks: Action, here: str, form: Callable[[RunRecord], forms.Form | None]) -> Response:
    """Give a form to somebody who may send it; whoever may not is told so before they fill it in."""
    around = call.ledger.desk.around(run_named(call), call.actor.id)
    call.ledger.access.demand(asks, (around.record.workspace, around.record.environment), call.actor)
    return asked(call, around, here, form(around.record))


def retry_run(call: Call) -> Response:
    """Create a new run that tries again."""
    run_id = run_named(call)
    call.ledger.peek(run_id, call.actor)
    key = forms.key_of(read_form(call, Sent).once, run_id)
    return _shown(call.ledger.retry(run_id, call.actor, key=key).run_id)


def review_evidence(call: Call) -> Response:
    """Record that somebody looked at a snapshot of this run. Whoever may read none is told so, whether or not there is one."""

    def review(run_id: str, sent: Sent) -> Response:
        call.ledger.access.demand(Action.READ_EVIDENCE, scope_of_run(call, run_id), call.actor)
        around = call.ledger.desk.around(run_id, call.actor.id)
        snapshot = _snapshot(around.record, sent.snapshot)
        if snapshot.status is not SnapshotStatus.ACTIVE:
            return too_late(call, around, overtaken.of_snapshot(around.record, snapshot, sent.note))
        call.ledger.desk.review(snapshot.id, call.actor, note=_note(sent))
        page = addresses.with_query(addresses.run(run_id, "evidence"), snapshot=snapshot.id)
        return RedirectResponse(f"{page}#reviewed", HTTPStatus.SEE_OTHER)

    def form(record: RunRecord) -> forms.Form:
        return forms.review(record, _snapshot(record, form_fields(call).get("snapshot", "")))

    return done(call, Act("Not acknowledged", Action.READ_EVIDENCE, form), review)


def _snapshot(record: RunRecord, named: str) -> SnapshotRecord:
    """Give the snapshot that was sent. Raises `NotFoundError`: the run has none such."""
    wanted = check_id("snapshot", named)
    found = next((row for row in record.evidence if row.id == wanted), None)
    if found is None:
        raise NotFoundError("evidence snapshot", named)
    return found


def _fired(call: Call, run_id: str, event: RunEvent, sent: Sent, given: RunDetails = RunDetails()) -> Response:  # noqa: B008 - immutable
    """Fire an event on the version that was looked at, and lead to what came of it."""
    call.ledger.fire(run_id, event, call.actor, given=given, expected_version=_version(sent), note=_note(sent))
    return _shown(run_id)


def _version(sent: Sent) -> int:
    """Read which version was looked at. Raises `BadInputError`: it is none."""
    if not (sent.version.isascii() and sent.version.isdecimal()) or len(sent.version) > 9:  # noqa: PLR2004 - digits
        raise BadInputError("version", "is missing", "Send the form of the page as it is.")
    return int(sent.version)


def _note(sent: Sent) -> str | None:
    return sent.note.strip() or None


def _shown(run_id: str) -> Response:
    return RedirectResponse(addresses.run(run_id), HTTPStatus.SEE_OTHER)


def _post(page: str, handler: Handler, asks: tuple[Action, ...], summary: str) -> Route:
    path = f"/runs/{{run}}/{page}"
    return Route(
        method="POST", path=path, handler=handler, scope=Scope.RUN, asks=asks, summary=summary, status=HTTPStatus.SEE_OTHER,
        media=_HTML, is_page=True,
    )  # fmt: skip


def _get(page: str, handler: Handler, asks: tuple[Action, ...], summary: str) -> Route:
    path = f"/runs/{{run}}/{page}"
    return Route(method="GET", path=path, handler=handler, scope=Scope.RUN, asks=asks, summary=summary, media=_HTML, is_page=True)  # fmt: skip


ROUTES = (
    _post("prepare", prepare_run, (Action.PREPARE,), "Check and preview a run here"),
    _post("queue", queue_run, (Action.PREPARE,), "Queue a run"),
    _post("approve", approve_plan, (Action.APPROVE,), "Approve a plan"),
    _post("reject", reject_plan, (Action.APPROVE,), "Reject a plan"),
    _get("cancel", ask_cancel, (Action.PREPARE,), "Whether to cancel a run"),
    _post("cancel", cancel_run, (Action.PREPARE,), "Cancel a run"),
    _get("retry", ask_retry, (Action.CREATE,), "Whether to try a run again"),
    _post("retry", retry_run, (Action.CREATE,), "Try a run again"),
    _post("review", review_evidence, (Action.READ_EVIDENCE,), "Acknowledge evidence"),
)  # fmt: skip
