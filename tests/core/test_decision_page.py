"""The page of a decision record: text stays text, what is not known is not 0, and lengths of time read well."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

import pytest

from proofgap.decision_page import page
from proofgap.decision_record import DecisionRecord, Pair, Section, Table
from proofgap.run_log import NOT_REPORTED, duration_text, time_text

HOSTILE = "</style><script>x</script>\u202e\x07\" onload='y' &amp; <!--"


def record(text):
    """Give a record with a text in every place that takes one."""
    table = Table((text, text), ((text, text), ("short", text)), text)
    sections = (Section(text, (Pair(text, text),), table, (text,)), Section(text, notes=(text,)))
    return DecisionRecord(text, text, text, text, text, text, sections)


def test_nothing_that_is_handed_in_becomes_a_tag_an_attribute_or_an_invisible_character():
    plain, hostile = page(record("x" * len(HOSTILE))), page(record(HOSTILE))
    tags = re.compile(r"<[^>]*>")
    assert tags.findall(hostile) == tags.findall(plain)
    assert not {"\u202e", "\x07"} & set(hostile)
    assert "&lt;script&gt;x&lt;/script&gt;\\u202e\\x07&quot; onload=&#x27;y&#x27; &amp;amp; &lt;!--" in hostile


def test_the_page_allows_no_script_and_nothing_from_elsewhere_and_its_own_style_by_its_digest():
    text = page(record("x"))
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'" in text
    assert not re.search(r"https?:|url\(|@import|<script", text)
    assert "size: A4" in style


@pytest.mark.parametrize(
    ("length_us", "text"),
    [
        (0, "0.0 ms"),
        (1_500, "1.5 ms"),
        (999_999, "1000.0 ms"),
        (1_000_000, "1 s"),
        (61_000_000, "1 min 1 s"),
        (3_600_000_000, "1 h 0 min"),
        (14_400_000_000, "4 h 0 min"),
        (90_061_000_000, "1 d 1 h"),
        (-61_000_000, "-1 min 1 s"),
    ],
)
def test_a_length_of_time_is_written_in_its_two_largest_units(length_us, text):
    assert duration_text(length_us) == text


def test_a_time_that_is_not_known_is_not_reported():
    assert time_text(None) == NOT_REPORTED
    assert time_text(0) == "1970-01-01\N{NO-BREAK SPACE}00:00:00\N{NO-BREAK SPACE}UTC"
