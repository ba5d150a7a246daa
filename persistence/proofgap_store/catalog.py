"""What a database says of its own schema: the seam between `schema` and the two databases.

Owns the shape of the answer. Refuses to know what ought to be there (`schema`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from proofgap_store.dialect import Connection


class Part(NamedTuple):
    """A part of a schema. A trigger may bear the name of a table."""

    kind: str
    name: str


class Found(NamedTuple):
    """A part that is there: how it is defined, and the statement that takes it away."""

    definition: str
    drop: str


class Catalog(NamedTuple):
    """How the schema of one kind of database is read, and put right."""

    parts: Callable[[Connection], Mapping[Part, Found]]  # what is there
    wanted: Callable[[str], Mapping[Part, str]]  # the definitions of what ought to be there in a revision
    statements: Callable[[Part], tuple[str, ...]]  # what puts a part right that was taken away; empty: nothing can
    version: str  # gives a number that changes whenever the schema does
    is_stamped: str  # gives a row, if a ledger was made here
