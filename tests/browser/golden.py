"""The golden sheets: what each decision state and variant says, word for word. Written by ``python -m tests.browser.golden``."""

from __future__ import annotations

from pathlib import Path

from proofgap.access import Role
from proofgap_app.web.pages import failing
from proofgap_app.web.pages.frames import Frame
from proofgap_app.web.pages.rendering import render
from proofgap_app.web.pages.run import links_for, run_page
from proofgap_app.web.problems import MEANINGS, Code, Problem
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


def problem_of_page(code: Code, path: str = "/runs/rr_1") -> str:
    """Give the text of the page that says what went wrong."""
    meaning = MEANINGS[code]
    problem = Problem(
        type="", title=meaning.title, status=meaning.status, detail=meaning.remedy, code=code,
        trace_id="0f3a" if meaning.status >= 500 else None,
    )  # fmt: skip
    return text_of(failing.page(path, problem, Frame("olga", roles=frozenset({Role.OPERATOR}))).body.decode(), "main")


PROBLEMS = {"no_run": Code.NOT_FOUND, "no_decision": Code.INTERNAL}
"""The pages of a run that are no decision."""


def every() -> dict[str, str]:
    """Give every text by its name."""
    pages = {name: problem_of_page(code) for name, code in PROBLEMS.items()}
    return {name: sheet_of(shown) for name, shown in SHEETS.items()} | pages


def write() -> None:
    """Write every text."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in every().items():
        (FOLDER / f"{name}.txt").write_text(text, "utf-8")


if __name__ == "__main__":
    write()
