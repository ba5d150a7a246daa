"""Where traces are sent: to the collector that the standard variables of OpenTelemetry name, or nowhere.

Owns when anything is traced. Refuses to know spans (`spans`, which needs the extra ``otel``), and to let a command fail
because it cannot be traced.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

from proofgap.errors import BadInputError
from proofgap.text import shown
from proofgap_app.tracing import Spans, tracing_by

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXPORTER = ("OTEL_TRACES_EXPORTER",)
_SPOKEN = {_PROTOCOLS: "http/protobuf", _EXPORTER: "otlp"}
"""Of what else the standard lets an environment ask for: what there is here."""

_PROBLEM_LENGTH_MAX = 300


@contextmanager
def sending(tell: Callable[[str], None]) -> Iterator[None]:
    """Trace until the block ends, where the environment names a collector; what keeps it from that is told, and stops nothing."""
    with ExitStack() as stack:
        if _is_wanted():
            try:
                stack.enter_context(tracing_by(stack.enter_context(_sender())))
            except BadInputError as error:
                tell(f"Warning: nothing is traced. {error}")
            except ValueError as error:
                problem = shown(str(error), length_max=_PROBLEM_LENGTH_MAX)
                tell(f"Warning: nothing is traced. What OTEL_* say cannot be meant: {problem}")
        yield


def _is_wanted() -> bool:
    is_off = _chosen(("OTEL_SDK_DISABLED",))[1].lower() == "true" or _chosen(_EXPORTER)[1] == "none"
    return bool(_chosen(_ENDPOINTS)[1]) and not is_off


def _chosen(names: Sequence[str]) -> tuple[str, str]:
    """Give the first of these variables that is set, with its value; an empty one is not set."""
    return next(((name, value) for name in names if (value := os.environ.get(name))), (names[-1], ""))


def _sender() -> AbstractContextManager[Spans]:
    """Give what sends spans.

    Raises:
        BadInputError: it is not installed, or the environment asks for what it cannot do.
        ValueError: a variable says what cannot be meant.

    """
    for names, spoken in _SPOKEN.items():
        name, value = _chosen(names)
        if value not in {"", spoken}:
            raise BadInputError(name, f"'{shown(value)}' is not to be had here", f"Use {spoken}, or unset it.")
    try:
        from proofgap_app.spans import sent  # noqa: PLC0415 - an extra, and slow to load
    except ImportError:
        remedy = "Install it: pip install 'proofgap[otel]'. Or unset the variable."
        raise BadInputError(_chosen(_ENDPOINTS)[0], "is set, and OpenTelemetry is not installed", remedy) from None
    return sent()
