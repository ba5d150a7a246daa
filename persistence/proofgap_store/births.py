"""How a run comes into being: as a draft that names who asked for it, and who is behind the token where a token asked.

Owns the draft and the write of its birth. Refuses to know who may ask (`views`) and which facts a new run takes
(`proofgap.effects`).
"""

from __future__ import annotations

from msgspec.structs import replace

from proofgap.access import Action, Place
from proofgap.audit import run_stream
from proofgap.hooks import ProjectForRecord
from proofgap.moves import begin
from proofgap.records import RunRecord, draft
from proofgap_store import views
from proofgap_store.audit_log import head_of
from proofgap_store.engine import Connection
from proofgap_store.gate import Writing
from proofgap_store.read import law, maker_of
from proofgap_store.shapes import NewRun, Receipt
from proofgap_store.transitions import Call, Plan, replayed, writing

_HOOKS = ProjectForRecord()


def beginning(connection: Connection, run_id: str, new: NewRun, call: Call) -> Writing[Receipt] | Receipt:
    """Compute what begins a run for whoever asks; or give the receipt of the same call made before.

    Raises:
        NotFoundError, ForbiddenError: they may not create runs there.
        KeyReusedError: the key was used for another request.

    """
    views.permit_in(connection, Action.CREATE, Place(new.workspace, new.environment), call.actor.id)
    return replayed(connection, call) or born(connection, drafted(connection, run_id, new, call.actor.id), call)


def drafted(connection: Connection, run_id: str, new: NewRun, requested_by: str) -> RunRecord:
    """Give a run as it begins. Whoever made the token that asks is on record with it: it is not for them to approve."""
    details = replace(new.details, requested_for=maker_of(connection, requested_by))
    return draft(run_id, (new.workspace, new.environment), details, requested_by, is_dry_run=new.is_dry_run)


def born(connection: Connection, record: RunRecord, call: Call) -> Writing[Receipt]:
    """Compute what writes a new run."""
    plan = Plan(record.id, begin(record, hooks=_HOOKS))
    return writing(call, head_of(connection, run_stream(record.id)), plan, law(connection))
