"""Documentation says what is so: its Python runs, its links lead somewhere, and each page has one title."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import structlog
from sybil import Sybil
from sybil.example import Example
from sybil.parsers.markdown import PythonCodeBlockParser

from proofgap.wording import WORDING, DecisionState

REPOSITORY = Path(__file__).parents[1]
README = REPOSITORY / "README.md"
PAGES = [README, *sorted((REPOSITORY / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(REPOSITORY)) for page in PAGES]
RECORD_LINES_MAX = 60
_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def examples() -> list[Example]:
    """Find the Python examples of every page; those of one page share their names."""
    sybil = Sybil([PythonCodeBlockParser()])
    return [example for page in PAGES for example in sybil.parse(page).examples()]


def prose(page: Path) -> str:
    """Give a page without its blocks of code."""
    return _BLOCK.sub("", page.read_text("utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_python_of_a_page_runs(page: Path) -> None:
    """Whoever copies an example gets what the page says."""
    with structlog.testing.capture_logs():
        for example in Sybil([PythonCodeBlockParser()]).parse(page).examples():
            example.evaluate()


def test_the_readme_has_an_example() -> None:
    """The test above would be content with a page without any."""
    assert any(Path(example.path) == README for example in examples())


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_page_has_one_title(page: Path) -> None:
    """Exactly one heading of the first level, and it is the first line."""
    assert [line for line in prose(page).splitlines() if line.startswith("# ")] == [
        page.read_text("utf-8").splitlines()[0]
    ]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    """No link of the repository is dead."""
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose(page))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_the_readme_is_short_and_names_every_state() -> None:
    """It fits on a few screens, and its table of states is the one in the code."""
    text = README.read_text("utf-8")
    assert len(text.splitlines()) <= 150
    for state in DecisionState:
        assert f"| `{state}` | {WORDING[state].status} |" in text


@pytest.mark.parametrize("page", sorted((REPOSITORY / "docs" / "decisions").glob("*.md")), ids=lambda page: page.name)
def test_a_decision_record_fits_on_one_page(page: Path) -> None:
    """A record that nobody reads to its end decides nothing."""
    text = page.read_text("utf-8")
    assert len(text.splitlines()) <= RECORD_LINES_MAX
    assert "## What would change our mind" in text
