"""The decision sheet of every state and variant, word for word; and what no page may ever say, or let in."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from proofgap.access import Role
from proofgap.claims import FORBIDDEN_CLAIMS
from proofgap.facts import Attention, Counts, RunStatus
from proofgap.records import RunDetails
from proofgap.wording import WORDING, DecisionState
from proofgap_app.web.pages import addresses
from proofgap_app.web.pages.rendering import render
from proofgap_app.web.pages.run import run_page
from proofgap_app.web.pages.sheet import PAGE_OF_ACTION
from tests.browser import golden, sheets
from tests.browser.reading import tags_of, text_of

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&lt;b&gt;{{ 7*7 }}"
UNSEEN = "a\u202eb\u200bc\x1b[31md\x00e"


@pytest.mark.parametrize("name", [*sheets.SHEETS, *golden.PROBLEMS])
def test_the_sheet_says_what_it_always_said(name):
    """A change of these words is a change of what operators are told: look at it, then write the sheets anew."""
    written = (golden.FOLDER / f"{name}.txt").read_text("utf-8")
    assert golden.every()[name] == written


def test_every_decision_state_has_its_sheet_and_no_sheet_is_left_over():
    assert {shown.decision.state for shown in sheets.STATES.values()} == set(DecisionState)
    assert all(shown.decision.state == name for name, shown in sheets.STATES.items())
    assert {path.stem for path in golden.FOLDER.iterdir()} == {*sheets.SHEETS, *golden.PROBLEMS}


@pytest.mark.parametrize("name", sheets.SHEETS)
def test_nothing_outside_the_list_of_what_is_forbidden_says_it(name):
    page = golden.page_of(sheets.SHEETS[name])
    said = text_of(page, with_forbidden=False)
    assert [claim for claim in FORBIDDEN_CLAIMS if claim.lower() in said.lower()] == []
    assert all(claim in text_of(page) for claim in FORBIDDEN_CLAIMS)


@pytest.mark.parametrize("name", sheets.SHEETS)
def test_each_page_has_one_primary_action_and_it_is_the_decisions(name):
    page = golden.page_of(sheets.SHEETS[name])
    buttons = [found for tag, found in tags_of(page) if "button" in (found.get("class") or "").split()]
    assert len(buttons) == 1
    action = sheets.SHEETS[name].decision.primary_next_action
    assert buttons[0]["href"] == addresses.run(sheets.RUN_ID, PAGE_OF_ACTION[action])


def test_every_primary_action_there_is_leads_to_a_page():
    actions = {words.next_action for words in WORDING.values()} | {
        words.next_action_otherwise for words in WORDING.values()
    }
    assert actions == set(PAGE_OF_ACTION)


def test_a_number_what_nobody_reported_and_what_is_unavailable_look_different():
    number, unknown, unavailable = (
        golden.page_of(sheets.SHEETS[name]) for name in ("needs_review", "metadata_only", "no_counts")
    )
    assert 'class="bar"' in number
    assert "swatch unknown" not in number
    assert "swatch unknown" in unknown
    assert "4 not reported" in text_of(unknown)
    assert "unknown-value" in unavailable
    assert 'class="bar"' not in unavailable
    assert "Result summary unavailable" in text_of(unavailable)


@pytest.mark.parametrize("name", sheets.SHEETS)
def test_no_zero_is_shown_that_the_record_does_not_hold(name):
    shown = sheets.SHEETS[name]
    sheet = golden.sheet_of(shown)
    assert "\n0 " not in sheet
    counts = shown.decision.result_summary.counts
    assert ("Recorded as 0" in sheet) == (
        counts is not None and 0 in (counts.failed, counts.skipped, counts.partial, counts.non_applied)
    )


@pytest.mark.parametrize(
    ("counted", "rows", "selected", "said"),
    [
        (Counts(total=48), False, None, "48 items so far"),
        (Counts(total=18, succeeded=18), True, None, "18 items so far"),
        (Counts(total=18, succeeded=18), True, 18, "18 of 18 items so far"),
        (Counts(total=48, succeeded=17, failed=1), False, None, "18 of 48 items so far"),
    ],
)
def test_how_far_a_run_is_is_said_only_where_both_numbers_are_known(counted, rows, selected, said):
    """Neither "0 of 48", where nobody reported a part, nor "18 of 18", where nobody knows how many there will be."""
    run = sheets.executed("running", None, counted=counted, rows=rows, details=RunDetails(selected=selected))
    assert f"\n{said}\n" in golden.sheet_of(sheets.shown(run))


def test_a_run_that_its_operation_run_says_was_blocked_was_not_cancelled_whoever_looks():
    for role in (Role.VIEWER, Role.AUDITOR):
        assert "Blocked: not reported" in golden.sheet_of(sheets.shown(sheets.executed("completed", "blocked"), role))


def test_what_is_withheld_reads_exactly_like_what_is_absent():
    """A viewer of a proven run reads what they would read if there were neither operation run nor evidence."""
    withheld = golden.sheet_of(sheets.SHEETS["for_a_viewer"])
    absent = golden.sheet_of(sheets.shown(sheets.record("completed")))
    assert withheld == absent


def test_a_run_cancelled_from_nobody_may_know_where_says_so():
    """Without the log nobody is told how far a cancelled run came."""
    shown = sheets.SHEETS["cancelled"]
    text = text_of(render("run.html", frame=None, page=run_page(shown, None, "/stream")), "decision")
    assert "Draft, passed\nScoped, not recorded" in text


def _hostile(value: str) -> str:
    details = RunDetails(
        backup=value, target=value, driver=value, purpose=value, requested_by=value, requested_for=value, select=(value,), plan_digest=value,
        cancel_requested_by=value, attention=Attention.PARTIAL, retry_of=value, target_fingerprint=value,
    )  # fmt: skip
    record = replace(sheets.executed("failed", "failed", details=details), id=value, workspace=value, environment=value)
    shown = sheets.shown(record, note=value)
    events = [
        replace(event, entry={**event.entry, "actor": {"id": value}, "type": value}) for event in sheets.log(shown)
    ]
    return golden.render(
        "run.html", frame=golden.Frame(value, value, value, value), page=run_page(shown, events, value)
    )


def test_no_text_of_a_record_becomes_part_of_the_page():
    page, plain = _hostile(HOSTILE), _hostile("plain")
    assert [tag for tag, _ in tags_of(page)] == [tag for tag, _ in tags_of(plain)]
    assert not [found for _, found in tags_of(page) if any(name.startswith("on") or name == "style" for name in found)]
    assert "<script>alert" not in page
    assert HOSTILE[:20] in text_of(page)
    assert "49" not in text_of(page, "run-id")


def test_characters_that_nobody_can_see_are_spelled_out():
    page = _hostile(UNSEEN)
    assert not set(page) & set("\u202e\u200b\x1b\x00")
    assert "a\\u202eb\\u200bc\\x1b[31md\\x00e" in text_of(page)


@pytest.mark.parametrize("text", ["rr_01KB2M95", "a/b?c=d&e#f", "..", ".", "~2E", "%2F", "ü ö", HOSTILE, "a~b%c"])
def test_any_id_is_one_part_of_a_path_and_comes_back_as_it_was(text):
    part = addresses.part(text)
    assert addresses.text_of(part) == text
    assert part.isascii()
    assert not set(part) & set("/?#%&\"'<> ")
    assert part not in {".", ".."}


@pytest.mark.parametrize("status", RunStatus)
def test_the_rail_marks_one_place_only(status):
    shown = sheets.shown(sheets.record(str(status)))
    places = [found for _, found in tags_of(golden.page_of(shown)) if found.get("aria-current") == "step"]
    assert len(places) == 1
