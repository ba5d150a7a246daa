"""Spans by OpenTelemetry, sent to a collector by OTLP over HTTP: as the standard variables ``OTEL_*`` say, and nothing else.

A collector that is away keeps nobody waiting but at the end, for two seconds; what the library complains of is said once.
Owns the library. Refuses to know what is traced (`tracing`), and to send what an error says: that may hold anything.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from threading import Thread

import structlog
from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from typing_extensions import override

from proofgap_app.tracing import Attributes, Span, Spans

_NAME = "proofgap"
_GRACE_SECONDS = 2.0
_LIBRARY, _NOWHERE = logging.getLogger("opentelemetry"), logging.NullHandler()
_LOG = structlog.get_logger("proofgap")


class OtelSpan:
    """One span of the library."""

    def __init__(self, span: trace.Span) -> None:
        """Wrap it."""
        self._span = span

    def tell(self, attributes: Attributes) -> None:
        """Say more of it."""
        self._span.set_attributes(attributes)

    def rename(self, name: str) -> None:
        """Give it the name that was not known when it began."""
        self._span.update_name(name)

    def fail(self, kind: str) -> None:
        """Say that it went wrong; what the error says stays here."""
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR))


class OtelSpans:
    """Spans of one provider."""

    def __init__(self, provider: trace.TracerProvider) -> None:
        """Begin to make them."""
        self._tracer = provider.get_tracer(_NAME, version(_NAME))

    @contextmanager
    def span(self, name: str, attributes: Attributes, carrier: Mapping[str, str] | None) -> Iterator[Span]:
        """Begin a span below the one that is under way; with a carrier, below whatever its headers name."""
        parent = None if carrier is None else propagate.extract(carrier)
        kind = SpanKind.INTERNAL if carrier is None else SpanKind.SERVER
        with self._tracer.start_as_current_span(
            name, parent, kind, attributes, record_exception=False, set_status_on_exception=False
        ) as begun:
            told = OtelSpan(begun)
            try:
                yield told
            except BaseException as error:
                told.fail(type(error).__name__)
                raise

    def ids(self) -> dict[str, str]:
        """Name the span that is under way, in the form of W3C Trace Context; nothing, where there is none."""
        found = trace.get_current_span().get_span_context()
        if not found.is_valid:
            return {}
        return {"trace_id": trace.format_trace_id(found.trace_id), "span_id": trace.format_span_id(found.span_id)}


class _Complaints(logging.Handler):
    """Turns what the library complains of into log lines of ours, each kind of it once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: set[str] = set()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if record.msg not in self._said and structlog.is_configured():
            self._said.add(record.msg)
            _LOG.warning("traces.trouble", error=record.getMessage())


@contextmanager
def sent() -> Iterator[Spans]:
    """Send spans to the collector that the environment names, until the block ends; what waits is sent then.

    Raises:
        ValueError: a variable says what cannot be meant.

    """
    with _complaining():
        exporter = OTLPSpanExporter()
        provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        try:
            yield OtelSpans(provider)
        finally:
            _end(provider, exporter)


def _end(provider: TracerProvider, exporter: OTLPSpanExporter) -> None:
    """Send what waits; a collector that does not answer is not waited for."""
    ending = Thread(target=provider.shutdown, name="last spans", daemon=True)
    ending.start()
    ending.join(_GRACE_SECONDS)
    if ending.is_alive():
        exporter.shutdown()  # type: ignore[no-untyped-call]  # tries no more; the library gives it no types


@contextmanager
def _complaining() -> Iterator[None]:
    """Let the library complain in our log, and nowhere else: what a thread that was not waited for says later goes nowhere."""
    complaints = _Complaints()
    _LIBRARY.addHandler(complaints)
    _LIBRARY.addHandler(_NOWHERE)
    _LIBRARY.propagate = False
    try:
        yield
    finally:
        _LIBRARY.removeHandler(complaints)


def _resource() -> Resource:
    """Say what sends: the environment's word on it comes before ours."""
    ours = Resource.create({"service.name": _NAME, "service.version": version(_NAME)})
    return ours.merge(OTELResourceDetector().detect())
