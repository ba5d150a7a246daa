"""``proofgap audit verify``: whether the log is as it was written, and whether the records follow from it.

It opens the file for reading only and needs no role: whoever can read the file can verify it, and a copy serves as
well as the original. It never repairs. What it says is about the log, never about a restore.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from proofgap.checkpoints import parse_checkpoint
from proofgap.errors import BadInputError, MalformedError
from proofgap.findings import Finding, Verdict
from proofgap.notes import VerifierKey, parse_note
from proofgap.text import check_text, shown
from proofgap_app import settings
from proofgap_app.bundle_check import BundleVerification, read_policy, verify_bundle
from proofgap_app.cli import output, progress
from proofgap_app.cli.options import ACCESS, Access, Whole, seconds
from proofgap_app.cli.problems import Exit
from proofgap_store import Anchors, Depth, Verification, verify_file
from proofgap_store.clock import now_us

_JOBS_MAX = 64
_FINDINGS_SHOWN_MAX = 50
_EXITS = {
    Verdict.OK: Exit.OK,
    Verdict.TAMPERED: Exit.ERROR,
    Verdict.UNVERIFIABLE: Exit.UNVERIFIABLE,
    Verdict.WARN: Exit.WARNINGS,
    Verdict.QUICK: Exit.WARNINGS,
}

app = App(
    name="verify",
    help="Verify that the log is complete, unedited, in order and not rolled back, and that the records follow from it.",
    help_prologue="""Examples:
  proofgap audit verify
  proofgap audit verify --pin last-seen.note --policy policy.txt
  proofgap audit verify --ledger sqlite:///copy-of-ledger.db --json
  proofgap audit verify --since yesterday.note --jobs 2
  proofgap audit verify rr_01KB2M95QF7T3ZC8H.zip --policy policy.txt
""",
)


@app.default
def verify(  # noqa: PLR0913 - every option of the command is an argument
    bundle: Path | None = None,
    /,
    *,
    pin: Path | None = None,
    head: Path | None = None,
    policy: Path | None = None,
    since: Path | None = None,
    max_age: str | None = None,
    jobs: Whole = 1,
    quick: Annotated[bool, Parameter(name="--quick")] = False,
    access: Access = ACCESS,
) -> int:
    """Verify the log of a ledger, of a copy of one, or a bundle. Reads only; repairs nothing.

    Exits with 0 when nothing was found, 1 when something is not as it was written, 3 when that cannot be told for want
    of a key, 9 when there are warnings or it was a quick look. The last line names what the log was held against, and what that cannot see.

    Args:
        bundle: the file of a bundle; then no ledger is opened, and of the options only --pin, --policy and --json apply.
        pin: a file of your own with the last checkpoint that you saw: compared with, and written anew when all is well.
        head: the head file of the ledger; else PROOFGAP_HEAD, else FILE.head beside it.
        policy: a file with the keys that you trust, as proofgap audit policy writes it.
        since: a file with a checkpoint up to which you verified before: only what came after it is read.
        max_age: warn when the last checkpoint is older than this, such as 1d; without it, its age does not matter.
        jobs: how many processes read at the same time.
        quick: read no payloads: only signatures, leaves, roots and anchors. Never says OK.

    """
    if bundle is not None:
        refused = {"--head": head, "--since": since, "--max-age": max_age, "--jobs": jobs != 1, "--quick": quick}
        _demand_none({**refused, "--ledger": access.ledger})
        return _verify_bundle(bundle, policy, pin, as_json=access.json)
    if not 1 <= jobs <= _JOBS_MAX:
        raise BadInputError("--jobs", f"{jobs} is out of range", f"Use 1 to {_JOBS_MAX}.")
    url = check_text("--ledger", settings.ledger_url(access.ledger))
    anchors = Anchors(
        keys=_keys(policy),
        pin=_note("--pin", pin, may_be_new=True),
        head=_note("--head", head or settings.head_file() or _beside(url), may_be_new=head is None),
        since=_note("--since", since, may_be_new=False),
    )
    age_us_max = None if max_age is None else int(seconds("--max-age", max_age) * 1_000_000)
    depth = Depth(now_us=now_us(), is_quick=quick, jobs=jobs, age_us_max=age_us_max)
    with progress.counting("Verifying", "events read") as tell:
        found = verify_file(url, anchors, depth, lambda done, total: tell(done, total, done))
    output.json_line(found) if access.json else _print(found)
    _keep_pin(pin, found, is_new=anchors.pin is None)
    return _EXITS[found.verdict]


def _demand_none(options: Mapping[str, object]) -> None:
    """Refuse what does not apply to a bundle: whoever asked for it would believe that it was looked at."""
    for option, value in options.items():
        if value:
            raise BadInputError(option, "does not apply to a bundle", "Leave it out, or verify the ledger.")


def _verify_bundle(bundle: Path, policy: Path | None, pin: Path | None, *, as_json: bool) -> int:
    pinned = _note("--pin", pin, may_be_new=True)
    found = verify_bundle(bundle, policy, pinned)
    output.json_line(found) if as_json else _print_bundle(found)
    _keep_pin(pin, found, is_new=pinned is None)
    return _EXITS[found.verdict]


def _print_bundle(found: BundleVerification) -> None:
    for finding in found.findings[:_FINDINGS_SHOWN_MAX]:
        for line in _told(finding):
            output.data(line)
    told = output.amount(len(found.findings), "finding"), output.amount(found.events, "event")
    output.data(f"{told[0]} in a bundle of {told[1]}")
    output.data(f"{_verdict(found.verdict)}. Held against: {found.anchor}.")


def _keys(policy: Path | None) -> tuple[VerifierKey, ...]:
    return () if policy is None else tuple(log.key for log in read_policy(policy).logs)


def _note(option: str, file: Path | None, *, may_be_new: bool) -> str | None:
    """Read a signed checkpoint from a file; who signed it is looked at later."""
    if file is None or (may_be_new and not file.exists()):
        return None
    text = _text(option, file)
    try:
        parse_checkpoint(parse_note(text).text)
    except MalformedError as error:
        raise BadInputError(option, f"'{shown(str(file))}': {error.problem}", error.remedy) from None
    return text


def _text(option: str, file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise BadInputError(option, f"'{shown(str(file))}' cannot be read: {reason}", "Name a readable file.") from None


def _beside(url: str) -> Path | None:
    """Give the head file of a ledger where nobody named one; a copy of a ledger has none."""
    file = settings.ledger_file(url)
    return None if file is None else file.with_name(f"{file.name}.head")


def _keep_pin(pin: Path | None, found: Verification | BundleVerification, *, is_new: bool) -> None:
    """Pin what was seen, unless it is not to be trusted.

    Raises:
        BadInputError: the file cannot be written; the verdict was told before.

    """
    if pin is None or found.checkpoint is None or found.verdict not in {Verdict.OK, Verdict.WARN}:
        return
    written = pin.with_name(f"{pin.name}.part")
    try:
        written.write_text(found.checkpoint, "utf-8")
        written.replace(pin)
    except OSError as error:
        problem = f"'{shown(str(pin))}' cannot be written: {error.strerror}"
        raise BadInputError("--pin", problem, "Name a file that you may write to.") from None
    if is_new:
        output.note(
            f"There was no pin to compare with: {pin} is one now. Keep it where the ledger's owner cannot write."
        )


def _verdict(verdict: Verdict) -> str:
    return "QUICK: payloads not read" if verdict is Verdict.QUICK else verdict


def _print(found: Verification) -> None:
    for line in _lines(found):
        output.data(line)


def _lines(found: Verification) -> Iterator[str]:
    for finding in found.findings[:_FINDINGS_SHOWN_MAX]:
        yield from _told(finding)
    more = sum(found.counts.values()) - min(len(found.findings), _FINDINGS_SHOWN_MAX)
    if more:
        yield f"... and {more} more: {', '.join(f'{count} {code}' for code, count in found.counts.items())}"
    covered = f"{found.size} of {found.events} events under a root" + (f" {found.root}" if found.root else "")
    if found.since:
        covered += f"; those before {found.since} were not read again"
    yield covered
    yield f"{_verdict(found.verdict)}. Held against: {found.anchor}. Not seen by that: {found.unseen}"


def _told(finding: Finding) -> Iterator[str]:
    meaning = finding.code.meaning
    places = {"leaf": finding.index, "event": finding.event_id, "stream": finding.stream}
    where = ", ".join(f"{name} {place}" for name, place in places.items() if place is not None)
    yield f"{finding.code} {where + ': ' if where else ''}{meaning.says}: {finding.detail}"
    yield f"    {meaning.hint}"
