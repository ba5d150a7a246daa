"""Verification while others write, and of logs in which honest things happened: no false alarm, and no silence."""

from __future__ import annotations

import subprocess
import sys

from proofgap.findings import Verdict
from proofgap_store import Ledger, verify_work
from tests.conformance.lives import ADA, live, log
from tests.conformance.pruning import prune
from tests.store.tampering import URL, verified

WRITER = """
import sys
from proofgap.audit import Actor
from proofgap.facts import RunEvent
from proofgap_store import Ledger, NewRun
me = Actor(id="ada")
with Ledger.open(sys.argv[1], create=False, synchronous="OFF") as ledger:
    print("ready", flush=True)
    for number in range(10_000):
        run = ledger.create(NewRun(), me).run_id
        for event in ("scope", "check", "preview", "queue", "start", "complete"):
            ledger.fire(run, RunEvent(event), me)
        ledger.show(run, "ada", me)
        if number % 5 == 0:
            ledger.audit.checkpoint()
"""


def test_verifying_while_others_write_and_sequence_gives_no_false_alarm(path):
    with Ledger.open(URL(path), owner=ADA.id, synchronous="OFF") as ledger:
        live(ledger)
        ledger.audit.checkpoint()
    writer = subprocess.Popen([sys.executable, "-c", WRITER, URL(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout.readline() == "ready\n"
        seen = [verified(path, jobs=jobs) for jobs in (*[1] * 12, 2, 2)]
        assert writer.poll() is None, "the writer was at work all the time"
    finally:
        writer.kill()
        writer.communicate()
    assert [found.findings for found in seen] == [()] * len(seen)
    assert seen[0].events < seen[5].events < seen[-1].events
    assert verified(path).verdict == Verdict.OK


def test_a_pruning_during_a_verification_that_is_shared_out_gives_no_false_alarm(path, tmp_path, monkeypatch):
    with Ledger.open(URL(path), owner=ADA.id, synchronous="OFF") as ledger:
        live(ledger)
        ledger.audit.checkpoint()

        def pruned_first(*work):
            prune(ledger, tmp_path / "export.jsonl")
            return share_out(*work)

        share_out = verify_work._shared_out
        monkeypatch.setattr(verify_work, "_shared_out", pruned_first)
        assert verified(path, jobs=2).counts == {}
        assert "audit.pruned" in {found.type for found in log(ledger)}
        ledger.audit.checkpoint()
    monkeypatch.undo()
    assert verified(path, jobs=2).verdict == Verdict.OK


def test_a_pin_that_was_seen_while_others_wrote_holds_for_ever(path):
    with Ledger.open(URL(path), owner=ADA.id) as ledger:
        pins = []
        for _ in range(5):
            live(ledger, "scoped")
            pins.append(ledger.audit.checkpoint().note)
    assert [verified(path, pin=pin).verdict for pin in pins] == [Verdict.OK] * 5
