"""``proofgap audit checkpoint``, ``key`` and ``policy``: signing the log, and what auditors need to check it.

Owns how often is signed, and the files that are handed out. Refuses to know when a checkpoint may be signed.
"""

from __future__ import annotations

import time
from pathlib import Path

from cyclopts import App

from proofgap.checkpoints import parse_checkpoint
from proofgap.errors import BadInputError, MalformedError
from proofgap.facts import utc_text
from proofgap.notes import parse_note
from proofgap.records import instant
from proofgap.text import check_text, shown
from proofgap_app.cli import output
from proofgap_app.cli.ledgers import me, opened, sign_off
from proofgap_app.cli.options import ACCESS, Access, naming, seconds
from proofgap_store import Checkpointed, Ledger, LogKey, UnavailableError
from proofgap_store.files import refuse_taken, sync, sync_folder, temporary

_INTERVAL = "1s"
_SHORTEST_INTERVAL = 0.01
_LOOKS = 10  # within an interval
_CROWD = 256  # so many waiting events are signed at once
_NOTE_BYTES_MAX = 65_536

checkpoint_app = App(
    name="checkpoint",
    help="Sign the log as it is now.",
    help_prologue="""Examples:
  proofgap audit checkpoint
  proofgap audit checkpoint --out /srv/auditor/checkpoint.txt
  proofgap audit checkpoint --follow --interval 10s
""",
)
policy_app = App(
    name="policy",
    help="Write the policy by which others verify this log.",
    help_prologue="""Examples:
  proofgap audit policy
  proofgap audit policy --out policy.txt
""",
)
key_app = App(
    name="key",
    help="Show and rotate the keys that sign the log.",
    help_prologue="""Examples:
  proofgap audit key show
  proofgap audit key rotate
""",
)


@checkpoint_app.default
def checkpoint(
    *, follow: bool = False, interval: str = _INTERVAL, out: str | None = None, access: Access = ACCESS
) -> int:
    """Give every event that waits its place in the tree, and sign the tree. Prints events, root, and when it was signed.

    Args:
        follow: go on until stopped; what passes by itself, such as a lock, is said and waited for.
        interval: how often to sign with --follow, such as 10s; 1s unless given; sooner when 256 events wait.
        out: a file that holds the signed checkpoint; an older checkpoint there is replaced, nothing else is.

    """
    pause = max(seconds("--interval", interval), _SHORTEST_INTERVAL)
    kept = None if out is None else _replaceable(Path(check_text("--out", out)))
    with opened(access) as ledger:
        signing = _Signing(ledger, kept, as_json=access.json)
        if follow:
            _follow(signing, pause)
        signing.sign()
    return 0


class _Signing:
    """Signs what waits, and tells of each checkpoint once."""

    def __init__(self, ledger: Ledger, out: Path | None, *, as_json: bool) -> None:
        self._ledger, self._out, self._as_json = ledger, out, as_json
        self._told = -1

    def sign(self) -> None:
        """Sign; tell if the tree grew."""
        made = self._ledger.audit.checkpoint()
        if made is None or made.size == self._told:
            return
        if self._out is not None:
            _write(self._out, made.note)
        _tell(made, as_json=self._as_json)
        self._told = made.size

    def rest(self, pause: float) -> None:
        """Wait for the next time to sign, in seconds; less, if many events wait."""
        for _ in range(_LOOKS):
            time.sleep(pause / _LOOKS)
            if self._ledger.audit.waiting() >= _CROWD:
                return


def _follow(signing: _Signing, pause: float) -> None:
    """Sign for ever. Each new trouble is said once; a refusal to sign is no trouble that passes, and ends it."""
    said = ""
    while True:
        try:
            signing.sign()
            said = ""
            signing.rest(pause)
        except UnavailableError as error:
            if str(error) != said:
                said = str(error)
                output.note(f"proofgap: {said}")
            time.sleep(pause)


def _tell(made: Checkpointed, *, as_json: bool) -> None:
    signed_at = utc_text(instant(made.at_us))
    if as_json:
        output.json_line({"size": made.size, "root": made.root, "signed_at": signed_at, "note": made.note})
    else:
        output.table(("Events", "Root", "Signed"), [(made.size, made.root, signed_at)])
    output.flush()


def _replaceable(file: Path) -> Path:
    """Let a file through that is not there yet, or holds a checkpoint; anything else would be lost."""
    try:
        with file.open("rb") as stream:
            parse_checkpoint(parse_note(stream.read(_NOTE_BYTES_MAX).decode()).text)
    except FileNotFoundError:
        return file
    except (OSError, UnicodeDecodeError, MalformedError):
        raise BadInputError(
            "--out", f"'{shown(str(file))}' is there and holds no checkpoint", "Name a new file."
        ) from None
    return file


def _write(file: Path, note: str) -> None:
    with temporary(file) as (stream, partial):
        stream.write(note.encode())
        sync(stream)
        partial.chmod(0o644)  # it is for others to read
        partial.replace(file)
    sync_folder(file.parent)


@policy_app.default
def policy(*, out: str | None = None, access: Access = ACCESS) -> int:
    """Write the policy by which others verify this log: every key that it named as its own (C2SP tlog-policy).

    Compare it with the keys that you pinned before you believe it: whoever owns the ledger can name other keys.

    Args:
        out: a new file to write it to; standard output, unless given.

    """
    file = None if out is None else Path(check_text("--out", out))
    if file is not None:
        with naming(FILE="--out"):
            refuse_taken(file)
    with opened(access) as ledger:
        text = ledger.audit.policy(me())
    if file is not None:
        _write(file, text)
    if access.json:
        output.json_line({"policy": text, "file": None if file is None else str(file)})
    elif file is None:
        for line in text.splitlines():
            output.data(line)
    else:
        output.data(f"Policy written: {file}")
    return 0


@key_app.command(
    name="show",
    help_prologue="""Examples:
  proofgap audit key show
  proofgap audit key show --json | jq -r '.items[-1].key'
""",
)
def show(*, access: Access = ACCESS) -> int:
    """Show each key that signed the log, in the form in which auditors pin it, and from which event on it signs."""
    with opened(access) as ledger:
        found = ledger.audit.keys(me())
    if access.json:
        output.json_line({"items": found})
    else:
        output.table(("Key", "Event", "Index", "Endorsed by the key before"), map(_cells, found))
    return 0


def _cells(key: LogKey) -> tuple[object, ...]:
    endorsed = None if key.is_endorsed is None else "yes" if key.is_endorsed else "no"
    return key.key, key.event_id, key.first_index, endorsed


@key_app.command(
    name="rotate",
    help_prologue="""Examples:
  proofgap audit key rotate
  proofgap audit key rotate --lost
""",
)
def rotate(*, lost: bool = False, access: Access = ACCESS) -> int:
    """Put a new key in force, endorsed by the old one, and sign the log with it. The old one is not kept.

    Args:
        lost: the old key is gone: go on without its endorsement. Verification says so for ever.

    """
    with opened(access) as ledger, naming(lost="--lost"):
        made = ledger.audit.rotate_key(me(), lost=lost)
        sign_off(ledger)
    if access.json:
        output.json_line(made)
    else:
        output.data(f"{made.key}   event {made.event_id}")
        output.note("Next: back up the key file, and hand the new key to your auditors.")
    return 0
