"""What is in the log can be read in one way only: numbered by the database, minified, and with no key given twice."""

from __future__ import annotations

import pytest

from proofgap.audit import leaf_hash
from tests.conformance.lives import chain_faults, live, log
from tests.store.raw import APPEND, SETTINGS, connect, forged, refused, row_of

NUMBERED = "{verb} INTO audit_event (event_id, payload, leaf) VALUES (?, ?, ?)"
NOT_CANONICAL = "proofgap: the event is not in canonical form"


@pytest.fixture
def entry(ledger, path):
    """The next event that the database would take."""
    connection = connect(path)
    yield forged(connection, live(ledger, "running"), "complete", "completed")
    connection.close()


def said(path, payload, settings="as the ledger sets it up"):
    """Put a payload into the log, with a leaf of its own bytes; give what the database says."""
    connection = connect(path, settings)
    try:
        return refused(connection, APPEND, payload, leaf_hash(payload.encode()))
    finally:
        connection.close()


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("verb", ["INSERT", "INSERT OR REPLACE", "REPLACE", "INSERT OR IGNORE"])
def test_no_event_gets_a_number_below_all_others(path, entry, verb, settings):
    """SQLite itself numbers what comes as NULL; -1 is what a trigger before the insert sees then."""
    connection = connect(path, settings)
    connection.execute("BEGIN")
    before = connection.execute("SELECT max(event_id), count(*) FROM audit_event").fetchone()
    for number in (-1, 0, -(2**63)):
        try:
            connection.execute(NUMBERED.format(verb=verb), (number, *row_of(entry)))
        except Exception as error:  # noqa: BLE001 - whichever SQLite library it is
            assert any(word in str(error) for word in ("event_id > 0", "event_id is given"))  # noqa: PT017 - IGNORE raises nothing
        assert connection.execute("SELECT max(event_id), count(*) FROM audit_event").fetchone() == before
    connection.execute("ROLLBACK")
    connection.close()


@pytest.mark.parametrize("settings", SETTINGS)
def test_an_event_in_canonical_form_passes_so_the_refusals_below_are_refusals_of_its_form(path, entry, settings):
    assert said(path, row_of(entry)[0], settings) is None


TWICE = {
    "a status, the second one": ('"target":"completed"', '"target":"completed","target":"failed"'),
    "a status, the first one": ('"version":7', '"version":7,"version":99'),
    "a status, escaped": ('"target":"completed"', '"target":"completed","t\\u0061rget":"failed"'),
    "a workspace": ('"ws":"default"', '"ws":"default","ws":"w9"'),
    "a kind of event": ('"type":', '"type":"restore.run.transitioned","type":'),
    "a predecessor": ('"prev":', '"prev":null,"prev":'),
    "the details": ('"subject":', '"details":{},"subject":'),
    "one of the details": ('"details":{', '"details":{"nothing_written":true,"nothing_written":false,'),
}


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize(("once", "twice"), TWICE.values(), ids=TWICE)
def test_an_event_that_says_something_twice_is_refused(path, entry, once, twice, settings):
    """The database would take the first, and most readers of the log the last."""
    payload, _ = row_of(entry)
    assert once in payload
    assert said(path, payload.replace(once, twice, 1), settings) == NOT_CANONICAL


def test_an_event_with_two_sets_of_data_is_refused(path, entry):
    payload, _ = row_of(entry)
    assert said(path, payload[:-1] + ',"data":{}}') == NOT_CANONICAL


SPACED = {
    "a space after a colon": lambda payload: payload.replace('":', '": ', 1),
    "a line of its own for each key": lambda payload: payload.replace(',"', ',\n  "'),
    "a space before it": lambda payload: " " + payload,
    "a line end after it": lambda payload: payload + "\n",
    "a comment": lambda payload: payload.replace("{", "{/* */", 1),
    "a key without quotes": lambda payload: payload.replace('"ws"', "ws", 1),
    "a comma too many": lambda payload: payload[:-1] + ",}",
}


@pytest.mark.parametrize("change", SPACED.values(), ids=SPACED)
def test_an_event_that_is_not_written_in_the_one_form_is_refused(path, entry, change):
    answer = said(path, change(row_of(entry)[0]))
    assert answer is not None
    assert answer == NOT_CANONICAL or "CHECK constraint failed: json_valid(payload)" in answer


def test_the_chain_is_whole_after_all_that_was_refused(ledger, path, entry):
    for once, twice in TWICE.values():
        assert said(path, row_of(entry)[0].replace(once, twice, 1)) is not None
    assert chain_faults(log(ledger)) == []
