"""The decision record as a page: one HTML file that needs nothing else, on a screen and on A4 paper.

Owns how the record looks. Every text of it is escaped in one place, `_text`; there is no script, and the page allows
none, nor anything from elsewhere. It follows from the record alone, so that a verifier writes it again and compares. Colours make no claim: there is none for good and none for bad. Refuses to know what
the record says (`decision_record`).
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from hashlib import sha256
from html import escape

from proofgap.decision_record import DecisionRecord, Pair, Section, Table
from proofgap.text import safe

FORM = 1
"""The form of the page and of the words in it. Whoever changes a byte of what is written counts it up.

A bundle names its form: a verifier can write a page again only in the form that it knows.
"""

_STYLE = """
:root { color-scheme: light; --ink: #1d232b; --soft: #5b6572; --line: #d5d9df; --tint: #f4f5f7; }
* { box-sizing: border-box; }
body { margin: 0; background: #e9ebee; color: var(--ink); font: 10pt/1.45 "Source Sans 3", "Noto Sans", "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 210mm; margin: 8mm auto; padding: 16mm 17mm; background: #fff; box-shadow: 0 1px 6px #0003; }
header { border-bottom: 2pt solid var(--ink); padding-bottom: 4mm; }
.kind { margin: 0; font-size: 8.5pt; letter-spacing: .09em; text-transform: uppercase; color: var(--soft); }
h1 { margin: 1mm 0 0; font-size: 17pt; line-height: 1.2; overflow-wrap: anywhere; }
.scope { margin: 1mm 0 0; color: var(--soft); }
h2, thead { break-after: avoid; }
.decision { margin: 5mm 0 0; padding: 4mm 5mm; border-left: 3pt solid var(--ink); background: var(--tint); break-inside: avoid; }
.decision strong { display: block; font-size: 13pt; }
.decision p { margin: 1mm 0 0; }
h2 { margin: 7mm 0 2mm; padding-bottom: .8mm; border-bottom: .5pt solid var(--line); font-size: 11.5pt; break-after: avoid; }
dl { display: grid; grid-template-columns: 47mm 1fr; gap: 1mm 4mm; margin: 0; }
dl.steps { grid-template-columns: 5mm 1fr; }
dt { color: var(--soft); overflow-wrap: anywhere; }
dd { margin: 0; overflow-wrap: anywhere; }
dl + table, dl + p { margin-top: 3mm; }
table { width: 100%; border-collapse: collapse; font-size: 8.8pt; }
thead { display: table-header-group; }
th, td { padding: 1mm 2.5mm 1mm 0; text-align: left; vertical-align: top; border-bottom: .5pt solid var(--line); overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 600; border-bottom-color: var(--soft); overflow-wrap: normal; }
td.short { white-space: nowrap; }
.whole { break-inside: avoid; }
tr { break-inside: avoid; }
.note { margin: 2mm 0 0; color: var(--soft); font-size: 9pt; overflow-wrap: anywhere; }
ul { margin: 0; padding-left: 5mm; }
footer { margin-top: 8mm; padding-top: 2mm; border-top: .5pt solid var(--line); color: var(--soft); font-size: 8.5pt; overflow-wrap: anywhere; }
@page { size: A4; margin: 16mm 16mm 18mm; @bottom-right { content: counter(page) " / " counter(pages); font: 8pt sans-serif; color: #5b6572; } }
@media print { body { background: #fff; } main { max-width: none; margin: 0; padding: 0; box-shadow: none; } }
"""
_STYLE_HASH = base64.b64encode(sha256(_STYLE.encode()).digest()).decode()
_ONE_LINE_MAX = 24
_ONE_PAGE_ROWS_MAX = 10
_STEPS = frozenset("123456789")


def page(record: DecisionRecord) -> str:
    """Give the page of a record."""
    return "\n".join(_lines(record)) + "\n"


def _lines(record: DecisionRecord) -> Iterator[str]:
    title = f"Restore run {record.run}: decision record"
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield (
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        f"style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'\">"
    )
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body><main>"
    yield f'<header><p class="kind">Decision record of a restore run</p><h1>{_text(record.run)}</h1>'
    yield f'<p class="scope">{_text(record.scope)} · as of {_text(record.as_of)}</p></header>'
    yield f'<div class="decision"><strong>{_text(record.status)}</strong>'
    yield f"<p>{_text(record.reason)}</p><p>{_text(record.impact)}</p></div>"
    for section in record.sections:
        yield from _section(section)
    yield f"<footer>{_text(title)}, as of {_text(record.as_of)}. Signed with its bundle; see manifest.json.</footer>"
    yield "</main></body></html>"


def _section(section: Section) -> Iterator[str]:
    kind = ' class="whole"' if section.table is None else ""
    yield f"<section{kind}><h2>{_text(section.title)}</h2>"
    if section.pairs:
        yield _pairs(section.pairs)
    if section.table is not None:
        yield _table(section.table)
    if section.pairs or section.table is not None:
        yield from (f'<p class="note">{_text(note)}</p>' for note in section.notes)
    elif section.notes:
        yield "<ul>" + "".join(f"<li>{_text(note)}</li>" for note in section.notes) + "</ul>"
    yield "</section>"


def _pairs(pairs: tuple[Pair, ...]) -> str:
    kind = ' class="steps"' if all(pair.label in _STEPS for pair in pairs) else ""
    rows = "".join(f"<dt>{_text(pair.label)}</dt><dd>{_text(pair.text)}</dd>" for pair in pairs)
    return f"<dl{kind}>{rows}</dl>"


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in table.head)
    rows = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in table.rows)
    more = f'<p class="note">{_text(table.more)}</p>' if table.more else ""
    kind = ' class="whole"' if len(table.rows) <= _ONE_PAGE_ROWS_MAX else ""
    return f"<table{kind}><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}"


def _cell(text: str) -> str:
    """Give a cell; a short text stays on one line, a long one is broken wherever it must."""
    return f"<td{' class=short' if len(text) <= _ONE_LINE_MAX else ''}>{_text(text)}</td>"


def _text(value: str) -> str:
    """Give a text as it may stand anywhere in the page."""
    return escape(safe(value), quote=True)
