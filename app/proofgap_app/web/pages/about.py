"""The form of the pages that a primary action leads to: sections of facts, notes and rows, and what can be done next.

Owns the shapes. Refuses to know what any page is about.
"""

from __future__ import annotations

from typing import NamedTuple

from proofgap.access import MAY, Action, Role
from proofgap_app.web.pages import words
from proofgap_app.web.pages.forms import Form

Pair = tuple[str, str]


class Link(NamedTuple):
    """A way to another page, and what it asks of whoever follows it."""

    label: str
    page: str
    asks: Action = Action.VIEW


class Table(NamedTuple):
    """Rows under a head; ``more`` continues them."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: Link | None = None


class Section(NamedTuple):
    """A part of a page."""

    title: str
    pairs: tuple[Pair, ...] = ()
    notes: tuple[str, ...] = ()
    table: Table | None = None
    links: tuple[Link, ...] = ()
    commands: tuple[str, ...] = ()


class News(NamedTuple):
    """Where a page hears that its run moved, up to which event it shows that, and when it was made."""

    stream: str
    upto: int
    clock: str


class About(NamedTuple):
    """A page about one run: what it is called, where in the run it is, and its parts."""

    run_id: str
    heading: str
    here: str
    sections: tuple[Section, ...]
    forms: tuple[Form, ...] = ()
    news: News | None = None  # of a page that is live

    def followed_by(self, roles: frozenset[Role]) -> About:
        """Give the page with those links only that somebody with these roles may follow."""
        return self._replace(
            sections=tuple(
                part._replace(links=tuple(link for link in part.links if roles & MAY[link.asks]))
                for part in self.sections
            )
        )


def pairs(facts: dict[str, object]) -> tuple[Pair, ...]:
    """Write facts under their names; what is not known says so."""
    return tuple(
        (name, words.NOT_REPORTED if value is None or value == "" else f"{value}") for name, value in facts.items()
    )
