"""The forms in which events are taken out of the log: one encoder each, event by event, so that memory stays flat.

JSON lines are the record itself: the exact bytes of each event. CSV is for people and their spreadsheets, Parquet for
tools that compute; both end in a column with the exact bytes. CloudEvents 1.0 is for whoever collects events of many
systems. Owns columns, mapping and escaping. Refuses to know which events, and where the bytes go.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from enum import StrEnum
from importlib import import_module
from io import TextIOWrapper
from types import MappingProxyType
from typing import IO, Any, Protocol

import msgspec

from proofgap.errors import BadInputError
from proofgap.facts import utc_text
from proofgap.records import instant
from proofgap.text import safe
from proofgap_store.shapes import LoggedEvent

COLUMNS: tuple[str, ...] = (
    "event_id",
    "leaf",
    "type",
    "id",
    "stream",
    "seq",
    "ws",
    "env",
    "run",
    "op",
    "at",
    "rec",
    "actor",
    "kind",
    "via",
)
"""The columns of CSV and Parquet, before the last one, which is ``payload``."""

_BATCH = 1_000
_SEQUENCE_DIGITS = 19  # of the largest number that an event can have: texts then sort as the numbers do
_FORMULA = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
    *"\uff1d\uff0b\uff0d\uff20",
)  # some spreadsheets read the wide signs alike
_AUTHENTICATED = MappingProxyType({"user": "user", "worker": "service_account", "system": "system"})


class ExportFormat(StrEnum):
    """The form of an export."""

    JSONL = "jsonl"  # the exact bytes of one event a line: what a verifier reads
    CSV = "csv"  # for people; cells that a spreadsheet would run are text
    CLOUDEVENTS = "cloudevents"  # CloudEvents 1.0, one JSON object a line
    PARQUET = "parquet"  # for tools; needs the extra `parquet`


class Encoder(Protocol):
    """Writes events to a stream, one after the other."""

    def add(self, event: LoggedEvent) -> None:
        """Write one event."""
        ...

    def finish(self) -> None:
        """Write what is still held, and what comes at the end; the stream stays open."""
        ...


class _Lines:
    """The exact bytes, one event a line: canonical form holds no line break."""

    def __init__(self, stream: IO[bytes], _source: str) -> None:
        self._stream = stream

    def add(self, event: LoggedEvent) -> None:
        self._stream.write(event.payload + b"\n")

    def finish(self) -> None:
        """Nothing is held."""


class _CloudEvents:
    """CloudEvents 1.0 in its JSON format, with the extensions recordedtime, sequence and authcontext.

    What is not known is left out, as the format wants it.
    """

    def __init__(self, stream: IO[bytes], source: str) -> None:
        self._stream, self._source = stream, source

    def add(self, event: LoggedEvent) -> None:
        found = {name: value for name, value in self._attributes(event).items() if value is not None}
        self._stream.write(msgspec.json.encode(found) + b"\n")

    def _attributes(self, event: LoggedEvent) -> dict[str, Any]:
        entry = event.entry
        return {
            "specversion": "1.0",
            "id": entry["id"],
            "source": self._source,
            "type": entry["type"],
            "subject": entry["run"],
            "time": _time(entry["at_us"]),
            "recordedtime": _time(entry["rec_us"]),
            "sequence": f"{event.event_id:0{_SEQUENCE_DIGITS}}",
            "authtype": _AUTHENTICATED.get(entry["actor"]["kind"], "unknown"),
            "authid": entry["actor"]["id"],
            "stream": entry["stream"],
            "streamsequence": entry["seq"],
            "workspace": entry["ws"],
            "environment": entry["env"],
            "operationrun": entry["op"],
            "leafhash": event.leaf,
            "datacontenttype": "application/json",
            "data": entry["data"],
        }

    def finish(self) -> None:
        """Nothing is held."""


class _Csv:
    """RFC 4180 in UTF-8, every cell quoted."""

    def __init__(self, stream: IO[bytes], _source: str) -> None:
        self._text = TextIOWrapper(stream, "utf-8", newline="")
        self._rows = csv.writer(self._text, quoting=csv.QUOTE_ALL)
        self._rows.writerow((*COLUMNS, "payload"))

    def add(self, event: LoggedEvent) -> None:
        cells = _row(event)
        cells |= {"at": _time(cells["at"]), "rec": _time(cells["rec"])}
        self._rows.writerow([_cell(value) for value in cells.values()])

    def finish(self) -> None:
        self._text.detach()


class _Parquet:
    """Parquet by way of pyarrow, a row group for every thousand events; times are timestamps in UTC."""

    def __init__(self, stream: IO[bytes], _source: str) -> None:
        self._arrow, parquet = _pyarrow()
        arrow = self._arrow
        moment, number = arrow.timestamp("us", tz="UTC"), arrow.int64()
        kinds: dict[str, Any] = {"at": moment, "rec": moment, "event_id": number, "seq": number}
        self._schema = arrow.schema([(name, kinds.get(name, arrow.string())) for name in (*COLUMNS, "payload")])
        self._writer = parquet.ParquetWriter(stream, self._schema)
        self._held: list[dict[str, Any]] = []

    def add(self, event: LoggedEvent) -> None:
        self._held.append(_row(event))
        if len(self._held) == _BATCH:
            self._hand_over()

    def _hand_over(self) -> None:
        self._writer.write_batch(self._arrow.RecordBatch.from_pylist(self._held, schema=self._schema))
        self._held.clear()

    def finish(self) -> None:
        if self._held:
            self._hand_over()
        self._writer.close()


def _pyarrow() -> tuple[Any, Any]:
    """Load pyarrow, where it is installed; it is large, and nobody else needs it."""
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise BadInputError("format", "parquet needs pyarrow", "Install it: pip install 'proofgap[parquet]'.") from None


_ENCODERS: Mapping[ExportFormat, Callable[[IO[bytes], str], Encoder]] = MappingProxyType(
    {
        ExportFormat.JSONL: _Lines,
        ExportFormat.CSV: _Csv,
        ExportFormat.CLOUDEVENTS: _CloudEvents,
        ExportFormat.PARQUET: _Parquet,
    }
)


def encoder(form: ExportFormat, stream: IO[bytes], source: str) -> Encoder:
    """Give the encoder of a form; ``source`` is a URI that names the ledger.

    Raises:
        BadInputError: the form needs something that is not installed.

    """
    return _ENCODERS[form](stream, source)


def _row(event: LoggedEvent) -> dict[str, Any]:
    entry, actor = event.entry, event.entry["actor"]
    values = (
        *(event.event_id, event.leaf, entry["type"], entry["id"], entry["stream"], entry["seq"]),
        *(entry["ws"], entry["env"], entry["run"], entry["op"], entry["at_us"], entry["rec_us"]),
        *(actor["id"], actor["kind"], actor["via"], event.payload.decode()),
    )
    return dict(zip((*COLUMNS, "payload"), values, strict=True))


def _time(microseconds: int) -> str:
    return utc_text(instant(microseconds))


def _cell(value: object) -> str:
    """Give a value as a cell that no spreadsheet takes for a formula; what is not known is empty."""
    if value is None:
        return ""
    text = safe(str(value))
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
