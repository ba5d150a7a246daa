"""Programs of the user's as drivers: the example of the documentation, and programs that fail, lie, babble or are killed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from proofgap.errors import BadInputError
from proofgap_app.drivers import chosen
from proofgap_app.drivers.base import (
    Driver,
    Execution,
    Plan,
    Request,
    SourceChangedError,
    SourceError,
    TargetChangedError,
)
from tests.app.restoring import Ran, Shell, Told, tree, wait_for

PAGE = Path(__file__).parents[3] / "docs" / "command-driver.md"
FILES = {"a.txt": b"alpha\n", 'deep/"b" \\ c.txt': b"beta\n" * 1000, "empty": b""}
CANARY = "canary-Zx81-secret"


@dataclass
class World:
    """A ledger, a backup of files, and a folder of programs."""

    shell: Shell
    programs: Path
    backup: Path

    def program(self, text: str, name: str = "ours") -> None:
        """Write a program."""
        path = self.programs / name
        path.write_text(text)
        path.chmod(0o755)

    def restore(self, *options: object, backup: str | None = None) -> Ran:
        """Restore with the program ``ours``."""
        where = f"command:{backup or self.backup}"
        given = ("--option", "program=ours", "--yes", "--exit-status", *options)
        return self.shell.inside("restore", where, "--into", self.shell.target, *given)

    def told(self) -> Told:
        """Tell what is recorded, after the log was verified."""
        told = self.shell.last()
        assert self.shell.inside("audit", "verify").code == 0
        return told


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Give a world of its own."""
    programs, backup = tmp_path / "programs", tmp_path / "backup"
    programs.mkdir(mode=0o755)
    for name, data in FILES.items():
        (backup / name).parent.mkdir(parents=True, exist_ok=True)
        (backup / name).write_bytes(data)
    monkeypatch.setenv("PROOFGAP_COMMANDS", str(programs))
    return World(Shell(tmp_path), programs, backup)


def example() -> str:
    """Give the shell script of the documentation."""
    (found,) = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return str(found)


def saying(plan: object = (), restore: object = (), check: object = (), *, last: str = "", verb: str = "") -> str:
    """Write a program that says these lines for these verbs; ``last`` is done last for the verb.

    Its preview states a fingerprint where the file ``state`` lies beside it.
    """
    answers = {"plan": plan, "restore": restore, "check": check}
    cases = []
    for name, lines in answers.items():
        assert isinstance(lines, (list, tuple))
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        body = "".join(f"cat <<'EOL'\n{text}\nEOL\n" for text in texts)
        cases.append(f"{name})\n{body}{last if verb == name else ''}\n;;")
    foresee = 'while read -r key; do echo "{\\"type\\":\\"item\\",\\"key\\":\\"$key\\",\\"action\\":\\"created\\"}"; done <"$PROOFGAP_ITEMS"'
    looked = '[ ! -e "$0.state" ] || echo "{\\"type\\":\\"preview\\",\\"fingerprint\\":\\"$(cat "$0.state")\\"}"'
    cases.append(f"preview)\n{foresee}\n{looked}\n{last if verb == 'preview' else ''}\n;;")
    return "#!/bin/sh\ncase $1 in\n" + "\n".join(cases) + '\nesac\necho \'{"type":"done"}\'\n'


def items(*keys: str) -> list[dict[str, object]]:
    """Say that the backup holds these."""
    return [{"type": "item", "key": key, "bytes": 3} for key in keys]


def done(*keys: str, result: str = "succeeded") -> list[dict[str, object]]:
    """Say how these were restored."""
    return [{"type": "item", "key": key, "result": result} for key in keys]


def same(*keys: str, level: str = "L4") -> list[dict[str, object]]:
    """Say that these were compared and are equal."""
    both = {"expected": "3", "observed": "3"}
    return [{"type": "subject", "subject": key, "method": "bytes", "level": level, **both} for key in keys]


def test_the_example_of_the_documentation_restores_files(world: World) -> None:
    """Its items, digests and evidence are those of the files, whatever they are called."""
    world.program(example())
    ran = world.restore()
    told = world.told()
    assert (ran.code, told.ended) == (0, ("completed_with_evidence", "completed", None))
    assert told.counts == {"total": 3, "succeeded": 3}
    assert tree(world.shell.target) == FILES
    assert told.verdicts == [("active", "match")]
    (_, found) = told.evidence[0]
    assert (found.level, found.subjects_checked, found.checks_total) == ("L5", 3, 3)
    assert (told.details.unit, told.details.counts_source) == ("file", "items")
    assert (told.details.tool or "").startswith("ours sha256:")
    assert (told.details.tool or "").endswith("(copy-files 1.0)")


def test_what_exists_is_skipped_and_what_was_damaged_since_is_in_the_evidence(world: World) -> None:
    """The example does not replace what it finds, so the target is not the backup, and is not said to be."""
    world.program(example())
    world.shell.target.mkdir()
    (world.shell.target / "a.txt").write_bytes(b"other\n")
    ran = world.restore()
    told = world.told()
    assert (ran.code, told.ended[:2]) == (0, ("completed_with_evidence", "completed"))
    assert told.counts == {"total": 3, "succeeded": 2, "skipped": 1}
    assert told.verdicts == [("active", "mismatch")]
    assert world.restore("--overwrite").code == 0
    assert tree(world.shell.target) == FILES


@pytest.mark.parametrize(
    ("restore", "last", "ended", "counts"),
    [
        (done("a", "b"), "", ("completed_with_evidence", "completed", None), {"total": 2, "succeeded": 2}),
        (
            [*done("a"), *done("b", result="failed")],
            "",
            ("needs_review", "partial", None),
            {"total": 2, "succeeded": 1, "failed": 1},
        ),
        (done("a"), "", ("needs_review", "partial", None), {"total": 2, "succeeded": 1, "non_applied": 1}),
        ([], "", ("completed_with_evidence", "completed", None), {}),
        (
            done("a", "b"),
            'echo \'{"type":"done"}\'; exit 1',
            ("needs_review", "completed_with_errors", None),
            {"total": 2, "succeeded": 2},
        ),
        (done("a", "b"), "exit 0", ("failed", "failed", "tool_aborted"), {"total": 2, "succeeded": 2}),
        (
            done("a", "b"),
            'echo \'{"type":"done"}\'; exit 7',
            ("failed", "failed", "tool_aborted"),
            {"total": 2, "succeeded": 2},
        ),
        (done("a"), "kill -9 $$", ("failed", "failed", "worker_lost"), {"total": 2, "succeeded": 1, "non_applied": 1}),
        (done("a", "b", result="failed"), "", ("failed", "failed", "nothing_applied"), {"total": 2, "failed": 2}),
        (
            [*done("a", "b"), *done("a", result="failed")],
            "",
            ("failed", "failed", "tool_aborted"),
            {"total": 2, "succeeded": 2},
        ),
        ([*done("a", "b", "c")], "", ("needs_review", "completed_with_errors", None), {"total": 2, "succeeded": 2}),
        (
            [*done("a", "b"), "no json"],
            "",
            ("needs_review", "completed_with_errors", None),
            {"total": 2, "succeeded": 2},
        ),
        (
            [*done("a"), '{"type":"item","key":"b","result":"fine"}'],
            "",
            ("needs_review", "partial", None),
            {"total": 2, "succeeded": 1, "non_applied": 1},
        ),
    ],
    ids=[
        "all",
        "one failed",
        "silent about one",
        "silent about all",
        "exit 1",
        "exit 0 without done",
        "unknown exit code",
        "killed",
        "all failed",
        "told twice",
        "not in the plan",
        "no json",
        "unknown word",
    ],
)
def test_the_outcome_rule_decides_and_never_the_program(
    world: World, restore: list[object], last: str, ended: tuple[str, str, str | None], counts: dict[str, int]
) -> None:
    """Exit code 0 is not success, silence is not success, and what is not understood is an error."""
    world.program(saying(items("a", "b"), restore, same("a", "b"), last=last, verb="restore"))
    world.restore()
    told = world.told()
    assert (told.ended, told.counts) == (ended, counts)
    assert {str(item.result) for item in told.items} == set(counts) - {"total"}


def test_every_line_that_is_not_understood_is_counted(world: World) -> None:
    """A program that babbles does not crash anything, and none of it gets through as a success."""
    babble = [
        "}{",
        "[]",
        "null",
        '{"type":"item"}',
        '{"type":"item","key":"a","key":"b","result":"succeeded"}',
        "\x1b[31m",
    ]
    world.program(saying(items("a"), [*babble * 5, *done("a")], same("a")))
    driver, plan = planned(world)
    execution = driver.execute(
        plan, target_fingerprint=None, report=lambda _item: None, progress=lambda *_: None, should_stop=lambda: False
    )
    assert (execution.errors_logged, execution.reached_end, execution.counts.succeeded) == (30, True, 1)
    assert "is not understood: line 1: is no JSON" in execution.problems[0]


def planned(world: World, backup: str | None = None, **options: str) -> tuple[Driver, Plan]:
    """Give driver and plan."""
    wanted = Request(
        backup=f"command:{backup or world.backup}",
        target=str(world.shell.target),
        options={"program": "ours", **options},
    )
    driver, request = chosen(None, wanted)
    return driver, driver.plan(request)


def test_a_plan_with_a_line_that_is_not_understood_is_never_complete(world: World) -> None:
    """That line may have been an item: so one item fails, that nobody can list."""
    world.program(saying([*items("a"), "item b"], done("a"), same("a")))
    world.restore()
    told = world.told()
    assert told.ended == ("needs_review", "partial", None)
    assert told.counts == {"total": 2, "succeeded": 1, "failed": 1}
    assert [item.reason_code for item in told.items if item.result == "failed"] == ["malformed_line"]
    assert told.details.source_completeness == "incomplete"


@pytest.mark.parametrize("last", ["exit 3", "exit 0", "kill -9 $$"])
def test_a_backup_that_cannot_be_listed_blocks_the_run(world: World, last: str) -> None:
    """There is no plan without ``done``."""
    world.program(saying(items("a"), last=f"echo 'no such vault' >&2; {last}", verb="plan"))
    ran = world.restore()
    assert (ran.code, world.told().ended) == (15, ("blocked_or_cancelled", "cancelled", "validation"))
    assert "before it said that it is done: no such vault" in ran.err


def test_a_selection_of_nothing_is_blocked(world: World) -> None:
    """The program is never asked to restore nothing, and does not get to say that all went well."""
    world.program(saying(items("a", "b"), last="touch ran", verb="restore"))
    assert (world.restore("--select", "z*").code, world.told().ended[2]) == (15, "empty_selection")
    assert not (world.shell.folder / "ran").exists()


@pytest.mark.parametrize(
    ("check", "last", "verdict", "checked"),
    [
        (same("a", "b"), "", "match", 2),
        ([*same("a"), {**same("b")[0], "observed": "4"}], "", "mismatch", 2),
        (same("a"), "", "inconclusive", 1),
        ([*same("a", "b"), "gibberish"], "", "inconclusive", 2),
        (same("a", "b"), "exit 0", "inconclusive", 2),
        ([*same("a"), *same("b", level="L5")], "", "inconclusive", 1),
    ],
    ids=["equal", "different", "silent about one", "malformed", "broken off", "no digest"],
)
def test_evidence_is_what_both_sides_say(
    world: World, check: list[object], last: str, verdict: str, checked: int
) -> None:
    """The checker does not say whether it passed; what it leaves out leaves the verdict open."""
    world.program(saying(items("a", "b"), check=check, last=last, verb="check"))
    driver, plan = planned(world)
    found = driver.collect(plan).found
    assert (found.verdict, found.subjects_checked) == (verdict, checked)


@pytest.mark.parametrize(
    "check", [[], same("z"), same("a", "b", level="L0")], ids=["nothing", "strangers", "exit status"]
)
def test_evidence_that_checked_nothing_of_the_plan_is_none(world: World, check: list[object]) -> None:
    """Zero subjects can never become active."""
    world.program(saying(items("a", "b"), done("a", "b"), check))
    assert world.restore().code == 12
    told = world.told()
    assert told.ended == ("completed_proof_incomplete", "completed", None)
    assert told.verdicts == [("failed", "inconclusive")]


def test_a_digest_that_is_not_the_plans_is_a_failure(world: World) -> None:
    """What the program says it wrote is not what it said the backup holds; and the checker cannot expect another digest."""
    plan = [{"type": "item", "key": "a", "sha256": "a" * 64}, {"type": "item", "key": "b"}]
    wrong = [{"type": "item", "key": "a", "result": "succeeded", "sha256": "b" * 64}, *done("b")]
    check = [
        {"type": "subject", "subject": "a", "method": "m", "level": "L5", "expected": "b" * 64, "observed": "b" * 64}
    ]
    world.program(saying(plan, wrong, [*check, *same("b")]))
    world.restore()
    told = world.told()
    assert told.counts == {"total": 2, "succeeded": 1, "failed": 1}
    assert [item.reason_code for item in told.items if item.result == "failed"] == ["digest_differs"]
    assert told.verdicts == [("active", "inconclusive")]


def test_a_program_that_changed_since_the_plan_is_not_run(world: World) -> None:
    """What was approved is what that program would do."""
    world.program(saying(items("a"), done("a")))
    driver, plan = planned(world)
    world.program(saying(items("a"), done("a"), last="touch ran", verb="restore"))
    with pytest.raises(SourceChangedError):
        driver.preview(plan)
    with pytest.raises(SourceChangedError):
        driver.execute(plan, target_fingerprint=None, report=print, progress=print, should_stop=lambda: False)
    assert not (world.shell.folder / "ran").exists()


def test_stopping_ends_everything_that_the_program_started(world: World, tmp_path: Path) -> None:
    """The run is partial unless the program's fingerprint of the target is what it was."""
    note = tmp_path / "child"
    world.program(
        saying(
            items("a", "b"),
            done("a"),
            last=f"sleep 60 & echo $! >{note}.part; mv {note}.part {note}; wait",
            verb="restore",
        )
    )
    driver, plan = planned(world)
    execution = driver.execute(
        plan, target_fingerprint=None, report=lambda _item: None, progress=lambda *_: None, should_stop=note.exists
    )
    assert (execution.reached_end, execution.nothing_written, execution.counts_are_lower_bounds) == (False, False, True)
    assert execution.counts.succeeded == 1
    wait_for(lambda: not alive(int(note.read_text())))


def alive(process: int) -> bool:
    """Tell whether a process is there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return b"\nState:\tZ" not in Path(f"/proc/{process}/status").read_bytes()


def test_secrets_are_in_nothing_that_is_stored_or_shown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program sees its own variables and none of ours; what it prints of them is hidden."""
    monkeypatch.setenv("OURS_PASSWORD", CANARY)
    monkeypatch.setenv("OTHERS_PASSWORD", "not-for-it")
    leak = f'{{"type":"problem","message":"login with {CANARY} failed"}}'
    item = f'{{"type":"item","key":"a","result":"failed","message":"password={CANARY}"}}'
    check = f'{{"type":"subject","subject":"a","method":"m","level":"L4","expected":"x","observed":"{CANARY}"}}'
    last = '[ "$OURS_PASSWORD$OTHERS_PASSWORD" = "' + CANARY + '" ] && echo "$OURS_PASSWORD" >&2 && exit 1'
    world.program(
        saying(items("a", "b"), [item, *done("b"), leak, '{"type":"done"}'], [check], last=last, verb="restore")
    )
    ran = world.restore()
    told = world.told()
    assert told.ended[:2] == ("needs_review", "partial")
    assert {item.message for item in told.items} == {"password=***", None}
    assert CANARY not in ran.out + ran.err + repr(told)
    assert CANARY.encode() not in b"".join(path.read_bytes() for path in world.shell.ledger_file.parent.iterdir())


@pytest.mark.parametrize("name", ["../ours", "/bin/sh", "", ".hidden", "a b"])
def test_a_request_cannot_name_any_program_there_is(world: World, name: str) -> None:
    """A request goes on record, and others execute it."""
    with pytest.raises(BadInputError, match="program"):
        planned(world, program=name)


def test_a_program_that_everybody_may_change_is_refused(world: World) -> None:
    """Then anybody on the machine could restore with the worker's rights."""
    world.program(saying(items("a")))
    (world.programs / "ours").chmod(0o777)
    with pytest.raises(SourceError, match="changed by everybody"):
        planned(world)


def test_a_program_without_its_first_line_is_told_of(world: World) -> None:
    """The system does not start it, or takes it for a shell script; neither lists a backup."""
    world.program("echo hello\n")
    with pytest.raises(SourceError, match="the program "):
        planned(world)


def test_a_stop_is_told_to_the_program_gently(world: World, tmp_path: Path) -> None:
    """It may put things in order, and say that it is done."""
    trap = f"trap 'touch {tmp_path}/heard; exit 2' INT; touch {tmp_path}/ready; while :; do sleep 0.05; done"
    world.program(saying(items("a", "b"), done("a"), last=trap, verb="restore"))
    driver, plan = planned(world)
    ready = tmp_path / "ready"
    execution = driver.execute(
        plan, target_fingerprint=None, report=lambda _item: None, progress=lambda *_: None, should_stop=ready.exists
    )
    assert (execution.exit_code, execution.reached_end) == (2, False)
    assert (tmp_path / "heard").exists()


def executed(
    driver: Driver, plan: Plan, fingerprint: str | None = None, *, stop: Callable[[], bool] = bool
) -> Execution:
    """Execute a plan."""
    return driver.execute(
        plan, target_fingerprint=fingerprint, report=lambda _item: None, progress=lambda *_: None, should_stop=stop
    )


def test_nothing_was_written_where_the_programs_fingerprint_says_so(world: World) -> None:
    """A program that was stopped before it wrote is cancelled; without a fingerprint nobody knows."""
    state = world.programs / "ours.state"
    state.write_text("as it was")
    world.program(saying(items("a"), last='touch "$0.ready"; sleep 60', verb="restore"))
    driver, plan = planned(world)
    ready = world.programs / "ours.ready"
    assert executed(driver, plan, stop=ready.exists).nothing_written
    world.program(saying(items("a"), last='echo changed >"$0.state"; exit 5', verb="restore"))
    driver, plan = planned(world)
    assert not executed(driver, plan).nothing_written
    state.unlink()
    world.program(saying(items("a"), last="exit 5", verb="restore"))
    driver, plan = planned(world)
    assert not executed(driver, plan).nothing_written


def test_a_target_that_changed_since_the_preview_is_not_written_to(world: World) -> None:
    """The program's fingerprint of it is another."""
    state = world.programs / "ours.state"
    state.write_text("as it was")
    world.program(saying(items("a"), done("a"), last='touch "$0.ran"', verb="restore"))
    driver, plan = planned(world)
    shown = driver.preview(plan).target_fingerprint
    state.write_text("changed")
    with pytest.raises(TargetChangedError):
        executed(driver, plan, shown)
    assert not (world.programs / "ours.ran").exists()


def test_a_backup_that_is_a_file_is_known_by_its_bytes(world: World, tmp_path: Path) -> None:
    """The program is not asked whether it changed; and the checks are told the plan's marker, and the password file."""
    backup, password = tmp_path / "vault.bin", tmp_path / "password"
    backup.write_bytes(b"one")
    password.write_text("hidden-word-1\n")
    password.chmod(0o600)
    about = {"type": "plan", "marker": "T-4711", "unit": "table", "completeness": "complete"}
    told = 'echo "$PROOFGAP_MARKER $PROOFGAP_BACKUP $(cat "$PROOFGAP_PASSWORD_FILE")" >"$0.told"'
    progress = {"type": "progress", "bytes": 2, "items": 1}
    refused = {"type": "item", "key": "r", "refused": "too-old"}
    lines = [about, *items("a"), refused]
    world.program(
        saying(
            lines,
            [progress, *done("a")],
            [progress, *same("a"), {**same("a")[0], "observed": None}],
            last=told,
            verb="check",
        )
    )
    ran = world.restore("--password-file", password, backup=str(backup))
    found = world.told()
    assert (ran.code, found.ended[:2], found.counts) == (
        13,
        ("needs_review", "partial"),
        {"total": 2, "succeeded": 1, "failed": 1},
    )
    assert found.verdicts == [("active", "inconclusive")]
    assert (found.details.unit, found.details.source_completeness) == ("table", "complete")
    assert found.details.recovery_point_us == backup.stat().st_mtime_ns // 1000
    assert (world.programs / "ours.told").read_text() == f"T-4711 {backup} hidden-word-1\n"
    driver, plan = planned(world, str(backup))
    backup.write_bytes(b"two!")
    for step in (driver.preview, driver.collect):
        with pytest.raises(SourceChangedError):
            step(plan)


def test_a_target_may_be_a_name_that_only_the_program_understands(world: World) -> None:
    """It is not made a path; and two names are two places."""
    world.program(saying(items("a"), done("a"), same("a")))
    wanted = Request(backup="command:vault", target="crm-test", options={"program": "ours"})
    driver, request = chosen(None, wanted)
    plan = driver.plan(request)
    assert (request.backup, request.target) == ("vault", "crm-test")
    _, other = chosen(None, replace(wanted, target="crm-live"))
    assert driver.place(plan) != driver.place(driver.plan(other))
    assert driver.collect(plan).found.verdict == "match"


@pytest.mark.parametrize(
    ("plan", "last", "verb", "problem"),
    [
        (items("a", "a"), "", "", "lists a 2 times"),
        (items("a"), "exit 4", "preview", "cannot say what it would do there: it ended with exit code 4"),
    ],
)
def test_what_cannot_be_relied_on_blocks_the_run(
    world: World, plan: list[object], last: str, verb: str, problem: str
) -> None:
    """There is no plan with two items of one key, and no restore without a preview."""
    world.program(saying(plan, last=last, verb=verb))
    ran = world.restore()
    assert (ran.code, world.told().ended) == (15, ("blocked_or_cancelled", "cancelled", "validation"))
    assert problem in ran.err
