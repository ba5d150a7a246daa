"""The runner of tools: every line, no waiting, a known end, and nothing left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from proofgap_app.drivers.process import Command, Ended, Stream, capture, run, stream
from tests.app.restoring import ROOTS, wait_for


def shell(script: str, **options: object) -> Command:
    """Give a call of the shell."""
    return Command(arguments=("/bin/sh", "-c", script), environment={"PATH": os.environ["PATH"]}, **options)


def is_running(pid: int) -> bool:
    """Tell whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_both_outputs_come_line_by_line_and_the_exit_code_is_the_tools_own():
    seen = capture(shell("echo one; echo two >&2; printf 'three\\r\\nfour'; exit 7"))
    assert seen == (("one", "three", "four"), ("two",), Ended(7, stopped=False))


def test_much_output_on_both_sides_never_blocks_the_tool():
    """Each side is far more than a pipe holds."""
    code = "import sys\nfor _ in range(20000): print('o' * 50); print('e' * 50, file=sys.stderr)"
    seen = capture(Command(arguments=(sys.executable, "-S", "-c", code)))
    assert (len(seen.out), len(seen.err), seen.ended.exit_code) == (20000, 20000, 0)


def test_a_line_without_an_end_is_cut_and_costs_no_memory_without_bound():
    seen = capture(Command(arguments=(sys.executable, "-S", "-c", "print('x' * 3_000_000, end='')")))
    assert sum(map(len, seen.out)) == 3_000_000
    assert max(map(len, seen.out)) <= (1 << 20) + (1 << 16)


def test_names_that_are_no_text_come_through_unchanged():
    seen = capture(shell("printf 'a\\351b\\n'"))
    assert os.fsencode(seen.out[0]) == b"a\xe9b"


def test_a_signal_that_nobody_asked_for_is_told_from_an_exit_code():
    seen = capture(shell("kill -9 $$"))
    assert (seen.ended, seen.ended.signal) == (Ended(-9, stopped=False), signal.SIGKILL)


def test_nothing_of_our_environment_reaches_the_tool(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CANARY", "hunter2-canary")
    seen = capture(Command(arguments=("/usr/bin/env",), environment={"ONLY": "this"}))
    assert seen.out == ("ONLY=this",)


def test_a_wish_to_stop_is_gentle_first():
    command = shell("trap 'echo gently; exit 3' INT; echo ready; while :; do sleep 0.05; done")
    lines: list[str] = []
    ended = run(command, lambda _stream, line: lines.append(line), lambda: "ready" in lines)
    assert (lines, ended) == (["ready", "gently"], Ended(3, stopped=True))


def test_a_program_hears_a_signal_that_we_were_started_to_ignore():
    """As a shell starts what it runs in the background: whoever ignores a signal hands that on to what it starts."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        lines: list[str] = []
        command = shell("trap 'echo gently; exit 3' INT; echo ready; while :; do sleep 0.05; done")
        ended = run(command, lambda _stream, line: lines.append(line), lambda: "ready" in lines)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (lines, ended) == (["ready", "gently"], Ended(3, stopped=True))


def test_a_tool_that_does_not_listen_is_killed_with_everything_that_it_started():
    command = shell("trap '' INT TERM; sleep 100 & echo $!; wait; sleep 100", patience_s=0.05)
    lines: list[str] = []
    ended = run(command, lambda _stream, line: lines.append(line), lambda: bool(lines))
    assert ended == Ended(-9, stopped=True)
    wait_for(lambda: not is_running(int(lines[0])))


def test_what_a_tool_leaves_behind_does_not_keep_it_from_ending():
    """A child that holds the output open would be waited for without end; it is ended with the group."""
    seen = capture(shell("sleep 100 & echo $!; exit 0"))
    assert seen.ended == Ended(0, stopped=False)
    wait_for(lambda: not is_running(int(seen.out[0])))


def test_an_error_while_a_line_is_looked_at_leaves_no_process_behind():
    pids: list[int] = []

    def look(_stream: Stream, line: str) -> None:
        pids.append(int(line))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(shell("echo $$; sleep 100"), look)
    assert not is_running(pids[0])


def test_a_tool_ends_with_its_worker_even_if_the_worker_is_killed():
    """Otherwise it would write on, while everybody is told that the worker is lost."""
    script = (
        "from proofgap_app.drivers.process import Command, run\n"
        "run(Command(arguments=('/bin/sh', '-c', 'echo $$; exec sleep 100')), lambda _s, line: print(line, flush=True))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(ROOTS)}
    worker = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment)
    with worker:
        tool = int(worker.stdout.readline())
        assert is_running(tool)
        worker.kill()
    wait_for(lambda: not is_running(tool))


def test_output_that_is_data_is_handed_on_as_bytes():
    pieces: list[bytes] = []
    ended, errors = stream(shell("head -c 200000 /dev/zero; echo bad >&2; exit 1"), pieces.append)
    assert (len(b"".join(pieces)), errors, ended.exit_code) == (200_000, ["bad"], 1)


def test_a_program_that_is_not_there_is_an_error_of_the_system():
    with pytest.raises(FileNotFoundError):
        capture(Command(arguments=("/no/such/program",)))
