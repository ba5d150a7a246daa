"""The rules in words are those of the documentation, and as many as decide."""

from __future__ import annotations

import re
from pathlib import Path

from proofgap.decision import RULES, decide
from tests.core.fact_lines import ONE_OF_EACH, facts_of

PAGE = Path(__file__).parents[2] / "docs" / "decision-rules.md"


def test_the_rules_in_words_are_the_table_of_the_documentation():
    section = PAGE.read_text("utf-8").partition("## 2. Precedence")[2].partition("## 3.")[0]
    table = dict(re.findall(r"^\| (\d) \| (.+?) \|", section, re.MULTILINE))
    said = {int(rule): re.sub(r"\bO\b", "the operation run", words) for rule, words in table.items()}
    assert dict(RULES) == said


def test_every_rule_that_decides_is_there_in_words():
    assert {decide(*facts_of(line)).rule for line in ONE_OF_EACH.values()} <= set(RULES)
