"""How JSON becomes facts: one line in, checked values out, or one clear reason why not.

Owns what is acceptable as JSON (no duplicate keys, no NaN, no number that a reader could round, no text that could
steer a terminal) and the words of each refusal: line, dotted field, value, reason, remedy. Refuses to guess: no
value is converted, cut, filled in or ignored. Refuses to know where lines come from and what facts mean.

One line is read in three steps: `parse_json` (is it JSON, and fit to come in), `convert` (has it the shape of a
type), and for fact lines a last look at their ids.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec.inspect import EnumType, StructType, UnionType, VarTupleType, type_info

from proofgap.errors import BadInputError
from proofgap.facts import Facts, OperationFacts, RunFacts, SnapshotFacts, Struct, Viewer
from proofgap.text import ID_LENGTH_MAX, TEXT_LENGTH_MAX, check_id, check_text, shown

LINE_BYTES_MAX = 1024 * 1024
"""The most bytes that one line of JSON may have."""

T = TypeVar("T")
_WHOLE_DIGITS_MAX = 17  # 2**53 has 16 digits; anything longer is refused with its digits still in hand
_STEP = re.compile(r"\.?(\w+)|\[(\d+)\]")
_EXPECTED = re.compile(r"Expected `(?P<wanted>[^`]*)`(?:, got `(?P<found>[^`]*)`| (?P<bound>[<>]=) (?P<limit>-?\d+))")
_NAMED = {
    "int": "a whole number",
    "str": "a text",
    "bool": "true or false",
    "null": "null",
    "object": "an object",
    "array": "a list",
}
_NOT_JSON = "Hand in one JSON object per line, in UTF-8."


class _Marked(str):
    """The raw text of something that JSON readers disagree about; no field takes it, so it is refused by name."""

    __slots__ = ()


class _NotFinite(_Marked):
    """NaN or an infinity."""

    __slots__ = ()


class _Rounded(_Marked):
    """A number with a fraction, an exponent, or more digits than JSON readers keep."""

    __slots__ = ()


class _Repeated(_Marked):
    """Stands for an object with a key that occurs twice; holds the key."""

    __slots__ = ()


class _Node(NamedTuple):
    """A value within a line, and the way to it."""

    value: Any
    parent: _Node | None
    key: str | int


class _ViewedLine(Struct, frozen=True):
    """A line of ``decide``."""

    run: RunFacts
    operation: OperationFacts | None
    evidence: tuple[SnapshotFacts, ...]
    viewer: Viewer


class _RecordLine(Struct, frozen=True):
    """A line of ``import``: the same, without a viewer."""

    run: RunFacts
    operation: OperationFacts | None
    evidence: tuple[SnapshotFacts, ...]


def read_facts_line(line: bytes | str, number: int, *, with_viewer: bool) -> tuple[Facts, Viewer | None]:
    """Read one line of facts.

    Args:
        line: one JSON object with ``run``, ``operation``, ``evidence`` and, if asked for, ``viewer``.
        number: the number of the line, counted from 1; errors name it.
        with_viewer: whether the line must say who looks; if not, it may not.

    Returns:
        The facts, and the viewer, or ``None`` when there is none to read.

    Raises:
        BadInputError: names line, dotted field, value, reason and remedy.

    """
    document = parse_json(line, number, length_max=ID_LENGTH_MAX)
    viewer: Viewer | None = None
    read: _ViewedLine | _RecordLine
    if with_viewer:
        read = convert(document, _ViewedLine, number)
        viewer = read.viewer
    else:
        read = convert(document, _RecordLine, number)
    for field, text in _ids(read):
        if text is not None and (not text or text != text.strip()):
            check_id(_place(number, field), text)
    return Facts(run=read.run, operation=read.operation, evidence=read.evidence), viewer


def parse_json(line: bytes | str, number: int, *, length_max: int = TEXT_LENGTH_MAX) -> Any:  # noqa: ANN401 - any JSON value
    """Parse one line of JSON and check every text and number in it.

    Args:
        line: the JSON text.
        number: the number of the line, counted from 1; errors name it.
        length_max: the most characters of any text in it.

    Raises:
        BadInputError: it is too long, no JSON, nested too deeply, repeats a key, holds NaN, an infinity or a number
            that cannot be kept exactly, or text that may not come in.

    """
    text = _decoded(line, number)
    try:
        document = json.loads(
            text, object_pairs_hook=_pairs, parse_constant=_NotFinite, parse_int=_whole, parse_float=_Rounded
        )
    except RecursionError:
        raise BadInputError(_place(number), "is nested too deeply", "Hand in flat records.") from None
    except json.JSONDecodeError as error:
        problem = f"is no JSON: {error.msg.removesuffix(' at')} at character {error.pos + 1}"
        raise BadInputError(_place(number), problem, _NOT_JSON) from None
    _check(document, number, length_max)
    return document


def convert(document: Any, shape: type[T], number: int) -> T:  # noqa: ANN401 - any JSON value
    """Turn a parsed JSON value into a value of a type, strictly.

    Raises:
        BadInputError: a field is missing, unknown, of the wrong type, or has a value outside its limits.

    """
    try:
        return msgspec.convert(document, shape, strict=True)
    except msgspec.ValidationError as error:
        raise _refusal(str(error), document, shape, number) from None


def _decoded(line: bytes | str, number: int) -> str:
    if len(line) > LINE_BYTES_MAX:
        problem = f"has more than {LINE_BYTES_MAX} bytes"
        raise BadInputError(_place(number), problem, "Hand in one record per line; that is far smaller.")
    if not line.strip():
        raise BadInputError(_place(number), "is empty", "Hand in one JSON object per line.")
    if isinstance(line, str):
        return line
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise BadInputError(_place(number), f"is no UTF-8 at byte {error.start + 1}", _NOT_JSON) from None


def _pairs(pairs: list[tuple[str, Any]]) -> Any:  # noqa: ANN401 - an object, or the mark of a refused one
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    keys = [key for key, _ in pairs]
    return _Repeated(next(key for key in keys if keys.count(key) > 1))


def _whole(digits: str) -> int | _Rounded:
    return int(digits) if len(digits) <= _WHOLE_DIGITS_MAX else _Rounded(digits)


def _check(document: Any, number: int, length_max: int) -> None:  # noqa: ANN401 - any JSON value
    """Look at every text, key and mark of a document; without recursion, so depth cannot hurt."""
    nodes = [_Node(document, None, "")]
    while nodes:
        node = nodes.pop()
        value = node.value
        if isinstance(value, dict):
            for key, inner in value.items():
                if len(key) > ID_LENGTH_MAX or not key.isprintable():
                    check_text(_place(number, _dotted(node), "a key"), key, length_max=ID_LENGTH_MAX)
                nodes.append(_Node(inner, node, key))
        elif isinstance(value, list):
            nodes.extend(_Node(inner, node, index) for index, inner in enumerate(value))
        elif isinstance(value, _Marked):
            raise _marked(value, _place(number, _dotted(node)))
        elif isinstance(value, str) and (len(value) > length_max or not value.isprintable()):
            check_text(_place(number, _dotted(node)), value, length_max=length_max)


def _marked(value: _Marked, field: str) -> BadInputError:
    match value:
        case _Repeated():
            return BadInputError(field, f"the key '{shown(value)}' occurs more than once", "Write every key once.")
        case _NotFinite():
            return BadInputError(field, f"{value} is no number", "Leave out what is not known, or write null.")
        case _:
            problem = f"{shown(value, length_max=20)} is no whole number that every JSON reader keeps exactly"
            return BadInputError(field, problem, "Hand in a whole number from 0 to 2^53 - 1.")


def _refusal(message: str, document: Any, shape: Any, number: int) -> BadInputError:  # noqa: ANN401 - any value, any type
    """Put the library's reason into words that name the value and the remedy."""
    problem, path = _split(message)
    field = _place(number, path)
    if problem.startswith("Object contains unknown field"):
        return BadInputError(field, f"the key '{_named(problem)}' is not known", "Remove it, or correct its name.")
    value = _short(_value_at(document, path))
    if problem.startswith("Object missing required field"):
        missing = f"{path}.{_named(problem)}".lstrip(".")
        return BadInputError(_place(number, missing), "is missing", "Hand it in; where it may be unknown, write null.")
    if problem.startswith("Invalid enum value"):
        choices = ", ".join(_choices(shape, path))
        return BadInputError(field, f"{value} is not known", f"Hand in one of: {choices}.")
    expected = _EXPECTED.match(problem)
    if expected is None:
        if path.startswith("evidence["):  # the one thing of a snapshot that is looked at once it is read
            field = _place(number, f"{path}.captured_at")
        return BadInputError(field, shown(problem, length_max=200), "Correct it; nothing is guessed.")
    return _unexpected(expected, field, value)


def _unexpected(expected: re.Match[str], field: str, value: str) -> BadInputError:
    """Put into words that a value is of the wrong type, or outside its limits."""
    if expected["bound"] == ">=":
        return BadInputError(field, f"{value} is below {expected['limit']}", "Hand in a whole number from 0 on.")
    if expected["bound"] == "<=":
        return BadInputError(field, f"{value} is too large", f"Hand in at most {expected['limit']}.")
    wanted = " or ".join(_NAMED.get(name, name) for name in expected["wanted"].split(" | "))
    return BadInputError(field, f"{value} is not {wanted}", "Write it as such; nothing is converted.")


def _split(message: str) -> tuple[str, str]:
    """Take the library's message apart into the problem and the path."""
    problem, _, path = message.rpartition(" - at `$")
    return (problem, path.removesuffix("`").lstrip(".")) if problem else (message, "")


def _named(problem: str) -> str:
    """Give the key that the library's message names."""
    return shown(problem.partition("`")[2].removesuffix("`"))


def _choices(shape: Any, path: str) -> list[str]:  # noqa: ANN401 - any type
    """List the values of the closed set that a path leads to."""
    nodes = [type_info(shape)]
    for name, _ in [*_STEP.findall(path), ("", "")]:
        nodes = [inner for node in nodes for inner in (node.types if isinstance(node, UnionType) else [node])]
        if name:
            fields = [field for node in nodes if isinstance(node, StructType) for field in node.fields]
            nodes = [field.type for field in fields if field.encode_name == name]
        else:
            nodes = [node.item_type if isinstance(node, VarTupleType) else node for node in nodes]
    return [member.value for node in nodes if isinstance(node, EnumType) for member in node.cls]


def _place(number: int, *fields: str) -> str:
    named = ": ".join(filter(None, fields))
    return f"line {number}: {named}" if named else f"line {number}"


def _dotted(node: _Node) -> str:
    steps: list[str] = []
    while node.parent is not None:
        steps.append(f"[{node.key}]" if isinstance(node.key, int) else f".{shown(node.key)}")
        node = node.parent
    return "".join(reversed(steps)).lstrip(".")


def _value_at(document: Any, path: str) -> Any:  # noqa: ANN401 - any JSON value
    """Follow a path as the library writes it."""
    for name, index in _STEP.findall(path):
        document = document[name or int(index)]
    return document


def _short(value: Any) -> str:  # noqa: ANN401 - any JSON value
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case str():
            return f"'{shown(value)}'"
        case _:
            return shown(json.dumps(value))


def _ids(read: _ViewedLine | _RecordLine) -> Iterator[tuple[str, str | None]]:
    """Give every id and name of a line with its dotted field."""
    run = read.run
    yield from (("run.id", run.id), ("run.workspace", run.workspace), ("run.environment", run.environment))
    yield "run.operation_run_id", run.operation_run_id
    rows: list[tuple[str, OperationFacts | SnapshotFacts]] = [
        (f"evidence[{index}]", row) for index, row in enumerate(read.evidence)
    ]
    if read.operation is not None:
        rows.append(("operation", read.operation))
    for name, row in rows:
        yield from (
            (f"{name}.id", row.id),
            (f"{name}.workspace", row.workspace),
            (f"{name}.environment", row.environment),
        )
        if isinstance(row, SnapshotFacts):
            yield f"{name}.operation_run_id", row.operation_run_id
    if isinstance(read, _ViewedLine):
        yield "viewer.id", read.viewer.id
        yield from (("viewer.may_view", viewed) for viewed in read.viewer.may_view)
