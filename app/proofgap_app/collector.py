"""Where traces are sent: to the collector that the standard variables of OpenTelemetry name, or nowhere.

Owns when anything is traced. Refuses to know spans (`spans`, which needs the extra ``otel``), and to let a command fail
because it cannot be traced.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from proofgap.errors import BadInputError
from proofgap.text import shown
from proofgap_app.tracing import Spans, tracing_by

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""The standard variables that name a collector: without one of them nothing is traced."""

_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"


@contextmanager
def sending(tell: Callable[[str], None]) -> Iterator[None]:
    """Trace until the block ends, where the environment names a collector; what keeps it from that is told, and stops nothing."""
    endpoint = next((name for name in ENDPOINTS if os.environ.get(name)), None)
    if endpoint is None or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        yield
        return
    try:
        begun = _begun(endpoint)
    except BadInputError as error:
        tell(f"Warning: nothing is traced. {error}")
        yield
        return
    with begun as spans, tracing_by(spans):
        yield


def _begun(endpoint: str) -> AbstractContextManager[Spans]:
    """Set up what sends spans.

    Raises:
        BadInputError: it is not installed, or the environment asks for what it cannot do.

    """
    for name in _PROTOCOLS:
        if os.environ.get(name, _PROTOCOL) != _PROTOCOL:
            raise BadInputError(name, "names a protocol that is not spoken here", f"Use {_PROTOCOL}, or unset it.")
    try:
        from proofgap_app.spans import Sender  # noqa: PLC0415 - an extra, and slow to load
    except ImportError:
        remedy = "Install it: pip install 'proofgap[otel]'. Or unset the variable."
        raise BadInputError(endpoint, "is set, and OpenTelemetry is not installed", remedy) from None
    try:
        return Sender()
    except ValueError as error:
        raise BadInputError("OTEL_*", f"say what cannot be meant: {shown(str(error))}", "Correct them.") from None
