"""Counts and the other facts at the door: what is not exactly known is refused, and nothing is filled in."""

from __future__ import annotations

import itertools
import math
from typing import Any

import msgspec
import pytest

from proofgap.facts import Counts, Facts
from tests.core.fact_lines import ALL_SIX, Row, facts_of, operation_row, snapshot_row, usual_line

NAMES = ("total", "succeeded", "failed", "skipped", "partial", "non_applied")
LARGEST = 2**53 - 1
REFUSED = {
    "negative": -1,
    "true": True,
    "false": False,
    "a whole number written as a fraction": 4.0,
    "a fraction": 0.5,
    "negative zero as a fraction": -0.0,
    "not a number": math.nan,
    "infinite": math.inf,
    "text": "4",
    "empty text": "",
    "a list": [4],
    "an object": {"value": 4},
    "one too large": LARGEST + 1,
    "beyond 64 bits": 2**64,
}


def read(counts: Any) -> Counts:
    """Read counts the way they enter: strictly."""
    return msgspec.convert(counts, Counts, strict=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
def test_a_count_that_is_no_number_of_items_is_refused_by_name(name: str, value: Any) -> None:
    """The error says which count it is."""
    with pytest.raises(msgspec.ValidationError, match=rf"at `\$\.{name}`"):
        read({name: value})


@pytest.mark.parametrize(
    "text", ["-1", "true", "4.0", "1e2", "0.5", '"4"', "NaN", "Infinity", "9007199254740992", "04"]
)
def test_a_count_that_is_no_number_of_items_is_refused_in_json(text: str) -> None:
    """Reading JSON is no looser than reading objects."""
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(f'{{"total": {text}}}', type=Counts)


@pytest.mark.parametrize("value", [-1, True, 4.0, math.nan, "4", LARGEST + 1])
def test_a_number_of_item_rows_is_held_to_the_same(value: Any) -> None:
    """Items are counted like counts."""
    with pytest.raises(msgspec.ValidationError, match=r"at `\$\.run\.items`"):
        facts_of(usual_line(items=value))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, 1, LARGEST])
def test_a_known_count_is_kept_and_no_other_is_added(name: str, value: int) -> None:
    """Zero is a number; a count that is absent stays unknown."""
    counts = read({name: value})
    assert [getattr(counts, other) for other in NAMES] == [value if other == name else None for other in NAMES]
    assert msgspec.to_builtins(counts) == {name: value}


def test_unknown_counts_are_not_zero() -> None:
    """Null and absent both mean not known, and are written as nothing."""
    for unknown in ({}, dict.fromkeys(NAMES)):
        assert msgspec.json.encode(read(unknown)) == b"{}"
        assert not read(unknown).any_known
    assert read({"failed": 0}).any_known


@pytest.mark.parametrize("wrong", [-1, 1])
@pytest.mark.parametrize("name", NAMES)
def test_six_counts_that_do_not_add_up_are_refused(name: str, wrong: int) -> None:
    """Each of the six can be the one that is off by one."""
    with pytest.raises(msgspec.ValidationError, match="the five parts add up to"):
        read(ALL_SIX | {name: ALL_SIX[name] + wrong})


def test_six_counts_that_add_up_are_kept() -> None:
    """Five parts make the total, also when all are zero or as large as can be."""
    for six in (ALL_SIX, dict.fromkeys(NAMES, 0), dict.fromkeys(NAMES, 0) | {"total": LARGEST, "partial": LARGEST}):
        assert msgspec.to_builtins(read(six)) == six


@pytest.mark.parametrize("missing", NAMES)
def test_counts_are_added_up_only_if_all_six_are_known(missing: str) -> None:
    """With one of them unknown the sum says nothing: neither refused nor completed."""
    five = {name: 7 for name in NAMES if name != missing}
    assert msgspec.to_builtins(read(five)) == five


def test_the_sum_is_checked_in_python_too() -> None:
    """Counts built by code are held to the same sum."""
    with pytest.raises(ValueError, match="the five parts add up to 15, but total is 16"):
        Counts(**ALL_SIX | {"total": 16})


@pytest.mark.parametrize("path", [(), ("run",), ("run", "counts"), ("operation",), ("evidence", 0)])
def test_an_unknown_key_is_refused_wherever_it_stands(path: tuple[str | int, ...]) -> None:
    """A misspelt field is never ignored; the error names it."""
    line: Any = usual_line(snapshot_row(), counts={"total": 1})
    place = line
    for step in path:
        place = place[step]
    place["recovered"] = 1
    with pytest.raises(msgspec.ValidationError, match="unknown field `recovered`"):
        facts_of(line)


WORDS_REFUSED = [
    *itertools.product(["run"], ["status"], ["done", "Completed", " completed", "", None, 1]),
    *itertools.product(["run"], ["attention"], ["follow_up", ""]),
    *itertools.product(["run"], ["is_dry_run"], ["false", 0, 1, None]),
    *itertools.product(["operation"], ["status"], ["blocked", "COMPLETED", None]),
    *itertools.product(["operation"], ["outcome"], ["partial", "none", ""]),
    *itertools.product(["evidence"], ["status"], ["ready", "ACTIVE", None]),
    *itertools.product(["evidence"], ["captured_at"], ["yesterday", "2026-11-21", "2026-11-21T02:24:05", 1790000000]),
]


@pytest.mark.parametrize(("record", "field", "value"), WORDS_REFUSED)
def test_a_word_that_is_not_in_the_vocabulary_is_refused(record: str, field: str, value: Any) -> None:
    """An unknown status, outcome, snapshot state, flag or time is rejected where it enters; nothing is defaulted."""
    rows: dict[str, Row] = {"run": usual_line()["run"], "operation": operation_row(), "evidence": snapshot_row()}
    rows[record] = rows[record] | {field: value}
    with pytest.raises(msgspec.ValidationError, match=rf"at `\$\.{record}|RFC 3339"):
        facts_of(usual_line() | rows | {"evidence": [rows["evidence"]]})


@pytest.mark.parametrize("field", ["id", "workspace", "environment", "status", "is_dry_run"])
def test_a_run_without_one_of_its_own_fields_is_refused(field: str) -> None:
    """A scope or a flag that is not known must be said to be null; it is never assumed."""
    line = usual_line()
    del line["run"][field]
    with pytest.raises(msgspec.ValidationError, match=f"missing required field `{field}`"):
        facts_of(line)


def test_facts_cannot_be_changed_once_read() -> None:
    """A decision can be repeated because its facts stay what they were."""
    facts, _ = facts_of(usual_line(counts={"total": 1}))
    with pytest.raises(AttributeError):
        facts.run.counts.total = 2  # type: ignore[union-attr]
    assert isinstance(facts, Facts)
