"""Text that comes in: every kind of unfit character is refused by name, everything else passes unchanged."""

from __future__ import annotations

import pytest

from proofgap.errors import BadInputError
from proofgap.text import ID_LENGTH_MAX, TEXT_LENGTH_MAX, check_id, check_text, safe, shown

UNFIT = {
    "NUL": ("\x00", "a control character (\\x00)"),
    "the escape that begins a terminal sequence": ("\x1b", "a control character (\\x1b)"),
    "a line break": ("\n", "a control character (\\x0a)"),
    "a carriage return": ("\r", "a control character (\\x0d)"),
    "delete": ("\x7f", "a control character (\\x7f)"),
    "the eight-bit escape": ("\x9b", "a control character (\\x9b)"),
    "a line separator": ("\u2028", "a control character (\\u2028)"),
    "a high surrogate": ("\ud800", "a lone surrogate (\\ud800)"),
    "a low surrogate": ("\udfff", "a lone surrogate (\\udfff)"),
    "a right-to-left override": ("\u202e", "a bidirectional control character (\\u202e)"),
    "an isolate": ("\u2066", "a bidirectional control character (\\u2066)"),
    "a right-to-left mark": ("\u200f", "a bidirectional control character (\\u200f)"),
    "a zero-width space": ("\u200b", "an invisible character (\\u200b)"),
    "a byte order mark": ("\ufeff", "an invisible character (\\ufeff)"),
    "a tag character": ("\U000e0041", "an invisible character (\\U000e0041)"),
    "a noncharacter of the first plane": ("\ufdd0", "a noncharacter (\\ufdd0)"),
    "the last code point of a plane": ("\uffff", "a noncharacter (\\uffff)"),
    "the last code point of all": ("\U0010ffff", "a noncharacter (\\U0010ffff)"),
}
FIT = {
    "plain letters": "nightly-2026-11-21",
    "umlauts": "Prüfung Größe",
    "Japanese": "復元テスト",
    "Arabic": "استعادة",
    "Persian with a joiner that it needs": "می‌خواهم",
    "a family, joined": "👩‍👩‍👧",
    "a backslash and quotes": "C:\\data \"x\" 'y'",
    "a private use character": "\ue000",
    "a no-break space inside": "a\u00a0b",
}


@pytest.mark.parametrize(("character", "kind"), UNFIT.values(), ids=UNFIT)
def test_an_unfit_character_is_refused_by_name_and_shown_escaped(character, kind):
    with pytest.raises(BadInputError) as caught:
        check_text("run.id", f"r{character}1")
    assert caught.value.field == "run.id"
    assert caught.value.problem.endswith(f"holds {kind}")
    assert caught.value.remedy == "Remove it."
    assert character not in str(caught.value)


@pytest.mark.parametrize(("character", "_kind"), UNFIT.values(), ids=UNFIT)
def test_an_unfit_character_never_reaches_a_terminal(character, _kind):
    assert character not in safe(f"r{character}1{character}")
    assert safe(f"r{character}1").startswith("r\\")
    assert shown(f"r{character}1") == safe(f"r{character}1")


@pytest.mark.parametrize("value", FIT.values(), ids=FIT)
def test_every_other_text_passes_unchanged_and_is_shown_as_it_is(value):
    assert check_text("purpose", value) == value
    assert check_id("run.id", value) == value
    assert shown(value) == value


def test_a_text_may_be_as_long_as_the_limit_and_no_longer():
    assert check_text("purpose", "x" * TEXT_LENGTH_MAX)
    with pytest.raises(BadInputError, match=r"^purpose: 'x{60}\.\.\.' has 4001 characters\. Hand in at most 4000\.$"):
        check_text("purpose", "x" * (TEXT_LENGTH_MAX + 1))


def test_an_id_may_be_as_long_as_its_limit_and_no_longer():
    assert check_id("run.id", "x" * ID_LENGTH_MAX)
    with pytest.raises(BadInputError, match="has 201 characters"):
        check_id("run.id", "x" * (ID_LENGTH_MAX + 1))


@pytest.mark.parametrize("value", [" r1", "r1 ", " "])
def test_an_id_neither_begins_nor_ends_with_a_space(value):
    with pytest.raises(BadInputError, match="begins or ends with a space"):
        check_id("run.id", value)


def test_an_empty_id_is_refused_but_an_empty_text_is_a_text():
    assert not check_text("purpose", "")
    with pytest.raises(BadInputError, match=r"^run\.id: is empty\. Hand in 1 to 200 characters\.$"):
        check_id("run.id", "")


def test_what_is_shown_is_cut_off_so_that_a_message_stays_one_line():
    assert shown("x" * 100) == "x" * 60 + "..."
    assert shown("x" * 100, length_max=5) == "xxxxx..."
