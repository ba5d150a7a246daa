"""Fencing: a worker proves with every write that the run is still its own.

Theory. When a worker claims a run, the ``start`` event keeps the SHA-256 of a token that only this worker knows. Nobody
else can write what happens to the run; and once the run was taken from a worker that was silent for too long, neither
can that worker, should it wake up. What it tries is refused, and the refusal is in the log.

Owns the comparison. Refuses to know leases (`workers`) and who takes a run away (`reaping`).
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from secrets import token_urlsafe

from proofgap.access import Action, action_of
from proofgap.errors import FencedError
from proofgap.facts import RunEvent, RunStatus
from proofgap.records import RunRecord
from proofgap.text import check_id

_TOKEN_BYTES = 16


def new_token() -> str:
    """Give a fencing token: 128 random bits."""
    return token_urlsafe(_TOKEN_BYTES)


def claim_of(token: str) -> str:
    """Give what the log keeps of a token: its SHA-256, in hex.

    Raises:
        BadInputError: it is no text that could be one.

    """
    return sha256(check_id("token", token).encode()).hexdigest()


def demand_token(record: RunRecord, event: str, token: str | None) -> None:
    """Let a write through that comes with the token of the run's claim, or that needs none.

    Needs one: whatever only the executing worker may say of a run that was claimed. Evidence may come from others,
    without a token; from the worker that executed, it comes with it.

    Raises:
        FencedError: the token is missing, is another one, or the run was taken from the worker.

    """
    claim = record.details.claim
    if token is None:
        if claim is not None and _is_executing(record, event):
            raise FencedError(event, record.status, "a worker has claimed it, and its fencing token is missing")
        return
    if claim is None or not hmac.compare_digest(claim, claim_of(token)):
        raise FencedError(event, record.status, "the fencing token is not that of its claim")
    if record.details.holds_environment:
        raise FencedError(event, record.status, "it was taken from its worker, whose lease had run out")


def _is_executing(record: RunRecord, event: str) -> bool:
    is_event = record.status is RunStatus.RUNNING and event in set(RunEvent)
    return is_event and action_of(RunEvent(event), record.status) is Action.EXECUTE
