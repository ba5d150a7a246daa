"""A run is created from the page with whatever its driver needs; what is wrong stands beside its field, and nothing is made."""

from __future__ import annotations

import re
import zipfile
from importlib.metadata import EntryPoint

import msgspec
import pytest
from axe_playwright_python.sync_playwright import Axe

from proofgap.records import RunDetails
from proofgap_app import drivers
from proofgap_app.web.pages import addresses
from proofgap_app.web.pages.wanting import values_of
from proofgap_app.web.site_settings import SignIn
from proofgap_app.worker.record import requested
from tests.browser.conftest import arriving, narrow
from tests.browser.reading import tags_of, text_of
from tests.browser.site import as_, identify
from tests.browser.test_acting import FORM, record, send
from tests.browser.test_run_page import RULES
from tests.conformance.lives import ADA, HOME, OTTO, VERA, last, log_since
from tests.web.serving import served

SCOPE = "default/local"


@pytest.fixture
def wanted(tmp_path):
    """What a form sends for a small archive with everything that its driver takes."""
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("etc/a.txt", "alpha")
        archive.writestr("var/b.txt", "beta")
    (tmp_path / "sums").write_text("")
    return {
        "scope": SCOPE, "driver": "", "backup": str(tmp_path / "b.zip"), "target": str(tmp_path / "target"),
        "select": "etc/*\r\n\r\n srv/* \r\n", "manifest": str(tmp_path / "sums"), "purpose": "exercise", "overwrite": "yes",
    }  # fmt: skip


def form(client, query="scope=default/local", who="olga"):
    """Give the form as HTML."""
    return as_(client, who).get(f"/new?{query}").body.decode()


def fields(page):
    """Give the fields of the form by their names, with what stands in them."""
    sent = {found["name"]: found for tag, found in tags_of(page) if tag in {"input", "textarea"} and "name" in found}
    return {
        name: ("yes" if "checked" in found else "") if found.get("type") == "checkbox" else found.get("value", "")
        for name, found in sent.items()
    }


def fault(page, field):
    """Give what stands beside a field; it must be said to be wrong, and described by that."""
    (found,) = (found for _, found in tags_of(page) if found.get("id") == f"new-{field}")
    assert found["aria-invalid"] == "true"
    assert f"new-{field}-fault" in found["aria-describedby"].split()
    return text_of(page, f"new-{field}-fault").strip()


def test_whatever_the_command_line_can_say_of_a_restore_is_on_record_of_a_draft_from_the_page(
    client, ledger, wanted, tmp_path
):
    answer = send(client, "/new", **wanted)
    assert answer.status == 303, answer.body
    run_id = answer.headers["location"].rpartition("/")[2]
    details = record(ledger, run_id).details
    assert (details.driver, details.select, details.overwrite) == ("files", ("etc/*", "srv/*"), True)
    assert (details.manifest, details.purpose) == (str(tmp_path / "sums"), "exercise")
    assert send(client, addresses.run(run_id, "prepare"), overwrite="yes").status == 303
    prepared = record(ledger, run_id).details
    assert (prepared.select, prepared.preview.created) == (("etc/*", "srv/*"), 1)


def test_whoever_clicks_twice_makes_one_run_and_whoever_changes_something_or_asks_anew_makes_another(
    client, ledger, wanted
):
    once = fields(form(client))["once"]
    first, again = (send(client, "/new", **wanted, once=once).headers["location"] for _ in range(2))
    changed = send(client, "/new", **(wanted | {"purpose": "another"}), once=once).headers["location"]
    anew = send(client, "/new", **wanted, once=fields(form(client))["once"]).headers["location"]
    assert (first, len({first, changed, anew})) == (again, 3)
    wrong = send(client, "/new", **(wanted | {"target": ""}), once=once).body.decode()
    assert fields(wrong)["once"] == once


def test_the_options_that_a_driver_declares_are_fields_and_go_on_record(client, ledger, tmp_path):
    page = form(client, f"scope={SCOPE}&driver=restic")
    assert "Take the latest snapshot of this host" in text_of(page)
    assert {"option.host", "option.no-lock", "option.source"} <= set(fields(page))
    assert not [name for name in fields(form(client)) if name.startswith("option.")]
    sent = {"scope": SCOPE, "driver": "restic", "backup": f"{tmp_path}#latest", "target": str(tmp_path / "t")}
    more = {"option.tag": "nightly", "option.host": "", "password_file": "/etc/restic.pw", "dry": "yes"}
    run_id = send(client, "/new", **sent, **more).headers["location"].rpartition("/")[2]
    made = record(ledger, run_id)
    assert (made.is_dry_run, made.details.driver) == (True, "restic")
    assert (made.details.options, made.details.password_file) == (("tag=nightly",), "/etc/restic.pw")
    assert fields(form(client, f"like={run_id}"))["option.tag"] == "nightly"
    other = fields(form(client, f"like={run_id}&driver=files"))
    assert (other["driver"], [name for name in other if name.startswith("option.")]) == ("files", [])
    shown = text_of(as_(client, "olga").get(addresses.run(run_id, "preparation")).body.decode())
    assert "Options\ntag=nightly\nPassword file\n/etc/restic.pw\n" in shown


def test_another_tool_may_be_chosen_and_what_was_typed_stays_but_for_options_that_it_does_not_have(client, ledger):
    before = last(ledger)
    typed = {"scope": SCOPE, "driver": "restic", "backup": "/typed", "target": "", "purpose": "test", "dry": "yes"}
    options = {"option.tag": "nightly", "option.source": "complete", "select": "etc/*\r\nvar/*"}
    answer = send(client, "/new", **typed, **options, tool="borg")
    page = answer.body.decode()
    assert (answer.status, log_since(ledger, before)) == (200, [])
    shown = fields(page)
    assert {name: shown[name] for name in typed} == typed | {"driver": "borg"}
    assert (shown["option.source"], "option.tag" in shown) == ("complete", False)
    assert text_of(page, "new-select") == "etc/* var/*\n"
    assert "option.tag" in fields(send(client, "/new", **typed, tool="restic").body.decode())
    assert fields(send(client, "/new", **typed, tool="").body.decode())["driver"] == ""
    assert send(client, "/new", VERA.id, **typed, tool="borg").status == 403


def test_the_form_is_filled_in_with_what_a_run_before_wanted(client, ledger, wanted):
    run_id = send(client, "/new", **wanted).headers["location"].rpartition("/")[2]
    assert f'href="{addresses.new_like(run_id)}"' in form(client)
    filled = fields(form(client, f"like={run_id}"))
    assert {name: filled[name] for name in ("backup", "target", "manifest", "overwrite", "purpose", "scope")} == {
        name: wanted[name] for name in ("backup", "target", "manifest", "overwrite", "purpose", "scope")
    }
    assert filled["driver"] == "files"
    page = form(client, f"like={run_id}")
    assert text_of(page, "new-select") == "etc/* srv/*\n"
    assert as_(client, "sam").get(f"/new?like={run_id}").status == 404


def test_the_form_is_filled_in_from_a_registered_source_and_makes_a_run_of_it(client, ledger, tmp_path):
    said = RunDetails(
        backup=f"{tmp_path}#latest",
        driver="restic",
        options=("tag=nightly",),
        select=("etc/*",),
        password_file="/etc/pw",  # noqa: S106 - where it is
    )
    ledger.desk.register_source("nightly", HOME, said, ADA)
    link = addresses.new_from(SCOPE, "nightly")
    assert f'href="{link}"'.replace("&", "&amp;") in form(client)
    filled = fields(as_(client, "olga").get(link).body.decode())
    assert (f"{tmp_path}#latest", "restic", "nightly", "/etc/pw") == tuple(
        filled[name] for name in ("backup", "driver", "option.tag", "password_file")
    )
    other = fields(as_(client, "olga").get(f"{link}&driver=files").body.decode())
    assert ("files", f"{tmp_path}#latest") == (other["driver"], other["backup"])
    sent = {**filled, "select": "etc/*", "target": str(tmp_path / "t"), "dry": "yes"}
    run_id = send(client, "/new", **sent).headers["location"].rpartition("/")[2]
    assert said == msgspec.structs.replace(record(ledger, run_id).details, target=None, purpose=None, requested_by=None)
    ledger.desk.retire_source("nightly", HOME, ADA)
    assert (404, 404) == (as_(client, "olga").get(link).status, as_(client, "sam").get(link).status)


def test_a_driver_that_lacks_what_it_needs_is_asked_no_options_and_its_run_is_refused_with_the_extra(
    client, wanted, monkeypatch
):
    """A link of the form leads to the form, never to a problem: on a server for others the worker may well have the driver."""
    ours = drivers._installed()
    dist = next(point.dist for point in ours if point.name == "files")
    lacking = EntryPoint("tape", "no_such_module:Driver [tapes]", drivers.GROUP)._for(dist)
    monkeypatch.setattr(drivers, "_installed", lambda: [*ours, lacking])
    page = as_(client, "olga").get("/new?scope=default%2Flocal&driver=tape")
    assert (page.status, fields(page.body.decode())["driver"]) == (200, "tape")
    answer = send(client, "/new", **wanted | {"driver": "tape"})
    assert (answer.status, "pip install 'proofgap[tapes]'" in text_of(answer.body.decode(), "main")) == (422, True)


def test_an_option_that_came_on_record_without_a_value_fills_in_an_empty_field():
    """Ledgers took such options before they were refused; what is on record is shown, and stops no page and no worker."""
    details = RunDetails(backup="/b", target="/t", options=("compact", "tag=a=b"))
    assert values_of(details)["option.compact"] == ""
    assert requested(details)[1].options == {"compact": "", "tag": "a=b"}


@pytest.mark.parametrize(
    ("sent", "field", "says"),
    [
        ({"backup": ""}, "backup", "Is missing. Say what is to be restored."),
        ({"target": " "}, "target", "Is missing. Say where it is to be restored."),
        ({"backup": "/nothing/here"}, "backup", "/nothing/here does not exist. Name an archive"),
        ({"backup": "restik:/repo"}, "backup", "Or name a driver that is installed here before the colon: borg, command"),
        ({"target": "postgresql://me:hunter22canary@h/d"}, "target", "Holds a password or another secret."),
        ({"select": "etc/*\na\x07b"}, "select", "holds a control character"),
        ({"manifest": "sums.txt"}, "manifest", "'sums.txt' is no whole path. Begin it with a slash."),
        ({"password_file": "~/pw"}, "password_file", "is no whole path"),
        ({"driver": "restic", "option.source": "maybe"}, "option.source", "Source is neither complete nor incomplete."),
        ({"driver": "restic", "option.host": "https://u:hunter22canary@h"}, "option.host", "Host is, or holds, a secret."),
        ({"driver": "files", "option.level": "9"}, "option.level", "Level is none of this driver. Leave it out;"),
        ({"driver": "command"}, "option.program", "Program is missing."),
        ({"purpose": "x" * 4_001}, "purpose", "has 4001 characters. Hand in at most 4000."),
    ],
)  # fmt: skip
def test_what_is_wrong_stands_beside_its_field_all_that_was_typed_stays_and_nothing_is_made(
    client, ledger, wanted, sent, field, says
):
    before = last(ledger)
    answer = send(client, "/new", **wanted | sent)
    page = answer.body.decode()
    assert (answer.status, log_since(ledger, before)) == (422, [])
    assert says in fault(page, field)
    assert f'href="#new-{field}"' in page
    typed = {name: value for name, value in (wanted | sent).items() if name != "select"}
    assert {name: fields(page)[name] for name in typed} == typed
    assert text_of(page, "new-select").split() == [
        part for part in re.split(r"\s+", (wanted | sent)["select"].replace("\x07", "\\x07")) if part
    ]
    assert "Not created: New run" in page


def test_a_driver_that_is_not_there_is_said_to_be_none_where_this_server_looks(client, ledger, wanted):
    answer = send(client, "/new", **wanted | {"driver": "tape"})
    assert answer.status == 422
    assert "'tape' is not a driver. Use one of: borg" in text_of(answer.body.decode(), "main")


def test_a_server_that_serves_others_looks_at_nothing_for_them_and_knows_no_driver_better_than_a_worker(ledger, wanted):
    provider = SignIn(issuer="https://login.example", client_id="p")
    with served(ledger, lambda _settings: identify, sign_in=provider) as client:
        sent = wanted | {"backup": "/not/on/this/machine", "driver": "tape", "option.drive": "2"}
        run_id = send(client, "/new", **sent).headers["location"].rpartition("/")[2]
        details = record(ledger, run_id).details
        assert (details.backup, details.driver, details.options) == ("/not/on/this/machine", "tape", ("drive=2",))
        assert fields(form(client, f"like={run_id}"))["option.drive"] == "2"
        refused = send(client, "/new", **sent | {"option.token": "hunter22canary"})
        assert (refused.status, "Token is, or holds, a secret" in fault(refused.body.decode(), "option.token")) == (
            422,
            True,
        )


@pytest.mark.parametrize(("who", "status"), [(VERA.id, 403), ("sam", 404), (OTTO.id, 303)])
def test_who_may_not_create_is_told_so_whatever_they_send(client, ledger, wanted, who, status):
    for sent in (wanted, wanted | {"backup": ""}):
        answer = send(client, "/new", who, **sent)
        assert answer.status == (422 if status == 303 and not sent["backup"] else status)


@pytest.mark.parametrize(
    "body", [b"scope=default%2Flocal&evil=1", b"scope=default%2Flocal&scope=x", b"backup=%ff", b""]
)
def test_a_form_that_is_none_of_ours_is_refused(client, ledger, body):
    before = last(ledger)
    origin = f"http://127.0.0.1:{client.port}"
    answer = as_(client, "olga").send("POST", "/new", body, Origin=origin, **FORM)
    assert answer.status in {400, 422}
    assert [event.type for event in log_since(ledger, before)] in ([], ["access.denied"])


def test_a_waiting_run_is_given_its_place_in_line_and_what_is_no_place_is_refused(client, ledger, wanted):
    run_id = send(client, "/new", **wanted).headers["location"].rpartition("/")[2]
    send(client, addresses.run(run_id, "prepare"))
    queue, version = addresses.run(run_id, "queue"), record(ledger, run_id).version
    for place in ({"priority": "1001"}, {"priority": "-1"}, {"priority": "many"}, {"deadline": "tomorrow"}):
        refused = send(client, queue, version=version, confirm="local", **place)
        assert (refused.status, record(ledger, run_id).status) == (422, "previewed"), place
    sent = {"priority": "10", "deadline": "2099-01-02T03:04"}
    assert send(client, queue, version=version, confirm="local", **sent).status == 303
    details = record(ledger, run_id).details
    assert (details.priority, details.deadline_us) == (10, 4_071_006_240_000_000)


def test_a_run_is_created_by_keyboard_without_script_on_a_narrow_screen_and_errors_break_no_rule(visit, ledger, wanted):
    page = visit("/new?scope=default/local&driver=restic", "olga", java_script_enabled=False)
    page.get_by_role("textbox", name="Backup").focus()
    page.keyboard.type("/nothing/here")
    with arriving(page):
        page.get_by_role("button", name="files", exact=True).press("Enter")
    assert page.locator("#new-backup").input_value() == "/nothing/here"
    assert page.locator("#new-option\\.tag").count() == 0
    page.get_by_role("textbox", name="Backup").focus()
    for text in (wanted["target"], "etc/*"):
        page.keyboard.press("Tab")
        page.keyboard.type(text)
    page.keyboard.press("Tab")
    with arriving(page):
        page.keyboard.press("Enter")  # in a field of one line: the form is sent
    assert "does not exist" in page.locator("#new-backup-fault").inner_text()
    page.faults.clear()  # the browser notes that the answer is 422
    assert page.locator("#new-select").input_value().strip() == "etc/*"
    with narrow(page, 320):
        assert page.locator("#new-backup").is_visible()
    page.locator("#new-backup").fill(wanted["backup"])
    with arriving(page):
        page.keyboard.press("Enter")
    assert "Continue preparation" in page.locator("#next").inner_text()


def test_the_form_with_what_is_wrong_in_it_breaks_no_rule_and_fits_a_narrow_screen(visit, runs):
    page = visit("/new?scope=default/local&driver=restic", "olga")
    page.evaluate("document.querySelector('form[action=\"/new\"]').noValidate = true")
    page.locator("#new-backup").fill("restic:" + "x" * 300)
    with arriving(page):
        page.get_by_role("button", name="Create draft").click()
    assert page.locator("#faults").is_visible()
    page.faults.clear()  # the browser notes that the answer is 422
    found = Axe().run(page, options={"runOnly": RULES})
    assert [(broken["id"], broken["nodes"][0]["html"]) for broken in found.response["violations"]] == []
    with narrow(page, 320):
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
