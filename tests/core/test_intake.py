"""Lines of JSON: every kind of bad input is refused with line, field, value, reason and remedy; nothing is guessed."""

from __future__ import annotations

import json

import msgspec
import pytest

from proofgap.decision import decide
from proofgap.errors import BadInputError
from proofgap.facts import Counts, RunStatus, SnapshotStatus, Struct
from proofgap.intake import LINE_BYTES_MAX, convert, parse_json, read_facts_line

RUN = {
    "id": "r1",
    "workspace": "w1",
    "environment": "e1",
    "status": "completed",
    "is_dry_run": False,
    "operation_run_id": "o1",
    "counts": {"total": 48, "succeeded": 44, "skipped": 4},
    "items": None,
    "attention": None,
}
OPERATION = {"id": "o1", "workspace": "w1", "environment": "e1", "status": "completed", "outcome": "succeeded"}
SNAPSHOT = {
    "id": "s1",
    "operation_run_id": "o1",
    "workspace": "w1",
    "environment": "e1",
    "status": "active",
    "captured_at": "2026-11-21T02:24:05.000000Z",
}
VIEWER = {"id": "d.weber", "may_view": ["o1", "s1"]}
LINE = {"run": RUN, "operation": OPERATION, "evidence": [SNAPSHOT], "viewer": VIEWER}
TEXT = json.dumps(LINE)


def refusal(line: bytes | str, *, with_viewer: bool = True) -> str:
    """Read a bad line and give the words of its refusal."""
    with pytest.raises(BadInputError) as caught:
        read_facts_line(line, 3, with_viewer=with_viewer)
    message = str(caught.value)
    assert message.startswith("line 3"), "the line is named"
    assert message.isprintable(), "the message is one line, safe for any terminal"
    assert len(message) < 500, "the message is short"
    return message


def with_run(**changes: object) -> str:
    """Give the good line with a changed run."""
    return json.dumps({**LINE, "run": {**RUN, **changes}})


def test_the_line_of_the_documentation_is_read_whole():
    facts, viewer = read_facts_line(TEXT, 1, with_viewer=True)
    assert facts.run.status is RunStatus.COMPLETED
    assert facts.run.counts == Counts(total=48, succeeded=44, skipped=4)
    assert facts.operation is not None
    assert facts.evidence[0].status is SnapshotStatus.ACTIVE
    assert viewer is not None
    assert viewer.may_view == {"o1", "s1"}
    assert decide(facts, viewer).state == "completed_with_evidence"


def test_bytes_and_text_are_read_alike():
    assert read_facts_line(TEXT.encode(), 1, with_viewer=True) == read_facts_line(TEXT, 1, with_viewer=True)


def test_a_run_without_an_operation_run_is_read_as_such():
    facts, _ = read_facts_line(json.dumps({**LINE, "operation": None, "evidence": []}), 1, with_viewer=True)
    assert (facts.operation, facts.evidence) == (None, ())


def test_a_record_without_a_viewer_is_read_where_none_is_asked_for():
    record = {key: value for key, value in LINE.items() if key != "viewer"}
    facts, viewer = read_facts_line(json.dumps(record), 1, with_viewer=False)
    assert facts.run.id == "r1"
    assert viewer is None


def test_a_viewer_is_refused_where_none_is_asked_for():
    assert "the key 'viewer' is not known" in refusal(TEXT, with_viewer=False)


@pytest.mark.parametrize("key", LINE)
def test_each_top_level_key_is_required(key):
    line = {name: value for name, value in LINE.items() if name != key}
    assert refusal(json.dumps(line)) == (f"line 3: {key}: is missing. Hand it in; where it may be unknown, write null.")


@pytest.mark.parametrize("key", ["operation_run_id", "counts", "items", "attention"])
def test_what_is_not_known_of_a_run_may_be_left_out_and_stays_unknown(key):
    run = {name: value for name, value in RUN.items() if name != key}
    facts, _ = read_facts_line(json.dumps({**LINE, "run": run}), 1, with_viewer=True)
    assert getattr(facts.run, key) is None


def test_unknown_is_never_turned_into_zero():
    facts, _ = read_facts_line(with_run(counts={"failed": None, "total": 3}), 1, with_viewer=True)
    assert facts.run.counts == Counts(total=3)
    assert facts.run.counts.failed is None


BAD_COUNTS = {
    "negative": ("-4", "-4 is below 0. Hand in a whole number from 0 on."),
    "a fraction": ("4.5", "4.5 is no whole number"),
    "a fraction that happens to be whole": ("4.0", "4.0 is no whole number"),
    "an exponent": ("1e3", "1e3 is no whole number"),
    "an exponent beyond every float": ("1e400", "1e400 is no whole number"),
    "NaN": ("NaN", "NaN is no number. Leave out what is not known, or write null."),
    "infinity": ("Infinity", "Infinity is no number"),
    "minus infinity": ("-Infinity", "-Infinity is no number"),
    "2^53": ("9007199254740992", "9007199254740992 is too large. Hand in at most 9007199254740991."),
    "beyond 64 bits": ("99999999999999999999", "99999999999999999999 is no whole number that every JSON reader keeps"),
    "more digits than Python converts": ("9" * 5000, "99999999999999999999... is no whole number"),
    "a boolean": ("true", "true is not a whole number or null. Write it as such; nothing is converted."),
    "a text": ('"4"', "'4' is not a whole number or null"),
    "a list": ("[4]", "a list is not a whole number or null"),
    "an object": ("{}", "an object is not a whole number or null"),
}


@pytest.mark.parametrize(("value", "reason"), BAD_COUNTS.values(), ids=BAD_COUNTS)
def test_a_bad_count_is_refused_with_its_field_and_value(value, reason):
    line = TEXT.replace('"skipped": 4', f'"skipped": {value}')
    assert refusal(line).startswith(f"line 3: run.counts.skipped: {reason}")


@pytest.mark.parametrize("value", ["0", "9007199254740991"])
def test_the_least_and_the_greatest_count_are_counts(value):
    facts, _ = read_facts_line(TEXT.replace('"skipped": 4', f'"skipped": {value}'), 1, with_viewer=True)
    assert facts.run.counts is not None
    assert facts.run.counts.skipped == int(value)


def test_counts_that_contradict_themselves_are_refused():
    counts = {"total": 9, "succeeded": 1, "failed": 1, "skipped": 1, "partial": 1, "non_applied": 1}
    assert "run.counts: the five parts add up to 5, but total is 9" in refusal(with_run(counts=counts))


BAD_IDS = {
    "NUL": ("r\x00", "run.id: 'r\\x00' holds a control character (\\x00)"),
    "a lone surrogate": ("r\ud800", "run.id: 'r\\ud800' holds a lone surrogate (\\ud800)"),
    "a bidirectional override": ("r\u202e", "run.id: 'r\\u202e' holds a bidirectional control character"),
    "a terminal escape": ("\x1b[31mred", "run.id: '\\x1b[31mred' holds a control character (\\x1b)"),
    "a noncharacter": ("r\ufdd0", "run.id: 'r\\ufdd0' holds a noncharacter"),
    "empty": ("", "run.id: is empty"),
    "a space": (" ", "run.id: ' ' begins or ends with a space"),
    "too long": ("x" * 201, "has 201 characters. Hand in at most 200."),
    "a number": (1, "run.id: 1 is not a text"),
    "null": (None, "run.id: null is not a text"),
    "a list": (["r1"], "run.id: a list is not a text"),
}


@pytest.mark.parametrize(("value", "reason"), BAD_IDS.values(), ids=BAD_IDS)
def test_a_bad_id_is_refused_and_shown_escaped(value, reason):
    assert reason in refusal(with_run(id=value))


def test_a_raw_control_character_inside_a_text_is_no_json():
    assert refusal(TEXT.replace('"r1"', '"r\x00"')).startswith(
        "line 3: is no JSON: Invalid control character at character"
    )


@pytest.mark.parametrize("character", ["\u202e", "\u200b", "\ufdd0"])
def test_unfit_characters_are_found_raw_as_well_as_escaped(character):
    assert "run.id" in refusal(TEXT.replace('"r1"', f'"r{character}"'))


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ({**LINE, "operation": {**OPERATION, "id": ""}}, "operation.id"),
        ({**LINE, "operation": {**OPERATION, "workspace": " w"}}, "operation.workspace"),
        ({**LINE, "evidence": [SNAPSHOT, {**SNAPSHOT, "operation_run_id": ""}]}, "evidence[1].operation_run_id"),
        ({**LINE, "viewer": {**VIEWER, "id": ""}}, "viewer.id"),
        ({**LINE, "viewer": {**VIEWER, "may_view": ["o1", ""]}}, "viewer.may_view"),
        ({**LINE, "viewer": {**VIEWER, "may_view": ["o1", "\x1b"]}}, "viewer.may_view[1]"),
        ({**LINE, "viewer": {**VIEWER, "may_view": None}}, "viewer.may_view"),
        ({**LINE, "viewer": {**VIEWER, "may_view": [3]}}, "viewer.may_view[0]"),
        ({**LINE, "evidence": None}, "evidence"),
        ({**LINE, "evidence": {}}, "evidence"),
        ({**LINE, "evidence": [3]}, "evidence[0]"),
        ({**LINE, "run": []}, "run"),
    ],
)
def test_every_field_is_looked_at_and_named_by_its_way_in(line, field):
    assert refusal(json.dumps(line)).startswith(f"line 3: {field}: ")


@pytest.mark.parametrize(
    ("line", "field", "value", "one_choice"),
    [
        (with_run(status="Completed"), "run.status", "'Completed'", "completed_with_errors"),
        (with_run(attention="loud"), "run.attention", "'loud'", "completed_with_follow_up"),
        (
            json.dumps({**LINE, "operation": {**OPERATION, "status": "paused"}}),
            "operation.status",
            "'paused'",
            "queued",
        ),
        (json.dumps({**LINE, "operation": {**OPERATION, "outcome": "ok"}}), "operation.outcome", "'ok'", "blocked"),
        (
            json.dumps({**LINE, "evidence": [{**SNAPSHOT, "status": "new"}]}),
            "evidence[0].status",
            "'new'",
            "superseded",
        ),
    ],
)
def test_an_unknown_status_is_refused_and_the_known_ones_are_listed(line, field, value, one_choice):
    message = refusal(line)
    assert message.startswith(f"line 3: {field}: {value} is not known. Hand in one of: ")
    assert one_choice in message


def test_an_unknown_key_is_refused_wherever_it_is():
    assert refusal(with_run(recovered=True)) == (
        "line 3: run: the key 'recovered' is not known. Remove it, or correct its name."
    )
    assert refusal(json.dumps({**LINE, "note": 1})).startswith("line 3: the key 'note' is not known.")


@pytest.mark.parametrize("key", ["\x1b[2J", "\ud800", "x" * 300])
def test_a_key_is_text_that_comes_in_too(key):
    assert "a key: " in refusal(with_run(**{key: 1}))


def test_a_duplicate_key_is_refused_with_the_place_of_its_object():
    line = TEXT.replace('"skipped": 4', '"skipped": 4, "skipped": 5')
    assert refusal(line) == "line 3: run.counts: the key 'skipped' occurs more than once. Write every key once."


def test_a_duplicate_key_at_the_top_is_refused_too():
    assert refusal('{"run": 1, "run": 1}') == "line 3: the key 'run' occurs more than once. Write every key once."


@pytest.mark.parametrize("value", [0, 1, "false", None])
def test_only_a_boolean_says_whether_a_run_was_a_dry_run(value):
    assert "run.is_dry_run: " in refusal(with_run(is_dry_run=value))


@pytest.mark.parametrize(
    "time", ["yesterday", "2026-11-21", "2026-11-21T02:24:05", "2026-13-01T00:00:00Z", "2026-11-21T02:24:05.0000001Z"]
)
def test_a_time_that_is_none_is_refused(time):
    line = json.dumps({**LINE, "evidence": [{**SNAPSHOT, "captured_at": time}]})
    assert refusal(line).startswith("line 3: evidence[0].captured_at: ")


def test_a_time_outside_the_calendar_is_refused():
    line = json.dumps({**LINE, "evidence": [{**SNAPSHOT, "captured_at": "0001-01-01T00:00:00+14:00"}]})
    assert "line 3" in refusal(line)


NO_RECORDS = {
    "nothing": ("", "is empty"),
    "a blank line": (b" \r", "is empty"),
    "a word": ("restore", "is no JSON"),
    "half an object": (TEXT[:-1], "is no JSON"),
    "two objects": (TEXT + TEXT, "is no JSON: Extra data"),
    "a list": (f"[{TEXT}]", "a list is not an object"),
    "null": ("null", "null is not an object"),
    "a byte order mark": ("\ufeff" + TEXT, "is no JSON: Unexpected UTF-8 BOM"),
    "bytes that are no UTF-8": (b'{"run": "\xff"}', "is no UTF-8 at byte 10"),
    "UTF-16": (TEXT.encode("utf-16"), "is no UTF-8 at byte 1"),
    "deep nesting of lists": ("[" * 100_000, "is nested too deeply"),
    "deep nesting of objects": ('{"a":' * 100_000, "is nested too deeply"),
    "deep nesting that the parser still takes": ("[" * 300 + "]" * 300, "a list is not an object"),
    "ten megabytes": ('{"run": "' + "x" * 10_000_000 + '"}', f"has more than {LINE_BYTES_MAX} bytes"),
}


@pytest.mark.parametrize(("line", "reason"), NO_RECORDS.values(), ids=NO_RECORDS)
def test_what_is_no_record_is_refused(line, reason):
    assert reason in refusal(line)


def test_a_long_line_below_the_limit_is_refused_for_what_is_in_it():
    assert "run.id" in refusal(with_run(id="x" * 1_000_000))


class Item(Struct):
    """Stands for another kind of line."""

    key: str
    size: int | None = None
    tags: tuple[str, ...] = ()


def test_other_kinds_of_lines_are_read_by_the_same_rules():
    assert convert(parse_json('{"key": "a", "size": 3}', 1), Item, 1) == Item(key="a", size=3)
    with pytest.raises(BadInputError, match=r"^line 2: size: 'x' is not a whole number or null\."):
        convert(parse_json('{"key": "a", "size": "x"}', 2), Item, 2)
    with pytest.raises(BadInputError, match=r"^line 2: tags\[0\]: 'a\\x07' holds a control character"):
        parse_json('{"tags": ["a\\u0007"]}', 2)


def test_a_key_that_imitates_the_librarys_messages_fools_nobody():
    message = refusal(json.dumps({**LINE, "x` - at `$.run.id": 1}))
    assert message.startswith("line 3: ")
    assert "is not known" in message


def test_facts_survive_the_way_out_and_in_again():
    facts, viewer = read_facts_line(TEXT, 1, with_viewer=True)
    again = {"run": facts.run, "operation": facts.operation, "evidence": facts.evidence, "viewer": viewer}
    assert read_facts_line(msgspec.json.encode(again), 1, with_viewer=True) == (facts, viewer)
