"""What operators do to a run from its pages: every form that changes it, each ending in a verb of the ledger.

The guards are the ledger's, as everywhere; a page adds one question of its own, the name of the environment before a
run is queued. What was sent is read after it is known that there is such a run to be seen. Owns how these requests
are answered: with the page that shows what came of it.
"""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlencode

from msgspec.structs import asdict
from starlette.responses import RedirectResponse, Response

from proofgap.access import Action
from proofgap.errors import BadInputError, NotFoundError
from proofgap.facts import EndReason, RunEvent, RunStatus, Struct
from proofgap.records import RunDetails
from proofgap.text import check_id, shown
from proofgap_app.web.calls import Call, read_form
from proofgap_app.web.pages import addresses, forms, runs
from proofgap_app.web.pages.frames import answered, frame, run_named
from proofgap_app.web.problems import Code, HttpError
from proofgap_app.web.table import Handler, Route, Scope
from proofgap_app.worker.preparing import prepare
from proofgap_store import Around
from proofgap_store.clock import now_us

_HTML = ("text/html",)
_PRIORITY_MAX = 1000


class Sent(Struct):
    """What a form about a run sends; which of it belongs to which form, `forms` says."""

    version: str = ""
    note: str = ""
    confirm: str = ""
    priority: str = ""
    deadline: str = ""
    overwrite: str = ""
    snapshot: str = ""


def prepare_run(call: Call) -> Response:
    """Check and preview a run here."""
    run_id, sent = _sent(call)
    if call.settings.sign_in is not None:
        raise HttpError(Code.FORBIDDEN, "This server serves others, and reads no backups for them; a worker does.")
    call.ledger.access.demand(Action.PREPARE, _scope(call, run_id), call.actor)
    try:
        prepare(call.ledger, run_id, call.actor, now_us, overwrite=bool(sent.overwrite))
    except OSError as error:
        raise BadInputError("backup", f"cannot be read: {error.strerror or error}", "Look at the blocker.") from error
    return _shown(run_id)


def queue_run(call: Call) -> Response:
    """Release a previewed plan, once the environment was typed by name; what is wrong stands beside its field, and what was typed stays."""
    run_id, sent = _sent(call)
    call.ledger.access.demand(Action.PREPARE, _scope(call, run_id), call.actor)
    around = call.ledger.desk.around(run_id, call.actor.id)
    try:
        place = _place_in_line(sent, around.record.environment)
    except BadInputError as error:
        form = forms.refilled(forms.queue(around.record), asdict(sent), error)
        return _asked(call, around, "Not queued", form, HTTPStatus.UNPROCESSABLE_ENTITY)
    return _fired(call, run_id, RunEvent.QUEUE, sent, place)


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
    run_id, sent = _sent(call)
    return _fired(call, run_id, RunEvent.APPROVE, sent)


def reject_plan(call: Call) -> Response:
    """Say no to a plan, which ends the run."""
    run_id, sent = _sent(call)
    call.ledger.access.demand(Action.APPROVE, _scope(call, run_id), call.actor)
    return _fired(call, run_id, RunEvent.BLOCK, sent, RunDetails(end_reason=EndReason.APPROVAL_REJECTED))


def ask_cancel(call: Call) -> Response:
    """Ask whether a run is to be cancelled."""
    around = call.ledger.desk.around(run_named(call), call.actor.id)
    return _asked(call, around, "Cancel", forms.cancel(around.record))


def cancel_run(call: Call) -> Response:
    """Cancel a run that does not execute yet; ask the worker to stop one that does."""
    run_id, sent = _sent(call)
    is_running = call.ledger.peek(run_id, call.actor).status is RunStatus.RUNNING
    return _fired(call, run_id, RunEvent.REQUEST_CANCEL if is_running else RunEvent.CANCEL, sent)


def ask_retry(call: Call) -> Response:
    """Ask whether a run is to be tried again."""
    around = call.ledger.desk.around(run_named(call), call.actor.id)
    return _asked(call, around, "Retry", forms.retry(around.record))


def retry_run(call: Call) -> Response:
    """Create a new run that tries again."""
    return _shown(call.ledger.retry(run_named(call), call.actor).run_id)


def review_evidence(call: Call) -> Response:
    """Record that somebody looked at a snapshot of this run. Whoever may read none is told so, whether or not there is one."""
    run_id, sent = _sent(call)
    call.ledger.access.demand(Action.READ_EVIDENCE, _scope(call, run_id), call.actor)
    named = check_id("snapshot", sent.snapshot)
    if named not in {row.id for row in call.ledger.peek(run_id, call.actor).evidence}:
        raise NotFoundError("evidence snapshot", named)
    call.ledger.desk.review(named, call.actor, note=sent.note.strip() or None)
    where = addresses.run(run_id, "evidence")
    return RedirectResponse(f"{where}?{urlencode({'snapshot': sent.snapshot})}", HTTPStatus.SEE_OTHER)


def _asked(
    call: Call, around: Around, here: str, form: forms.Form | None, status: HTTPStatus = HTTPStatus.OK
) -> Response:
    record = around.record
    top = frame(call, around.roles, (record.workspace, record.environment))
    return answered("asking.html", status, frame=top, run_id=record.id, here=here, form=form)


def _sent(call: Call) -> tuple[str, Sent]:
    """Give the run, which this person sees, and what they sent about it."""
    run_id = run_named(call)
    call.ledger.peek(run_id, call.actor)
    return run_id, read_form(call, Sent)


def _scope(call: Call, run_id: str) -> tuple[str, str]:
    record = call.ledger.peek(run_id, call.actor)
    return record.workspace, record.environment


def _fired(call: Call, run_id: str, event: RunEvent, sent: Sent, given: RunDetails = RunDetails()) -> Response:  # noqa: B008 - immutable
    """Fire an event on the version that was looked at, and lead to what came of it."""
    if not (sent.version.isascii() and sent.version.isdecimal()) or len(sent.version) > 9:  # noqa: PLR2004 - digits
        raise BadInputError("version", "is missing", "Send the form of the page as it is.")
    call.ledger.fire(
        run_id, event, call.actor, given=given, expected_version=int(sent.version), note=sent.note.strip() or None
    )
    return _shown(run_id)


def _shown(run_id: str) -> Response:
    return RedirectResponse(addresses.run(run_id), HTTPStatus.SEE_OTHER)


def _post(page: str, handler: Handler, asks: tuple[Action, ...], summary: str) -> Route:
    path = f"/runs/{{run}}/{page}"
    return Route(
        method="POST", path=path, handler=handler, scope=Scope.RUN, asks=asks, summary=summary, status=HTTPStatus.SEE_OTHER,
        media=_HTML, is_page=True,
    )  # fmt: skip


def _get(page: str, handler: Handler, summary: str) -> Route:
    path = f"/runs/{{run}}/{page}"
    return Route(method="GET", path=path, handler=handler, scope=Scope.RUN, asks=(Action.VIEW,), summary=summary, media=_HTML, is_page=True)  # fmt: skip


ROUTES = (
    _post("prepare", prepare_run, (Action.PREPARE,), "Check and preview a run here"),
    _post("queue", queue_run, (Action.PREPARE,), "Queue a run"),
    _post("approve", approve_plan, (Action.APPROVE,), "Approve a plan"),
    _post("reject", reject_plan, (Action.APPROVE,), "Reject a plan"),
    _get("cancel", ask_cancel, "Whether to cancel a run"),
    _post("cancel", cancel_run, (Action.PREPARE,), "Cancel a run"),
    _get("retry", ask_retry, "Whether to try a run again"),
    _post("retry", retry_run, (Action.CREATE,), "Try a run again"),
    _post("review", review_evidence, (Action.READ_EVIDENCE,), "Acknowledge evidence"),
)  # fmt: skip
