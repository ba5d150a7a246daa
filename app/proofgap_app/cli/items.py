"""``proofgap items``: what became of each item, reported by workers and read by everybody who sees the run."""

from __future__ import annotations

from collections import Counter

from cyclopts import App
from msgspec.structs import astuple

from proofgap.errors import BadInputError
from proofgap.facts import ItemResult, RunEvent
from proofgap.records import Item
from proofgap.text import check_id, check_text, shown
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened
from proofgap_app.cli.options import (
    ACCESS,
    FIRING,
    STANDARD_INPUT,
    Access,
    AnyFile,
    Firing,
    Whole,
    key_of,
    note_of,
    records_of,
)
from proofgap_app.cli.receipts import answer
from proofgap_store import Page

_LIMIT_MAX = 10_000

app = App(
    name="items",
    help="Report what became of each item, and read it.",
    help_prologue="""Examples:
  proofgap items report rr_01KB2M95QF7T3ZC8H outcomes.ndjson
  proofgap items list rr_01KB2M95QF7T3ZC8H --result failed
""",
)


@app.command(
    name="report",
    help_prologue="""Examples:
  proofgap items report rr_01KB2M95QF7T3ZC8H outcomes.ndjson
  echo '{"key": "db/users", "result": "succeeded"}' | proofgap items report rr_01KB2M95QF7T3ZC8H - --key batch-1
""",
)
def report(run: str, file: AnyFile = STANDARD_INPUT, /, *, firing: Firing = FIRING, access: Access = ACCESS) -> int:
    """Report outcomes while a run executes: JSON lines with key, result and what else is known. All of a file, or none.

    Args:
        run: the run's id.
        file: JSON lines, or - for standard input.

    """
    check_id("RUN", run)
    key, items = key_of(firing), records_of(file, Item)
    _refuse_doubles(items)
    with opened(access) as ledger:
        receipt = ledger.fire(
            run, RunEvent.REPORT, me(), items=items, key=key, expected_version=firing.if_version, note=note_of(firing)
        )
    return answer(receipt, as_json=access.json)


@app.command(
    name="list",
    help_prologue="""Examples:
  proofgap items list rr_01KB2M95QF7T3ZC8H
  proofgap items list rr_01KB2M95QF7T3ZC8H --result failed --json | jq -r .key
""",
)
def list_items(
    run: str,
    /,
    *,
    result: ItemResult | None = None,
    limit: Whole = 1000,
    after: str = "",
    access: Access = ACCESS,
) -> int:
    """List reported outcomes, ordered by key; with --json one object per line.

    Args:
        run: the run's id.
        result: only items that ended so.
        limit: how many at most; 1000 unless given.
        after: continue after this key.

    """
    if not 1 <= limit <= _LIMIT_MAX:
        raise BadInputError("--limit", f"{limit} is out of range", f"Use 1 to {_LIMIT_MAX}.")
    check_text("--after", after)
    check_id("RUN", run)
    with opened(access) as ledger:
        found = ledger.items(run, me().id, Page(result=result, after=after, limit=limit))
    if access.json:
        for item in found:
            output.json_line(item)
        return 0
    output.table([name.replace("_", " ").capitalize() for name in Item.__struct_fields__], map(astuple, found))
    if len(found) == limit:
        output.note(f"More: proofgap items list {run} --after '{found[-1].key}'")
    return 0


def _refuse_doubles(items: list[Item]) -> None:
    if not items:
        raise BadInputError("FILE", "holds no items", "Hand in at least one line.")
    for number, item in enumerate(items, 1):
        check_id(f"line {number}: key", item.key)
    key, count = Counter(item.key for item in items).most_common(1)[0]
    if count > 1:
        raise BadInputError("key", f"'{shown(key)}' occurs {count} times", "Report every item once.")
