"""What became of each file that a tool wrote, told without the tool; and what the tools' words are taken for."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from proofgap.errors import BadInputError
from proofgap.outcome import outcome_of
from proofgap.records import Item
from proofgap_app.drivers import chosen, tree
from proofgap_app.drivers.base import Action, Execution, Plan, Request, TargetError, no_progress
from proofgap_app.drivers.borg import Heard as HeardOfBorg
from proofgap_app.drivers.borg_repository import BORG
from proofgap_app.drivers.files import FilesDriver
from proofgap_app.drivers.process import Stream
from proofgap_app.drivers.restic import Heard
from proofgap_app.drivers.restic_repository import RESTIC
from proofgap_app.drivers.target import Target
from proofgap_app.drivers.tool import tool_for
from proofgap_app.worker.record import said_of
from tests.app.restoring import FILES, backup_of


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Give a plan of four files, into a target that is not there yet."""
    backup = backup_of("directory", tmp_path)
    return FilesDriver().plan(Request(backup=str(backup.path), target=str(tmp_path / "target")))


def put(plan: Plan, *names: str, dated: bool = True, size: int | None = None) -> None:
    """Write files as a tool would, with their times or without."""
    for item in plan.items:
        if item.key in names:
            path = plan.request.target_path / item.key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(FILES[item.key][:size])
            if dated:
                os.utime(path, ns=(item.mtime_ns, item.mtime_ns))


def executed(plan: Plan, work: Callable[[], None], **end: object) -> tuple[Execution, dict[str, Item]]:
    """Let somebody work, and say how it ended."""
    with Target(plan.request.target_path) as target:
        foreseen = [tree.foresee(target, item, None, overwrite=plan.request.overwrite) for item in plan.items]
    items: list[Item] = []

    def at_work() -> tree.ToolEnd:
        work()
        return tree.ToolEnd(**{"exit_code": 0, "reached_end": True} | end)

    execution = tree.execute(plan, foreseen, at_work, items.append, no_progress)
    return execution, {item.key: item for item in items}


def test_an_exit_code_of_zero_makes_no_file_that_is_not_there(plan: Plan):
    execution, items = executed(plan, lambda: put(plan, "a.txt", "b.bin", "deep/d.txt"))
    assert items["deep/er/c.txt"].reason_code == "absent_without_an_error"
    assert outcome_of(execution.facts(cancel_requested=False)).status == "partial"
    assert (execution.counts.succeeded, execution.counts.non_applied) == (3, 1)


def test_a_file_of_another_size_failed_though_nobody_complained(plan: Plan):
    _, items = executed(plan, lambda: (put(plan, *FILES), put(plan, "b.bin", size=100)))
    assert (items["b.bin"].result, items["b.bin"].reason_code) == ("failed", "wrong_size_or_kind")


def test_what_was_broken_off_counts_only_what_has_its_time(plan: Plan):
    """Tools set it when the content is written: a file of full size without it may hold anything."""
    execution, items = executed(
        plan,
        lambda: (put(plan, "a.txt"), put(plan, "b.bin", dated=False), put(plan, "deep/d.txt", size=1)),
        exit_code=-9,
        reached_end=False,
    )
    assert {key: str(item.result) for key, item in items.items()} == {
        "a.txt": "succeeded",
        "b.bin": "partial",
        "deep/d.txt": "partial",
        "deep/er/c.txt": "non_applied",
    }
    assert outcome_of(execution.facts(cancel_requested=False)).end_reason == "worker_lost"
    assert outcome_of(execution.facts(cancel_requested=True)).status == "partial"


def test_a_stop_before_anything_was_written_is_cancelled_and_proven(plan: Plan):
    execution, _ = executed(plan, lambda: None, exit_code=130, reached_end=False)
    assert execution.nothing_written
    assert outcome_of(execution.facts(cancel_requested=True)).status == "cancelled"
    execution, _ = executed(plan, plan.request.target_path.mkdir, exit_code=130, reached_end=False)
    assert not execution.nothing_written


def test_complaints_about_owner_or_times_leave_the_content_restored(plan: Plan):
    said = {("a.txt",): [tree.Complaint("permission_denied", "lchown: operation not permitted", is_harmless=True)]}
    execution, items = executed(plan, lambda: put(plan, *FILES), exit_code=1, complaints=said)
    assert (items["a.txt"].result, items["a.txt"].reason_code) == ("succeeded", "metadata_not_applied")
    assert outcome_of(execution.facts(cancel_requested=False)).status == "completed_with_errors"


def test_a_complaint_about_something_else_is_an_error_of_the_run(plan: Plan):
    said = {("deep",): [tree.Complaint("tool_error", "mkdir: odd")]}
    execution, _ = executed(plan, lambda: put(plan, *FILES), complaints=said, others=("odd too",))
    assert execution.problems == ("odd too", "deep: mkdir: odd")
    assert outcome_of(execution.facts(cancel_requested=False)).status == "completed_with_errors"


def test_what_the_tool_said_of_no_item_comes_first_in_the_note_of_the_runs_end(plan: Plan):
    """The end of the tool explains the items that it did not come to; there may be thousands of them."""
    execution, _ = executed(plan, lambda: None, exit_code=2, reached_end=False, others=("the disk is gone",))
    assert said_of(execution) == "the disk is gone; a.txt: not_reached; b.bin: not_reached; and 2 more"
    clean, _ = executed(plan, lambda: put(plan, *FILES))
    assert said_of(clean) is None


def test_an_old_file_that_the_tool_did_not_come_to_is_not_taken_for_the_new_one(plan: Plan):
    """It has the name, the size and even the time; it was there before."""
    put(plan, "b.bin")
    (plan.request.target_path / "b.bin").write_bytes(FILES["b.bin"][::-1])
    _, items = executed(
        replace(plan, request=replace(plan.request, overwrite=True)), lambda: None, exit_code=2, reached_end=False
    )
    assert (items["b.bin"].result, items["b.bin"].reason_code) == ("non_applied", "not_reached")


def test_names_say_what_is_wanted_or_what_is_not_whichever_is_shorter():
    everything = {("a", str(number)) for number in range(9)} | {("b",), ("c", "d", "e")}
    assert tree.named(everything, everything) == (False, [])
    assert tree.named({("b",)}, everything) == (True, ["b"])
    assert tree.named(everything - {("b",)}, everything) == (False, ["b"])
    assert tree.named({part for part in everything if part[0] == "a"}, everything) == (True, ["a"])
    many = {(f"{number:06}" * 5,) for number in range(40_000)}
    with pytest.raises(TargetError, match="more than one call takes"):
        tree.named(set(sorted(many)[::2]), many)


def test_a_name_that_borg_could_not_say_is_looked_up_in_the_target(plan: Plan, tmp_path: Path):
    root = plan.request.target_path
    root.mkdir()
    (root / os.fsdecode(b"caf\xe9.txt")).write_bytes(b"x")
    odd = replace(plan.items[0], key="caf?.txt", parts=("caf?.txt",))
    (found,) = tree.under_real_names(replace(plan, items=(odd,))).items
    assert os.fsencode(found.parts[0]) == b"caf\xe9.txt"
    (root / os.fsdecode(b"caf\xe8.txt")).write_bytes(b"y")
    assert tree.under_real_names(replace(plan, items=(odd,))).items == (odd,)  # two could be meant


def restic_said(plan: Plan, *lines: str, exit_code: int = 1) -> tree.ToolEnd:
    """Give what restic's words are taken for."""
    heard = Heard(plan, tool_for(RESTIC, plan.request), no_progress)
    for line in lines:
        heard.line(Stream.ERR, line)
    return heard.end(exit_code, stopped=False)


def test_the_words_of_restic_with_json_and_without_name_the_same_items(plan: Plan):
    """Newer versions mix JSON with lines of text; both kinds of message name the item, and the number of messages means nothing."""
    text = restic_said(
        plan,
        "Load(<data/57633a538c>, 4200634, 0) returned error, retrying after 552.330144ms: unexpected EOF",
        "ignoring error for /b.bin: StreamPack: ReadFull: unexpected EOF",
        "ignoring error for /b.bin: UtimesNano: no such file or directory",
        "ignoring error for /deep/d.txt: write /t/deep/d.txt: no space left on device",
        "Fatal: There were 3 errors",
    )
    json = restic_said(
        plan,
        '{"message_type":"status","percent_done":0.5,"total_files":4,"files_restored":2,"bytes_restored":9}',
        "Load(<data/57633a538c>, 4200634, 0) failed: unexpected EOF",
        '{"message_type":"error","error":{"message":"StreamPack: ReadFull: unexpected EOF"},"during":"restore","item":"/b.bin"}',
        '{"message_type":"error","error":{"message":"write: no space left on device"},"during":"restore","item":"/deep/d.txt"}',
        '{"message_type":"summary","total_files":4,"files_restored":4,"total_bytes":80,"bytes_restored":80}',
        '{"message_type":"exit_error","code":1,"message":"Fatal: There were 3 errors"}',
    )
    for end in (text, json):
        assert set(end.complaints) == {("b.bin",), ("deep", "d.txt")}
        assert (end.reached_end, end.others) == (True, ())
        assert end.complaints["deep", "d.txt"][0].reason_code == "no_space"
    assert [one.is_harmless for one in text.complaints["b.bin",]] == [False, True]


@pytest.mark.parametrize(
    ("line", "exit_code"),
    [
        ("Fatal: wrong password or no key found", 1),
        ('{"message_type":"exit_error","code":12,"message":"Fatal: wrong password or no key found"}', 12),
        ("{no json", 1),
        ("", 130),
        ("Fatal: There were 3 errors", 3),
    ],
)
def test_an_end_of_restic_that_is_not_known_to_be_the_end_is_none(plan: Plan, line: str, exit_code: int):
    end = restic_said(plan, line, exit_code=exit_code)
    assert (end.reached_end, end.exit_code) == (False, exit_code)
    assert any(f"exit code {exit_code}" in text for text in end.others)


@pytest.mark.parametrize(
    ("exit_code", "went_through"),
    [
        (0, True),
        (1, True),
        (100, True),
        (106, True),
        (127, True),
        (2, False),
        (90, False),
        (99, False),
        (128, False),
        (-15, False),
    ],
)
def test_an_exit_code_of_borg_says_whether_it_went_through_and_one_that_is_unknown_says_no(
    plan: Plan, exit_code, went_through
):
    heard = HeardOfBorg(plan, tool_for(BORG, plan.request), no_progress)
    for line in (
        '{"type": "log_message", "message": "a.txt", "levelname": "INFO", "name": "borg.output.list"}',
        '{"type": "log_message", "message": "b.bin: open: [Errno 30] Read-only file system: \'/t\'", "levelname": "WARNING"}',
        '{"type": "log_message", "message": "Traceback (most recent call last):", "levelname": "ERROR"}',
        "Remote: something of ssh",
    ):
        heard.line(Stream.ERR, line)
    end = heard.end(exit_code)
    assert (end.reached_end, set(end.complaints)) == (went_through, {("b.bin",)})
    assert end.complaints["b.bin",][0].reason_code == "read_only"
    assert bool(end.others) is not went_through


@pytest.mark.parametrize(
    ("backup", "options", "said"),
    [
        ("restic:/r#latest", {"deep": "1"}, "option: deep is none of this driver"),
        ("borg:/r::a", {"host": "h"}, "option: host is none of this driver"),
        ("restic:/r", {"source": "perhaps"}, "source is neither complete nor incomplete"),
        ("restic:--option=x", {}, "looks like an option"),
        ("restic:sftp:-oProxyCommand=x:/r", {}, "looks like an option"),
        ("restic:sftp://me@-oProxyCommand=x/r", {}, "looks like an option"),
        ("borg:-x::a", {}, "looks like an option"),
        ("borg:ssh://-oProxyCommand=x/r", {}, "looks like an option"),
        ("restic:rest:https://me:canary@host/", {}, "holds a password"),
    ],
)
def test_a_request_that_no_tool_may_be_given_is_refused_before_any_is_called(tmp_path: Path, backup, options, said):
    with pytest.raises(BadInputError, match=said) as caught:
        chosen(None, Request(backup=backup, target=str(tmp_path), options=options))
    assert "canary" not in str(caught.value)


def test_places_are_made_whole_and_remote_ones_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    meant = {
        "restic:r": f"{tmp_path}/r#latest",
        "restic:local:r#0123abcd": f"{tmp_path}/r#0123abcd",
        "restic:sftp:me@host:/srv/r": "sftp:me@host:/srv/r#latest",
        "restic:s3:s3.amazonaws.com/b#latest": "s3:s3.amazonaws.com/b#latest",
        "borg:r": f"{tmp_path}/r#latest",
        "borg:r::monday": f"{tmp_path}/r::monday",
        "borg:ssh://me@host/./r::monday": "ssh://me@host/./r::monday",
        "borg:me@host:r#latest": "me@host:r#latest",
    }
    found = {backup: chosen(None, Request(backup=backup, target="t"))[1] for backup in meant}
    assert {backup: request.backup for backup, request in found.items()} == meant
    assert {request.target for request in found.values()} == {f"{tmp_path}/t"}


def test_without_an_expectation_nothing_that_is_there_is_called_unchanged(plan: Plan):
    put(plan, "a.txt")
    with Target(plan.request.target_path) as target:
        seen = tree.foresee(target, plan.items[0], None, overwrite=False)
    assert (seen.action, seen.reason_code) == (Action.SKIPPED, "exists_and_differs")
