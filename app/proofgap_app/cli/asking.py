"""The filters that commands over the log share, and how they become a question.

Owns the options. Refuses to know what is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from proofgap.admission import known
from proofgap.audit import EventType
from proofgap.records import microseconds
from proofgap.text import check_id
from proofgap.wording import DecisionState
from proofgap_app.cli.options import moment
from proofgap_store import LogQuery

_LATEST_US = 2**53 - 1  # of what the log can hold


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which events.

    Attributes:
        run: only events of this run.
        stream: only events of this stream, such as run/RUN or system/ledger.
        actor: only what this person or program did.
        workspace: only events of this workspace.
        environment: only events of this managed environment.
        type: only events of this type, such as restore.run.transitioned; may be given more than once.
        state: only events by which this decision was made or shown.
        refused: only refused attempts: of the machine, of a guard, or for want of a role.
        from_: only what was recorded at this time or later (RFC 3339).
        to: only what was recorded before this time (RFC 3339).

    """

    run: str | None = None
    stream: str | None = None
    actor: str | None = None
    workspace: str | None = None
    environment: str | None = None
    type: tuple[str, ...] = ()
    state: DecisionState | None = None
    refused: bool = False
    from_: Annotated[str | None, Parameter(name="--from")] = None
    to: str | None = None

    def question(self) -> LogQuery:
        """Give the question, with every word of it checked."""
        return LogQuery(
            run=_id("--run", self.run),
            stream=_id("--stream", self.stream),
            actor=_id("--actor", self.actor),
            workspace=_id("--workspace", self.workspace),
            environment=_id("--environment", self.environment),
            types=tuple(known(EventType, "--type", name) for name in self.type),
            state=self.state,
            refused=self.refused,
            since_us=time_us("--from", self.from_),
            until_us=time_us("--to", self.to),
        )


ALL = Filters()


def _id(option: str, text: str | None) -> str | None:
    return None if text is None else check_id(option, text)


def time_us(option: str, text: str | None) -> int | None:
    """Read an RFC 3339 time, in microseconds since 1970-01-01 UTC; one beyond what the log can hold is its end.

    Raises:
        BadInputError: it is none.

    """
    found = None if text is None else microseconds(moment(option, text))
    return None if found is None else min(max(found, 0), _LATEST_US)
