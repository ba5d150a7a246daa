"""The golden sheets: what each decision state and variant says, word for word. Written by ``python -m tests.browser.golden``."""

from __future__ import annotations

from pathlib import Path

from proofgap_app.web.pages.frames import Frame
from proofgap_app.web.pages.rendering import render
from proofgap_app.web.pages.run import links_for, run_page
from proofgap_store import Shown
from tests.browser.reading import text_of
from tests.browser.sheets import SHEETS, log

FOLDER = Path(__file__).with_name("golden")


def page_of(shown: Shown) -> str:
    """Give the run page of what is shown, with its log where this person may read it."""
    events = None if shown.record.operation is None and shown.viewer.may_view == frozenset() else log(shown)
    page = run_page(shown, events, "/stream", links_for(shown.record, may_act=True))
    return render(
        "run.html", frame=Frame("d.weber", "Auditor", shown.record.workspace, shown.record.environment), page=page
    )


def sheet_of(shown: Shown) -> str:
    """Give the text of the decision sheet."""
    return text_of(page_of(shown), "decision")


def write() -> None:
    """Write every sheet."""
    FOLDER.mkdir(exist_ok=True)
    for name, shown in SHEETS.items():
        (FOLDER / f"{name}.txt").write_text(sheet_of(shown), "utf-8")


if __name__ == "__main__":
    write()
