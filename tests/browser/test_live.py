"""A page that is looked at while its run moves: it says so, shows it in place, and takes nothing away from the reader."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from proofgap.access import ANY_ENVIRONMENT, Role
from proofgap.facts import ItemResult, RunEvent
from proofgap.records import Item
from proofgap_app.web.pages import addresses
from proofgap_store import NewRun
from tests.browser.world import Maker, items
from tests.conformance.lives import ADA, HOME

FAILED = "Restore failed"


@pytest.fixture
def moving(ledger):
    """A run that is executed, and a way to end it."""
    make = Maker(ledger)
    run_id = make.running(environment=make.elsewhere())
    return run_id, lambda: make.fire(run_id, "fail", end_reason="tool_aborted")


def test_a_newer_decision_is_shown_in_place_and_takes_away_neither_focus_nor_diagnostics(visit, moving):
    run_id, end = moving
    page = visit(addresses.run(run_id), live=True)
    expect(page.locator("#live")).to_have_text("Live")
    page.locator("#diagnostics-head").click()
    page.locator("#next").focus()
    before = int(page.locator("#decision").get_attribute("data-seq"))
    end()
    expect(page.locator("#status")).to_have_text(FAILED)
    assert int(page.locator("#decision").get_attribute("data-seq")) > before
    assert page.evaluate("document.activeElement.id") == "next"
    assert page.locator("#next").inner_text() == "Review failure details"
    assert page.locator("#diagnostics").get_attribute("open") is not None
    assert "failed, version" in page.locator("#diagnostics").inner_text()
    assert page.title().startswith(f"{FAILED}:")
    expect(page.locator("#announce")).to_have_text(FAILED)
    assert page.get_by_role("status").count() == 1
    assert page.locator("#copy").is_visible()
    assert page.locator("#print").is_visible()
    assert page.locator(".events .what").first.inner_text() == "Decision projected"


@pytest.mark.parametrize(
    "name", ["Ask the worker to stop", "Download as JSON", "All events", "Take out everything about this run"]
)
def test_whoever_uses_the_keyboard_is_not_thrown_back_by_each_report_of_a_worker(visit, moving, ledger, name):
    run_id, _ = moving
    page = visit(addresses.run(run_id), live=True)
    expect(page.locator("#live")).to_have_text("Live")
    where = page.locator("main").get_by_text(name, exact=True)
    where.focus()
    ledger.fire(run_id, RunEvent.REPORT, ADA, items=[Item(key="a", result=ItemResult.SUCCEEDED)])
    expect(page.get_by_text("1 of 48 items so far")).to_be_visible()
    expect(where).to_be_focused()


def test_the_focus_stays_on_its_run_when_the_list_moves_also_among_runs_of_one_name(visit, moving, ledger):
    run_id, _ = moving
    page = visit("/runs", live=True)
    expect(page.locator("#live")).to_have_text("Live")
    link = page.locator(f'a[href="{addresses.run(run_id)}"]')
    link.focus()
    newer = Maker(ledger).new()
    expect(page.locator(f'a[href="{addresses.run(newer)}"]')).to_be_visible()
    assert link.inner_text() == page.locator(f'a[href="{addresses.run(newer)}"]').inner_text()
    expect(link).to_be_focused()


def test_a_report_that_changes_no_label_is_shown_and_not_announced(visit, moving, ledger):
    run_id, _ = moving
    page = visit(addresses.run(run_id), live=True)
    expect(page.locator("#live")).to_have_text("Live")
    ledger.fire(run_id, RunEvent.REPORT, ADA, items=[Item(key="a", result=ItemResult.SUCCEEDED)])
    expect(page.get_by_text("1 of 48 items so far")).to_be_visible()
    assert page.locator("#announce").inner_text() == ""


def test_the_progress_of_an_operation_is_live_and_keeps_the_focus(visit, moving, ledger):
    make = Maker(ledger)
    run_id = make.running(environment=make.elsewhere())
    page = visit(addresses.run(run_id, "operation"), live=True)
    expect(page.locator("#live")).to_have_text("Live")
    page.get_by_role("link", name="Evidence").focus()
    ledger.fire(run_id, RunEvent.REPORT, ADA, items=items(0, 0, 7))
    expect(page.locator("main")).to_contain_text("7 of 48 items reported")
    expect(page.get_by_role("link", name="Evidence")).to_be_focused()
    make.fire(run_id, "complete_partially", exit_code=3)
    expect(page.locator("main")).to_contain_text("partially succeeded")
    expect(page.get_by_role("link", name="Stop this run")).to_have_count(0)
    expect(page.get_by_role("link", name="How evidence is added")).to_have_count(1)
    make.prove(run_id)
    expect(page.get_by_role("link", name="How evidence is added")).to_have_count(0)


def test_a_lost_stream_is_said_in_words_and_the_sheet_stays(visit, moving):
    run_id, _ = moving
    page = visit(addresses.run(run_id))
    page.route("**/stream?*", lambda route: route.abort())
    page.reload()
    expect(page.locator("#live")).to_have_text(
        "Not live: showing " + page.locator(".as-of").inner_text().split(", ")[1].split(" UTC")[0] + " UTC. Retrying",
        timeout=5000,
    )
    assert "stale" in page.locator("#live").get_attribute("class")
    assert page.locator("#status").inner_text() == "Execution in progress"
    page.faults.clear()


def test_a_machine_that_is_offline_shows_no_live_page(visit, moving):
    """A stream that was open is not told of a cable that is pulled."""
    run_id, end = moving
    page = visit(addresses.run(run_id), live=True)
    expect(page.locator("#live")).to_have_text("Live")
    page.context.set_offline(True)
    expect(page.locator("#live")).to_contain_text("Not live: showing")
    end()
    page.context.set_offline(False)
    expect(page.locator("#status")).to_have_text(FAILED)
    expect(page.locator("#live")).to_have_text("Live")
    page.faults.clear()


def test_a_stream_in_which_nothing_is_heard_any_more_is_not_believed(visit, moving):
    run_id, _ = moving
    page = visit(addresses.run(run_id), live=True)
    page.clock.install()
    page.reload()
    expect(page.locator("#live")).to_have_text("Live")
    page.route("**/stream?*", lambda route: route.abort())
    page.clock.fast_forward(30_000)
    assert page.locator("#live").inner_text() == "Live"
    page.clock.fast_forward(6_000)
    expect(page.locator("#live")).to_contain_text("Not live: showing")
    page.close()  # which tries again, and again in vain
    page.faults.clear()


_SEEN = """how => {
  Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => how });
  document.dispatchEvent(new Event('visibilitychange'));
}"""


@pytest.mark.parametrize("path", ["/runs/{run}", "/runs?text={run}"])
def test_a_tab_that_nobody_sees_leaves_its_connection_to_others_and_catches_up_once_it_is_seen(visit, moving, path):
    """A browser opens six connections to one site: the seventh tab of a console that keeps one for each would never load."""
    run_id, end = moving
    page = visit(path.format(run=run_id), live=True)
    expect(page.locator("#live")).to_have_text("Live")
    page.evaluate(_SEEN, "hidden")
    expect(page.locator("#live")).to_contain_text("Not live: showing")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    end()
    page.wait_for_timeout(500)
    assert asked == []
    page.evaluate(_SEEN, "visible")
    expect(page.locator("[data-tone=failed]")).to_be_visible()
    expect(page.locator("#live")).to_have_text("Live")
    page.faults.clear()


def test_a_browser_with_many_tabs_of_the_console_opens_one_more(visit, moving, site):
    run_id, _ = moving
    first = visit(addresses.run(run_id), live=True)
    for _ in range(7):
        first.evaluate(_SEEN, "hidden")
        first = first.context.new_page()
        first.goto(site + addresses.run(run_id), timeout=5000)
        expect(first.locator("#live")).to_have_text("Live")


def test_a_newer_decision_that_cannot_be_loaded_is_said_and_never_guessed(visit, moving):
    run_id, end = moving
    page = visit(addresses.run(run_id), live=True)
    expect(page.locator("#live")).to_have_text("Live")
    page.route(f"**{addresses.run(run_id)}", lambda route: route.fulfill(status=503, body="no"))
    end()
    expect(page.locator("#live")).to_have_text("Not live: newer decision exists. Reload")
    assert page.locator("#status").inner_text() == "Execution in progress"
    page.faults.clear()


def test_the_list_shows_a_run_that_moved(visit, moving):
    run_id, end = moving
    page = visit(f"/runs?text={run_id}", live=True)
    expect(page.locator("#live")).to_have_text("Live")
    expect(page.locator(".chip")).to_have_text("Execution in progress")
    end()
    expect(page.locator(".chip")).to_have_text(FAILED)


def test_the_list_is_live_for_whoever_sees_runs_in_several_workspaces_and_only_while_all_of_them_answer(
    visit, moving, ledger
):
    run_id, end = moving
    for number in range(3):
        ledger.access.declare_environment((f"elsewhere {number}", "local"), ADA)
        ledger.access.grant("mia", Role.OPERATOR, (f"elsewhere {number}", "local"), ADA)
    ledger.access.grant("mia", Role.OPERATOR, (HOME[0], ANY_ENVIRONMENT), ADA)
    page = visit(f"/runs?text={run_id}", "mia", live=True)
    expect(page.locator("#live")).to_have_text("Live")
    page.clock.install()
    page.route("**/elsewhere%201/events?*", lambda route: route.abort())
    page.reload()
    expect(page.locator("#live")).to_contain_text("Not live: showing")
    end()
    expect(page.locator(".chip")).to_have_text(FAILED)
    expect(page.locator("#live")).to_contain_text("Not live: showing")
    page.unroute_all()
    page.clock.fast_forward(6000)
    ledger.create(NewRun(workspace="elsewhere 1", environment="local"), ADA)  # so that its poll has an answer
    expect(page.locator("#live")).to_have_text("Live")
    page.close()
    page.faults.clear()


def test_what_happens_before_the_stream_is_open_is_not_missed(visit, moving):
    """Else the page says that it is live and shows an old decision."""
    run_id, end = moving
    page = visit(addresses.run(run_id))
    ended = []
    page.unroute_all()
    page.context.unroute_all()
    page.route("**/stream?*", lambda route: (ended or ended.append(end()) or True) and route.continue_())
    page.reload()
    expect(page.locator("#status")).to_have_text(FAILED)
    expect(page.locator("#live")).to_have_text("Live")


def test_a_stream_that_is_refused_is_asked_for_again_and_the_time_said_is_that_of_the_sheet(visit, moving, ledger):
    """A browser gives up on a stream that is answered with an error; the page says that it tries again, so it must."""
    run_id, end = moving
    page = visit(addresses.run(run_id), live=True)
    page.clock.install()
    page.route("**/stream?*", lambda route: route.fulfill(status=503, body="no"))
    page.reload()
    expect(page.locator("#live")).to_contain_text("Retrying")
    end()
    page.unroute_all()
    page.clock.fast_forward(6000)
    expect(page.locator("#status")).to_have_text(FAILED)
    shown = page.locator(".as-of").inner_text()
    assert page.locator("#live").get_attribute("data-as-of").removesuffix(" UTC") in shown
    page.faults.clear()


def test_a_page_that_is_behind_does_not_say_that_it_is_live_when_its_stream_comes_back(visit, moving):
    run_id, end = moving
    page = visit(addresses.run(run_id), live=True)
    expect(page.locator("#live")).to_have_text("Live")
    page.route(f"**{addresses.run(run_id)}", lambda route: route.fulfill(status=503, body="no"))
    end()
    expect(page.locator("#live")).to_have_text("Not live: newer decision exists. Reload")
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    page.wait_for_timeout(300)
    assert page.locator("#live").inner_text() == "Not live: newer decision exists. Reload"
    page.faults.clear()
