"""What is handed in from Python is held as strictly as what is read from JSON.

A record built in Python is not checked when it is built: nothing stops ``Counts(total=-5)``. Here it is, once, before
anything is done with it. Refuses to know what the values mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from proofgap.errors import BadInputError
from proofgap.text import TEXT_LENGTH_MAX, check_text, shown

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


def admitted(field: str, value: T, *, length_max: int = TEXT_LENGTH_MAX) -> T:
    """Give a record, or a tuple of records, if all in it has its type, its limits, and fit text.

    Text in the place of a member of a closed set comes back as that member. An empty ``field`` names the record itself.

    Raises:
        BadInputError: names the field where it was handed in, the place inside it, and what is wrong there.

    """
    if isinstance(value, tuple):
        parts: Any = tuple(_checked(field, part, length_max) for part in value)
        return parts  # type: ignore[no-any-return]  # a tuple of the same records
    return _checked(field, value, length_max)


def known(kind: type[E], field: str, value: str) -> E:
    """Give the member of a closed set that a text names.

    Raises:
        BadInputError: names the members there are.

    """
    try:
        return kind(value)
    except ValueError:
        raise BadInputError(field, f"{shown(str(value))!r} is not known", f"Use one of: {', '.join(kind)}.") from None


def _checked(field: str, value: T, length_max: int) -> T:
    document = msgspec.to_builtins(value)
    try:
        checked = msgspec.convert(document, type(value), strict=True)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at ")
        place = f"{field}{path.strip('`').lstrip('$')}".lstrip(".")
        raise BadInputError(place, shown(problem), "Hand in a value of its type and limits.") from None
    for place, text in _texts(field, document):
        check_text(place.lstrip("."), text, length_max=length_max)
    return checked


def _texts(place: str, document: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any value that JSON has
    """Walk every text of a document, each with its place, such as ``run.id`` or ``evidence[0].id``."""
    if isinstance(document, str):
        yield place, document
    elif isinstance(document, dict):
        for name, value in document.items():
            yield from _texts(f"{place}.{name}", value)
    elif isinstance(document, list | tuple):
        for number, value in enumerate(document):
            yield from _texts(f"{place}[{number}]", value)
