"""Traces: what a request, a transition of the ledger and a step of a restore took, and where it belongs.

Off, unless somebody says by what (`collector`). A span says ids, names of the machine and how it ended: never what is in
a request, in a run's details or in an item, and of an error its class only. Owns the switch, and what is said of a
transition. Refuses to know the library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from proofgap.errors import RefusedError
from proofgap_store import Receipt
from proofgap_store.tracing import Act, Attempted, Tracer

Attributes = Mapping[str, str | int | bool]


class Span(Protocol):
    """Something that takes time, while it does."""

    def tell(self, attributes: Attributes) -> None:
        """Say more of it."""
        ...

    def rename(self, name: str) -> None:
        """Give it the name that was not known when it began."""
        ...

    def fail(self, kind: str) -> None:
        """Say that it went wrong, and by which kind of error."""
        ...


class Spans(Protocol):
    """What makes spans."""

    def span(
        self, name: str, attributes: Attributes, carrier: Mapping[str, str] | None
    ) -> AbstractContextManager[Span]:
        """Begin a span below the one that is under way; with a carrier, below whatever its headers name."""
        ...

    def ids(self) -> dict[str, str]:
        """Name the span that is under way: ``trace_id`` and ``span_id``, or nothing."""
        ...


class Nothing:
    """The span of what is not traced."""

    def tell(self, attributes: Attributes) -> None:
        """Hear nothing."""

    def rename(self, name: str) -> None:
        """Keep no name."""

    def fail(self, kind: str) -> None:
        """Keep no failure."""


class _Switch:
    """Whether this process traces, and by what."""

    spans: Spans | None = None


_SWITCH = _Switch()
_NOT_TRACED: AbstractContextManager[Span] = nullcontext(Nothing())


def is_on() -> bool:
    """Tell whether this process traces."""
    return _SWITCH.spans is not None


def span(name: str, attributes: Attributes, carrier: Mapping[str, str] | None = None) -> AbstractContextManager[Span]:
    """Trace a block, where anything is traced."""
    return _NOT_TRACED if _SWITCH.spans is None else _SWITCH.spans.span(name, attributes, carrier)


def ids() -> dict[str, str]:
    """Name the span that is under way, for log lines; nothing, where there is none."""
    return {} if _SWITCH.spans is None else _SWITCH.spans.ids()


def tracer() -> Tracer | None:
    """Give what the ledger is to call around each transition; ``None``, where nothing is traced."""
    return transition if is_on() else None


def transition(attempted: Attempted, act: Act) -> Receipt:
    """Trace one transition: what was fired on which run, and what it led to or which guard said no."""
    known = {"run.id": attempted.run, "event": attempted.event, "subject.id": attempted.subject}
    with span(f"fire {attempted.event}", _named(known)) as told:
        try:
            receipt = act()
        except RefusedError as error:
            told.tell(_named({"refused": True, "guard": error.guard, "source": error.status}))
            raise
        told.tell(_named(_of(receipt)))
        return receipt


def _of(receipt: Receipt) -> dict[str, str | int | bool | None]:
    return {
        "run.id": receipt.run_id,
        "subject.id": receipt.subject,
        "source": receipt.source,
        "target": receipt.status,
        "version": receipt.version,
        "audit_event": receipt.event_id,
        "replayed": receipt.replayed,
    }


def _named(values: Mapping[str, str | int | bool | None]) -> dict[str, str | int | bool]:
    """Put what is known under names of ours."""
    return {f"proofgap.{name}": value for name, value in values.items() if value is not None}


@contextmanager
def tracing_by(spans: Spans) -> Iterator[None]:
    """Trace by these spans until the block ends."""
    _SWITCH.spans = spans
    try:
        yield
    finally:
        _SWITCH.spans = None
