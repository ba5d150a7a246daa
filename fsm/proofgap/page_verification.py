"""The page of a bundle held against its events: people read the page, and only the events are proven.

Owns that the page says what follows from the content of its bundle, byte for byte, and nothing else. Refuses to know
whether that content is the log's (`bundle_verification`), and what a page says (`decision_record`, `decision_page`).

Source: ``docs/audit-format.md``, "Bundles".
"""

from __future__ import annotations

from collections.abc import Sequence

from proofgap.bundles import PAGE, Content
from proofgap.decision_page import FORM, page
from proofgap.decision_record import record_of
from proofgap.findings import Code, Finding
from proofgap.notes import VerifierKey
from proofgap.replay import Report
from proofgap.text import safe


def check_page(written: bytes, content: Content, signers: Sequence[VerifierKey], report: Report) -> None:
    """Write the page again from the events and rows in the bundle: it is for people, and says nothing else."""
    if content.facts.page_form != FORM:
        detail = f"its form is {content.facts.page_form}, and this version writes form {FORM}"
        report(Finding(code=Code.PAGE_UNKNOWN, detail=detail))
        return
    try:
        follows = [page(record_of(content, key)).encode() for key in signers]
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        report(Finding(code=Code.PAGE_MISMATCH, detail=safe(f"no page follows from them: {error}")))
        return
    if written not in follows:
        report(Finding(code=Code.PAGE_MISMATCH, detail=PAGE))
