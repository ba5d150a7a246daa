"""The run page in a browser: where things are, what can be reached, and that nothing depends on colour, script or others."""

from __future__ import annotations

import gzip
import re

import pytest
from axe_playwright_python.sync_playwright import Axe

from proofgap.facts import Counts, EndReason
from proofgap.records import Machine, RunDetails
from proofgap_app.web.pages import addresses
from tests.browser.conftest import arriving, narrow
from tests.browser.site import as_
from tests.browser.world import STATES, Maker
from tests.conformance.lives import ADA, facts, lines

SHEET_BOTTOM_MAX, BUTTON_BOTTOM_MAX = 660, 430
LISTED_MAX = 100  # the height of a run in the list: two lines, and its id
PAGE_BYTES_MAX = 30 * 1024
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
EIGHT = (*STATES, "legacy")
_SMALL = """() => [...document.querySelectorAll('a, button, summary, input, select')].filter(e => {
  const r = e.getBoundingClientRect();
  return r.width && r.bottom > 0 && !e.closest('p, dd, li p') && Math.min(r.width, r.height) < 23.5;
}).map(e => e.outerHTML.slice(0, 90))"""

_LINES = """cells => cells.map(e => {
  const text = document.createRange();
  text.selectNodeContents(e);
  return new Set([...text.getClientRects()].map(r => r.top)).size;
})"""
"""How many lines the text of each cell takes."""


def bottom(page, selector: str) -> float:
    """Give where an element ends, in CSS pixels from the top of the page."""
    box = page.locator(selector).bounding_box()
    return box["y"] + box["height"]


@pytest.mark.parametrize("state", EIGHT)
def test_a_state_fits_the_first_screen_a_narrow_one_and_one_sheet_of_paper_and_breaks_no_rule(visit, runs, state):
    page = visit(addresses.run(runs[state]))
    assert bottom(page, "#decision") <= SHEET_BOTTOM_MAX
    assert bottom(page, "#next") <= BUTTON_BOTTOM_MAX
    assert bottom(page, "#trail") <= 800
    found = Axe().run(page, options={"runOnly": RULES})
    assert [(fault["id"], fault["nodes"][0]["html"]) for fault in found.response["violations"]] == []
    assert page.evaluate(_SMALL) == []
    page.emulate_media(color_scheme="dark")
    contrast = Axe().run(page, options={"runOnly": ["color-contrast"]})
    assert [fault["nodes"][0]["html"] for fault in contrast.response["violations"]] == []
    page.emulate_media(color_scheme="light")
    with narrow(page, 320):
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        assert page.locator("#next").is_visible()
    _prints_on_one_page(page)


@pytest.mark.parametrize("state", EIGHT)
def test_a_decision_as_it_was_shown_fits_the_first_screen_too_beside_what_says_so(visit, runs, state):
    page = visit(addresses.run(runs[state]))
    with arriving(page):
        page.locator("#event").click()
    assert page.locator("p.problem").is_visible()
    assert bottom(page, "#decision") <= SHEET_BOTTOM_MAX
    assert bottom(page, "#next") <= BUTTON_BOTTOM_MAX


@pytest.mark.parametrize("note", ["W" * 4000, "the machine was switched off by mistake " * 9])
def test_however_long_the_words_of_whoever_ended_a_run_are_its_sheet_fits_the_first_screen(visit, ledger, note):
    make = Maker(ledger)
    run_id = make.running(environment=make.elsewhere())
    make.fire(run_id, "fail", end_reason=EndReason.TOOL_ABORTED, note=note)
    for shown in (run_id, make.lost(note)):
        page = visit(addresses.run(shown))
        assert bottom(page, "#decision") <= SHEET_BOTTOM_MAX
        with arriving(page):
            page.locator("#next").click()
        assert note.strip() in page.locator("main").inner_text()


def test_the_longest_names_leave_the_sheet_on_the_first_screen_and_the_record_on_one_sheet_of_paper(visit, ledger):
    ledger.import_facts(lines(facts("L" * 200, "failed")), ADA)
    page = visit(addresses.run("L" * 200))
    assert bottom(page, "#decision") <= SHEET_BOTTOM_MAX
    assert bottom(page, "#next") <= BUTTON_BOTTOM_MAX
    assert page.locator("#run-id").inner_text() == "L" * 200
    assert page.locator("#run-id").evaluate("e => e.scrollWidth <= e.clientWidth + 1")
    make = Maker(ledger)
    wanted = RunDetails(backup="/srv/backups/" + "b" * 300, target="/srv/" + "t" * 300, driver="files")
    run_id = make.running(environment=make.elsewhere(), wanted=wanted)
    make.fire(run_id, "fail", end_reason=EndReason.TOOL_ABORTED, note="words " * 600)
    listed = visit(f"/runs?text={run_id}").locator("tbody tr")
    assert listed.bounding_box()["height"] <= LISTED_MAX
    assert "t" * 300 in listed.locator("th a").get_attribute("title")
    _prints_on_one_page(visit(addresses.run(run_id)))


def test_a_narrow_screen_holds_the_other_snapshots_of_a_run_and_a_wide_one_breaks_no_word_of_a_table(visit, ledger):
    make = Maker(ledger)
    run_id = make.running(environment=make.elsewhere())
    make.fire(run_id, "complete", exit_code=0)
    make.prove(run_id)
    make.prove(run_id, digest="a1" * 32)
    page = visit(addresses.run(run_id, "evidence"))
    assert page.locator("text=superseded").is_visible()
    with narrow(page, 320):
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert set(page.locator("thead th, td.word, tbody th").evaluate_all(_LINES)) == {1}


def test_what_was_not_applied_is_hollow_on_the_bar_as_beside_it_and_not_like_what_was(visit, ledger):
    make = Maker(ledger)
    run_id = make.running(environment=make.elsewhere())
    counts = Counts(total=5000, succeeded=1000, non_applied=4000)
    make.fire(run_id, "complete_partially", end_reason=EndReason.CANCEL_REQUESTED, counts=counts)
    page = visit(addresses.run(run_id))
    for colours in ("light", "dark"):
        page.emulate_media(color_scheme=colours)
        fill = {
            kind: page.locator(f".bar .{kind}").evaluate("e => getComputedStyle(e).fill")
            for kind in ("succeeded", "non_applied")
        }
        around = page.locator(".sheet").evaluate("e => getComputedStyle(e).backgroundColor")
        assert fill["non_applied"] == around != fill["succeeded"]


def test_the_sheet_of_a_lost_worker_fits_the_first_screen_too(visit, ledger):
    page = visit(addresses.run(Maker(ledger).lost()))
    assert "proofgap queue release" in page.locator("#decision").inner_text()
    assert bottom(page, "#decision") <= SHEET_BOTTOM_MAX
    assert bottom(page, "#next") <= BUTTON_BOTTOM_MAX
    with narrow(page, 320):
        assert page.evaluate("document.documentElement.scrollWidth") <= 320


def _prints_on_one_page(page) -> None:
    """A page is printed with the record that it is of, in light colours, whatever the screen shows."""
    page.emulate_media(color_scheme="dark")
    printed = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    said = page.locator(".printed").inner_text()
    assert re.fullmatch(
        r"Printed from http://127\.0\.0\.1:\d+/runs/\S+ · audit event \d+ · record version \d+ · rule set 1", said
    )
    assert page.locator("#diagnostics").get_attribute("open") is not None
    assert not page.locator("#raw").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_dark_and_forced_colours_break_no_rule(visit, runs):
    page = visit(addresses.run(runs["needs_review"]), color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 16, 19)"
    found = Axe().run(page, options={"runOnly": RULES})
    assert [fault["id"] for fault in found.response["violations"]] == []
    page.emulate_media(forced_colors="active")
    widths = page.evaluate(
        "[...document.querySelectorAll('.rail .passed .dot, .mark')].map(e => getComputedStyle(e).borderTopWidth)"
    )
    assert widths
    assert all(width != "0px" for width in widths)


def test_the_keyboard_goes_the_way_that_people_read(visit, runs):
    page = visit(addresses.run(runs["needs_review"]))
    seen = []
    for _ in range(9):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                "document.activeElement.id || document.activeElement.className || document.activeElement.textContent.trim()"
            )
        )
    assert seen[:6] == ["skip", "brand", "Restore runs", "copy", "event", "next"]
    assert seen[6] == "All events"
    page.locator("#diagnostics-head").focus()
    page.keyboard.press("Enter")
    assert page.locator("#raw").is_visible()
    page.locator("#next").focus()
    with arriving(page):
        page.keyboard.press("Enter")
    assert page.url.endswith("/items")


def test_a_page_is_light(client, runs):
    """What is loaded beside the fonts, as it is sent compressed."""
    paths = (addresses.run(runs["needs_review"]), "/static/console.css", "/static/live.js", "/static/icon.svg")
    answers = [as_(client, "ada").get(path) for path in paths]
    assert [answer.status for answer in answers] == [200] * 4
    assert sum(len(gzip.compress(answer.body)) for answer in answers) <= PAGE_BYTES_MAX


def test_everything_works_without_javascript(visit, runs):
    page = visit(addresses.run(runs["needs_review"]), java_script_enabled=False)
    assert page.locator("#copy").is_hidden()
    assert page.locator("#print").is_hidden()
    page.locator("#diagnostics-head").click()
    assert page.locator("#raw").is_visible()
    with arriving(page):
        page.locator("#next").click()
    with arriving(page):
        page.get_by_role("link", name="Failed 3").click()
    assert page.locator("tbody tr").count() == 3


def test_the_id_can_be_copied_and_that_is_announced(visit, runs):
    page = visit(addresses.run(runs["failed"]), permissions=["clipboard-read", "clipboard-write"])
    page.locator("#copy").click()
    page.get_by_role("status").filter(has_text="ID copied").wait_for(state="attached")
    assert page.evaluate("navigator.clipboard.readText()") == runs["failed"]


OTHERS = (
    *("/runs", "/audit", "/audit/events/1", "/machine", "/new?scope=default/local", "/sign-in"),
    *("/nothing", "/runs/none", "/runs?state=none", "/runs?text=none"),
    *(f"/runs/{{needs_review}}/{page}" for page in ("items", "evidence", "operation", "events", "proof-gap", "retry")),
    *("/runs/{failed}/failure", "/runs/{not_executed}/preview", "/runs/{draft}/preparation", "/runs/{draft}/cancel"),
    "/runs/{blocked_or_cancelled}/blocker",
)


@pytest.mark.parametrize("path", OTHERS)
def test_the_other_pages_break_no_rule_and_fit_a_narrow_screen(visit, runs, path):
    page = visit(path.format_map(runs))
    page.faults[:] = [
        fault for fault in page.faults if not fault.startswith("Failed to load resource")
    ]  # a 404 is noted
    found = Axe().run(page, options={"runOnly": RULES})
    assert [(fault["id"], fault["nodes"][0]["html"]) for fault in found.response["violations"]] == []
    with narrow(page, 320):
        assert page.evaluate("document.documentElement.scrollWidth") <= 320


_CUT = """[...document.querySelectorAll("g.node")].filter(node => {
  const box = node.querySelector("path, polygon, ellipse").getBBox()
  return [...node.querySelectorAll("text")].some(text => {
    const told = text.getBBox()
    return told.x < box.x || told.x + told.width > box.x + box.width
  })
}).map(node => node.querySelector("title").textContent)"""


@pytest.mark.parametrize("machine", list(Machine))
def test_what_a_box_of_a_drawn_machine_says_stays_within_it_whatever_sans_serif_there_is(visit, machine):
    page = visit(f"/machine/{machine}.svg")
    assert page.locator("g.node text").count() > 0
    assert page.evaluate(_CUT) == []
